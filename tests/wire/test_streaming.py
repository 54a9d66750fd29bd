"""Streamed mode: the next message's envelope travels with the dot, and one round trip carries a message."""

import asyncio

import pytest

from tests.servers import smtp_server
from tests.wire.clients import PATIENT, a_content, a_transport, an_envelope, short
from tests.wire.evil import EHLO, UNPIPELINED, and_then, evil_server, fin, hang, honestly, say, say_and_go
from transports.base import MailObject, Phase
from transports.errors import ConnectionLost, ProtocolError
from transports.smtp.session import CLEAN_BEFORE_STREAMING

WARM = CLEAN_BEFORE_STREAMING
LARGE = a_content(b"Subject: large\r\n\r\n" + b".0123456789\r\n" * 30_000)


def mail(n, *rcpt_to, content=None):
    """Return the n-th message, from a sender of its own."""
    envelope = an_envelope(*(rcpt_to or (f"to{n}@example.org",)), mail_from=f"from{n}@example.org")
    return MailObject(envelope, content or a_content(b"Subject: %d\r\n\r\nGood morning\r\n" % n))


async def open_streaming(server, *, timeouts=PATIENT, **settings):
    """Return a session that has carried its ten clean messages."""
    session = await a_transport(server.port, timeouts=timeouts, **settings).open()
    for n in range(WARM):
        assert (await session.deliver(*mail(n))).accepted
    return session


def after(count, *actions):
    """Return a plan's list for a stage: honest so many times, then the actions."""
    return [honestly] * count + list(actions)


async def test_a_session_streams_after_ten_clean_messages_and_not_before():
    async with evil_server() as server:
        session = await a_transport(server.port, timeouts=PATIENT).open()
        streamed = []
        for n in range(WARM + 3):
            streamed.append(session.streams)
            assert (await session.deliver(*mail(n), following=mail(n + 1) if n < 0 else None)).accepted
        await session.close()
    assert streamed == [False] * WARM + [True] * 3


async def test_the_next_envelope_travels_with_the_dot():
    heard_at_the_dot = []

    async def look(peer, honest):
        heard_at_the_dot.append(peer.reader._buffer[:4])
        await honestly(peer, honest)

    async with evil_server({"dot": [look] * (WARM + 2)}) as server:
        session = await open_streaming(server)
        second = mail(WARM + 1)
        assert (await session.deliver(*mail(WARM), following=second)).accepted
        assert (await session.deliver(*second)).accepted
        await session.close()
        assert server.contents[-1] == second.content.segments[0]
    assert heard_at_the_dot == [b""] * WARM + [b"RSET", b""]
    assert server.verbs()[-4:] == ["MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.parametrize(
    ("settings", "sequential"),
    [({"pipelining": "grouped"}, False), ({"pipelining": "sequential"}, False), ({}, True)],
    ids=["grouped", "sequential", "told so"],
)
async def test_nothing_streams_where_it_was_not_wanted(settings, sequential):
    async with evil_server() as server:
        session = await a_transport(server.port, **settings).open(sequential=sequential)
        for n in range(WARM + 2):
            assert (await session.deliver(*mail(n), following=mail(n + 1))).accepted
            assert not session.streams
        await session.close()
    assert "RSET" not in server.verbs()


async def test_without_pipelining_nothing_streams():
    async with evil_server(ehlo=UNPIPELINED) as server:
        session = await open_streaming(server)
        assert not session.streams
        await session.close()


async def test_hundreds_of_messages_arrive_once_each_under_their_own_sender():
    with smtp_server() as server:
        session = await a_transport(server.port).open()
        messages = [mail(n) for n in range(300)]
        for this, following in zip(messages, [*messages[1:], None], strict=True):
            assert (await session.deliver(*this, following=following)).accepted
        await session.close()
        assert [m.mail_from for m in server.messages] == [m.envelope.mail_from for m in messages]
        assert [m.rcpt_to for m in server.messages] == [m.envelope.rcpt_to for m in messages]
        assert [m.content for m in server.messages] == [m.content.segments[0] for m in messages]


async def test_large_content_streams_as_well():
    async with evil_server() as server:
        session = await open_streaming(server)
        large = mail(WARM, content=LARGE)
        small = mail(WARM + 1)
        assert (await session.deliver(*large, following=small)).accepted
        assert (await session.deliver(*small, following=large)).accepted
        assert (await session.deliver(*large)).accepted
        await session.close()
    assert server.contents[-1] == server.contents[-3] == LARGE.segments[0].replace(b"\n.", b"\n..")


async def test_a_refused_dot_does_not_leak_its_transaction_into_the_next():
    # As Postfix 3.7 after an end-of-data restriction: the transaction stays open, RSET alone ends it.
    async with evil_server({"dot": after(WARM, say("550 5.7.1 No"))}, remembers=True) as server:
        session = await open_streaming(server)
        second = mail(WARM + 1)
        refused = await session.deliver(*mail(WARM), following=second)
        assert (refused.phase, refused.reply.code, refused.uncertain) == (Phase.DOT, 550, False)
        assert (await session.deliver(*second)).accepted
        await session.close()
    assert server.ledger[-1].mail_from == f"from{WARM + 1}@example.org"
    assert len(server.ledger) == WARM + 1


async def test_a_refusal_in_the_travelling_envelope_is_the_next_messages_own():
    async with evil_server({"rcpt": after(WARM + 1, say("550 5.1.1 No"))}, remembers=True) as server:
        session = await open_streaming(server)
        second, third = mail(WARM + 1), mail(WARM + 2)
        assert (await session.deliver(*mail(WARM), following=second)).accepted
        outcome = await session.deliver(*second, following=third)
        assert (outcome.phase, outcome.reply.code) == (Phase.RCPT, 550)
        assert (await session.deliver(*third)).accepted
        await session.close()
    assert len(server.ledger) == WARM + 2


@pytest.mark.parametrize("kept", [2, 3])
async def test_a_reply_too_many_before_the_dots_own_never_passes_for_it(kept):
    """The server's stray words come before the refusal of the dot; all replies behind are shifted."""
    stray = ["250 Ok"] * (kept - 1)
    async with evil_server({"dot": after(WARM, say(*stray, "554 5.7.1 Refused"))}) as server:
        session = await open_streaming(server)
        second = mail(WARM + 1)
        outcome = await session.deliver(*mail(WARM), following=second)
        assert outcome.uncertain
        assert type(outcome.error) is ProtocolError
        assert not outcome.accepted
        assert not session.is_usable
        late = await session.deliver(*second)
        assert (late.phase, type(late.error), late.uncertain) == (Phase.MAIL, ConnectionLost, False)
    assert len(server.contents) == WARM + 1


async def test_a_2xx_to_the_travelling_data_makes_the_dot_uncertain():
    async with evil_server({"data": after(WARM + 1, say("250 Ok"))}) as server:
        session = await open_streaming(server)
        outcome = await session.deliver(*mail(WARM), following=mail(WARM + 1))
    assert outcome.uncertain
    assert type(outcome.error) is ProtocolError


async def test_354_after_all_recipients_were_refused_ends_the_session_without_a_dot():
    """RFC 2920 section 3.1 allows that 354; nothing is sent after it."""
    async with evil_server({"rcpt": after(WARM + 1, say("550 5.1.1 No"))}) as server:
        session = await open_streaming(server)
        second = mail(WARM + 1)
        assert (await session.deliver(*mail(WARM), following=second)).accepted
        outcome = await session.deliver(*second)
        assert (outcome.phase, outcome.reply.code) == (Phase.RCPT, 550)
        assert not session.is_usable
    assert len(server.contents) == WARM + 1


@pytest.mark.parametrize("stage", ["rset", "mail", "rcpt", "data"])
@pytest.mark.parametrize("action", [fin, hang], ids=["lost", "silent"])
async def test_what_was_read_before_the_end_stands(stage, action):
    honest = 0 if stage == "rset" else WARM + 1
    limits = short(stage) if action is hang else PATIENT
    async with evil_server({stage: after(honest, action)}) as server:
        session = await open_streaming(server, timeouts=limits)
        second = mail(WARM + 1)
        outcome = await session.deliver(*mail(WARM), following=second)
        assert outcome.accepted
        assert not session.is_usable
        late = await session.deliver(*second)
        assert not (late.accepted)
        assert not (late.uncertain)
    assert len(server.contents) == WARM + 1


@pytest.mark.parametrize(
    "plan",
    [
        {"rcpt": say("550 5.1.1 No"), "data": say("554 5.5.1 No valid recipients")},
        {"data": say("451 4.3.0 Later")},
    ],
    ids=["nobody accepted", "DATA refused"],
)
async def test_when_the_dots_own_reply_is_left_out_no_other_passes_for_it(plan):
    """All replies behind it move up by one: RSET's 250 would be the dot's, and the last never comes."""

    async def leave_it_out(peer, honest):
        pass

    plan = {stage: after(WARM + 1, action) for stage, action in plan.items()}
    async with evil_server({"dot": after(WARM, leave_it_out), **plan}) as server:
        session = await open_streaming(server, timeouts=short(Phase.DATA))
        outcome = await session.deliver(*mail(WARM), following=mail(WARM + 1))
    assert (outcome.uncertain, outcome.accepted) == (True, False)


async def test_a_421_to_the_dot_ends_it_there():
    async with evil_server({"dot": after(WARM, say_and_go("421 4.3.2 Going"))}) as server:
        session = await open_streaming(server)
        outcome = await session.deliver(*mail(WARM), following=mail(WARM + 1))
        assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (Phase.DOT, 421, False)
        assert not session.is_usable


async def test_words_between_two_messages_stop_the_second_before_its_content():
    async with evil_server({"data": after(WARM + 1, and_then("250 Ok"))}) as server:
        session = await open_streaming(server)
        outcome = await session.deliver(*mail(WARM), following=mail(WARM + 1))
        assert outcome.uncertain  # they came with its own replies: which is the dot's?
        assert not session.is_usable
    assert len(server.contents) == WARM + 1


async def test_a_message_that_was_announced_is_the_only_one_that_may_come():
    async with evil_server() as server:
        session = await open_streaming(server)
        assert (await session.deliver(*mail(WARM), following=mail(WARM + 1))).accepted
        with pytest.raises(ValueError, match="Another message was announced"):
            await session.deliver(*mail(WARM + 2))
        assert not session.is_usable
    assert len(server.contents) == WARM + 1


async def test_a_session_closed_with_a_message_announced_says_nothing_more():
    """QUIT would be the first line of its content."""
    async with evil_server() as server:
        session = await open_streaming(server)
        assert (await session.deliver(*mail(WARM), following=mail(WARM + 1))).accepted
        await session.close()
        await session.close()
    assert server.verbs()[-1] == "DATA"
    assert len(server.contents) == WARM + 1


async def test_an_objection_before_the_dot_of_an_announced_message_leaves_none():
    def object_to_it():
        raise RuntimeError("not now")

    async with evil_server() as server:
        session = await open_streaming(server)
        second = mail(WARM + 1)
        assert (await session.deliver(*mail(WARM), following=second)).accepted
        with pytest.raises(RuntimeError, match="not now"):
            await session.deliver(*second, before_dot=object_to_it)
        assert not session.is_usable
    assert len(server.contents) == WARM + 1


@pytest.mark.parametrize(
    "unfit",
    [
        mail(0, "jörg@example.org"),
        mail(0, "a@x>\r\nDATA"),
        mail(0, content=a_content(b"x\r\n" * 400_000)),
        mail(0, *[f"a.rather.long.recipient.name{n}@example.org" for n in range(100)]),
    ],
    ids=["SMTPUTF8", "no address", "above SIZE", "more than one write"],
)
async def test_what_cannot_travel_in_the_same_write_is_not_announced(unfit):
    ehlo = (*tuple(line for line in EHLO if "SMTPUTF8" not in line)[:-1], "250 SIZE 1000000")
    async with evil_server(ehlo=ehlo) as server:
        session = await open_streaming(server)
        assert (await session.deliver(*mail(WARM), following=unfit)).accepted
        assert "RSET" not in server.verbs()
        await session.deliver(*unfit)
        assert session.is_usable
        await session.close()


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ({}, [250]),
        ({"dot": after(WARM, say("452 4.3.1 Full"))}, [452]),
        ({"dot": after(WARM, fin)}, []),
        ({"data": after(WARM + 1, say("250 Ok"))}, []),
        ({"mail": after(WARM + 1, fin)}, [250]),
    ],
    ids=["accepted", "refused", "lost", "desync", "lost behind it"],
)
async def test_the_hook_behind_the_dot_hears_certain_replies_only(plan, told):
    heard = []
    async with evil_server(plan) as server:
        session = await open_streaming(server)
        outcome = await session.deliver(
            *mail(WARM, "a@example.org", "b@example.org"),
            following=mail(WARM + 1),
            after_dot=lambda reply, rcpt_replies: heard.append((reply.code, len(rcpt_replies))),
        )
        session.abort()
    assert heard == [(code, 2) for code in told]
    assert outcome.uncertain is (told == [])


async def test_a_cancelled_delivery_takes_the_announced_message_with_it():
    async with evil_server({"dot": after(WARM, hang)}) as server:
        session = await open_streaming(server)
        task = asyncio.ensure_future(session.deliver(*mail(WARM), following=mail(WARM + 1)))
        while len(server.contents) == WARM:  # noqa: ASYNC110 - the server's state, nothing sets an event
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not session.is_usable
