"""Hostile and mistaken servers up to the sign-in (WIRE D1-D7, D10, D14-D17, E21-E25)."""

import asyncio
import socket

import pytest

from tests.wire.clients import PASSWORD, PATIENT, Recorder, a_transport, short
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
    TransportError,
)
from transports.resolve import AddressGuard, Destination
from transports.smtp.connect import _Greeting


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
    recorder = Recorder()
    async with evil_server({"banner": say(greeting)}) as server:
        error = await refusal(server, recorder)
        assert server.heard == []  # nothing is said before a valid greeting
    assert str(error) == f"This is not a mail sending server: it speaks {protocol}."
    assert greeting[4:] not in recorder.everything()


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


async def test_a_connection_that_ended_is_not_taken_over():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        settings = a_transport(2525, ehlo_name="mail.example.org").settings
        greeting = _Greeting(settings, Destination("127.0.0.1", 2525, ()), ours, None, None)
        with pytest.raises(ConnectionLost):
            greeting.take_over()


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


@pytest.mark.parametrize("name", ["a b", "a\r\nMAIL", "büro"])
async def test_an_ehlo_name_that_is_none_is_refused(name):
    async with evil_server() as server:
        error = await refusal(server, ehlo_name=name)
        assert server.heard == []
    assert error.phase is Phase.EHLO


async def test_the_source_address_is_used():
    recorder = Recorder()
    async with evil_server() as server:
        session = await a_transport(server.port, source_address="127.0.0.9").open(recorder)
        await session.close()
        assert server.heard[0] == "EHLO [127.0.0.9]"
