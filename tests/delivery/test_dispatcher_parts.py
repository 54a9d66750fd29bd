"""The engine's parts without a database: what is written, health, tokens, servers, sharing."""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from delivery.classification import Action, Judgement, Ruling, Sign, Verdict, judge_error
from delivery.dispatcher import clock
from delivery.dispatcher.connections import blobs
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.recording import outcomes
from delivery.dispatcher.servers.health import Change, Health
from delivery.dispatcher.servers.park import Park
from delivery.dispatcher.servers.server import Server
from delivery.dispatcher.servers.tokens import Purse
from delivery.queue import (
    AttemptResult,
    Breaker,
    Heartbeat,
    Paused,
    Peer,
    ProfileStateRow,
    SmallState,
)
from smtp_settings.wire import Sender
from tests.delivery import works
from tests.delivery.works import NOW
from transports.base import Phase, Reply
from transports.errors import ConnectionRefused

SENDER = Sender("shop@example.com", "", "message", "", "", "", ("debug@example.com",))
WAY = replace(works.WAY, sender=SENDER)
OK, LATER, NO = Reply(250, "ok"), Reply(451, "later", "4.3.0"), Reply(550, "no", "5.1.1")
SENT = Ruling(Action.SENT, Sign.SUCCESS, is_counted=True)
FAIL = Ruling(Action.FAIL, is_counted=True, cause="recipient")
RETRY = Ruling(Action.RETRY, is_counted=True)


def a_work(way=WAY, **changes):
    return works.a_work(way, **{"rcpt_to": ["ann@example.com", "bo@example.com"]} | changes)


def judgement(*rulings, reply=OK, **changes):
    """A judgement of so many recipients; the message is as its most urgent recipient."""
    order = [Action.UNCERTAIN, Action.RETRY, Action.ELSEWHERE, Action.RELEASE, Action.FAIL, Action.SENT]
    deciding = min(rulings, key=lambda ruling: order.index(ruling.action))
    return Judgement(
        deciding.action,
        deciding.sign,
        Phase.DOT,
        reply=reply,
        is_counted=any(ruling.is_counted for ruling in rulings),
        cap=deciding.cap,
        cause=deciding.cause,
        words=reply.text if reply else "",
        recipients=tuple(Verdict(ruling, reply) for ruling in rulings),
        **changes,
    )


def written(work, given, other=None):
    return outcomes.result_of(work, given, lease=1, other_profile_id=other)


# What is written


def test_a_full_success_writes_no_verdicts():
    result = written(a_work(), judgement(SENT, SENT))
    assert (result.finished.state, result.finished.verdicts, result.tried) == (SmallState.SENT, None, None)


def test_a_success_after_a_final_refusal_of_another_recipient_needs_a_person():
    work = a_work(attempts=1, verdicts={"ann@example.com": {"state": "failed"}})
    assert work.recipients == ("bo@example.com",)
    result = written(work, judgement(SENT))
    assert result.finished.state == SmallState.FAILED
    assert result.finished.verdicts["bo@example.com"]["state"] == "sent"


def test_more_than_a_hundred_recipients_follow_up_without_being_counted():
    work = a_work(rcpt_to=[f"r{n}@example.com" for n in range(150)])
    assert len(work.recipients) == 100
    result = written(work, judgement(*[SENT] * 100))
    assert (result.settled.counted, result.settled.delay) == (0, timedelta(0))
    assert len(result.settled.verdicts) == 100
    assert result.tried.outcome == AttemptResult.PARTIAL


def test_all_of_the_first_hundred_refused_does_not_fail_the_others():
    work = a_work(rcpt_to=[f"r{n}@example.com" for n in range(101)])
    result = written(work, judgement(*[FAIL] * 100, reply=NO))
    assert result.finished is None
    assert {verdict["state"] for verdict in result.settled.verdicts.values()} == {"failed"}


def test_the_fourth_lost_connection_counts_as_an_attempt():
    lost = judgement(Ruling(Action.RELEASE, is_drop=True), reply=None, is_drop=True)
    assert (
        written(a_work(drops=2), lost).settled.counted,
        written(a_work(drops=2), lost).settled.dropped,
    ) == (0, 1)
    fourth = written(a_work(drops=3), lost).settled
    assert (fourth.counted, fourth.dropped) == (1, 1)


def test_a_cap_ends_the_tries_at_a_server_that_speaks_nonsense():
    desync = judgement(Ruling(Action.RETRY, Sign.DESYNC, is_counted=True, cap=3, cause="protocol"))
    assert written(a_work(attempts=1), desync).settled is not None
    result = written(a_work(attempts=2), desync)
    assert (result.finished.state, result.finished.cause) == (SmallState.FAILED, "protocol")


def test_a_message_too_old_and_tried_often_enough_expires():
    work = a_work(attempts=5, due_at=NOW - timedelta(hours=49))
    result = written(work, judgement(RETRY, reply=LATER))
    assert (result.finished.state, result.finished.cause) == (SmallState.EXPIRED, "gave_up")


def test_an_uncertain_message_without_retries_left_is_held_not_failed():
    uncertain = judgement(Ruling(Action.UNCERTAIN, Sign.BREAKER, is_counted=True), reply=None)
    result = written(a_work(replace(WAY, max_retries=0)), uncertain)
    assert (result.finished.state, result.finished.cause) == (SmallState.HELD, "uncertain")


@pytest.mark.parametrize("other", [3, None])
def test_a_message_refused_here_goes_elsewhere_and_fails_without_another_server(other):
    refused = judgement(Ruling(Action.ELSEWHERE, Sign.REFUSES_US, is_counted=True, cause="sender"), reply=NO)
    result = written(a_work(last_profile_id=3, attempts=1), refused, other=other)
    assert result.elsewhere == other
    assert (result.finished is None) is (other is not None)


@pytest.mark.parametrize("decisive", [Action.ELSEWHERE, Action.RETRY])
def test_recipients_who_were_not_judged_do_not_fail_with_those_who_were(decisive):
    """452 behind an accepted recipient: too many for one transaction, and the rest follows."""
    refused = Ruling(decisive, is_counted=True, cause="relay")
    work = a_work(
        replace(WAY, max_retries=0), rcpt_to=["ann@example.com", "bo@example.com", "cy@example.com"]
    )
    result = written(work, judgement(SENT, refused, Ruling(Action.RELEASE), reply=NO))
    assert result.finished is None
    found = {address: verdict["state"] for address, verdict in result.settled.verdicts.items()}
    assert found == {"ann@example.com": "sent", "bo@example.com": "failed"}


def test_recipients_given_back_too_often_fail_together():
    lost = judgement(Ruling(Action.RELEASE, is_drop=True), FAIL, reply=None, is_drop=True)
    result = written(a_work(replace(WAY, max_retries=0), drops=3), lost)
    assert result.finished.state == SmallState.FAILED
    assert {verdict["state"] for verdict in result.finished.verdicts.values()} == {"failed"}


def test_debug_recipients_ride_only_with_the_first_try():
    assert a_work().riders == ("debug@example.com",)
    assert a_work(attempts=1).riders == ()
    assert a_work(rcpt_to=["debug@example.com"]).riders == ()


# Health


SUCCESS, NEUTRAL = judgement(SENT), judgement(FAIL, reply=NO)
PUT_OFF, REFUSED = judgement(RETRY, reply=LATER), judgement(Ruling(Action.FAIL, Sign.REFUSES_US), reply=NO)
LOST = Judgement(Action.RELEASE, Sign.BREAKER, Phase.MAIL)
CROWDED = Judgement(Action.RELEASE, Sign.LOWER_LIMIT, Phase.MAIL, reply=Reply(421))
UNREACHABLE = judge_error(ConnectionRefused("Refused.", phase=Phase.CONNECT))


def changes(health, *judgements, senders=None, ids=None, ramp=None):
    return [
        health.learn(
            given,
            message_id=ids[n] if ids else n,
            mail_from=senders[n] if senders else "a@example.com",
            ms=1.0,
            ramp=ramp,
        )
        for n, given in enumerate(judgements)
    ]


def test_a_failed_connect_opens_the_breaker_unless_another_connection_works():
    assert changes(Health(), UNREACHABLE) == [Change.OPEN]
    health = Health()
    health.healthy = 1
    assert changes(health, UNREACHABLE, UNREACHABLE, UNREACHABLE) == [Change.NONE, Change.NONE, Change.OPEN]


def test_a_success_ends_a_row_of_failures():
    assert set(changes(Health(), *[LOST, LOST, SUCCESS] * 3)) == {Change.NONE}


def test_half_of_the_last_twenty_failing_opens_the_breaker():
    assert Change.OPEN in changes(Health(), *[SUCCESS, LOST] * 10)


def test_five_messages_put_off_in_a_row_open_the_breaker():
    assert changes(Health(), *[PUT_OFF] * 5) == [Change.NONE] * 4 + [Change.OPEN]
    assert set(changes(Health(), *[PUT_OFF, PUT_OFF, SUCCESS] * 4)) == {Change.NONE}


def test_one_message_put_off_again_and_again_does_not_open_the_breaker():
    health = Health()
    assert set(changes(health, *[PUT_OFF] * 9, ids=[1, 1, 1, 2, 2, 3, 3, 4, 4])) == {Change.NONE}
    assert changes(health, PUT_OFF, ids=[5]) == [Change.OPEN]


def test_a_wait_the_operator_set_opens_the_breaker_at_once():
    health = Health()
    health.healthy = 1
    assert changes(health, LOST, replace(LOST, rest=timedelta(minutes=10))) == [Change.NONE, Change.OPEN]


def test_three_senders_refused_in_a_row_pause_and_one_sender_only_later():
    health = Health()
    assert changes(health, *[REFUSED] * 3, senders=["a@x.test", "b@x.test", "c@x.test"])[-1] is Change.PAUSE
    assert changes(Health(), *[REFUSED] * 10) == [Change.NONE] * 9 + [Change.PAUSE]


def test_a_refused_recipient_says_nothing_against_the_server():
    assert set(changes(Health(), *[NEUTRAL] * 30)) == {Change.NONE}


def test_a_crowded_server_rests_and_gets_fewer_connections():
    health = Health()
    assert changes(health, CROWDED) == [Change.LOWER]
    assert health.is_resting


def test_a_crowd_of_refused_connections_counts_once():
    health = Health()
    assert changes(health, *[CROWDED] * 4) == [Change.LOWER] + [Change.NONE] * 3
    assert health._resting_until - time.monotonic() <= 5


def test_after_a_probe_each_good_round_speeds_up():
    health = Health()
    health.is_probing = True
    assert changes(health, SUCCESS) == [Change.CLOSE]
    health.probe_succeeded()
    assert changes(health, SUCCESS, ramp=1) == [Change.SPEED_UP]
    assert changes(health, SUCCESS, NEUTRAL, SUCCESS, ramp=2) == [Change.NONE, Change.NONE, Change.SPEED_UP]
    assert set(changes(health, *[SUCCESS] * 9)) == {Change.NONE}


def test_a_failed_probe_opens_the_breaker_again():
    health = Health()
    health.is_probing, health.healthy = True, 1
    assert changes(health, LOST) == [Change.OPEN]


# Tokens


def test_tokens_that_are_not_spaced_are_ready_at_once():
    purse = Purse(spacing=timedelta(0))
    purse.add([None, None])
    assert (purse.ready, len(purse), purse.next_in, purse.spend()) == (2, 2, None, None)


def test_a_reserved_moment_is_claimed_on_shortly_before_it():
    purse = Purse(spacing=timedelta(seconds=30))
    soon, late = clock.now() + 0.5, clock.now() + 30
    purse.add([soon, late])
    assert (purse.ready, len(purse)) == (1, 2)
    assert purse.spend() == soon
    assert 28 < purse.next_in <= 29


def test_tokens_lapse_while_the_machine_sleeps(monkeypatch):
    purse, spaced = Purse(spacing=timedelta(0)), Purse(spacing=timedelta(seconds=30))
    moment = clock.now() + 20
    purse.add([None])
    spaced.add([moment])
    awake = clock.now()
    monkeypatch.setattr(clock, "now", lambda: awake + 600)
    assert (len(purse), len(spaced)) == (0, 0)
    assert spaced.is_too_late(moment)


def test_a_message_whose_token_lapsed_during_its_claim_has_one_still_or_missed_its_moment(monkeypatch):
    purse, spaced = Purse(spacing=timedelta(0)), Purse(spacing=timedelta(seconds=30))
    purse.add([None])
    spaced.add([clock.now()])
    awake = clock.now()
    monkeypatch.setattr(clock, "now", lambda: awake + 5)
    assert (purse.ready, spaced.ready) == (0, 0)
    assert purse.spend() is None
    assert purse.take_unused() == 0  # it was used after all
    assert spaced.is_too_late(spaced.spend())


def test_a_missed_moment_lapses():
    purse = Purse(spacing=timedelta(seconds=1))
    purse.add([clock.now() - 0.2])
    assert len(purse) == 0
    assert purse.is_too_late(clock.now() - 0.2)
    assert not purse.is_too_late(clock.now() - 0.05)


# Servers


def a_server(way=WAY, slots=(1, 2, 3, 4), batch_size=100, **state):
    state = {"connections_at": timezone.now(), "learned_fingerprint": way.fingerprint} | state
    server = Server(way, ProfileStateRow(way.profile_id, **state), batch_size=batch_size)
    server.slots = set(slots)
    server.health.is_open = True
    return server


@pytest.mark.parametrize(
    ("state", "room"),
    [
        ({}, 100),
        ({"connections": 2}, 100),
        ({"connections": 1}, 64),
        ({"connections": 1, "learned_fingerprint": "of others"}, 100),
        ({"connections": 1, "crowded": 11, "connections_at": timezone.now() - timedelta(hours=20)}, 100),
        ({"ramp": 2}, 100),
        ({"ramp": 1}, 64),
        ({"breaker": Breaker.OPEN}, 0),
        ({"breaker": Breaker.HALF_OPEN}, 0),
        ({"paused": Paused.PERSON}, 0),
        ({"paused": Paused.FAULT}, 0),
    ],
)
def test_the_room_of_a_server(state, room):
    assert a_server(**state).room == room


def test_a_server_that_holds_uncertain_mail_takes_one_message_a_connection():
    assert a_server(replace(WAY, on_uncertain="hold")).room == 4


@pytest.mark.parametrize("busy", [1, 2, 3])
def test_a_free_connection_gets_a_message_however_many_are_busy(busy):
    server = a_server(replace(WAY, on_uncertain="hold"))
    for _ in range(busy):
        server.give(a_work())
    server._hand.clear()  # each is on a connection
    assert server.room == 4 - busy


def test_a_probing_server_takes_one_message():
    server = a_server(breaker=Breaker.HALF_OPEN)
    server.health.is_probing = True
    assert server.room == 1


def test_a_slow_server_takes_few_messages_in_advance():
    server = a_server()
    server.health.ms = 2000.0
    assert server.room == 8


def test_a_server_with_much_to_do_takes_nothing_until_half_is_done():
    server = a_server()
    for _ in range(51):
        server.give(a_work())
    assert server.room == 0
    server.let_go()
    assert server.room == 50


def test_saved_settings_are_taken_over_unless_they_cannot_be_used():
    server = a_server()
    server.is_live, server.unusable_version = False, WAY.version
    server.adopt(WAY)
    assert not server.is_live
    server.adopt(replace(WAY, version="2", max_connections=9))
    assert (server.is_live, server.limit) == (True, 9)
    assert server.connections == 1, "one goes ahead with them"
    server.health.heard()
    assert server.connections == 9


# Sharing


class NoDatabase:
    async def call(self, work):
        raise AssertionError("no statement is wanted here")


def shares(profile_id, *, me, wanting, connections=4):
    """The share of worker `me` among the workers that want the profile."""
    park = Park(NoDatabase(), Lease(me, begun_at=clock.now()), batch_size=100, give_back=lambda works: None)
    server = a_server(replace(WAY, profile_id=profile_id, max_connections=connections), slots=())
    server.wanted_at = time.monotonic() if me in wanting else -1000.0
    park._servers[profile_id] = server
    peers = tuple(Peer(worker, [profile_id]) for worker in wanting)
    park.heard(Heartbeat(NOW, peers, {}, {}, {}), time.monotonic())
    return server.share


@pytest.mark.parametrize("profile_id", [1, 2, 3])
@pytest.mark.parametrize(
    ("workers", "connections"), [([1, 2], 4), ([1, 2, 3], 4), ([4, 9, 11], 8), ([1, 2], 1)]
)
def test_workers_that_want_a_profile_share_all_its_connections_fairly(profile_id, workers, connections):
    found = [shares(profile_id, me=me, wanting=workers, connections=connections) for me in workers]
    assert sum(found) == connections
    assert max(found) - min(found) <= 1


def test_a_worker_alone_may_have_all_and_one_without_mail_gives_way():
    assert shares(1, me=1, wanting=[1]) == 4
    assert shares(1, me=1, wanting=[]) == 4
    assert shares(1, me=1, wanting=[2]) == 0


def test_a_worker_declared_dead_hears_it_with_its_heartbeat():
    lease = Lease(1, begun_at=clock.now())
    park = Park(NoDatabase(), lease, batch_size=100, give_back=lambda works: None)
    park.heard(None, time.monotonic())
    assert not lease.is_good


# Large parts


class Parts:
    """The database's part of it: answers when told."""

    def __init__(self):
        self.asked = []

    async def call(self, work):
        answer = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        return await answer


def test_a_part_pushed_out_while_another_is_read_is_not_missed(monkeypatch):
    monkeypatch.setattr(blobs, "_MOST_BYTES", 10)

    async def both():
        database = Parts()
        known = blobs.Blobs(database)
        first = asyncio.create_task(known.get([1]))
        await asyncio.sleep(0)
        database.asked[0].set_result({1: b"11111"})
        await first
        slow, other = asyncio.create_task(known.get([1, 2])), asyncio.create_task(known.get([3]))
        await asyncio.sleep(0)
        database.asked[2].set_result({3: b"3333333333"})
        await other
        database.asked[1].set_result({2: b"22222"})
        return await slow

    assert asyncio.run(both()) == (b"11111", b"22222")
