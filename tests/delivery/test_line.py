"""A connection whose session streams: which message it takes along, and what becomes of that one."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.classification import Sign
from delivery.dispatcher.connections import attempt, line, open_session
from delivery.dispatcher.connections.open_session import OpenSession
from delivery.dispatcher.connections.preparing import put_together
from delivery.queue import Breaker, Paused
from tests.delivery.lines import Desk, a_work
from tests.delivery.works import NOW, WAY
from transports.base import Outcome, Phase, Reply
from transports.errors import ProtocolError
from transports.memory import MemorySession, MemoryTransport

EXPIRED = NOW - timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _soon_idle(monkeypatch):
    monkeypatch.setattr(line, "IDLE_SECONDS", 0.0)


# What is taken along


def test_each_message_travels_with_the_one_before_it():
    desk = Desk()
    desk.give("a", "b", "c")
    desk.carry()
    assert desk.transport.announced == [("a", "b"), ("b", "c"), ("c", None)]
    assert desk.fates() == {"a": "sent", "b": "sent", "c": "sent"}
    assert (desk.transport.sessions, desk.transport.opened[0].ended) == (1, "closed")


def test_the_last_message_of_a_session_takes_none_along():
    desk = Desk(replace(WAY, messages_per_connection=2))
    desk.give(*"abcde")
    desk.carry()
    assert desk.transport.announced == [("a", "b"), ("b", None), ("c", "d"), ("d", None), ("e", None)]
    assert set(desk.fates().values()) == {"sent"}
    assert desk.transport.sessions == 3


def test_a_session_past_its_age_takes_none_along(monkeypatch):
    monkeypatch.setattr(open_session, "AGE_SECONDS", -1.0)
    desk = Desk()
    desk.give("a", "b")
    desk.carry()
    assert desk.transport.announced == [("a", None), ("b", None)]
    assert desk.transport.sessions == 2


def test_an_announced_message_goes_over_its_session_past_its_age(monkeypatch):
    async def grow_old(_session):
        monkeypatch.setattr(open_session, "AGE_SECONDS", -1.0)

    desk = Desk()
    desk.give("a", "b", "c")
    desk.carry(a=grow_old)
    assert desk.transport.turns == [("a", 1), ("b", 1), ("c", 2)]


@pytest.mark.parametrize(
    "following",
    [
        a_work("b", expires_at=EXPIRED),
        a_work("b", rcpt_to=["ann@example.com"], verdicts={"ann@example.com": {"state": "sent"}}),
        a_work("b", from_header=None),
        a_work("b", data=b"", cuts=[5]),
        a_work("b", blob_ids=[3], cuts=[10]),
        a_work("b", moment=0.0),
        a_work("b", priority=12),
    ],
    ids=["expired", "nobody left", "no From", "a bug of ours", "parts to read", "spaced", "suspect"],
)
def test_a_message_that_may_not_go_at_once_waits_for_its_own_turn(following):
    desk = Desk()
    desk.give("a", following, "c", "d")
    desk.server.purse.is_too_late = lambda _moment: False
    desk.carry()
    assert desk.transport.announced[0] == ("a", None)
    assert ("c", "d") in desk.transport.announced
    assert {subject: fate for subject, fate in desk.fates().items() if subject != "b"} == {
        "a": "sent",
        "c": "sent",
        "d": "sent",
    }


@pytest.mark.parametrize("alone", [{"priority": 12}, {"moment": 0.0}], ids=["suspect", "spaced"])
def test_a_message_that_goes_alone_takes_none_along(alone):
    desk = Desk()
    desk.give(a_work("a", **alone), "b")
    desk.server.purse.is_too_late = lambda _moment: False
    desk.carry()
    assert desk.transport.announced[0] == ("a", None)


def test_a_large_part_that_is_in_memory_does_not_keep_a_message_back():
    desk = Desk()
    desk.blobs._keep(3, b"A part.\r\n")
    data = b"To: ann@example.com\r\n\r\n"
    desk.give("a", a_work("b", data=data, blob_ids=[3], cuts=[len(data)]))
    desk.carry()
    assert desk.transport.announced == [("a", "b"), ("b", None)]
    assert desk.transport.messages[1].content.endswith(b"\r\n\r\nA part.\r\n")


def paused(server):
    server.state = replace(server.state, paused=Paused.PERSON)


def saved(server):
    server.way = replace(server.way, version="2.cd")


def shared(server):
    server.share = 0


def garbled(server):
    until = NOW + timedelta(hours=1)
    server.state = replace(server.state, sequential_until=until, sequential_fingerprint="ab")


def disabled(server):
    server.is_live = False


@pytest.mark.parametrize("change", [paused, disabled, saved, shared, garbled])
def test_nothing_is_taken_along_once_the_session_is_to_end(change):
    desk = Desk()
    desk.give("a", "b")

    async def changed(_session):
        change(desk.server)

    desk.transport.opening = changed
    desk.carry()
    assert desk.transport.announced[0] == ("a", None)
    assert desk.fates()["a"] == "sent"


@pytest.mark.parametrize("kind", ["probing", "hold"])
def test_nothing_is_taken_along_where_one_message_at_a_time_is_the_rule(kind):
    desk = Desk(replace(WAY, on_uncertain="hold")) if kind == "hold" else Desk(breaker=Breaker.HALF_OPEN)
    desk.server.health.is_probing = kind == "probing"
    desk.give("a", "b")
    desk.carry()
    assert desk.transport.announced == [("a", None), ("b", None)]


def test_a_message_is_left_for_a_connection_that_begins():
    desk = Desk()
    desk.give("a", "b")
    desk.server.starting = 1

    async def begun(_session):
        desk.server.starting = 0

    desk.carry(b=begun)
    assert desk.transport.announced[0] == ("a", None)


def test_a_session_that_does_not_stream_is_given_nothing_to_take_along():
    desk = Desk()
    desk.transport.streams = False
    desk.give("a", "b")
    desk.carry()
    assert desk.transport.announced == [("a", None), ("b", None)]


def test_a_session_that_waits_for_one_message_carries_no_other():
    announced, other = put_together(a_work("a"), ()), put_together(a_work("b"), ())
    session = OpenSession(MemorySession(MemoryTransport()), "1.ab", is_pipelined=True)
    server = Desk(replace(WAY, version="1.ab")).server
    assert session.may_carry(other, server)
    session.announced = announced
    assert session.may_carry(announced, server)
    assert not session.may_carry(other, server)


def test_a_server_spoken_to_one_command_at_a_time_is_told_so_and_streamed_nothing():
    desk = Desk(sequential_until=NOW + timedelta(hours=1), sequential_fingerprint="ab")
    desk.give("a", "b")
    desk.carry()
    assert desk.transport.sequential == [True]
    assert desk.transport.announced == [("a", None), ("b", None)]


# What becomes of it


def test_what_was_taken_along_and_back_is_not_sent_and_ends_the_session():
    desk = Desk()
    desk.give("a", "b", "c")

    async def pause(_session):
        paused(desk.server)
        desk.take_back()

    desk.carry(a=pause)
    assert desk.fates() == {"a": "sent", "b": "taken back", "c": "taken back"}
    assert desk.transport.turns == [("a", 1)]
    assert desk.transport.opened[0].ended == "closed"


def test_what_was_taken_along_goes_back_into_the_hands_of_a_server_not_to_be_used():
    desk = Desk()
    desk.give("a", "b", "c")

    async def disable(_session):
        disabled(desk.server)

    desk.carry(a=disable)
    assert desk.fates() == {"a": "sent", "b": "in hand", "c": "in hand"}


def test_a_session_whose_announced_message_was_taken_back_does_not_wait_for_others(monkeypatch):
    monkeypatch.setattr(line, "IDLE_SECONDS", 10.0)
    desk = Desk()
    desk.give("a", "b")

    async def end_while_it_waits():
        ended = asyncio.Event()

        async def take_back(session):
            desk.take_back()
            session.heard = ended

        desk.transport.acts["a"] = take_back
        task = desk.start(1)
        async with asyncio.timeout(5):
            await ended.wait()
        assert not task.done()
        await asyncio.sleep(0)
        desk.server.dismiss(1)
        await task

    asyncio.run(end_while_it_waits())
    assert desk.fates() == {"a": "sent", "b": "taken back"}


def test_an_announced_message_taken_back_lets_the_next_one_go_over_a_new_session():
    desk = Desk()
    desk.give("a", "b")

    async def pause_and_resume(_session):
        desk.take_back()
        desk.give("c")

    desk.carry(a=pause_and_resume)
    assert desk.transport.turns == [("a", 1), ("c", 2)]
    assert desk.fates() == {"a": "sent", "b": "taken back", "c": "sent"}


def test_new_settings_send_what_was_announced_over_a_new_session():
    desk = Desk()
    desk.give("a", "b")

    async def save(_session):
        saved(desk.server)

    desk.carry(a=save)
    assert desk.transport.turns == [("a", 1), ("b", 2)]
    assert desk.fates() == {"a": "sent", "b": "sent"}


@pytest.mark.parametrize(("phase", "fate"), [(Phase.DATA, "put off"), (Phase.DOT, "uncertain")])
def test_a_session_lost_with_one_message_sends_what_was_announced_over_a_new_one(phase, fate):
    desk = Desk()
    desk.give("a", "b", "c")

    async def lost(session):
        return session.lose(phase, uncertain=phase is Phase.DOT)

    desk.carry(a=lost)
    assert desk.fates() == {"a": fate, "b": "sent", "c": "sent"}
    assert desk.transport.turns == [("a", 1), ("b", 2), ("c", 2)]


def test_a_refused_message_keeps_its_session_and_what_was_announced():
    desk = Desk()
    desk.give("a", "b")

    async def refuse(_session):
        return Outcome(Phase.MAIL, Reply(550, "no", "5.1.8"), rcpt_replies=(None,))

    desk.carry(a=refuse)
    assert desk.fates() == {"a": "failed", "b": "sent"}
    assert desk.transport.turns == [("a", 1), ("b", 1)]


def test_a_bug_met_by_one_message_does_not_lose_what_was_announced():
    desk = Desk()
    desk.give("a", "b")

    async def broken(_session):
        raise RuntimeError("a bug")

    desk.carry(a=broken)
    assert desk.fates() == {"a": "put off", "b": "sent"}
    assert desk.transport.turns == [("a", 1), ("b", 2)]


def test_a_bug_met_after_the_dot_leaves_a_message_that_may_have_arrived():
    desk = Desk()
    desk.give("a", "b")
    judged = attempt.judge

    def judge(outcome, **options):
        if not outcome.uncertain and len(desk.transport.messages) == 1:
            raise RuntimeError("a bug")
        return judged(outcome, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(attempt, "judge", judge)
        desk.carry()
    assert desk.fates() == {"a": "uncertain", "b": "sent"}
    assert len(desk.transport.messages) == 2


def test_a_connection_that_breaks_down_puts_back_what_it_took_along():
    desk = Desk()
    desk.give("a", "b")

    async def learn(*_args, **_options):
        raise RuntimeError("no database")

    desk.learn = learn
    with pytest.raises(RuntimeError, match="no database"):
        desk.carry()
    assert desk.server.ahead_of(1) is None
    assert desk.fates() == {"a": "sent", "b": "in hand"}


def test_a_lease_that_is_lost_completes_neither_message():
    desk = Desk()
    desk.give("a", "b")

    async def declared_dead(_session):
        desk.lease.is_dead = True

    desk.carry(a=declared_dead)
    assert desk.fates() == {"a": "released", "b": "released"}
    assert desk.transport.messages == []


def test_a_lease_that_is_lost_after_an_announcement_stops_it_before_the_dot():
    desk = Desk()
    desk.give("a", "b")

    async def declared_dead(_session):
        desk.lease.is_dead = True

    desk.carry(b=declared_dead)
    assert desk.fates() == {"a": "sent", "b": "released"}
    assert len(desk.transport.messages) == 1


def test_an_announced_message_that_expires_before_its_turn_is_not_sent():
    desk = Desk()
    expiring = a_work("b", expires_at=NOW + timedelta(minutes=1))
    desk.give("a", expiring, "c")

    async def take_an_hour(_session):
        expiring.taken_at -= 3600

    desk.carry(a=take_an_hour)
    assert desk.fates() == {"a": "sent", "b": "expired", "c": "sent"}
    assert desk.transport.turns == [("a", 1), ("c", 2)]


def test_a_cut_off_connection_leaves_what_it_announced_to_be_given_back():
    desk = Desk()
    desk.give("a", "b", "c")

    async def cut_off():
        asked = asyncio.Event()

        async def never(_session):
            asked.set()
            await asyncio.Event().wait()

        desk.transport.acts["a"] = never
        task = desk.start(1)
        await asked.wait()
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cut_off())
    assert desk.server.ahead_of(1) is None
    assert desk.fates() == {"a": "released", "b": "in hand", "c": "in hand"}
    assert desk.transport.opened[0].ended == "aborted"


def test_a_connection_too_many_sends_what_it_announced_and_ends():
    desk = Desk()
    desk.give("a", "b", "c")

    async def share(_session):
        shared(desk.server)

    desk.carry(a=share)
    assert desk.fates() == {"a": "sent", "b": "sent", "c": "in hand"}


def test_a_connection_too_many_that_is_lost_opens_no_other_for_what_it_announced():
    desk = Desk()
    desk.give("a", "b")

    async def share_and_lose(session):
        shared(desk.server)
        return session.lose(Phase.DATA)

    desk.carry(a=share_and_lose)
    assert desk.fates() == {"a": "put off", "b": "in hand"}
    assert desk.transport.sessions == 1


def test_a_connection_that_waits_gets_what_another_one_puts_back():
    desk = Desk()

    async def put_back():
        desk.give("a")
        desk.server.take_ahead(1, lambda _work: True)
        waiting = asyncio.create_task(desk.server.next_work(10))
        await asyncio.sleep(0)
        desk.server.put_back(1)
        return await asyncio.wait_for(waiting, 5)

    assert asyncio.run(put_back()).claimed.subject == "a"
    assert (desk.server.on_the_wire, desk.server.take_back()) == (1, [])


def test_an_announced_message_whose_session_is_gone_goes_over_another_without_blame():
    desk = Desk()
    desk.give("a", "b", "c")
    gone = []

    async def gone_once(session):
        if not gone:
            gone.append(session)
            return session.lose()
        return None

    desk.carry(b=gone_once)
    assert desk.fates() == {"a": "sent", "b": "sent", "c": "sent"}
    assert desk.transport.turns == [("a", 1), ("b", 1), ("b", 2), ("c", 2)]
    assert all(result.tried is None for result in desk.results)
    assert all(sign is Sign.SUCCESS for _subject, sign, _pipelined in desk.learned)


def test_a_new_session_that_is_gone_at_once_is_the_servers_fault():
    desk = Desk()
    desk.give("a")

    async def gone(session):
        return session.lose()

    desk.carry(a=gone)
    assert desk.transport.sessions == 1
    assert desk.learned == [("a", Sign.BREAKER, True)]
    assert desk.fates() == {"a": "put off"}


def test_a_server_that_says_good_bye_after_a_message_gets_the_announced_one_anew():
    desk = Desk()
    desk.give("a", "b")

    async def say_good_bye(session):
        session.lose()
        return Outcome(Phase.DOT, Reply(250, "ok"), rcpt_replies=(Reply(250, "ok"),))

    desk.carry(a=say_good_bye)
    assert desk.fates() == {"a": "sent", "b": "sent"}
    assert desk.transport.turns == [("a", 1), ("b", 2)]


def test_an_announced_message_waits_for_room_for_its_outcome():
    desk = Desk()
    desk.give("a", "b")
    seen = []

    async def has_room():
        seen.append((len(desk.transport.turns), desk.server.on_the_wire))

    desk.has_room = has_room
    desk.carry()
    assert seen == [(0, 1), (1, 1)]


def test_an_announced_message_counts_as_not_begun():
    desk = Desk()
    desk.give("a", "b", "c")
    seen = []

    async def look(_session):
        server = desk.server
        seen.append((server.held, server.on_the_wire, server.free, server.lines_wanted))

    desk.carry(a=look)
    assert seen == [(3, 1, 3, 1)]


def test_connections_side_by_side_announce_nothing_twice():
    desk = Desk()
    desk.give(*"abcdefghij")
    desk.carry(lines=3)
    begun = [subject for subject, _number in desk.transport.turns]
    assert sorted(begun) == list("abcdefghij")
    assert set(desk.fates().values()) == {"sent"}


# Answers that do not fit together


def out_of_place(phase):
    error = ProtocolError("The server said more than it was asked.", phase=phase)
    return Outcome(phase, error=error, rcpt_replies=(None,), uncertain=phase is Phase.DOT)


@pytest.mark.parametrize(("phase", "fate"), [(Phase.RCPT, "put off"), (Phase.DOT, "uncertain")])
def test_answers_out_of_place_are_told_of_a_session_that_pipelines(phase, fate):
    desk = Desk()
    desk.give("a", "b")

    async def garble(session):
        session.lose()
        return out_of_place(phase)

    desk.carry(a=garble)
    assert desk.learned[0] == ("a", Sign.DESYNC, True)
    assert desk.fates() == {"a": fate, "b": "sent"}


@pytest.mark.parametrize(
    ("way", "offered", "state"),
    [
        (replace(WAY, pipelining="sequential"), {"PIPELINING": ""}, {}),
        (WAY, {}, {}),
        (
            WAY,
            {"PIPELINING": ""},
            {"sequential_until": NOW + timedelta(hours=1), "sequential_fingerprint": "ab"},
        ),
    ],
    ids=["by the profile", "not offered", "known already"],
)
def test_a_session_of_one_command_at_a_time_has_nothing_to_tell_of_pipelining(way, offered, state):
    desk = Desk(way, **state)
    desk.transport.capabilities = offered
    desk.give("a")

    async def garble(_session):
        return out_of_place(Phase.RCPT)

    desk.carry(a=garble)
    assert desk.learned == [("a", Sign.DESYNC, False)]


# Whatever happens


async def _pass(_desk, _session):
    return None


async def _refuse(_desk, _session):
    return Outcome(Phase.RCPT, Reply(550, "no", "5.1.1"), rcpt_replies=(Reply(550, "no", "5.1.1"),))


async def _lose(_desk, session):
    return session.lose(Phase.DATA)


async def _be_gone(_desk, session):
    return session.lose()


async def _lose_the_answer(_desk, session):
    return session.lose(Phase.DOT, uncertain=True)


async def _break(_desk, _session):
    raise RuntimeError("a bug")


async def _take_back(desk, _session):
    desk.take_back()


async def _save(desk, _session):
    version = int(desk.server.way.version[0]) % 9 + 1
    desk.server.way = replace(desk.server.way, version=f"{version}.ab")


async def _let_others(_desk, _session):
    for _ in range(3):
        await asyncio.sleep(0)


ACTS = [_pass, _refuse, _lose, _be_gone, _lose_the_answer, _break, _take_back, _save, _let_others]


@given(acts=st.lists(st.sampled_from(ACTS), max_size=12), lines=st.integers(1, 3), most=st.integers(1, 5))
def test_whatever_happens_every_message_has_one_end(acts, lines, most):
    desk = Desk(replace(WAY, messages_per_connection=most))
    for number, act in enumerate(acts):
        desk.give(f"m{number}")
        desk.transport.acts[f"m{number}"] = lambda session, act=act: act(desk, session)
    line.IDLE_SECONDS, before = 0.0, line.IDLE_SECONDS
    try:
        desk.carry(lines)
    finally:
        line.IDLE_SECONDS = before
    accepted = [kept.content for kept in desk.transport.messages]
    fates = desk.fates()
    assert len(fates) == len(acts)
    assert len(accepted) == len(set(accepted)) == sum(fate == "sent" for fate in fates.values())
