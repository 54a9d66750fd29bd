"""What is kept of the conversation when a message was not simply accepted, and of a failed opening."""

import base64

import pytest

from tests.wire.clients import PASSWORD, PATIENT, a_content, a_transport, an_envelope, short
from tests.wire.evil import evil_server, fin, hang, honestly, raw, say
from tests.wire.test_secrets import assert_unheard
from tests.wire.test_streaming import LARGE, WARM, after, mail, open_streaming
from transports.base import Direction
from transports.errors import TransportError

MARKS = {Direction.CLIENT: "C: ", Direction.SERVER: "S: ", Direction.NOTE: "- "}


def told(lines):
    """Return the lines as people see them."""
    return [MARKS[line.direction] + line.text for line in lines]


async def delivered(server, *rcpt_to, content=None, **settings):
    """Deliver one message over a new session; its outcome."""
    session = await a_transport(server.port, **({"timeouts": PATIENT} | settings)).open()
    outcome = await session.deliver(an_envelope(*rcpt_to), content or a_content())
    await session.close()
    return outcome


async def test_a_plain_acceptance_keeps_nothing():
    async with evil_server() as server:
        assert (await delivered(server, "ann@example.org", "bo@example.org")).transcript == ()


@pytest.mark.parametrize("pipelining", ["auto", "sequential"])
async def test_a_refused_message_keeps_what_was_said_and_never_its_content(pipelining):
    async with evil_server({"dot": [say("550-No", "550 5.7.1 Spam")]}) as server:
        outcome = await delivered(server, pipelining=pipelining)
    size = a_content().size_bytes
    lines = told(outcome.transcript)
    assert sorted(lines) == sorted(
        [
            f"C: MAIL FROM:<shop@example.org> SIZE={size}",
            "C: RCPT TO:<ann@example.org>",
            "C: DATA",
            "S: 250 2.0.0 Ok",
            "S: 250 2.0.0 Ok",
            "S: 354 Go ahead",
            f"- The message: {size} bytes",
            "S: 550-No",
            "S: 550 5.7.1 Spam",
        ]
    )
    assert lines[-3:] == [f"- The message: {size} bytes", "S: 550-No", "S: 550 5.7.1 Spam"]
    if pipelining == "sequential":
        assert lines[1:4] == ["S: 250 2.0.0 Ok", "C: RCPT TO:<ann@example.org>", "S: 250 2.0.0 Ok"]
    times = [line.at_ms for line in outcome.transcript]
    assert times[0] == 0.0
    assert times == sorted(times)


async def test_one_refused_recipient_among_others_keeps_it_too():
    async with evil_server({"rcpt": [honestly, say("550 5.1.1 No such user")]}) as server:
        outcome = await delivered(server, "ann@example.org", "bo@example.org")
    assert outcome.accepted
    assert told(outcome.transcript)[-1] == "S: 250 2.0.0 Ok"
    assert "S: 550 5.1.1 No such user" in told(outcome.transcript)


async def test_what_ended_it_is_the_last_line():
    async with evil_server({"dot": [fin]}) as server:
        outcome = await delivered(server)
    assert outcome.uncertain
    assert told(outcome.transcript)[-1] == f"- {outcome.error}"


async def test_an_upload_that_is_refused_in_its_middle():
    async def refuse(peer, honest):
        await peer.write(b"552 5.3.4 Too large\r\n")
        await hang(peer, honest)

    async with evil_server({"body": [refuse]}) as server:
        outcome = await delivered(server, content=LARGE, timeouts=short("quit"))
    assert told(outcome.transcript)[-2:] == [
        f"- The message: {LARGE.size_bytes} bytes",
        "S: 552 5.3.4 Too large",
    ]


async def test_where_nothing_was_said_nothing_is_kept():
    async with evil_server() as server:
        assert (await delivered(server, "a\r\nb@example.org")).transcript == ()


# Streamed


async def test_what_travels_with_a_dot_belongs_to_the_next_message():
    plan = {
        "dot": after(WARM, say("450 4.2.0 Later"), say("451 4.3.0 Not now")),
        "rset": say("250 2.0.0 Flushed"),
    }
    async with evil_server(plan) as server:
        session = await open_streaming(server)
        first, second = mail(WARM), mail(WARM + 1)
        one = await session.deliver(*first, following=second)
        two = await session.deliver(*second)
        await session.close()
    assert told(one.transcript)[0].startswith(f"C: MAIL FROM:<from{WARM}@")
    assert told(one.transcript)[-2:] == [
        f"- The message: {first.content.size_bytes} bytes",
        "S: 450 4.2.0 Later",
    ]
    assert f"from{WARM + 1}@" not in repr(one.transcript)
    assert told(two.transcript) == [
        "C: RSET",
        f"C: MAIL FROM:<from{WARM + 1}@example.org> SIZE={second.content.size_bytes}",
        f"C: RCPT TO:<to{WARM + 1}@example.org>",
        "C: DATA",
        "S: 250 2.0.0 Flushed",
        "S: 250 2.0.0 Ok",
        "S: 250 2.0.0 Ok",
        "S: 354 Go ahead",
        f"- The message: {second.content.size_bytes} bytes",
        "S: 451 4.3.0 Not now",
    ]


async def test_a_refusal_of_what_travelled_is_told_with_the_message_it_refused():
    async with evil_server({"rcpt": after(WARM + 1, say("550 5.1.1 No such user"))}) as server:
        session = await open_streaming(server)
        second = mail(WARM + 1)
        assert (await session.deliver(*mail(WARM), following=second)).transcript == ()
        outcome = await session.deliver(*second)
        await session.close()
    assert "S: 550 5.1.1 No such user" in told(outcome.transcript)


async def test_an_uncertain_dot_shows_no_words_of_the_next_message():
    plan = {
        "dot": after(WARM, say("250 2.0.0 Odd", "550 5.7.1 Spam")),
        "rcpt": after(WARM + 1, say("250 <to@x> ok")),
    }
    async with evil_server(plan) as server:
        session = await open_streaming(server)
        outcome = await session.deliver(*mail(WARM), following=mail(WARM + 1))
        await session.close()
    assert outcome.uncertain
    lines = told(outcome.transcript)
    assert not any(f"{WARM + 1}@" in line or "<to@x>" in line for line in lines)
    assert "The answers to both: 250 550" in lines[-2]


# What a server may not do to it


async def test_a_password_in_a_later_reply_is_taken_out():
    line = base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()
    plan = {"rcpt": [say(f"550-5.1.1 {PASSWORD}", f"550 5.1.1 {line}")]}
    async with evil_server(plan) as server:
        outcome = await delivered(server, password=PASSWORD)
    assert "<secret>" in repr(outcome.transcript)
    assert_unheard(PASSWORD, repr(outcome.transcript))


async def test_hostile_bytes_are_escaped():
    async with evil_server({"rcpt": [raw(b"550 \x00\x1b[31m\xff\xe2\x80\xae\r\n")]}) as server:
        outcome = await delivered(server)
    assert "S: 550 \\x00\\x1b[31m\\xff\\u202e" in told(outcome.transcript)
    assert all(line.text.isprintable() for line in outcome.transcript)


async def test_it_has_two_hundred_lines_of_a_thousand_characters_at_most():
    many = tuple(f"n{n}@example.org" for n in range(100))
    reply = b"".join(b"550-%d %s\r\n" % (n, b"x" * 2000) for n in range(9)) + b"550 No\r\n"
    async with evil_server({"rcpt": raw(reply)}) as server:
        outcome = await delivered(server, *many)
    lines = told(outcome.transcript)
    assert len(lines) == 200
    assert max(len(line.text) for line in outcome.transcript) == 1000
    assert lines[100].endswith("lines are left out.")
    assert lines[:2] == [
        f"C: MAIL FROM:<shop@example.org> SIZE={a_content().size_bytes}",
        f"C: RCPT TO:<{many[0]}>",
    ]


# Openings


async def refused_opening(server, **settings):
    """Return the error of an opening that fails."""
    transport = a_transport(server.port, **({"timeouts": PATIENT} | settings))
    with pytest.raises(TransportError) as caught:
        await transport.open()
    return caught.value


async def test_a_refused_sign_in_tells_all_but_the_password():
    async with evil_server({"auth": [say(f"535 5.7.8 {PASSWORD}?")]}) as server:
        error = await refused_opening(server, password=PASSWORD)
    lines = told(error.transcript)
    assert lines[0].startswith("- dns: addresses 127.0.0.1")
    assert "S: 220 evil.example.org ESMTP" in lines
    assert lines[-2:] == ["S: 535 5.7.8 <secret>?", "- auth: The server refused the sign-in."]
    assert_unheard(PASSWORD, repr(error.transcript))


async def test_a_refused_certificate_is_described():
    async with evil_server(implicit=True) as server:
        error = await refused_opening(server, security="tls", ca_pem="")
    assert "certificate_issuer" in told(error.transcript)[-1]


async def test_a_connection_nobody_takes_says_to_whom_it_went():
    async with evil_server() as server:
        pass
    error = await refused_opening(server)
    assert told(error.transcript) == [
        "- dns: addresses 127.0.0.1",
        f"- connect: {error}; address 127.0.0.1; port {server.port}",
    ]


async def test_a_flood_in_a_greeting_is_bounded():
    flood = [f"250-X{n}" for n in range(1000)] + ["250 AUTH CRAM-MD5"]
    async with evil_server(ehlo=tuple(flood)) as server:
        error = await refused_opening(server, password=PASSWORD)
    assert len(error.transcript) == 200
    assert told(error.transcript)[-1].startswith("- auth: ")


async def test_after_an_opening_nothing_is_observed():
    async with evil_server() as server:
        session = await a_transport(server.port, timeouts=PATIENT).open()
        assert session._protocol.trace is session._trace is None
        await session.close()


async def test_waiting_in_vain_is_told():
    async with evil_server({"rcpt": [hang]}) as server:
        outcome = await delivered(server, timeouts=short("rcpt"))
    assert told(outcome.transcript)[-1] == "- The server did not answer in time after RCPT TO."
    assert outcome.transcript[-1].at_ms >= 0.0
