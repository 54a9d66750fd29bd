"""Hostile and mistaken servers up to the sign-in (WIRE D1-D7, D10, D14-D17, E21-E25)."""

import asyncio
import socket

import pytest

from tests.wire.clients import PASSWORD, PATIENT, Recorder, a_transport, short
from tests.wire.evil import drip, evil_server, fin, flood, hang, one_long_line, raw, rst, say, say_and_go
from transports.base import Direction, Phase
from transports.errors import (
    AddressNotAllowed,
    AuthNotEncrypted,
    AuthNotOffered,
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


# Signing in


async def test_an_echoed_secret_is_redacted_by_value_everywhere():
    recorder = Recorder()

    async def echo(peer, honest):
        await peer.write(
            b"535 5.7.8 not " + PASSWORD.encode() + b" in " + server.heard[-1].encode() + b"\r\n"
        )

    async with evil_server({"auth": echo}) as server:
        error = await refusal(server, recorder, password=PASSWORD)
        sent = server.heard[-1].removeprefix("AUTH PLAIN ")
    assert error.reply.text == "not <secret> in AUTH PLAIN <secret>"
    for text in (recorder.everything(), str(error), repr(error.reply)):
        assert PASSWORD not in text
        assert sent not in text
    assert "AUTH PLAIN <secret>" in recorder.said(Direction.CLIENT)


async def test_an_echoed_secret_in_garbage_is_redacted_before_it_is_shown_as_hex():
    async def echo(peer, honest):
        await peer.write(b"zzz " + PASSWORD.encode() + b"\r\n")

    async with evil_server({"auth": echo}) as server:
        error = await refusal(server, password=PASSWORD)
    assert type(error) is ProtocolError
    assert PASSWORD.encode().hex() not in str(error)


@pytest.mark.parametrize("answer", ["250 2.0.0 Ok", "220 hello", "354 go on"])
async def test_only_235_is_a_sign_in(answer):
    async with evil_server({"auth": say(answer)}) as server:
        error = await refusal(server, password=PASSWORD)
    assert (type(error), error.phase) == (ProtocolError, Phase.AUTH)


async def test_a_refused_mechanism_is_not_followed_by_the_next():
    async with evil_server({"auth": say("535 5.7.8 No")}) as server:
        error = await refusal(server, password=PASSWORD)
        assert server.verbs().count("AUTH") == 1
    assert error.reply.code == 535


async def test_a_535_with_a_hang_up_is_a_535():
    async with evil_server({"auth": say_and_go("535 5.7.8 No")}) as server:
        error = await refusal(server, password=PASSWORD)
    assert (type(error), error.reply.code) == (ReplyRefused, 535)


async def test_a_server_that_overlooked_the_initial_response_is_told_again():
    recorder = Recorder()

    async def ask(peer, honest):
        await peer.write(b"334 \r\n")
        server.heard.append((await peer.reader.readline()).decode().strip())
        await peer.write(honest)

    async with evil_server({"auth": ask}) as server:
        session = await a_transport(server.port, password=PASSWORD).open(recorder)
        assert server.heard[-2].split(" ")[-1] == server.heard[-1]
        await session.close()
        assert server.heard[-2] not in recorder.everything()


async def test_a_good_login_answers_both_questions():
    async with evil_server() as server:
        session = await a_transport(server.port, password=PASSWORD, mechanism="login").open()
        await session.close()
        assert server.verbs()[1] == "AUTH"


async def test_endless_questions_end_the_sign_in():
    async with evil_server({"auth": say("334 "), "auth_step": say("334 ")}) as server:
        error = await refusal(server, password=PASSWORD)
    assert (type(error), error.phase) == (ProtocolError, Phase.AUTH)


@pytest.mark.parametrize("mechanism", ["plain", "login"])
async def test_a_question_too_many_is_not_answered(mechanism):
    async def keep_asking(peer, honest):
        for _ in range(3):
            await peer.write(b"334 cGFzcw==\r\n")
            server.heard.append((await peer.reader.readline()).decode())

    async with evil_server({"auth": keep_asking}) as server:
        error = await refusal(server, password=PASSWORD, mechanism=mechanism)
    assert (type(error), error.phase) == (ProtocolError, Phase.AUTH)


async def test_login_may_end_at_the_first_answer():
    async with evil_server({"auth": say("235 2.7.0 Known already")}) as server:
        session = await a_transport(server.port, password=PASSWORD, mechanism="login").open()
        await session.close()
        assert server.verbs() == ["EHLO", "AUTH", "QUIT"]


@pytest.mark.parametrize("stage", ["auth", "auth_step"])
async def test_login_asks_two_questions_at_most_and_each_may_fail(stage):
    async with evil_server({stage: say("432 4.7.12 A password transition is needed")}) as server:
        error = await refusal(server, password=PASSWORD, mechanism="login")
    assert (type(error), error.reply.code) == (ReplyRefused, 432)


async def test_no_password_is_sent_in_clear_unless_the_profile_says_so():
    async with evil_server() as server:
        error = await refusal(server, password=PASSWORD, allow_clear_auth=False)
        assert type(error) is AuthNotEncrypted
        assert server.verbs() == ["EHLO"]
        session = await a_transport(server.port, password=PASSWORD, allow_clear_auth=True).open()
        await session.close()
        assert "AUTH" in server.verbs()


@pytest.mark.parametrize("offer", ["250-SIZE 1", "250-AUTH", "250-AUTH CRAM-MD5 XOAUTH2", "250-AUTH=NTLM"])
async def test_without_a_mechanism_we_may_use_nothing_is_tried(offer):
    async with evil_server(ehlo=("250-evil", offer, "250 HELP")) as server:
        error = await refusal(server, password=PASSWORD)
        assert (type(error), error.phase) == (AuthNotOffered, Phase.AUTH)
        assert server.verbs() == ["EHLO"]


async def test_the_old_form_of_auth_is_understood():
    async with evil_server(ehlo=("250-evil", "250 AUTH=LOGIN PLAIN")) as server:
        session = await a_transport(server.port, password=PASSWORD).open()
        await session.close()
        assert server.verbs()[1] == "AUTH"


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


async def test_a_password_with_nul_is_not_sent():
    async with evil_server() as server:
        error = await refusal(server, password="a\0b-or-not")
        assert server.verbs() == ["EHLO"]
    assert "NUL" in str(error)


async def test_a_password_that_does_not_open_leaves_no_connection():
    def broken():
        raise LookupError("the key is missing")

    async with evil_server() as server:
        with pytest.raises(LookupError, match="key"):
            await a_transport(server.port, auth="password", opener=broken).open()
        assert server.verbs() == ["EHLO"]


# Reaching the server


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
