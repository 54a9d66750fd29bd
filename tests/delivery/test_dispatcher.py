"""The engine on the real PostgreSQL, with real servers on loopback."""

import threading
from base64 import encodebytes
from collections import Counter
from datetime import timedelta
from itertools import count

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from delivery import dispatcher, queue
from delivery.dispatcher import chores, database, drain, lease
from delivery.dispatcher.servers import health
from delivery.dispatcher.servers.server import Server
from delivery.models import (
    Attempt,
    Content,
    Failure,
    Message,
    ProfileState,
    QueueEntry,
    Rate,
    Slot,
    SmallState,
    Stat,
    Worker,
)
from delivery.queue import AttemptResult, Breaker, Paused
from smtp_settings import sealing, wire
from smtp_settings.models import Event, SMTPProfile
from tests.builders import a_profile
from tests.delivery.engine import (
    attempts_of,
    drained,
    draining,
    due_again,
    entry_of,
    queued,
    state_of,
    until,
)
from tests.delivery.queueing import in_threads
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


def profile_for(server, **fields):
    return a_profile(host=server.host, port=server.port, **fields)


def only(answer):
    """An answer for the first command only; then the ordinary one."""
    answers = iter([answer])
    return lambda _argument: next(answers, None)


# What becomes of a message


def test_a_queued_message_is_sent():
    with smtp_server() as server:
        profile = profile_for(server)
        (message_id,) = queued()
        report = drained()
        (received,) = server.messages
    assert (report.sent, report.deferred, report.failed) == (1, 0, 0)
    assert received.rcpt_to == ("bo@example.com",)
    assert received.content.startswith(b"From: shop@example.com\r\nSubject: Report 0\r\n")
    message = Message.objects.get(pk=message_id)
    assert (message.state, message.attempts, message.code) == (SmallState.SENT, 1, 250)
    assert message.profile_id == profile.pk
    assert not Attempt.objects.exists()
    assert not QueueEntry.objects.exists()


def test_a_drain_leaves_no_lease_and_no_slot_behind():
    with smtp_server() as server:
        profile_for(server)
        queued(5)
        drained()
    assert not Worker.objects.exclude(state=Worker.State.DEAD).exists()
    assert not Slot.objects.filter(worker_id__isnull=False).exists()


def test_a_temporary_refusal_is_retried_and_then_sent():
    with smtp_server(answers={"DOT": only("451 4.3.0 Try later")}) as server:
        profile_for(server, retry_delay=60)
        (message_id,) = queued()
        assert drained().deferred == 1
        entry = entry_of(message_id)
        assert entry.attempts == 1
        assert timedelta(seconds=40) < entry.ready_at - timezone.now() < timedelta(seconds=75)
        due_again(message_id)
        assert drained().sent == 1
        assert len(server.messages) == 1
    (attempt,) = attempts_of(message_id)
    assert (attempt.outcome, attempt.phase, attempt.code, attempt.enhanced) == (
        AttemptResult.RETRY,
        "dot",
        451,
        "4.3.0",
    )
    assert Message.objects.get(pk=message_id).attempts == 2


def test_retries_used_up_fail_the_message_with_the_reply():
    with smtp_server(answers={"MAIL": "451 4.3.0 Try later"}) as server:
        profile_for(server, max_retries=1)
        (message_id,) = queued()
        drained()
        due_again(message_id)
        assert drained().failed == 1
    message = Message.objects.get(pk=message_id)
    assert (message.state, message.attempts, message.code) == (SmallState.FAILED, 2, 451)
    assert message.reply == "Try later"


def test_a_permanent_refusal_fails_the_message_at_once():
    with smtp_server(answers={"RCPT": "550 5.1.1 No such user"}) as server:
        profile_for(server)
        (message_id,) = queued()
        assert drained().failed == 1
        assert server.messages == []
    message = Message.objects.get(pk=message_id)
    assert (message.state, message.code, message.enhanced) == (SmallState.FAILED, 550, "5.1.1")
    (attempt,) = attempts_of(message_id)
    assert (attempt.outcome, attempt.phase) == (AttemptResult.FAILED, "rcpt")


def refusing(**replies):
    """An answer to RCPT by the local part of the recipient."""
    return lambda argument: next((reply for part, reply in replies.items() if f"<{part}@" in argument), None)


def test_a_partial_refusal_keeps_each_recipients_verdict():
    answers = {"RCPT": refusing(busy="450 4.2.1 Busy", gone="550 5.1.1 No such user")}
    with smtp_server(answers=answers) as server:
        profile_for(server)
        (message_id,) = queued(to=("ann@example.com", "busy@example.com", "gone@example.com"))
        assert drained().deferred == 1
        verdicts = Message.objects.get(pk=message_id).verdicts
        assert {address: verdict["state"] for address, verdict in verdicts.items()} == {
            "ann@example.com": "sent",
            "gone@example.com": "failed",
        }
        server.answers.clear()
        due_again(message_id)
        drained()
        assert [received.rcpt_to for received in server.messages] == [
            ("ann@example.com",),
            ("busy@example.com",),
        ]
    assert state_of(message_id) is SmallState.FAILED  # one recipient never got it: that needs a person
    assert Message.objects.get(pk=message_id).verdicts["busy@example.com"]["state"] == "sent"


def test_too_many_recipients_follow_at_once():
    seen = []

    def at_most_two(argument):
        seen.append(argument)
        return "452 4.5.3 Too many recipients" if len(seen) == 3 else None

    with smtp_server(answers={"RCPT": at_most_two}) as server:
        profile_for(server)
        (message_id,) = queued(to=("a@example.com", "b@example.com", "c@example.com"))
        drained()
        assert [received.rcpt_to for received in server.messages] == [
            ("a@example.com", "b@example.com"),
            ("c@example.com",),
        ]
    assert state_of(message_id) is SmallState.SENT
    assert Message.objects.get(pk=message_id).attempts <= 2


def test_a_debug_recipient_rides_along_and_its_refusal_fails_nothing():
    with smtp_server(answers={"RCPT": refusing(debug="550 5.1.1 No such user")}) as server:
        profile_for(server, debug_recipients=["debug@example.com"])
        (message_id,) = queued()
        drained()
        assert "RCPT TO:<debug@example.com>" in server.commands
        assert b"debug@example.com" not in server.messages[0].content
    assert state_of(message_id) is SmallState.SENT


def test_a_message_past_its_expiry_is_never_sent():
    with smtp_server() as server:
        profile_for(server)
        (message_id,) = queued(expires_at=timezone.now() + timedelta(hours=1))
        Message.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        drained()
        assert server.messages == []
    assert state_of(message_id) is SmallState.EXPIRED


def test_scheduled_mail_is_left_alone():
    with smtp_server() as server:
        profile_for(server)
        queued(send_at=timezone.now() + timedelta(hours=1))
        assert drained().sent == 0
        assert server.messages == []


# Servers


def closed_port():
    with smtp_server() as server:
        return server.port


def test_a_server_that_is_down_costs_nothing_and_another_takes_the_mail():
    with smtp_server() as server:
        down = a_profile(host="127.0.0.1", port=closed_port(), is_default=True)
        up = profile_for(server, priority="low")
        ids = queued(20)
        assert drained().sent == 20
    assert set(Message.objects.filter(pk__in=ids).values_list("profile_id", "attempts")) == {(up.pk, 1)}
    state = ProfileState.objects.get(pk=down.pk)
    assert state.breaker == Breaker.OPEN
    assert Event.objects.filter(kind="server.breaker_opened", profile_id=down.pk).count() == 1
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {AttemptResult.RELEASED}


def test_mail_waits_uncounted_while_the_only_server_is_down():
    a_profile(host="127.0.0.1", port=closed_port())
    (message_id,) = queued()
    report = drained()
    assert (report.sent, report.deferred, report.is_work_left) == (0, 0, False)
    entry = entry_of(message_id)
    assert (entry.attempts, entry.drops, entry.lease_id) == (0, 0, None)


def test_a_server_that_is_back_is_tried_with_one_message_and_used_again():
    with smtp_server() as server:
        profile = profile_for(server)
        queue.open_breaker(profile.pk, reason="test")
        ProfileState.objects.update(open_until=timezone.now())
        queued(30)
        assert drained().sent == 30
    assert ProfileState.objects.get().breaker == Breaker.CLOSED
    assert Event.objects.filter(kind="server.breaker_closed").exists()


def test_a_refused_sign_in_pauses_the_profile():
    with smtp_server(auth=("shop", "right")) as server:
        profile = profile_for(server, password="wrong")
        ids = queued(50)
        drained()
        sign_ins = [verb for verb in server.verbs() if verb == "AUTH"]
    state = ProfileState.objects.get(pk=profile.pk)
    assert state.paused == Paused.FAULT
    assert len(sign_ins) <= profile.max_connections
    assert set(QueueEntry.objects.filter(pk__in=ids).values_list("attempts", "lease_id")) == {(0, None)}
    assert "wrong" not in state.reason


@pytest.mark.parametrize("ahead", [timedelta(hours=-1), timedelta(), timedelta(hours=1)])
def test_a_profile_paused_for_a_fault_is_used_again_when_it_is_saved_by_any_clock(ahead):
    """The host that saves may be ahead of the database, or behind it."""
    with smtp_server(answers={"MAIL": only("530 5.7.0 Sign in first")}) as server:
        profile = profile_for(server)
        SMTPProfile.objects.update(changed_at=timezone.now() + ahead)
        queued()
        assert drained().sent == 0
        queued(2)
        assert drained().sent == 0
        assert ProfileState.objects.get().paused == Paused.FAULT
        SMTPProfile.objects.filter(pk=profile.pk).update(version=F("version") + 1)
        assert drained().sent == 3


def test_settings_that_are_corrected_while_they_are_refused_pause_nothing():
    """The worker knows the old ones until it reads the profile again."""
    saved = []

    def answer(_argument):
        if saved:
            return None
        saved.extend(in_threads(lambda: SMTPProfile.objects.update(version=F("version") + 1)))
        return "530 5.7.0 Sign in first"

    with smtp_server(answers={"MAIL": answer}) as server:
        profile_for(server)
        queued(3)
        assert drained().sent == 3
    assert not Event.objects.filter(kind="server.paused").exists()


def test_a_profile_paused_by_a_person_stays_so():
    with smtp_server() as server:
        profile = profile_for(server)
        queue.pause(profile.pk, Paused.PERSON, reason="Holidays")
        queued()
        SMTPProfile.objects.get(pk=profile.pk).save()
        assert drained().sent == 0


def test_settings_changed_behind_the_gate_never_reach_the_wire():
    with smtp_server() as tested, smtp_server() as other:
        profile_for(tested)
        (message_id,) = queued()
        SMTPProfile.objects.update(port=other.port)
        assert drained().sent == 0
        assert tested.sessions == other.sessions == 0
    assert entry_of(message_id).attempts == 0


def test_a_busy_default_passes_the_rest_to_high_before_low():
    with smtp_server() as first, smtp_server() as second, smtp_server() as third:
        profile_for(first, is_default=True, max_connections=1, on_uncertain="hold")
        profile_for(second, priority="high", max_connections=1, on_uncertain="hold")
        profile_for(third, priority="low", max_connections=1, on_uncertain="hold")
        queued(1)
        drained()
        assert (first.accepted, second.accepted, third.accepted) == (1, 0, 0)
        queued(40)
        drained()
        assert first.accepted + second.accepted + third.accepted == 41
        assert first.accepted > 1
        assert second.accepted


def test_a_pinned_message_leaves_by_its_profile_only():
    with smtp_server() as default, smtp_server() as other:
        profile_for(default, is_default=True)
        profile_for(other, name="Other")
        queued(5, profile="Other")
        drained()
        assert (default.accepted, other.accepted) == (0, 5)


def test_a_refused_sender_is_tried_at_one_other_server():
    answers = {"MAIL": "550 5.7.1 Not your address"}
    with smtp_server(answers=answers) as strict, smtp_server() as other:
        profile_for(strict, is_default=True)
        profile_for(other)
        (message_id,) = queued()
        drained()
        assert other.accepted == 1
    assert state_of(message_id) is SmallState.SENT


def test_a_sender_refused_everywhere_fails():
    with smtp_server(answers={"MAIL": "550 5.7.1 Not your address"}) as strict:
        profile_for(strict, is_default=True)
        profile_for(strict)
        (message_id,) = queued()
        drained()
        assert strict.verbs().count("MAIL") == 2
    assert state_of(message_id) is SmallState.FAILED


def test_a_crowded_server_gets_fewer_connections_and_a_rest(monkeypatch):
    monkeypatch.setattr(health, "_REST_SECONDS", 0.2)
    with smtp_server(answers={"MAIL": only("421 4.7.0 Too many connections")}) as server:
        profile = profile_for(server, max_connections=4)
        queued(10)
        assert drained().sent == 10
    assert ProfileState.objects.get(pk=profile.pk).connections < 4
    assert ProfileState.objects.get(pk=profile.pk).breaker == Breaker.CLOSED


def test_a_secret_that_does_not_open_keeps_mail_waiting(monkeypatch):
    """The key is lost between the look at the profiles and the sign-in."""
    with smtp_server(auth=("shop", "right")) as server:
        profile_for(server, password="right")
        (message_id,) = queued()

        def unreadable(profile_id, version):
            raise sealing.KeyMissing("The key is missing.")

        monkeypatch.setattr(wire, "transport_of", unreadable)
        assert drained().sent == 0
        assert server.sessions == 0
    assert (entry_of(message_id).attempts, entry_of(message_id).lease_id) == (0, None)


def test_large_parts_are_read_once_per_worker(monkeypatch):
    read, part = [], b"report" * 50_000
    load_blobs = queue.load_blobs
    monkeypatch.setattr(queue, "load_blobs", lambda ids: read.extend(ids) or load_blobs(ids))
    with smtp_server() as server:
        profile_for(server, max_connections=1)
        queued(3, attachment=part)
        assert drained().sent == 3
        wire_bytes = encodebytes(part)[:-1].replace(b"\n", b"\r\n")
        assert all(wire_bytes in received.content for received in server.messages)
    assert len(read) == 1


# Sessions, statements, transactions


def test_sessions_are_used_again_across_batches():
    with smtp_server() as server:
        profile_for(server, max_connections=2, messages_per_connection=1000)
        queued(100)
        drained(batch_size=10)
        assert server.accepted == 100
        assert server.sessions <= 2


def test_mail_that_trickles_uses_one_session():
    stop = threading.Event()
    with smtp_server() as server:
        profile_for(server, max_connections=4)
        with draining(until_empty=False, stop=stop):
            for sent in range(1, 4):
                queued()
                server.wait_for(sent)
            stop.set()
        assert server.sessions == 1


def test_a_session_ends_after_the_profiles_number_of_messages():
    with smtp_server() as server:
        profile_for(server, max_connections=1, messages_per_connection=10)
        queued(30)
        drained()
        assert server.sessions == 3


def test_there_are_never_more_connections_than_the_profile_allows():
    with smtp_server() as server:
        profile_for(server, max_connections=3)
        queued(200)
        workers = [threading.Thread(target=drained) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert server.accepted == 200
        assert server.most_talking <= 3


def test_a_claim_asks_only_the_servers_of_its_route(monkeypatch):
    """With two hundred profiles it would cost the square of that to ask all of them for each."""
    room, asked = Server.room, Counter()

    def counted(self):
        asked[self.profile_id] += 1
        return room.fget(self)

    with smtp_server() as server:
        names = [profile_for(server, name=f"P{n}").name for n in range(20)]
        for name in names:
            queued(profile=name)
        monkeypatch.setattr(Server, "room", property(counted))
        report = drained()
        assert report.sent == server.accepted == len(names)
    assert max(asked.values()) < 10, asked  # 21 where each claim asked them all


def test_a_message_costs_less_than_a_fifth_of_a_statement():
    with smtp_server(keep=False) as server:
        profile_for(server)
        queued(500)
        report = drained(batch_size=100)
    assert report.sent == 500
    # Beside them go those of the clock: looks, signs of life, outcomes that must not wait for more.
    assert report.statements - 10 * report.seconds < 0.2 * 500


def test_no_transaction_is_open_while_the_server_thinks():
    answering = threading.Event()
    asked = threading.Event()

    def slowly(_argument):
        asked.set()
        answering.wait(60)

    with smtp_server(answers={"DOT": slowly}) as server:
        profile_for(server)
        queued(3)
        with draining():
            try:
                assert asked.wait(60)
                assert sessions_and_transactions()[0] >= 1
                until(lambda: sessions_and_transactions()[1] == 0)  # upkeep has short ones beside the mail
            finally:
                answering.set()


def sessions_and_transactions():
    """The other sessions of the test's database, and how many of them are in a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE xact_start IS NOT NULL)"
            " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        return cursor.fetchone()


def test_a_lost_database_connection_loses_and_doubles_nothing():
    with smtp_server() as server:
        profile_for(server)
        queued(200)
        with draining() as result:
            for accepted in (20, 80, 140):
                server.wait_for(accepted)
                with connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
        assert server.accepted == 200
    assert result.report.sent == 200
    assert not QueueEntry.objects.exists()
    assert set(Message.objects.values_list("state", flat=True)) == {SmallState.SENT}


def test_the_statistics_know_what_was_sent():
    with smtp_server() as server:
        profile = profile_for(server)
        queued(7)
        drained()
    (row,) = Stat.objects.all()
    assert (row.profile_id, row.sent) == (profile.pk, 7)
    assert row.connects >= 1
    assert row.bytes > 7 * 100


# Uncertain mail, crashes, bugs


def lost_at_the_dot(server):
    """An answer to the dot that never comes: the connection ends first."""

    def vanish(_argument):
        raise ConnectionResetError

    return {"DOT": vanish}


def test_a_message_without_an_answer_to_its_dot_is_sent_again_after_a_pause():
    with smtp_server() as server:
        server.answers |= lost_at_the_dot(server)
        profile_for(server)
        (message_id,) = queued()
        assert drained().uncertain == 1
        entry = entry_of(message_id)
    assert entry.uncertain
    assert entry.ready_at - timezone.now() > timedelta(minutes=9)
    assert [attempt.outcome for attempt in attempts_of(message_id)] == [AttemptResult.UNCERTAIN]


def test_an_uncertain_message_is_held_where_the_profile_says_so():
    with smtp_server() as server:
        server.answers |= lost_at_the_dot(server)
        profile_for(server, on_uncertain="hold")
        (message_id,) = queued()
        drained()
    assert state_of(message_id) is SmallState.HELD
    assert Failure.objects.get().uncertain  # so that it is listed, and the pages warn before it goes again


def test_an_idle_connection_the_server_closed_is_nobodys_fault():
    with smtp_server() as server:
        profile_for(server, max_connections=1)
        stop = threading.Event()
        with draining(until_empty=False, stop=stop):
            queued()
            server.wait_for(1)
            server.drop_connections()
            queued()
            server.wait_for(2)
            stop.set()
        assert server.sessions == 2
    assert not Attempt.objects.exists()


def test_a_connection_lost_as_it_is_used_again_is_opened_once_more_without_blame():
    mails = count(1)

    def gone_at_the_second(_argument):
        if next(mails) == 2:
            raise ConnectionResetError

    with smtp_server(answers={"MAIL": gone_at_the_second}) as server:
        profile_for(server, max_connections=1)
        queued(3)
        assert drained().sent == 3
        assert server.sessions == 2
    assert not Attempt.objects.exists()


def test_an_answer_that_outlasts_the_grace_leaves_the_message_uncertain(monkeypatch):
    monkeypatch.setattr(drain, "GRACE_SECONDS", 0.2)
    answering, asked, stop = threading.Event(), threading.Event(), threading.Event()

    def slowly(_argument):
        asked.set()
        answering.wait(60)

    with smtp_server(answers={"DOT": slowly}) as server:
        profile_for(server, max_connections=1)
        (message_id,) = queued()
        with draining(stop=stop) as result:
            assert asked.wait(60)
            stop.set()
            result.thread.join(50)
            answering.set()
    assert entry_of(message_id).uncertain
    (attempt,) = attempts_of(message_id)
    assert (attempt.outcome, attempt.phase) == (AttemptResult.UNCERTAIN, "dot")


def test_clean_time_forgives_the_breaker(monkeypatch):
    monkeypatch.setattr(health, "_CLEAN_SECONDS", 0.0)
    monkeypatch.setattr(chores, "EASE_SECONDS", 0.0)
    with smtp_server() as server:
        profile = profile_for(server, max_connections=3)
        ProfileState.objects.create(profile=profile, penalty=2)
        queued(30)
        drained(batch_size=5)
    assert ProfileState.objects.get().penalty == 0


def test_what_a_dead_worker_held_comes_back_one_by_one():
    with smtp_server() as server:
        profile_for(server)
        ids = queued(5)
        dead = queue.register_worker()
        lanes = [queue.Lane(lane.pool.id, lane.priority) for lane in queue.ready_lanes()]
        assert len(queue.claim(dead, lanes, [1] * 5)) == 5
        Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
        assert drained().sent == 5
    assert {state_of(message_id) for message_id in ids} == {SmallState.SENT}
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {AttemptResult.LOST}


def test_a_worker_declared_dead_completes_nothing_more(monkeypatch):
    beats, waiting, asked = count(1), threading.Event(), threading.Event()
    last = [0]
    heartbeat = queue.heartbeat

    def counted(*args, **kwargs):
        last[0] = next(beats)
        return heartbeat(*args, **kwargs)

    def hold(_argument):
        asked.set()
        waiting.wait(60)

    monkeypatch.setattr(database, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(queue, "heartbeat", counted)
    with smtp_server(answers={"MAIL": hold}, pipelining=False) as server:
        profile_for(server, max_connections=1)
        queued()
        with draining() as result:
            assert asked.wait(60)
            Worker.objects.update(state=Worker.State.DEAD)
            before = last[0]
            until(lambda: last[0] >= before + 3)
            waiting.set()
        assert server.messages == []
    assert result.report.was_fenced


def test_without_a_recent_heartbeat_nothing_is_claimed(monkeypatch):
    monkeypatch.setattr(lease, "MARGIN", 100.0)
    with smtp_server() as server:
        profile_for(server)
        (message_id,) = queued()
        dispatcher.run(deadline=0.5)
        assert server.sessions == 0
    assert entry_of(message_id).lease_id is None


def test_a_message_our_own_code_cannot_handle_is_held_at_the_third_time():
    with smtp_server() as server:
        profile_for(server)
        good = queued(3)
        (bad,) = queued()
        Content.objects.filter(pk=bad).update(cuts=[5])  # and no part to go in there
        for _ in range(3):
            drained()
            QueueEntry.objects.update(ready_at=timezone.now())
        assert server.accepted == 3
    assert state_of(bad) is SmallState.HELD
    assert {state_of(message_id) for message_id in good} == {SmallState.SENT}
    assert [attempt.reply for attempt in attempts_of(bad)] == ["Internal error: ValueError"] * 3


def test_a_stop_gives_back_what_was_not_begun():
    answering, asked = threading.Event(), threading.Event()

    def slowly(_argument):
        asked.set()
        answering.wait(60)

    stop = threading.Event()
    with smtp_server(answers={"DOT": slowly}) as server:
        profile_for(server, max_connections=1)
        queued(20)
        with draining(stop=stop) as result:
            assert asked.wait(60)
            stop.set()
            until(lambda: QueueEntry.objects.filter(lease_id__isnull=False).count() == 1)
            answering.set()
        assert server.accepted == 1
    assert result.report.sent == 1
    assert not QueueEntry.objects.filter(lease_id__isnull=False).exists()
    assert not Attempt.objects.exists()


# Limits


def test_a_send_offset_spaces_messages():
    with smtp_server() as server:
        profile_for(server, send_offset=1)
        queued(3)
        started = timezone.now()
        drained()
        assert server.accepted == 3
    # one offset before the first, too
    assert timezone.now() - started > timedelta(seconds=2.9)


def test_a_send_offset_may_be_longer_than_a_drain():
    with smtp_server() as server:
        profile_for(server, send_offset=3)
        queued()
        until(lambda: dispatcher.run(deadline=0.4, linger=0.2).sent)
        assert server.accepted == 1


def test_a_server_that_had_no_turn_keeps_its_quota():
    with smtp_server() as first, smtp_server() as second:
        profile_for(first, is_default=True, per_hour=100)
        backup = profile_for(second, per_day=100)
        queued()
        assert drained().sent == first.accepted == 1
    rate = Rate.objects.get(profile_id=backup.pk)
    assert rate.tat - timezone.now() < rate.emission / 2


def test_a_limit_per_minute_lets_one_seconds_worth_go_at_once():
    with smtp_server() as server:
        profile_for(server, per_minute=600)
        queued(15)
        started = timezone.now()
        drained()
        assert server.accepted == 15
    assert timezone.now() - started > timedelta(milliseconds=400)
