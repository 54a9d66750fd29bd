"""Hostile servers by their ids (WIRE section 6 D): what they try, and what of it must not come through.

The matrix holds every stage against every single misdeed; here are the tricks that need more than one.
"""

import asyncio
import gc
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.cells import OFFERS, RECIPIENTS, content_of, more
from tests.wire.clients import PATIENT, a_content, a_transport, an_envelope, short, until
from tests.wire.evil import (
    BANNER,
    both_modes,
    evil_server,
    fin,
    flood,
    hang,
    honestly,
    listening,
    raw,
    rst,
    say,
    say_and_go,
    say_and_reset,
    stop_reading,
)
from transports.base import MailObject, Phase
from transports.errors import ConnectionLost, ProtocolError, ReplyTimeout, TransportError

LARGE = content_of("large", is_large=True)


async def opened(server, *, timeouts=PATIENT, **options):
    return await a_transport(server.port, timeouts=timeouts, **options).open()


async def deliver(server, content=None, *, recipients=RECIPIENTS, timeouts=PATIENT, **options):
    """Carry one message on a new session; returns the outcome and the session."""
    session = await opened(server, timeouts=timeouts, **options)
    async with asyncio.timeout(10):
        outcome = await session.deliver(an_envelope(*recipients), content or a_content())
    return outcome, session


async def a_streaming_session(server, **options):
    """Return a session after ten clean transactions."""
    session = await opened(server, **options)
    for _ in range(10):
        assert (await session.deliver(an_envelope(), a_content())).accepted
    assert session.streams
    return session


def a_mail(name, *, mail_from="shop@example.org", is_large=False):
    return MailObject(an_envelope(*RECIPIENTS, mail_from=mail_from), content_of(name, is_large=is_large))


class Script:
    """A server that greets honestly and then plays bytes: (until, chunks) waits for what the client says.

    Chunks are written one at a time, the loop running in between, so that the client reads them apart. At the
    end the connection is closed; a part with a third element, ENDS, is the last one to be said anything in.
    """

    host = "127.0.0.1"

    def __init__(self, *parts, ehlo=b"250-evil\r\n250 PIPELINING\r\n"):
        self.parts = parts
        self.ehlo = ehlo
        self.port = self.connections = self.open = 0
        self.complaints: list[str] = []

    def running(self):
        return listening(self, self.play)

    async def play(self, peer):
        await peer.write(BANNER)
        await peer.reader.readuntil(b"\r\n")
        await peer.write(self.ehlo)
        for wanted, chunks, *ends in self.parts:
            await peer.reader.readuntil(wanted)
            for chunk in chunks:
                await peer.write(chunk)
                for _ in range(3):
                    await asyncio.sleep(0)
            if ends:
                peer.writer.write_eof()


GROUP, CONTENT = b"DATA\r\n", b"\r\n.\r\n"
ENDS = "and says nothing more"


# D8: one reply too many


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
@both_modes
async def test_d8_an_extra_reply_never_turns_a_refusal_into_an_acceptance(stage, ehlo):
    """D8: shifted by one, the refusal of the dot would be read as the answer to something else."""
    async with evil_server({stage: [more], "dot": say("554 5.6.0 No")}, ehlo=ehlo) as server:
        outcome, session = await deliver(server)
        assert type(outcome.error) is ProtocolError
        assert not outcome.uncertain
        assert not session.is_usable
    assert server.contents == []


@pytest.mark.parametrize("stage", ["dot", "rset", "mail", "rcpt", "data"])
@pytest.mark.parametrize("extras", [1, 2, 3])
async def test_d8_extra_replies_in_a_travelling_group_are_noticed(stage, extras):
    """D8 streamed: the shift shows in the group at the latest, and then the dot's verdict is not believed."""

    async def extra(peer, honest):
        await peer.write(b"250 2.0.0 And more\r\n" * extras + honest)

    before = {"dot": 10, "rset": 0, "mail": 11, "rcpt": 13, "data": 11}[stage]
    plan = {stage: [*[honestly] * before, extra], "dot": [*[honestly] * 10, say("554 5.6.0 No")]}
    if stage == "dot":
        plan["dot"] = [*[honestly] * 10, raw(b"250 2.0.0 And more\r\n" * extras + b"554 5.6.0 No\r\n")]
    async with evil_server(plan, remembers=True) as server:
        session = await a_streaming_session(server)
        first, second = a_mail("first"), a_mail("second")
        outcome = await session.deliver(*first, following=second)
        assert not outcome.accepted
        assert outcome.uncertain
        assert not session.is_usable
        assert not (await session.deliver(*second)).accepted
    assert len(server.contents) == 11


# D9: 354 with a stray 250


@both_modes
@pytest.mark.parametrize("content", [a_content(), LARGE], ids=["small", "large"])
async def test_d9_a_stray_250_behind_the_354_is_seen_before_the_dot(ehlo, content):
    plan = {"data": raw(b"354 Go ahead\r\n250 2.0.0 Ok: queued\r\n"), "dot": say("554 5.6.0 No")}
    offers = tuple(line.replace("SIZE 1000000", "SIZE 50000000") for line in ehlo)
    async with evil_server(plan, ehlo=offers) as server:
        outcome, _ = await deliver(server, content)
        assert (type(outcome.error), outcome.phase) == (ProtocolError, Phase.DATA)
        assert not outcome.uncertain
    assert server.contents == []


async def test_d9_a_250_begun_before_the_dot_of_large_content_is_not_the_answer_to_it():
    """D9: its first bytes come during the upload, the rest behind the dot."""

    async def begin(peer, honest):
        await peer.write(b"250 2.0.0 O")

    async def end(peer, honest):
        await peer.write(b"k\r\n")
        await asyncio.sleep(0.05)
        await peer.write(b"554 5.6.0 No\r\n")

    limits = short("block", seconds=0.5)
    async with evil_server({"body": begin, "dot": end}, ehlo=OFFERS) as server:
        outcome, session = await deliver(server, LARGE, timeouts=limits)
        assert (outcome.phase, outcome.uncertain, outcome.accepted) == (Phase.BODY, False, False)
        assert not session.is_usable
    assert server.contents == []


async def test_d9_in_a_stream_a_250_before_the_refusal_of_the_dot_is_uncertain():
    """D9 streamed: the stray 250 comes while the content goes out."""
    plan = {"dot": [*[honestly] * 10, raw(b"250 2.0.0 Ok: queued\r\n554 5.6.0 No\r\n")]}
    async with evil_server(plan, remembers=True) as server:
        session = await a_streaming_session(server)
        outcome = await session.deliver(*a_mail("first"), following=a_mail("second"))
        assert (outcome.accepted, outcome.uncertain) == (False, True)
        assert not session.is_usable


# D10: an unsolicited 421


@pytest.mark.parametrize("streams", [False, True], ids=["grouped", "streamed"])
async def test_d10_a_421_between_messages_closes_cleanly(streams):
    """D10: on a session used again nobody is blamed; what was read stands."""
    was_read = asyncio.Event()

    async def later(peer, honest):
        await was_read.wait()
        await peer.write(b"421 4.4.2 Idle for too long\r\n")
        raise ConnectionResetError

    plan = {"after_250": [*[honestly] * (10 if streams else 0), later]}
    async with evil_server(plan, remembers=True) as server:
        session = await (a_streaming_session(server) if streams else opened(server))
        assert (await session.deliver(*a_mail("first"))).accepted
        was_read.set()
        await until(lambda: not session.is_usable)
        late = await session.deliver(*a_mail("second"))
        assert (late.phase, type(late.error), late.uncertain) == (Phase.MAIL, ConnectionLost, False)
        await session.close()
        assert len(server.ledger) == (11 if streams else 1)


async def test_d10_a_421_instead_of_the_354_in_a_travelling_group_leaves_the_sent_one_sent():
    plan = {"data": [*[honestly] * 11, say_and_go("421 4.3.2 Closing")]}
    async with evil_server(plan, remembers=True) as server:
        session = await a_streaming_session(server)
        first, second = a_mail("first"), a_mail("second")
        assert (await session.deliver(*first, following=second)).accepted
        outcome = await session.deliver(*second)
        assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (Phase.DATA, 421, False)
        assert len(server.ledger) == 11


async def test_d10_what_follows_a_421_is_not_kept():
    """D10: a session that waits for its next message would keep all of it, up to its idle limit."""
    flood, was_read = b"x" * 100_000, asyncio.Event()

    async def later(peer, honest):
        await was_read.wait()
        await peer.write(b"421 4.4.2 Idle for too long\r\n")
        await until(lambda: not session.is_usable)
        for _ in range(100):
            await peer.write(flood)
        was_read.clear()

    async with evil_server({"after_250": later}) as server:
        session = await opened(server)
        assert (await session.deliver(*a_mail("first"))).accepted
        was_read.set()
        await until(lambda: not was_read.is_set())
        assert len(session._protocol._buffer) <= len(flood)
        await session.close()


# D11-D13: what a server says

NASTY = b"554 5.7.1 \x1b[2J\x07\x08 a\rb \x00 \x80\xff \xed\xa0\x80 \xe2\x80\xae\xe2\x81\xa6 end"


async def test_d11_d13_nothing_invisible_is_left_of_a_reply():
    """D11, D13: ESC, BEL, BS, CR, NUL, undecodable bytes, lone surrogates and bidi marks are replaced."""
    async with evil_server({"dot": say(NASTY)}) as server:
        outcome, session = await deliver(server)
        await session.close()
    assert (outcome.reply.code, outcome.reply.enhanced) == (554, "5.7.1")
    assert outcome.reply.text.isprintable()
    assert outcome.reply.text.startswith("\N{REPLACEMENT CHARACTER}[2J")
    assert outcome.reply.text.endswith("end")
    assert outcome.reply.text.encode()


async def test_d12_markup_and_templates_are_text_like_any_other():
    """D12: kept as said; who shows it escapes it."""
    words = "<script>alert(1)</script><img src=x> {{7*7}} {% debug %} javascript:alert(1) =1+1 %s {0}"
    async with evil_server({"rcpt": say(f"550 5.1.1 {words}")}, remembers=True) as server:
        outcome, session = await deliver(server, recipients=("ann@example.org",))
        await session.close()
    assert outcome.reply.text == words


# D18, D19: during the upload


@both_modes
async def test_d18_a_premature_552_stops_the_upload(ehlo):
    offers = tuple(line.replace("SIZE 1000000", "SIZE 50000000") for line in ehlo)
    read = []

    async def count(peer, honest):
        await peer.write(b"552 5.3.4 Too big\r\n")
        while block := await peer.reader.read(1 << 16):
            read.append(len(block))

    async with evil_server({"body": count}, ehlo=offers) as server:
        outcome, session = await deliver(server, LARGE)
        assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (Phase.BODY, 552, False)
        assert not session.is_usable
        await until(lambda: server.open == 0)
        assert sum(read) < LARGE.size_bytes
    assert server.contents == []


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_d19_servers_that_never_read_cost_no_file_descriptor():
    """D19: at the limit of a block each is dropped, its buffer with it."""
    async with evil_server({"body": stop_reading}, ehlo=OFFERS) as server:
        before = open_files()
        sessions = [await opened(server, timeouts=short("block", seconds=0.3)) for _ in range(5)]
        mails = [a_mail(f"m{n}", is_large=True) for n in range(5)]
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(
                *(session.deliver(*mail) for session, mail in zip(sessions, mails, strict=True))
            )
        assert [(o.phase, type(o.error), o.uncertain) for o in outcomes] == [
            (Phase.BODY, ReplyTimeout, False)
        ] * 5
        # The server's own five stay until the test's end.
        await until(lambda: open_files() <= before + 5)


# D20, D21: after the dot


@pytest.mark.parametrize("security", ["none", "starttls"])
@pytest.mark.parametrize(
    "action",
    [
        hang,
        rst,
        fin,
        flood,
        say("garbage"),
        say("354 Go on"),
        say("150 Almost"),
        say("600 Beyond"),
        raw(b"250"),
    ],
    ids=["hang", "rst", "fin", "flood", "garbage", "second 354", "150", "600", "half"],
)
async def test_d20_without_a_readable_answer_to_the_dot_it_is_uncertain(action, security):
    limits = short("dot") if action is hang else PATIENT

    async def act_and_go(peer, honest):
        await action(peer, honest)
        await fin(peer, honest)

    async with evil_server({"dot": act_and_go}, starttls=security == "starttls") as server:
        outcome, session = await deliver(server, timeouts=limits, security=security)
        assert (outcome.phase, outcome.uncertain, outcome.accepted) == (Phase.DOT, True, False)
        assert [reply.code for reply in outcome.rcpt_replies] == [250] * 3
        assert not session.is_usable
    assert server.ledger == []


async def say_and_abort(peer, honest):
    """Answer, then drop the connection under TLS: no close_notify, as SES does."""
    await peer.write(honest)
    peer.writer.transport.abort()
    await peer.reader.read()


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
@pytest.mark.parametrize(
    "action", [say_and_abort, say_and_reset("250 Ok"), say_and_go("250 Ok")], ids=["abort", "rst", "fin"]
)
async def test_d21_a_250_and_the_end_is_sent(action, security):
    """D21: reset, closed, or without TLS's good-bye."""
    kind = {"starttls": {"starttls": True}, "tls": {"implicit": True}}.get(security, {})
    async with evil_server({"dot": [action]}, **kind) as server:
        outcome, session = await deliver(server, security=security)
        assert (outcome.accepted, outcome.uncertain) == (True, False)
        await until(lambda: not session.is_usable)
        fresh, session = await deliver(server, security=security)
        assert fresh.accepted
        await session.close()
        assert len(server.ledger) == 2


# D29: slow at every step


@both_modes
async def test_d29_a_server_just_within_every_limit_meets_the_cap(ehlo):
    async def late(peer, honest):
        await asyncio.sleep(0.15)
        await peer.write(honest)

    limits = replace(PATIENT, mail=1.0, rcpt=0.3, data=0.3, block=0.3)
    async with evil_server({"rcpt": late}, ehlo=ehlo) as server:
        recipients = [f"r{n}@example.org" for n in range(100)]
        outcome, _ = await deliver(server, recipients=recipients, timeouts=limits)
    assert (outcome.phase, type(outcome.error)) == (Phase.RCPT, ReplyTimeout)
    assert outcome.ms < 8000  # all of them would take 15 s


async def test_d29_a_slow_travelling_group_meets_the_cap_and_the_sent_one_is_sent():
    slow = asyncio.Event()

    async def late(peer, honest):
        if slow.is_set():
            await asyncio.sleep(0.3)
        await peer.write(honest)

    limits = replace(PATIENT, mail=1.0, rcpt=1.0, data=1.0, dot=1.0)
    async with evil_server({"rcpt": late}) as server:
        session = await a_streaming_session(server, timeouts=limits)
        slow.set()
        many = MailObject(an_envelope(*(f"r{n}@example.org" for n in range(50))), a_content())
        async with asyncio.timeout(12):  # all of them would take 15 s
            first = await session.deliver(an_envelope(), a_content(), following=many)
        assert first.accepted
        second = await session.deliver(*many)
        assert (second.phase, type(second.error)) == (Phase.RCPT, ReplyTimeout)


async def test_d29_the_upload_behind_a_travelling_group_has_its_own_time():
    """The time an upload may take begins with it, not with the dot before it."""
    left = []

    async def look(peer, honest):
        left.append(session._protocol.latest - asyncio.get_running_loop().time())
        await honestly(peer, honest)

    async with evil_server({"body": [*[honestly] * 11, look]}, ehlo=OFFERS) as server:
        session = await a_streaming_session(server)
        first, second = a_mail("first"), a_mail("second", is_large=True)
        assert (await session.deliver(*first, following=second)).accepted
        assert (await session.deliver(*second)).accepted
        await session.close()
    assert 1000 < left[0] < 1e6  # twenty megabytes; dot, MAIL, RCPT and DATA have 40 s together


# Replies in pieces and in one piece

HAPPY = (
    b"250-2.1.0 Sender\r\n250-2.1.0 is\r\n250 2.1.0 fine\r\n",
    b"250-2.1.5 Recipient\r\n250 2.1.5 is fine\r\n",
    b"354-Go\r\n354 ahead\r\n",
)
TAKEN = b"250-2.0.0 Taken\r\n250-2.0.0 and\r\n250 2.0.0 queued\r\n"


async def play(*parts, recipients=("ann@example.org",), **options):
    """Carry one message to a server that plays its part; returns the outcome, and if the dot was written."""
    script = Script(*parts, **options)
    dots = []
    async with script.running():
        session = await a_transport(script.port, timeouts=PATIENT).open()
        envelope = an_envelope(*recipients)
        async with asyncio.timeout(10):
            outcome = await session.deliver(envelope, a_content(), before_dot=lambda: dots.append(1))
        session.abort()
        await asyncio.sleep(0)
    assert not [text for text in script.complaints if "never retrieved" in text or "destroyed" in text]
    return outcome, bool(dots)


async def test_replies_of_many_lines_may_be_cut_at_every_byte():
    group = b"".join(HAPPY)
    for cut in range(len(group)):
        outcome, _ = await play((GROUP, [group[:cut], group[cut:]]), (CONTENT, [TAKEN]))
        assert outcome.accepted, cut
        assert outcome.rcpt_replies[0].text == "Recipient is fine"
    for cut in range(len(TAKEN)):
        outcome, _ = await play((GROUP, [group]), (CONTENT, [TAKEN[:cut], TAKEN[cut:]]))
        assert outcome.accepted, cut
        assert str(outcome.reply) == "250 2.0.0 Taken and queued"


async def test_a_line_may_end_in_a_bare_line_feed():
    outcome, _ = await play((GROUP, [b"".join(HAPPY).replace(b"\r\n", b"\n")]), (CONTENT, [b"250 Ok\n"]))
    assert outcome.accepted


@pytest.mark.parametrize("until_dot", [False, True])
async def test_a_line_does_not_end_in_a_bare_carriage_return(until_dot):
    happy = b"".join(HAPPY) if until_dot else b"250 Ok\r250 Ok\r354 Go\r"
    ends = [] if until_dot else [ENDS]
    outcome, had_dot = await play((GROUP, [happy], *ends), (CONTENT, [b"250 Ok\r"]))
    assert had_dot is until_dot
    assert (outcome.accepted, outcome.uncertain) == (False, until_dot)


async def test_a_carriage_return_within_a_line_is_no_line_end():
    """What looks like a refusal and an acceptance is one reply, and a refusal."""
    outcome, _ = await play((GROUP, [b"".join(HAPPY)]), (CONTENT, [b"554 No\r250 Ok\r\n"]))
    assert outcome.reply.code == 554


@pytest.mark.parametrize(
    ("replies", "phase"),
    [
        (b"250 Ok\r\n354 Go\r\n250 Ok\r\n", Phase.RCPT),  # DATA before RCPT
        (b"354 Go\r\n250 Ok\r\n250 Ok\r\n", Phase.MAIL),
        (b"250 Ok\r\n250 Ok\r\n250 Ok\r\n", Phase.DATA),
        (b"250 Ok\r\n250 Ok\r\n250 Ok\r\n354 Go\r\n", Phase.DATA),
    ],
)
async def test_answers_in_another_order_are_a_protocol_error(replies, phase):
    outcome, had_dot = await play((GROUP, [replies]), (CONTENT, [b"250 Ok\r\n"]))
    assert (outcome.phase, type(outcome.error), had_dot) == (phase, ProtocolError, False)


async def test_answers_before_the_question_are_a_protocol_error():
    """The whole happy end right behind the EHLO reply: nothing of it answers anything."""
    greeting = b"250-evil\r\n250 PIPELINING\r\n"
    with pytest.raises(ProtocolError):
        await play(ehlo=greeting + b"".join(HAPPY) + TAKEN)


# 354 without a recipient (the trap of Postfix), and a RSET that lies


@pytest.mark.parametrize(
    "replies",
    [
        b"250 Ok\r\n550 No\r\n354 Go\r\n",
        b"250 Ok\r\n450 No\r\n354 Go\r\n",
        b"503 Nested\r\n250 Ok\r\n354 Go\r\n",
        b"550 No\r\n503 First MAIL\r\n354 Go\r\n",
    ],
)
async def test_a_354_nobody_should_have_given_never_gets_a_dot(replies):
    outcome, had_dot = await play((GROUP, [replies]), (CONTENT, [b"250 Ok\r\n"]))
    assert not had_dot
    assert not outcome.accepted
    assert not outcome.uncertain


@pytest.mark.parametrize("streams", [False, True], ids=["grouped", "streamed"])
async def test_no_message_goes_out_in_a_transaction_that_a_refused_dot_left_open(streams):
    """Postfix 3.7 keeps the transaction when an end-of-data restriction refuses; RSET has to lead."""
    plan = {"dot": [*[honestly] * (10 if streams else 0), say("550 5.7.1 Not this")]}
    async with evil_server(plan, remembers=True) as server:
        session = await (a_streaming_session(server) if streams else opened(server))
        first, second = (
            a_mail("first", mail_from="one@example.org"),
            a_mail("second", mail_from="two@example.org"),
        )
        refused = await session.deliver(*first, following=second if streams else None)
        assert refused.reply.code == 550
        assert (await session.deliver(*second)).accepted
        await session.close()
        assert (server.ledger[-1].mail_from, server.ledger[-1].content) == (
            "two@example.org",
            second.content.segments[0],
        )


@pytest.mark.parametrize("streams", [False, True], ids=["grouped", "streamed"])
async def test_a_reset_that_lies_sends_nothing_under_another_sender(streams):
    """RSET is answered with 250 and the old transaction is still there: MAIL is nested, DATA says 354."""
    plan = {"dot": [*[honestly] * (10 if streams else 0), say("550 5.7.1 Not this")]}
    async with evil_server(plan, remembers=True) as server:
        server.resets = False
        session = await (a_streaming_session(server) if streams else opened(server))
        first, second = (
            a_mail("first", mail_from="one@example.org"),
            a_mail("second", mail_from="two@example.org"),
        )
        refused = await session.deliver(*first, following=second if streams else None)
        assert not refused.accepted
        outcome = await session.deliver(*second)
        assert not outcome.accepted
        assert not outcome.uncertain
        assert not session.is_usable
    assert len(server.contents) == (11 if streams else 1)
    assert [entry for entry in server.ledger if entry.content != a_content().segments[0]] == []


async def test_a_session_closed_with_a_message_announced_sends_no_dot():
    async with evil_server(remembers=True) as server:
        session = await a_streaming_session(server)
        assert (await session.deliver(*a_mail("first"), following=a_mail("second"))).accepted
        await session.close()
        await until(lambda: server.open == 0)
    assert "QUIT" not in server.verbs()
    assert len(server.contents) == 11


# What stays behind


MISDEEDS = [fin, rst, say("junk"), say_and_go("421 4.3.2 Bye"), flood, say_and_reset("550 5.1.1 No")]


async def test_a_hundred_aborted_sessions_leave_no_file_no_task_and_no_complaint():
    stages = ["banner", "ehlo", "starttls", "handshake", "ehlo2", "mail", "rcpt", "data", "dot", "quit"]
    async with evil_server(starttls=True, remembers=True) as server:
        transport = a_transport(server.port, security="starttls", timeouts=PATIENT)
        session = await transport.open()
        await session.close()
        await until(lambda: server.open == 0)
        before, tasks = open_files(), len(asyncio.all_tasks())
        for number in range(100):
            server.plan = {stages[number % len(stages)]: [MISDEEDS[number // len(stages) % len(MISDEEDS)]]}
            try:
                session = await transport.open()
            except TransportError:
                continue
            await session.deliver(an_envelope(*RECIPIENTS), a_content())
            if number % 2:
                session.abort()
            else:
                await session.close()
        del session
        server.plan = {}
        gc.collect()
        await until(lambda: server.open == 0)
        await until(lambda: open_files() <= before)
        await until(lambda: len([task for task in asyncio.all_tasks() if not task.done()]) <= tasks)
    assert server.connections == 101
    complaints = [text for text in server.complaints if "never retrieved" in text or "destroyed" in text]
    assert complaints == []


# Any bytes at all

WORDS = [
    b"250 2.0.0 Ok\r\n",
    b"250 Ok\r\n",
    b"250\r\n",
    b"250-more\r\n",
    b"250 Ok\n",
    b"354 Go ahead\r\n",
    b"354 Go ahead\r\n",
    b"354-more\r\n",
    b"421 4.3.2 Bye\r\n",
    b"451 Later\r\n",
    b"503 5.5.1 First\r\n",
    b"550 5.1.1 No\r\n",
    b"554-5.6.0 no\r\n",
    b"150 Wait\r\n",
    b"2",
    b"25",
    b"421",
    b"421 ",
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b"4",
]
stream = st.lists(st.sampled_from(WORDS) | st.binary(max_size=4), max_size=4).map(b"".join)
honest_group = st.sampled_from(
    [b"250 Ok\r\n250 Ok\r\n250 Ok\r\n354 Go\r\n", b"250 Ok\r\n550 No\r\n251 Ok\r\n354 Go\r\n"]
)
openings = honest_group | stream | st.tuples(honest_group, stream).map(b"".join)
answers = st.sampled_from(
    [b"250 Ok\r\n", b"252-Ok\r\n252 Ok\r\n", b"554 No\r\n", b"421 Bye\r\n", b"451 Later\n"]
)
travelling = st.tuples(answers, honest_group.map(lambda group: b"250 Ok\r\n" + group)).map(b"".join)
cuts = st.lists(st.integers(0, 60), max_size=3)

LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])[^\n]*)?\r?\Z", re.DOTALL)


def honest_reading(said):
    """Read replies as RFC 5321 has them: the codes, and whether anything else is left over."""
    codes, started = [], None
    *lines, rest = said.split(b"\n")
    for line in lines:
        match = LINE.fullmatch(line)
        if match is None or (started is not None and match[1] != started):
            return codes, True
        if match[2] == b"-":
            started = match[1]
        else:
            codes.append(int(match[1]))
            started = None
    return codes, bool(rest) or started is not None


def pieces(said, at):
    edges = [0, *sorted(cut for cut in at if cut < len(said)), len(said)]
    return [said[a:b] for a, b in pairwise(edges)]


def opens(codes):
    """Whether these are the answers to MAIL, two RCPT and DATA with which content may go."""
    return (
        len(codes) == 4
        and codes[0] < 300
        and all(code < 300 or 400 <= code != 421 for code in codes[1:3])
        and any(code < 300 for code in codes[1:3])
        and codes[3] == 354
    )


@given(before=openings, after=answers | stream, at=cuts)
@settings(max_examples=200, deadline=None)
async def test_any_stream_of_bytes_is_read_as_it_is_meant_or_not_at_all(before, after, at):
    """R12: deliver() returns, raises nothing, and says "accepted" only where the honest reading does."""
    opening, is_opening_torn = honest_reading(before)
    is_honest = opens(opening) and not is_opening_torn
    parts = (GROUP, pieces(before, at), *([] if is_honest else [ENDS])), (CONTENT, pieces(after, at))
    outcome, had_dot = await play(*parts, recipients=("a@x.org", "b@x.org"))
    if is_honest:
        assert had_dot
    if not had_dot:
        assert not outcome.accepted
        assert not outcome.uncertain
        return
    # What comes too late to be seen before the content goes out is read as the answer to it.
    codes, is_torn = honest_reading(before + after)
    answer = codes[4:]
    assert opens(codes[:4])
    assert outcome.phase is Phase.DOT
    if outcome.accepted:
        assert 200 <= answer[0] < 300
    if not answer:
        assert outcome.uncertain
    if is_honest and len(answer) == 1 and not is_torn and answer[0] != 354:
        assert outcome.reply.code == answer[0]
        assert not outcome.uncertain


@given(said=travelling | stream, at=cuts)
@settings(max_examples=60, deadline=None)
async def test_any_stream_behind_a_travelling_group_is_read_as_it_is_meant_or_not_at_all(said, at):
    """The second message goes out only when every answer fits; the first is sent only by a 2xx."""
    codes, is_torn = honest_reading(said)
    fits = len(codes) == 6 and codes[0] not in {354, 421} and codes[1] < 300 and opens(codes[2:])
    fits = fits and codes[0] not in {500, 502, 503, 504} and not is_torn
    happy = (GROUP, [b"250 Ok\r\n250 Ok\r\n354 Go\r\n"])
    taken = (CONTENT, [b"250 Ok\r\n"])
    script = Script(*[happy, taken] * 10, happy, (GROUP, pieces(said, at), *([] if fits else [ENDS])), taken)
    dots = []
    async with script.running():
        session = await a_streaming_session(script)
        second = MailObject(an_envelope("a@x.org", "b@x.org"), a_content())
        async with asyncio.timeout(10):
            first = await session.deliver(an_envelope(), a_content(), following=second)
            then = await session.deliver(*second, before_dot=lambda: dots.append(1))
        session.abort()
    assert first.phase is Phase.DOT
    if first.accepted:
        assert 200 <= codes[0] < 300
    if not codes:
        assert first.uncertain
    if fits:
        assert dots
        assert then.accepted
    if dots:
        assert opens(codes[2:6])
    else:
        assert not then.accepted
        assert not then.uncertain
