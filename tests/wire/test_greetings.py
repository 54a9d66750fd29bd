"""Hostile and mistaken servers up to the sign-in (WIRE D1-D6, D15, C9, E21-E25)."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from tests.wire.clients import PASSWORD, PATIENT, Recorder, a_transport, short, until
from tests.wire.evil import drip, evil_server, fin, flood, hang, one_long_line, raw, rst, say, say_and_go
from transports.base import Phase
from transports.errors import (
    AddressNotAllowed,
    ConnectionLost,
    ConnectionRefused,
    NameNotFound,
    ProtocolError,
    ReplyRefused,
    ReplyTimeout,
    TLSFailed,
    TransportError,
)
from transports.resolve import AddressGuard, Destination
from transports.smtp import greeting
from transports.smtp.greeting import Greeting


async def refusal(server, observer=None, timeouts=PATIENT, **settings):
    """Return the error with which opening a session fails."""
    with pytest.raises(TransportError) as caught:
        await a_transport(server.port, timeouts=timeouts, **settings).open(observer)
    return caught.value


BEFORE_MAIL = {
    "tcp": Phase.BANNER,
    "banner": Phase.BANNER,
    "ehlo": Phase.EHLO,
    "auth": Phase.AUTH,
}


@pytest.mark.parametrize("stage", BEFORE_MAIL)
@pytest.mark.parametrize("action", [fin, rst], ids=["fin", "rst"])
async def test_a_loss_names_the_phase(stage, action):
    async with evil_server({stage: action}) as server:
        error = await refusal(server, password=PASSWORD)
    assert type(error) is ConnectionLost
    assert error.phase is BEFORE_MAIL[stage]


@pytest.mark.parametrize(
    ("stage", "action"),
    [(stage, hang) for stage in BEFORE_MAIL] + [(stage, drip) for stage in ("banner", "ehlo", "auth")],
)
async def test_silence_and_dripping_have_an_absolute_deadline(stage, action):
    """WIRE D3."""
    async with evil_server({stage: action}) as server:
        async with asyncio.timeout(5):
            limits = short(BEFORE_MAIL[stage])
            error = await refusal(server, timeouts=limits, password=PASSWORD)
    assert type(error) is ReplyTimeout
    assert error.phase is BEFORE_MAIL[stage]


@pytest.mark.parametrize("stage", ["banner", "ehlo", "auth"])
@pytest.mark.parametrize(
    "action",
    [
        flood,
        one_long_line,
        say("2_0 hi"),
        say("+25 hi"),
        say(" 25 hi"),
        say(""),
        say("", "220 late"),
        say("0"),
        say("123 too low"),
        raw(b"\x00\xff\x1b\r\n"),
    ],
    ids=["flood", "long line", "2_0", "+25", "space", "blank", "blank first", "0", "1xx", "bytes"],
)
async def test_what_is_no_reply_is_a_protocol_error(stage, action):
    """WIRE D1 (endless), D2 (a megabyte), D4 (`2_0`, `+25`, ` 25`), D5 (a blank line first)."""
    async with evil_server({stage: action}) as server:
        error = await refusal(server, password=PASSWORD)
    assert type(error) is ProtocolError
    assert error.phase is BEFORE_MAIL[stage]


@pytest.mark.parametrize("stage", ["banner", "ehlo", "auth"])
@pytest.mark.parametrize("code", [421, 450, 535, 554])
async def test_a_readable_refusal_keeps_the_servers_reply(stage, code):
    async with evil_server({stage: say_and_go(f"{code} {code // 100}.7.1 Not you")}) as server:
        error = await refusal(server, password=PASSWORD)
    assert type(error) is ReplyRefused
    assert (error.phase, error.reply.code, error.reply.text) == (BEFORE_MAIL[stage], code, "Not you")


@pytest.mark.parametrize(
    ("greeting", "protocol"),
    [
        ("SSH-2.0-OpenSSH_9.6", "SSH"),
        ("HTTP/1.1 400 Bad Request", "HTTP"),
        ("+OK Dovecot ready.", "POP3"),
        ("* OK IMAP4rev1 ready", "IMAP"),
        ("-ERR unknown command", "Redis"),
    ],
)
async def test_another_protocol_is_named_and_its_words_are_not_shown(greeting, protocol):
    """WIRE D6."""
    recorder = Recorder()
    async with evil_server({"banner": say(greeting)}) as server:
        error = await refusal(server, recorder)
        assert server.heard == []  # nothing is said before a valid greeting
    assert str(error) == f"This is not a mail sending server: it speaks {protocol}."
    assert greeting[4:] not in recorder.everything()


async def test_a_blank_line_first_is_asked_about():
    """WIRE D5."""
    async with evil_server({"banner": say("", "220 late")}) as server:
        error = await refusal(server)
    assert str(error) == "The greeting is not that of an SMTP server."


async def test_a_database_that_greets_is_not_shown():
    """WIRE D6: MySQL speaks first, in binary; the version would be a find."""
    recorder, greeting = Recorder(), b"J\x00\x00\x00\n8.0.36-private\x00\n"
    async with evil_server({"banner": raw(greeting)}) as server:
        error = await refusal(server, recorder)
        assert server.heard == []
    assert (type(error), error.phase) == (ProtocolError, Phase.BANNER)
    assert "8.0.36" not in recorder.everything() + repr(error)


async def test_ten_thousand_keywords_are_bounded():
    """WIRE D15: many keywords, and many lines of AUTH; what is shown of them is short."""
    recorder = Recorder()
    keywords = [f"250-X{n}" for n in range(2000)]
    mechanisms = [f"250-AUTH M{n} N{n} PLAIN" for n in range(90)]
    async with evil_server(ehlo=("250-evil", *keywords, *mechanisms, "250 LAST")) as server:
        session = await a_transport(server.port).open(recorder)
        await session.close()
        assert len(session.capabilities) == 200
    async with evil_server(ehlo=("250-evil", *mechanisms, "250 LAST")) as server:
        session = await a_transport(server.port, password=PASSWORD).open(recorder)
        await session.close()
        assert session.capabilities["AUTH"].split().count("PLAIN") == 1
    for step in recorder.steps:
        assert all(len(value) <= 1000 for value in step.evidence.values())
    async with evil_server(ehlo=("250-evil", *(f"250-X{n}" for n in range(10_000)), "250 LAST")) as server:
        assert type(await refusal(server)) is ProtocolError


async def test_helo_is_tried_only_where_nothing_else_is_wanted():
    async with evil_server({"ehlo": say("502 5.5.1 What?")}) as server:
        session = await a_transport(server.port).open()
        assert session.capabilities == {}
        await session.close()
        assert server.verbs() == ["EHLO", "HELO", "QUIT"]
        error = await refusal(server, password=PASSWORD)
        assert (type(error), error.phase, error.reply.code) == (ReplyRefused, Phase.EHLO, 502)


async def test_a_reply_too_many_after_ehlo_ends_the_connection():
    async with evil_server({"ehlo": say("250 evil", "250 and more")}) as server:
        error = await refusal(server)
        assert server.verbs() == ["EHLO"]
    assert (type(error), error.phase) == (ProtocolError, Phase.EHLO)


async def test_a_connection_that_ended_is_neither_encrypted_nor_taken_over():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        settings = a_transport(2525, ehlo_name="mail.example.org").settings
        it = Greeting(settings, Destination("127.0.0.1", 2525, ()), ours, None, None)
        with pytest.raises(ConnectionLost):
            it.take_over()
        with pytest.raises(TLSFailed):
            await it.shake_hands(1)


# Reaching the server


@pytest.mark.parametrize(
    ("settings", "phase"),
    [
        ({"mechanism": "ntlm"}, Phase.AUTH),
        ({"auth": "kerberos"}, Phase.AUTH),
        ({"auth": "oauth"}, Phase.AUTH),
        ({"minimum_tls": "1.0"}, Phase.TLS),
        ({"pipelining": "streamed"}, Phase.MAIL),
        ({"auth": "password", "password": None}, Phase.AUTH),
    ],
)
async def test_a_setting_that_cannot_be_honoured_is_refused_before_anything_is_opened(settings, phase):
    async with evil_server() as server:
        error = await refusal(server, **settings)
        assert server.connections == 0
    assert error.phase is phase


async def test_a_closed_port_is_a_refused_connection():
    async with evil_server() as server:
        pass
    error = await refusal(server)
    assert (type(error), error.phase) == (ConnectionRefused, Phase.CONNECT)


async def test_a_refused_address_is_never_connected():
    async with evil_server() as server:
        guard = AddressGuard(allowed_ports=(server.port,))
        error = await refusal(server, guard=guard)
        assert type(error) is AddressNotAllowed
        assert server.connections == 0


@pytest.mark.parametrize("host", ["/run/smtp.sock", "smtp://127.0.0.1", "127.0.0.1:25"])
async def test_a_host_that_is_none_is_refused(host):
    async with evil_server() as server:
        error = await refusal(server, host=host)
        assert type(error) is NameNotFound
        assert server.connections == 0


async def test_the_first_dead_address_is_not_an_outage():
    async with evil_server() as server:
        # Nothing listens on ::1 at this port.
        session = await a_transport(server.port, host="localhost").open()
        await session.close()
        assert server.connections == 1


async def test_the_name_of_this_machine_is_not_told():
    async with evil_server() as server:
        for name, said in (("", "EHLO [127.0.0.1]"), ("mail.example.org", "EHLO mail.example.org")):
            session = await a_transport(server.port, ehlo_name=name).open()
            await session.close()
            assert said in server.heard


@pytest.mark.parametrize(
    "name", ["a b", " a", "a ", "a\tb", "a\r\nMAIL", "a\n", "a\0b", "büro", " ", "x" * 256]
)
async def test_an_ehlo_name_that_is_none_is_refused_before_anything_is_opened(name):
    """WIRE C9."""
    async with evil_server() as server:
        error = await refusal(server, ehlo_name=name)
        assert server.connections == 0
    assert error.phase is Phase.EHLO


async def test_the_source_address_is_used():
    recorder = Recorder()
    async with evil_server() as server:
        session = await a_transport(server.port, source_address="127.0.0.9").open(recorder)
        await session.close()
        assert server.heard[0] == "EHLO [127.0.0.9]"


# What stays behind


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


FAILURES = {
    "tcp": ({"tcp": rst}, {}, {}),
    "banner": ({"banner": say("554 5.7.1 No")}, {}, {}),
    "banner hangs": ({"banner": hang}, {"timeouts": short("banner", seconds=0.02)}, {}),
    "greeting of another": ({"banner": say("SSH-2.0-OpenSSH")}, {}, {}),
    "ehlo": ({"ehlo": flood}, {}, {}),
    "ehlo too many": ({"ehlo": say("250 evil", "250 and more")}, {}, {}),
    "stripped": ({}, {"security": "starttls"}, {}),
    "starttls": ({"starttls": say("454 No")}, {"security": "starttls"}, {"starttls": True}),
    "injected": ({"starttls": say("220 Go", "250 x")}, {"security": "starttls"}, {"starttls": True}),
    "handshake": ({"handshake": fin}, {"security": "starttls"}, {"starttls": True}),
    "certificate": ({}, {"security": "starttls", "ca_pem": ""}, {"starttls": True}),
    "certificate, tls": ({}, {"security": "tls", "ca_pem": ""}, {"implicit": True}),
    "no tls": ({}, {"security": "tls"}, {}),
    "tls hangs": ({"tcp": hang}, {"security": "tls", "timeouts": short("tls", seconds=0.02)}, {}),
    "banner, tls": ({"banner": fin}, {"security": "tls"}, {"implicit": True}),
    "sign-in": ({"auth": say("535 5.7.8 No")}, {"password": PASSWORD}, {}),
    "sign-in, tls": ({"auth": hang}, {"password": PASSWORD, "security": "tls"}, {"implicit": True}),
    "secret": ({}, {"password": "a\0b"}, {}),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_fifty_failures_leave_no_file_open(failure):
    plan, settings, server_options = FAILURES[failure]
    if failure == "sign-in, tls":
        settings = settings | {"timeouts": short("auth", seconds=0.02)}
    async with evil_server(plan, **server_options) as server:
        transport = a_transport(server.port, **({"timeouts": PATIENT} | settings))
        quiet = open_files()
        with pytest.raises(TransportError):  # the first one opens what stays
            await transport.open()
        await until(lambda: open_files() <= quiet)
        before = open_files()
        for _ in range(50):
            with pytest.raises(TransportError):
                await transport.open()
        await until(lambda: open_files() <= before)


@pytest.mark.parametrize("turns", range(1, 12))
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_an_opening_ends_at_whatever_turn_of_the_loop_it_is_cancelled(security, turns):
    """Before Python 3.12 wait_for() may drop a cancellation, and with it the limit of a whole test send."""
    async with evil_server(
        {"auth": hang}, starttls=security == "starttls", implicit=security == "tls"
    ) as server:
        transport = a_transport(server.port, security=security, password=PASSWORD)
        opening = asyncio.ensure_future(transport.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        async with asyncio.timeout(5):
            with pytest.raises(asyncio.CancelledError):
                await opening
        await accepted(server)


async def accepted(server):
    """Wait until the server took up what was connected before: connections are accepted in their order."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"QUIT\r\n")
    with suppress(OSError):
        await reader.read()  # the end of a conversation, or of what is no handshake
    writer.close()


async def test_an_opening_that_is_cancelled_leaves_no_file_open():
    """And ends: before Python 3.12 wait_for() may drop a cancellation that comes with an answer."""
    async with evil_server({"banner": hang}, starttls=True) as server:
        transport = a_transport(server.port, security="starttls")
        before = open_files()
        for _ in range(50):
            opening = asyncio.ensure_future(transport.open())
            await until(lambda: open_files() > before)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        await until(lambda: open_files() <= before)


async def test_an_address_of_ours_that_cannot_be_read_leaves_no_file_open(monkeypatch):
    async with evil_server() as server:
        monkeypatch.setattr(greeting, "_address_literal", lambda sock: 1 / 0)
        before = open_files()
        with pytest.raises(ZeroDivisionError):
            await a_transport(server.port).open()
        await until(lambda: open_files() <= before)
