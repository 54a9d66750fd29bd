"""The engine when things go wrong at a bad moment: nothing stays stuck, nothing fails that may wait."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from delivery import queue
from delivery.dispatcher import chores, database, deadline, drain
from delivery.dispatcher.claims import suspects
from delivery.dispatcher.connections import line
from delivery.dispatcher.recording import recorder
from delivery.dispatcher.servers import health, tokens
from delivery.models import (
    Attempt,
    Failure,
    Message,
    Pool,
    ProfileState,
    QueueEntry,
    Slot,
    SmallState,
    Worker,
)
from delivery.queue import Breaker, Paused
from smtp_settings import wire
from smtp_settings.models import SMTPProfile
from tests.builders import a_profile
from tests.delivery.engine import drained, draining, due_again, entry_of, queued, state_of, until
from tests.delivery.queueing import in_threads
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


def profile_for(server, **fields):
    return a_profile(host=server.host, port=server.port, **fields)


def first(answer):
    """An answer for the first command only, worked out when it comes; then the ordinary one."""
    answers = iter([answer])

    def given(_argument):
        found = next(answers, None)
        return found() if callable(found) else found

    return given


def gone():
    raise ConnectionResetError


# Messages that nobody would take


def test_a_message_that_comes_while_the_only_connection_ends_is_sent(monkeypatch):
    monkeypatch.setattr(line, "IDLE_SECONDS", 0.3)
    parting, stop = threading.Event(), threading.Event()

    def slowly(_argument):
        parting.set()
        time.sleep(1)

    with smtp_server(answers={"QUIT": slowly}) as server:
        profile_for(server, max_connections=1)
        with draining(until_empty=False, stop=stop):
            queued()
            server.wait_for(1)
            assert parting.wait(60)
            queued()
            try:
                server.wait_for(2)
            finally:
                stop.set()


def test_a_claim_whose_answer_was_lost_keeps_no_message(monkeypatch):
    claim, lost = queue.claim, []

    def answer_lost_once(*args):
        found = claim(*args)
        if not lost:
            lost.append(found)
            raise OperationalError("server closed the connection unexpectedly")
        return found

    monkeypatch.setattr(queue, "claim", answer_lost_once)
    with smtp_server() as server:
        profile_for(server)
        queued(5)
        stop = threading.Event()
        with draining(until_empty=False, stop=stop):
            try:
                server.wait_for(5)
            finally:
                stop.set()
        assert server.accepted == 5
    assert not Attempt.objects.exists()


def test_a_claim_that_takes_longer_than_tokens_last_ends_no_drain(monkeypatch):
    claim = queue.claim

    def late(*args):
        found = claim(*args)
        time.sleep(1.1 if found else 0)
        return found

    monkeypatch.setattr(queue, "claim", late)
    with smtp_server() as one, smtp_server() as two:
        tried = profile_for(one, per_minute=600, is_default=True)
        profile_for(two, per_minute=600)
        _, again = queued(2)
        QueueEntry.objects.filter(pk=again).update(attempts=1, last_profile_id=tried.pk)
        assert drained(deadline=60.0).sent == 2


@pytest.mark.parametrize("answer", ["450 4.3.0 Try later", "550 5.1.1 No such user"])
def test_outcomes_written_again_after_a_lost_commit_note_each_attempt_once(monkeypatch, answer):
    write, lost = recorder.write, []

    def answer_lost_once(*args, **options):
        write(*args, **options)
        if not lost:
            lost.append(True)
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(recorder, "write", answer_lost_once)
    with smtp_server(answers={"RCPT": answer}) as server:
        profile_for(server)
        ids = queued(3)
        drained()
    assert lost
    assert sorted(Attempt.objects.values_list("message_id", flat=True)) == ids


def test_what_a_drain_that_broke_has_sent_is_left_to_its_journal(monkeypatch):
    write, broken = recorder.write, []

    def broken_once(*args, **options):
        if not broken:
            broken.append(True)
            raise RuntimeError("a bug")
        return write(*args, **options)

    monkeypatch.setattr(recorder, "write", broken_once)
    with smtp_server() as server:
        profile_for(server)
        (message_id,) = queued()
        with pytest.raises(RuntimeError, match="a bug"):
            drained()
        assert server.accepted == 1

        queue.reclaim()  # a machine that has no journal of it

        assert entry_of(message_id).lease_id is not None
        drained()
        assert state_of(message_id) == SmallState.SENT
        assert server.accepted == 1


def test_a_drain_until_empty_takes_what_was_given_back_in_the_end():
    def late():
        time.sleep(1.5)
        gone()

    with smtp_server(answers={"MAIL": first(late)}) as server:
        profile_for(server, max_connections=1)
        queued()
        assert drained().sent == 1


def test_one_slow_answer_and_a_suspect_do_not_stop_the_others():
    answering, asked, stop = threading.Event(), threading.Event(), threading.Event()

    def slowly():
        asked.set()
        answering.wait(60)

    with smtp_server(answers={"DOT": first(slowly)}) as slow, smtp_server() as server:
        profile_for(slow, name="Slow")
        profile_for(server, name="Other")
        with draining(until_empty=False, stop=stop):
            queued(profile="Slow")
            assert asked.wait(60)
            ids = queued(10, profile="Other", send_at=timezone.now() + timedelta(hours=1))
            QueueEntry.objects.filter(pk=ids[0]).update(priority=12)
            QueueEntry.objects.filter(pk__in=ids).update(ready_at=timezone.now())
            try:
                server.wait_for(9)
                answering.set()
                server.wait_for(10)
            finally:
                answering.set()
                stop.set()


def test_a_suspect_in_hand_is_alone_there(monkeypatch):
    monkeypatch.setattr(suspects, "_ALONE_SECONDS", 60.0)
    answering, asked = threading.Event(), threading.Event()

    def slowly():
        asked.set()
        answering.wait(60)

    with smtp_server(answers={"DOT": first(slowly)}) as server:
        profile_for(server)
        ids = queued(6)
        QueueEntry.objects.filter(pk=ids[0]).update(priority=12)
        with draining():
            try:
                assert asked.wait(60)
                leased = list(QueueEntry.objects.filter(lease_id__isnull=False).values_list("pk", flat=True))
            finally:
                answering.set()
        assert server.accepted == 6
    assert leased == ids[:1]


def test_a_heartbeat_that_breaks_does_not_stop_the_database_thread(monkeypatch):
    heartbeat, broken = queue.heartbeat, []

    def breaks_once(*args, **kwargs):
        if not broken:
            broken.append(True)
            raise RuntimeError("a bug")
        return heartbeat(*args, **kwargs)

    monkeypatch.setattr(database, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(queue, "heartbeat", breaks_once)
    answering = threading.Event()
    with smtp_server(answers={"MAIL": lambda _argument: answering.wait(60) and None}) as server:
        profile_for(server)
        queued(3)
        with draining() as result:
            until(lambda: broken)
            answering.set()
    assert result.report.sent == 3


def test_a_connection_whose_grant_was_lost_is_taken_again(monkeypatch):
    take_slots, lost = queue.take_slots, []

    def loses_the_first_answer(*args):
        taken = take_slots(*args)
        if taken and not lost:
            lost.extend(taken)
            raise OperationalError("the connection went away after the commit")
        return taken

    monkeypatch.setattr(queue, "take_slots", loses_the_first_answer)
    with smtp_server() as server:
        profile_for(server, max_connections=1)
        queued()
        assert drained(deadline=60.0).sent == 1
    assert lost == [1]


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1)])
def test_after_an_outage_or_a_step_of_the_clock_no_worker_buries_the_others(monkeypatch, step):
    monkeypatch.setattr(chores, "RECLAIM_SECONDS", 0.1)
    monkeypatch.setattr(database, "BEAT_SECONDS", 1.0)
    stop, other = threading.Event(), queue.register_worker()
    with draining(until_empty=False, stop=stop):
        try:
            first_to_beat = Worker.objects.exclude(pk=other)
            until(first_to_beat.exists)
            Worker.objects.update(heartbeat_at=timezone.now() + step)  # of both: as after an outage
            until(lambda: abs(timezone.now() - first_to_beat.get().heartbeat_at) < timedelta(minutes=1))
            time.sleep(0.5)
            assert queue.heartbeat(other) is not None
        finally:
            stop.set()


# Messages that would fail although they may wait


@pytest.mark.parametrize(
    "refusal",
    ["451 4.3.0 Try later", "550 5.7.1 Not your address"],
    ids=["retries used up", "sender refused"],
)
def test_a_refusal_of_the_first_hundred_recipients_is_final_for_them(refusal):
    with smtp_server(answers={"MAIL": refusal}) as server:
        profile_for(server, max_retries=0)
        (message_id,) = queued(to=[f"r{n}@example.com" for n in range(150)])
        drained()
        assert server.verbs().count("MAIL") == 2
    assert state_of(message_id) is SmallState.FAILED


def test_a_message_refused_by_the_spare_server_waits_for_the_one_that_is_down():
    with smtp_server(answers={"MAIL": "550 5.7.1 Not your address"}) as strict, smtp_server() as default:
        best = profile_for(default, is_default=True)
        profile_for(strict, priority="low")
        queue.open_breaker(best.pk, reason="down")
        (message_id,) = queued()
        drained()
        assert state_of(message_id) is SmallState.QUEUED
        ProfileState.objects.update(open_until=timezone.now())
        drained()
        assert default.accepted == 1
    assert state_of(message_id) is SmallState.SENT


def test_a_message_put_off_by_one_server_and_refused_by_another_goes_back():
    answers = {"RCPT": first("450 4.7.1 Greylisted")}
    with (
        smtp_server(answers=answers) as default,
        smtp_server(answers={"MAIL": "550 5.7.1 Not your address"}) as strict,
    ):
        best = profile_for(default, is_default=True)
        profile_for(strict, priority="low")
        (message_id,) = queued()
        assert drained().deferred == 1
        queue.pause(best.pk, Paused.PERSON)
        due_again(message_id)
        drained()
        assert strict.verbs().count("MAIL") == 1
        queue.resume(best.pk)
        due_again(message_id)
        drained()
        assert default.accepted == 1
    assert state_of(message_id) is SmallState.SENT


def test_greylisted_recipients_say_nothing_against_the_server():
    with smtp_server(answers={"RCPT": "450 4.7.1 Greylisted"}) as server:
        profile_for(server)
        queued(12)
        assert drained().deferred == 12
    assert not ProfileState.objects.exclude(breaker=Breaker.CLOSED).exists()


def test_a_bug_met_while_opening_holds_no_mail(monkeypatch):
    def breaks(profile_id, version):
        raise ValueError("a bug")

    with smtp_server() as server:
        profile_for(server)
        ids = queued(5)
        with monkeypatch.context() as patched:
            patched.setattr(wire, "transport_of", breaks)
            for _ in range(4):
                drained()
                ProfileState.objects.update(open_until=timezone.now())
                QueueEntry.objects.update(ready_at=timezone.now())
        assert set(QueueEntry.objects.filter(pk__in=ids).values_list("attempts", "drops")) == {(0, 0)}
        assert drained().sent == 5


def test_a_debug_recipient_the_server_cannot_take_fails_nothing():
    with smtp_server() as server:
        server.offers.remove("SMTPUTF8")
        profile_for(server, debug_recipients=["débug@example.com"])
        (message_id,) = queued()
        drained()
    assert state_of(message_id) is SmallState.SENT


def test_a_profile_deleted_as_a_message_is_passed_on_to_it_spoils_no_other_outcome(monkeypatch):
    """Deleted after the choice was made, and before it is written."""
    pools_for = queue.pools_for

    def deleted_before(routes):
        in_threads(lambda: SMTPProfile.objects.filter(name="Gone").delete())
        return pools_for(routes)

    monkeypatch.setattr(queue, "pools_for", deleted_before)
    with smtp_server(answers={"MAIL": first("550 5.7.1 Not your address")}) as server, smtp_server() as gone:
        profile_for(server, is_default=True, max_connections=1)
        profile_for(gone, name="Gone", priority="low")
        queue.pause(SMTPProfile.objects.get(name="Gone").pk, Paused.PERSON)
        refused, *others = queued(10)
        drained()
        assert server.accepted == 9
    assert {state_of(message_id) for message_id in others} == {SmallState.SENT}
    entry = entry_of(refused)
    assert (entry.lease_id, entry.attempts) == (None, 1)
    assert Pool.objects.get(pk=entry.pool_id).profile_id is None
    assert entry.ready_at > timezone.now()  # by then the deletion is known


NO_FROM = "Neither the message nor the profile has a From address."


@pytest.mark.parametrize("is_pinned", [False, True])
def test_a_message_that_has_no_from_anywhere_fails_at_once_and_says_so(is_pinned):
    with smtp_server() as server:
        profile_for(server, name="First", from_address="", is_default=True)
        profile_for(server, name="Second", from_address="" if not is_pinned else "shop@example.com")
        (message_id,) = queued(profile="First" if is_pinned else None)
        Message.objects.update(from_header=None)
        assert drained().failed == 1
        assert server.accepted == 0
    message = Message.objects.get()
    assert (state_of(message_id), message.reply, message.attempts) == (SmallState.FAILED, NO_FROM, 0)
    assert Failure.objects.get().cause == "compose"
    assert [attempt.reply for attempt in Attempt.objects.all()] == [NO_FROM]


def test_a_message_without_from_goes_to_a_profile_that_has_one():
    with smtp_server() as default, smtp_server() as other:
        profile_for(default, from_address="", is_default=True)
        profile_for(default, from_address="", priority="high")
        profile_for(other, from_address="shop@example.com", priority="low")
        (message_id,) = queued()
        Message.objects.update(from_header=None)
        drained()
        (received,) = other.messages
        assert default.accepted == 0
    assert received.content.startswith(b"From: shop@example.com\r\n")
    assert state_of(message_id) is SmallState.SENT


# Servers that take nothing, and the end of a drain


def test_a_drain_until_empty_ends_at_a_server_that_stays_crowded(monkeypatch):
    monkeypatch.setattr(health, "_REST_SECONDS", 0.2)
    with smtp_server(answers={"MAIL": "421 4.7.0 Too many connections"}) as server:
        profile_for(server)
        ids = queued(5)
        with draining() as result:
            pass
        assert server.accepted == 0
    assert (result.report.sent, result.report.is_work_left) == (0, False)
    assert {state_of(message_id) for message_id in ids} == {SmallState.QUEUED}
    assert set(QueueEntry.objects.values_list("attempts", "lease_id")) == {(0, None)}


def test_a_drain_until_empty_sends_what_another_server_takes(monkeypatch):
    monkeypatch.setattr(health, "_REST_SECONDS", 0.2)
    with (
        smtp_server(answers={"MAIL": "421 4.7.0 Too many connections"}) as crowded,
        smtp_server(answers={"MAIL": first(lambda: time.sleep(1.5))}) as other,
    ):
        profile_for(crowded, is_default=True)
        profile_for(other, max_connections=1)
        queued(10)
        assert drained().sent == 10


def test_a_drain_past_its_deadline_that_waits_for_one_server_sends_the_mail_of_others(monkeypatch):
    monkeypatch.setattr(deadline, "QUIET_SECONDS", 0.2)
    asked, answering, passed = threading.Event(), threading.Event(), threading.Event()
    is_over = deadline.Deadline.is_over

    def noted(self, servers):
        found = is_over(self, servers)
        if any(server.is_left for server in servers):
            passed.set()
        return found

    monkeypatch.setattr(deadline.Deadline, "is_over", noted)

    def slowly(_argument):
        asked.set()
        answering.wait(60)

    def taken(profile):
        return Slot.objects.filter(profile_id=profile.pk, worker_id__isnull=False).exists()

    with smtp_server(answers={"DOT": slowly}) as tarpit, smtp_server() as healthy:
        slow = profile_for(tarpit, name="Tarpit", max_connections=1)
        well = profile_for(healthy, name="Healthy", max_connections=1)
        queued(profile="Tarpit")
        queued(profile="Healthy")
        try:
            with draining(until_empty=False, deadline=1.0):
                assert asked.wait(60)
                healthy.wait_for(1)
                assert passed.wait(60)
                queued(profile="Tarpit")
                queued(profile="Healthy")
                healthy.wait_for(2)
                assert taken(slow)
                answering.set()
        finally:
            answering.set()
        assert tarpit.verbs().count("MAIL") == 1
    assert not taken(slow)
    assert not taken(well)


def test_a_drain_that_waits_for_one_server_after_a_stop_leaves_the_others_connections_to_its_peers():
    asked, answering, stop = threading.Event(), threading.Event(), threading.Event()

    def slowly(_argument):
        asked.set()
        answering.wait(60)

    def taken(profile):
        return Slot.objects.filter(profile_id=profile.pk, worker_id__isnull=False).exists()

    with smtp_server(answers={"DOT": slowly}) as tarpit, smtp_server() as healthy:
        slow = profile_for(tarpit, name="Tarpit", max_connections=1)
        well = profile_for(healthy, name="Healthy", max_connections=1)
        queued(profile="Tarpit")
        queued(profile="Healthy")
        try:
            with draining(until_empty=False, stop=stop):
                assert asked.wait(60)
                healthy.wait_for(1)
                stop.set()
                until(lambda: not taken(well))
                until(lambda: Worker.objects.filter(state=Worker.State.STOPPING).exists())
                assert taken(slow)
                answering.set()
        finally:
            answering.set()
    assert not taken(slow)


# Messages that would go too late, too early or twice


def test_a_message_whose_recipients_all_have_it_is_closed_without_sending():
    """Two sessions had it after each other, and each was accepted for one recipient."""
    with smtp_server() as server:
        profile_for(server)
        (message_id,) = queued(to=["ann@example.com", "bo@example.com"])
        verdict = {"state": "sent", "code": 250, "enhanced": None, "reply": "ok"}
        Message.objects.update(verdicts={"ann@example.com": verdict, "bo@example.com": verdict})
        drained()
        assert server.accepted == 0
    assert state_of(message_id) is SmallState.SENT
    assert not Attempt.objects.exists()


def test_a_slow_answer_outlasts_the_deadline_without_becoming_uncertain(monkeypatch):
    monkeypatch.setattr(drain, "GRACE_SECONDS", 0.2)
    with smtp_server(answers={"DOT": first(lambda: time.sleep(1.5))}) as server:
        profile_for(server, max_connections=1)
        queued()
        with draining(until_empty=False, deadline=0.5) as result:
            pass
        assert server.accepted == 1
    assert (result.report.sent, result.report.uncertain) == (1, 0)


def test_a_message_that_expires_while_its_connection_opens_is_not_sent():
    with smtp_server(answers={"BANNER": first(lambda: time.sleep(1))}) as server:
        profile_for(server)
        (message_id,) = queued(expires_at=timezone.now() + timedelta(hours=1))
        Message.objects.update(expires_at=timezone.now() + timedelta(milliseconds=500))
        drained()
        assert server.accepted == 0
    assert state_of(message_id) is SmallState.EXPIRED


def test_a_slow_greeting_does_not_narrow_the_gap_to_the_next_message():
    sent_at = []
    answers = {
        "BANNER": first(lambda: time.sleep(1.7)),
        "MAIL": lambda _argument: sent_at.append(time.monotonic()),
    }
    with smtp_server(answers=answers) as server:
        profile_for(server, send_offset=2, max_connections=2)
        queued(2)
        assert drained().sent == 2
    assert sent_at[1] - sent_at[0] > 1.75


def test_a_greeting_slower_than_the_moment_allows_is_waited_for_once(monkeypatch):
    monkeypatch.setattr(line, "IDLE_SECONDS", 0.1)  # shorter than the offset, as with one of a minute
    monkeypatch.setattr(tokens, "_AHEAD", 0.1)
    with smtp_server(answers={"BANNER": lambda _argument: time.sleep(0.5)}) as server:
        profile_for(server, send_offset=1, max_connections=1)
        queued()
        assert drained(deadline=60.0).sent == 1


def test_a_quiet_worker_forgives_the_breaker(monkeypatch):
    monkeypatch.setattr(chores, "EASE_SECONDS", 0.0)
    with smtp_server() as server:
        profile = profile_for(server, max_connections=3)
        long_ago = timezone.now() - timedelta(minutes=2)
        ProfileState.objects.create(profile=profile, penalty=2, changed_at=long_ago)
        queued(3)
        drained()
    assert ProfileState.objects.get().penalty == 1
