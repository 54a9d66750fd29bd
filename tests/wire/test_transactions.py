"""Hostile servers from MAIL to QUIT (WIRE D8-D13, D18-D21, R5, R7, R11, R12): phases, verdicts, certainty."""

import asyncio
import threading
from dataclasses import replace

import pytest

from tests.wire.clients import PATIENT, a_content, a_transport, an_envelope, short, until
from tests.wire.evil import (
    UNPIPELINED,
    and_then,
    both_modes,
    drip,
    evil_server,
    evil_server_beside,
    fin,
    flood,
    hang,
    honestly,
    one_long_line,
    raw,
    rst,
    say,
    say_and_go,
    say_and_reset,
    stop_reading,
)
from transports.base import Content, Phase
from transports.errors import ConnectionLost, NotSendable, ProtocolError, ReplyTimeout
from transports.smtp import Timeouts

LARGE = a_content(b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 25_000)
HUGE = a_content(b"Subject: huge\r\n\r\n" + (b"x" * 98 + b"\r\n") * 200_000)

PHASES = {"mail": Phase.MAIL, "rcpt": Phase.RCPT, "data": Phase.DATA, "dot": Phase.DOT}


async def deliver(server, envelope=None, content=None, *, timeouts=PATIENT, **settings):
    """Carry one message on a new session; returns the outcome and the session."""
    session = await a_transport(server.port, timeouts=timeouts, **settings).open()
    async with asyncio.timeout(10):
        outcome = await session.deliver(envelope or an_envelope(), content or a_content())
    return outcome, session


@both_modes
@pytest.mark.parametrize("stage", PHASES)
@pytest.mark.parametrize(
    ("action", "error"),
    [
        (fin, ConnectionLost),
        (rst, ConnectionLost),
        (hang, ReplyTimeout),
        (drip, ReplyTimeout),
        (flood, ProtocolError),
        (one_long_line, ProtocolError),
        (say("2_0 Ok"), ProtocolError),
        (say("+25 Ok"), ProtocolError),
        (say(""), ProtocolError),
        (say("150 Almost"), ProtocolError),
        (say("650 Too much"), ProtocolError),
        (say("250-Ok", "251 Another"), ProtocolError),
        (raw(b"\x00\xff\x1b\r\n"), ProtocolError),
    ],
    ids=[
        "fin",
        "rst",
        "hang",
        "drip",
        "flood",
        "long",
        "2_0",
        "+25",
        "blank",
        "1xx",
        "6xx",
        "codes",
        "bytes",
    ],
)
async def test_a_broken_answer_has_its_phase_and_only_after_the_dot_it_is_uncertain(
    ehlo, stage, action, error
):
    limits = short(stage) if action in (hang, drip) else PATIENT
    async with evil_server({stage: action}, ehlo=ehlo) as server:
        outcome, session = await deliver(server, timeouts=limits)
    assert outcome.phase is PHASES[stage]
    assert type(outcome.error) is error
    assert outcome.error.phase is PHASES[stage]
    assert outcome.reply is None
    assert not outcome.accepted
    assert outcome.uncertain is (stage == "dot")
    assert not session.is_usable
    assert server.accepted == []


@both_modes
@pytest.mark.parametrize("stage", PHASES)
@pytest.mark.parametrize("code", [421, 432, 450, 451, 452, 500, 503, 535, 550, 552, 554])
async def test_a_refusal_is_never_accepted_and_never_uncertain(ehlo, stage, code):
    async with evil_server({stage: say(f"{code} {code // 100}.7.1 No")}, ehlo=ehlo) as server:
        outcome, session = await deliver(server)
        assert outcome.phase is PHASES[stage]
        assert (outcome.reply.code, outcome.reply.enhanced) == (code, f"{code // 100}.7.1")
        assert not outcome.accepted
        assert not outcome.uncertain
        # An honest echo of 250 to what follows a refusal would open a second transaction: not tested here.
        session.abort()
    assert server.accepted == []


@both_modes
@pytest.mark.parametrize(("stage", "code"), [("mail", 354), ("rcpt", 354), ("mail", 334), ("data", 250)])
async def test_a_reply_out_of_place_is_a_protocol_error(ehlo, stage, code):
    async with evil_server({stage: say(f"{code} Surprise")}, ehlo=ehlo) as server:
        outcome, session = await deliver(server)
        assert type(outcome.error) is ProtocolError
        assert outcome.phase is PHASES[stage]
        assert outcome.rcpt_replies == (None,)
        assert not session.is_usable
    assert server.contents == []


@pytest.mark.parametrize("code", [250, 251, 252])
async def test_any_2xx_is_success(code):
    plan = {"mail": say("251 Fine"), "rcpt": say(f"{code} Fine"), "dot": say(f"{code} Taken")}
    async with evil_server(plan) as server:
        outcome, session = await deliver(server)
        assert outcome.accepted
        assert session.is_usable
        await session.close()


# More replies than commands


async def test_354_with_a_stray_250_is_caught_before_the_body_goes_out():
    plan = {"data": and_then("250 2.0.0 Ok: queued"), "dot": say("554 5.6.0 No")}
    async with evil_server(plan) as server:
        outcome, session = await deliver(server)
        assert (type(outcome.error), outcome.phase) == (ProtocolError, Phase.DATA)
        assert not outcome.accepted
        assert not outcome.uncertain
        assert not session.is_usable
    assert server.contents == []


@both_modes
@pytest.mark.parametrize("stage", ["mail", "rcpt"])
async def test_an_extra_reply_with_another_shifts_nothing(ehlo, stage):
    async with evil_server({stage: and_then("550 5.1.1 Not yours")}, ehlo=ehlo) as server:
        outcome, session = await deliver(server)
        assert not outcome.accepted
        assert not outcome.uncertain
        assert type(outcome.error) is ProtocolError or outcome.reply.code == 550
        assert not session.is_usable
    assert server.contents == []


@pytest.mark.parametrize("extra", ["250 and more", "554 5.6.0 No", "junk"])
async def test_a_surplus_with_the_answer_to_the_dot_makes_it_uncertain(extra):
    async with evil_server({"dot": and_then(extra)}) as server:
        outcome, session = await deliver(server)
    assert (outcome.phase, outcome.uncertain, outcome.accepted) == (Phase.DOT, True, False)
    assert [reply.code for reply in outcome.rcpt_replies] == [250]
    assert not session.is_usable


async def test_half_a_line_too_many_makes_it_uncertain():
    async with evil_server({"dot": raw(b"250 2.0.0 Ok\r\n25")}) as server:
        outcome, session = await deliver(server)
    assert (outcome.phase, outcome.uncertain) == (Phase.DOT, True)
    assert not session.is_usable


async def test_a_421_with_the_answer_to_the_dot_leaves_the_verdict_standing():
    async with evil_server({"dot": and_then("421 4.3.2 Closing")}) as server:
        outcome, session = await deliver(server)
    assert outcome.accepted
    assert not session.is_usable


async def test_a_421_behind_the_354_stops_the_message():
    async with evil_server({"data": and_then("421 4.3.2 Closing")}) as server:
        outcome, session = await deliver(server)
    assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (Phase.DATA, 421, False)
    assert not session.is_usable
    assert server.contents == []


@pytest.mark.parametrize("words", ["421 4.4.2 Timeout exceeded", "250 Ok", "junk"])
async def test_words_nobody_asked_for_between_messages_end_the_session(words):
    read = asyncio.Event()

    async def later(peer, honest):
        await read.wait()
        await peer.write(words.encode() + b"\r\n")

    async with evil_server({"after_250": later}) as server:
        outcome, session = await deliver(server)
        assert outcome.accepted
        read.set()
        await until(lambda: not session.is_usable)
        late = await session.deliver(an_envelope(), a_content())
        assert (late.phase, type(late.error), late.uncertain) == (Phase.MAIL, ConnectionLost, False)
        await session.close()
        assert len(server.accepted) == 1


async def test_a_second_354_to_the_dot_is_uncertain():
    async with evil_server({"dot": say("354 Go on")}) as server:
        outcome, _ = await deliver(server)
    assert (outcome.phase, outcome.uncertain) == (Phase.DOT, True)


@pytest.mark.parametrize("ending", [say_and_reset, say_and_go], ids=["rst", "fin"])
async def test_a_250_and_then_the_end_is_sent(ending):
    async with evil_server({"dot": ending("250 2.0.0 Ok")}) as server:
        outcome, session = await deliver(server)
        assert outcome.accepted
        assert not outcome.uncertain
        await until(lambda: not session.is_usable)


# Refusals within a group


async def test_354_after_everybody_was_refused_is_never_answered_with_a_dot():
    async with evil_server({"rcpt": say("550 5.1.1 No")}) as server:
        outcome, session = await deliver(server)
        assert (outcome.phase, outcome.reply.code) == (Phase.RCPT, 550)
        assert not session.is_usable
    assert server.contents == []


async def test_354_after_the_sender_was_refused_is_never_answered_with_a_dot():
    async with evil_server({"mail": say("550 5.7.1 No"), "rcpt": say("503 5.5.1 MAIL first")}) as server:
        outcome, session = await deliver(server)
        assert (outcome.phase, outcome.reply.code, outcome.rcpt_replies) == (Phase.MAIL, 550, (None,))
        assert not session.is_usable
    assert server.contents == []


ECHO = {"mail": [say("550 5.7.1 No")], "rcpt": [say("503 5.5.1 No")], "data": [say("503 5.5.1 No")]}


async def test_the_echo_of_a_refused_sender_does_not_end_the_session_and_the_next_group_resets():
    async with evil_server(ECHO) as server:
        refused, session = await deliver(server)
        assert (refused.phase, refused.reply.code) == (Phase.MAIL, 550)
        assert session.is_usable
        assert (await session.deliver(an_envelope(), a_content())).accepted
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()
        assert server.verbs() == [
            "EHLO",
            "MAIL",
            "RCPT",
            "DATA",
            "RSET",
            "MAIL",
            "RCPT",
            "DATA",
            "MAIL",
            "RCPT",
            "DATA",
            "QUIT",
        ]


async def test_after_a_refused_dot_the_next_group_leads_with_a_reset():
    async with evil_server({"dot": [say("554 5.6.0 No")]}) as server:
        refused, session = await deliver(server)
        assert (refused.phase, refused.reply.code) == (Phase.DOT, 554)
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()
        assert server.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA", "QUIT"]


async def test_without_pipelining_nothing_is_said_after_a_refusal():
    async with evil_server({"rcpt": [say("550 5.1.1 No")]}, ehlo=UNPIPELINED) as server:
        refused, session = await deliver(server)
        assert (refused.phase, refused.reply.code) == (Phase.RCPT, 550)
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()
        assert server.verbs() == ["EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA", "QUIT"]


async def test_whatever_a_reset_is_answered_is_ignored():
    async with evil_server({"dot": [say("554 5.6.0 No")], "rset": say("502 5.5.1 What?")}) as server:
        _, session = await deliver(server)
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()


@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_a_server_that_lost_step_gets_no_second_message(code):
    async with evil_server({"dot": say(f"{code} 5.5.1 What?")}) as server:
        outcome, session = await deliver(server)
    assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (Phase.DOT, code, False)
    assert not session.is_usable


@both_modes
async def test_partial_refusal_keeps_each_verdict(ehlo):
    codes = [250, 450, 550, 251, 452, 553, 250, 451, 252, 554] * 5
    plan = {"rcpt": [say(f"{code} {code // 100}.1.{n} Verdict {n}") for n, code in enumerate(codes)]}
    recipients = [f"r{n}@example.org" for n in range(len(codes))]
    async with evil_server(plan, ehlo=ehlo) as server:
        outcome, session = await deliver(server, an_envelope(*recipients))
        await session.close()
    assert outcome.accepted
    assert [reply.code for reply in outcome.rcpt_replies] == codes
    assert [reply.text for reply in outcome.rcpt_replies] == [f"Verdict {n}" for n in range(len(codes))]
    assert len(server.accepted) == 1


@both_modes
async def test_a_421_among_the_recipients_keeps_the_verdicts_before_it(ehlo):
    plan = {"rcpt": [honestly, say("550 5.1.1 No"), say_and_go("421 4.3.2 Closing")]}
    async with evil_server(plan, ehlo=ehlo) as server:
        outcome, session = await deliver(server, an_envelope("a@x.org", "b@x.org", "c@x.org", "d@x.org"))
    assert (outcome.phase, outcome.reply.code) == (Phase.RCPT, 421)
    assert [reply and reply.code for reply in outcome.rcpt_replies] == [250, 550, 421, None]
    assert not session.is_usable


@both_modes
async def test_a_loss_among_the_recipients_keeps_the_verdicts_before_it(ehlo):
    async with evil_server({"rcpt": [say("550 5.1.1 No"), honestly, fin]}, ehlo=ehlo) as server:
        outcome, _ = await deliver(server, an_envelope("a@x.org", "b@x.org", "c@x.org"))
    assert (outcome.phase, type(outcome.error)) == (Phase.RCPT, ConnectionLost)
    assert [reply and reply.code for reply in outcome.rcpt_replies] == [550, 250, None]


async def test_a_refusal_read_before_the_loss_stands():
    async with evil_server({"mail": say_and_go("550 5.7.1 No")}) as server:
        outcome, session = await deliver(server)
    assert (outcome.phase, outcome.reply.code, outcome.error) == (Phase.MAIL, 550, None)
    assert not session.is_usable


async def test_replies_cut_at_every_byte_are_the_same_replies():
    async def slowly(peer, honest):
        for byte in honest:
            await peer.write(bytes([byte]))
            await asyncio.sleep(0)

    plan = dict.fromkeys(("mail", "rcpt", "data", "dot"), slowly)
    async with evil_server(plan) as server:
        outcome, session = await deliver(server)
        assert outcome.accepted
        assert session.is_usable
        await session.close()


# Large content


async def test_a_premature_refusal_is_the_verdict_and_stops_the_upload():
    content = HUGE
    async with evil_server({"body": say("552 5.3.4 Too big")}, ehlo=("250-evil", "250 PIPELINING")) as server:
        outcome, session = await deliver(server, content=content)
        assert (outcome.phase, outcome.reply.code) == (Phase.BODY, 552)
        assert not outcome.uncertain
        assert not session.is_usable
    assert server.contents == []


@pytest.mark.parametrize("word", ["250 Ok", "354 More", "junk"])
async def test_any_other_premature_word_is_a_protocol_error(word):
    content = HUGE
    async with evil_server({"body": say(word)}, ehlo=("250-evil", "250 PIPELINING")) as server:
        outcome, _ = await deliver(server, content=content)
    assert (outcome.phase, type(outcome.error), outcome.uncertain) == (Phase.BODY, ProtocolError, False)


@pytest.mark.parametrize("action", [fin, rst], ids=["fin", "rst"])
async def test_a_loss_during_the_upload_is_not_uncertain(action):
    content = HUGE
    async with evil_server({"body": action}, ehlo=("250-evil", "250 PIPELINING")) as server:
        outcome, _ = await deliver(server, content=content)
    assert (outcome.phase, type(outcome.error), outcome.uncertain) == (Phase.BODY, ConnectionLost, False)


async def test_a_loss_that_the_last_block_runs_into_is_not_uncertain():
    """Writing says nothing about it: the loop hears of the reset later, and the dot was never written."""
    is_asked_for, is_reset = threading.Event(), threading.Event()

    async def ask(peer, honest):
        is_asked_for.set()
        await honestly(peer, honest)

    async def reset(peer, honest):
        try:
            await rst(peer, honest)
        finally:
            asyncio.get_running_loop().call_soon(is_reset.set)  # behind what closes the socket

    class Segments(tuple):
        def __iter__(self):
            for segment in super().__iter__():
                yield segment
                if is_asked_for.is_set():
                    assert is_reset.wait(5)

    class Upload(Content):
        size_bytes = 90_000  # asked for without a look at the segments

    dots = []
    content = Upload(Segments([(b"x" * 88 + b"\r\n") * 500] * 2))
    with evil_server_beside({"data": ask, "body": reset}) as server:
        session = await a_transport(server.port, timeouts=PATIENT).open()
        outcome = await session.deliver(an_envelope(), content, before_dot=lambda: dots.append(1))
    assert (outcome.phase, type(outcome.error), outcome.uncertain) == (Phase.BODY, ConnectionLost, False)
    assert dots == []


async def test_a_server_that_never_reads_is_dropped_at_the_limit_of_a_block():
    content = HUGE
    async with evil_server({"body": stop_reading}, ehlo=("250-evil", "250 PIPELINING")) as server:
        outcome, session = await deliver(server, content=content, timeouts=short("block"))
        assert (outcome.phase, type(outcome.error), outcome.uncertain) == (Phase.BODY, ReplyTimeout, False)
        assert not session.is_usable
        transport = session._protocol._transport
        await until(lambda: transport.get_extra_info("socket").fileno() == -1)
        assert transport.get_write_buffer_size() == 0


async def test_a_server_that_ends_without_reading_is_not_waited_for():
    async def end_and_stop_reading(peer, honest):
        peer.writer.write_eof()
        await stop_reading(peer, honest)

    content = HUGE
    async with evil_server({"body": end_and_stop_reading}, ehlo=("250-evil", "250 PIPELINING")) as server:
        outcome, session = await deliver(server, content=content)
        assert (outcome.phase, type(outcome.error), outcome.uncertain) == (Phase.BODY, ConnectionLost, False)
        transport = session._protocol._transport
        await until(lambda: transport.get_extra_info("socket").fileno() == -1)


async def test_large_content_arrives_whole():
    async with evil_server() as server:
        outcome, session = await deliver(server, content=LARGE)
        assert outcome.accepted
        await session.close()
    assert server.accepted == [LARGE.segments[0]]


async def test_a_server_that_reads_slowly_is_waited_for():
    content = HUGE
    async with evil_server(ehlo=("250-evil", "250 PIPELINING")) as server:
        outcome, session = await deliver(server, content=content)
        assert outcome.accepted
        await session.close()
    assert server.accepted == [content.segments[0]]


async def test_before_the_dot_everything_else_was_written():
    async with evil_server() as server:
        session = await a_transport(server.port).open()
        seen = []
        outcome = await session.deliver(
            an_envelope(), LARGE, before_dot=lambda: seen.append(len(server.contents))
        )
        assert outcome.accepted
        await session.close()
    assert seen == [0]


async def test_an_objection_before_the_dot_of_large_content_leaves_no_message():
    def object_to_it():
        raise RuntimeError("fenced")

    async with evil_server() as server:
        session = await a_transport(server.port).open()
        with pytest.raises(RuntimeError):
            await session.deliver(an_envelope(), LARGE, before_dot=object_to_it)
        assert not session.is_usable
    assert server.accepted == []


# Limits, ends


async def test_a_message_the_server_cannot_carry_is_not_begun():
    async with evil_server(ehlo=("250-evil", "250-PIPELINING", "250 SIZE 100")) as server:
        session = await a_transport(server.port).open()
        large = await session.deliver(an_envelope(), a_content(b"x" * 101))
        foreign = await session.deliver(an_envelope("jörg@example.org"), a_content())
        broken = await session.deliver(an_envelope("a@x>\r\nRCPT TO:<b@x"), a_content())
        assert [type(outcome.error) for outcome in (large, foreign, broken)] == [NotSendable] * 3
        assert session.is_usable
        await session.close()
        assert server.verbs() == ["EHLO", "QUIT"]


async def test_a_421_before_anything_was_said_is_a_lost_connection():
    """It came between two looks at the session: nothing was begun, nobody is to blame."""
    async with evil_server() as server:
        session = await a_transport(server.port).open()
        session._protocol.data_received(b"421 4.4.2 Timeout\r\n")
        assert not session.is_usable
        assert await session._protocol.exchange(b"NOOP\r\n", (Phase.MAIL,)) == []
        assert type(session._protocol.error) is ConnectionLost
        session._protocol.data_received(b"250 too late\r\n")
        session.abort()
        assert server.verbs() == ["EHLO"]


async def test_a_server_that_drips_replies_meets_the_cap_of_the_transaction():
    async def late(peer, honest):
        await asyncio.sleep(0.1)
        await peer.write(honest)

    limits = Timeouts(mail=0.2, rcpt=0.2, data=0.2, block=0.2)
    async with evil_server({"rcpt": late}) as server:
        outcome, _ = await deliver(server, an_envelope(*(f"r{n}@x.org" for n in range(50))), timeouts=limits)
    assert (outcome.phase, type(outcome.error)) == (Phase.RCPT, ReplyTimeout)
    assert outcome.ms < 3000


@pytest.mark.parametrize(
    "action", [fin, rst, hang, flood, say("554 No")], ids=["fin", "rst", "hang", "flood", "554"]
)
async def test_a_hostile_quit_neither_hangs_nor_raises(action):
    limits = short("quit") if action is hang else PATIENT
    async with evil_server({"quit": action}) as server:
        outcome, session = await deliver(server, timeouts=limits)
        assert outcome.accepted
        async with asyncio.timeout(3):
            await session.close()
        assert not session.is_usable


@pytest.mark.parametrize("stage", ["mail", "dot"])
async def test_a_cancelled_delivery_drops_the_connection(stage):
    async with evil_server({stage: hang}) as server:
        session = await a_transport(server.port).open()
        task = asyncio.ensure_future(session.deliver(an_envelope(), a_content()))
        await until(lambda: server.contents or (stage == "mail" and "MAIL" in server.verbs()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not session.is_usable


async def test_a_message_costs_no_timer_of_its_own():
    async with evil_server() as server:
        session = await a_transport(server.port).open()
        await session.deliver(an_envelope(), a_content())
        timer = session._protocol._timer
        for _ in range(5):
            assert (await session.deliver(an_envelope(), a_content())).accepted
        assert session._protocol._timer is timer
        await session.close()


async def test_a_deadline_that_moved_away_is_looked_at_again():
    async def late(peer, honest):
        await asyncio.sleep(0.4)
        await peer.write(honest)

    limits = replace(PATIENT, data=0.2)
    async with evil_server({"dot": late}) as server:
        outcome, session = await deliver(server, timeouts=limits)
        assert outcome.accepted
        assert session.is_usable
        timer = session._protocol._timer
        await session.close()
        assert timer.cancelled()


async def test_the_cap_of_the_transaction_does_not_cut_the_wait_after_the_dot():
    async def late(peer, honest):
        await asyncio.sleep(0.9)
        await peer.write(honest)

    limits = short("mail", "rcpt", "data", "block", seconds=0.2)
    async with evil_server({"dot": late}) as server:
        outcome, session = await deliver(server, timeouts=limits)
        await session.close()
    assert outcome.accepted


async def test_an_idle_session_has_no_deadline():
    async with evil_server() as server:
        limits = short("mail", "rcpt", "data", "dot", seconds=0.2)
        outcome, session = await deliver(server, timeouts=limits)
        assert outcome.accepted
        await until(lambda: session._protocol._timer is None)
        assert session.is_usable
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()


async def test_a_message_for_the_others_is_sent_though_the_server_lost_step_with_one():
    async with evil_server({"rcpt": [honestly, say("503 5.5.1 What?")]}) as server:
        outcome, session = await deliver(server, an_envelope("a@x.org", "b@x.org"))
        assert outcome.accepted
        assert [reply.code for reply in outcome.rcpt_replies] == [250, 503]
        assert not session.is_usable
    assert len(server.accepted) == 1


async def test_a_421_to_the_reset_is_a_421_to_the_sender():
    async with evil_server({"dot": [say("554 5.6.0 No")], "rset": say_and_go("421 4.3.2 Bye")}) as server:
        _, session = await deliver(server)
        outcome = await session.deliver(an_envelope(), a_content())
    assert (outcome.phase, outcome.reply.code) == (Phase.MAIL, 421)
    assert not session.is_usable
