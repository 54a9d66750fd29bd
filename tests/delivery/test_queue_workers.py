"""Worker sessions: what they tell each other, and what is taken from dead ones."""

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from delivery import models, queue
from smtp_settings.models import Event
from tests.delivery.queueing import (
    a_row_of_profile,
    claimed,
    enqueued,
    entry,
    in_threads,
    make_due,
    outcomes_of,
    silence,
    state_of,
    statements,
)

pytestmark = pytest.mark.django_db


def worker(lease):
    return models.Worker.objects.get(pk=lease)


def test_a_session_has_a_lease_of_its_own_and_says_who_it_is():
    first, second = queue.register_worker(), queue.register_worker()

    assert first != second
    assert (worker(first).pid, worker(first).state) == (os.getpid(), queue.WorkerState.LIVE)
    assert worker(first).host
    assert worker(first).boot_id == worker(second).boot_id


def test_without_a_boot_id_it_is_empty(monkeypatch):
    monkeypatch.setattr("delivery.queue.workers._BOOT_ID", "/nowhere/boot_id")

    assert worker(queue.register_worker()).boot_id == ""


def test_a_beat_says_we_live_and_tells_what_a_worker_must_know():
    profile = a_row_of_profile(cleared_fingerprint="abc", version=3)
    queue.set_limits(profile.pk, queue.Limits(connections=2))
    queue.open_breaker(profile.pk, reason="down")
    other, lease = queue.register_worker(), queue.register_worker()
    queue.take_slots(other, profile.pk, limit=2, want=1)
    silence(lease)

    with statements() as seen:
        beat = queue.heartbeat(lease, [profile.pk])

    assert worker(lease).heartbeat_at == beat.db_now
    assert beat.peers == (queue.Peer(other, []), queue.Peer(lease, [profile.pk]))
    assert beat.versions == {profile.pk: (3, "abc")}
    assert beat.states[profile.pk].breaker is queue.Breaker.OPEN
    assert beat.slots == {profile.pk: queue.SlotCount(profile.pk, total=2, free=1)}
    assert len(seen) == 5


def test_a_stopping_session_beats_but_is_no_peer():
    lease = queue.register_worker()

    queue.stop_worker(lease)

    assert queue.heartbeat(lease).peers == ()
    assert worker(lease).state == queue.WorkerState.STOPPING


def test_a_session_declared_dead_learns_it_with_its_next_beat():
    lease = queue.register_worker()
    silence(lease)
    queue.reclaim()

    assert queue.heartbeat(lease) is None
    assert worker(lease).state == queue.WorkerState.DEAD


def test_a_session_that_ends_frees_its_connections_and_its_probe():
    profile = a_row_of_profile()
    queue.set_limits(profile.pk, queue.Limits(connections=1))
    lease = queue.register_worker()
    queue.take_slots(lease, profile.pk, limit=1, want=1)
    queue.open_breaker(profile.pk)
    models.ProfileState.objects.update(open_until=timezone.now() - timedelta(minutes=1))
    queue.begin_probe(profile.pk, lease)

    queue.retire_worker(lease)

    assert worker(lease).state == queue.WorkerState.DEAD
    other = queue.register_worker()
    assert queue.take_slots(other, profile.pk, limit=1, want=1) == [1]
    assert queue.begin_probe(profile.pk, other) is not None


# Reclaim


def test_a_silent_sessions_messages_come_back_as_suspects():
    lease = queue.register_worker()
    first, second = enqueued(2, priority=3)
    claimed(lease, 2, profile_id=7)
    silence(lease)

    reclaimed = queue.reclaim()

    assert (reclaimed.worker_ids, reclaimed.messages, reclaimed.held) == ((lease,), 2, ())
    row = entry(first)
    assert (row.lease_id, row.profile_id, row.last_profile_id) == (None, None, 7)
    assert (row.crashes, row.priority, row.attempts) == (1, 13, 0)
    assert outcomes_of(first) == outcomes_of(second) == [queue.AttemptResult.LOST]
    (again, _) = claimed(queue.register_worker(), 2)
    assert (again.priority, again.crashes) == (13, 1)


def test_a_session_that_beat_last_before_the_clock_went_back_is_silent():
    lease, own = queue.register_worker(), queue.register_worker()
    models.Worker.objects.filter(pk=lease).update(heartbeat_at=timezone.now() + timedelta(hours=1))

    assert queue.reclaim(lease=own).worker_ids == (lease,)


def test_who_was_not_heard_of_lately_buries_nobody():
    one, two = queue.register_worker(), queue.register_worker()
    models.Worker.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))

    assert queue.reclaim(lease=one) is None
    assert queue.heartbeat(one).silence > timedelta(minutes=59)
    assert queue.heartbeat(two) is not None
    assert queue.reclaim(lease=one) == queue.Reclaimed()


def test_a_live_sessions_messages_are_left_alone():
    lease = queue.register_worker()
    (message_id,) = enqueued()
    claimed(lease)

    assert queue.reclaim() == queue.Reclaimed()

    assert entry(message_id).lease_id == lease
    assert not Event.objects.exists()


def test_a_dead_sessions_connections_and_probe_are_free_again():
    profile = a_row_of_profile()
    queue.set_limits(profile.pk, queue.Limits(connections=3))
    lease = queue.register_worker()
    queue.take_slots(lease, profile.pk, limit=3, want=2)
    queue.open_breaker(profile.pk)
    models.ProfileState.objects.update(open_until=timezone.now() - timedelta(minutes=1))
    queue.begin_probe(profile.pk, lease)
    silence(lease)

    assert queue.reclaim().slots == 2

    state = queue.profile_states([profile.pk])[profile.pk]
    assert (state.breaker, state.probe_worker_id) == (queue.Breaker.OPEN, None)
    assert timezone.now() < state.open_until <= timezone.now() + timedelta(seconds=15)
    assert not models.Slot.objects.filter(worker_id=lease).exists()


def test_one_event_says_what_was_taken_back():
    lease = queue.register_worker()
    enqueued(2)
    claimed(lease, 2)
    silence(lease)

    queue.reclaim()
    queue.reclaim()

    event = Event.objects.get()
    assert (event.kind, event.level, event.worker_id) == ("worker.lost", "warning", lease)
    assert event.data == {"workers": [lease], "messages": 2, "slots": 0, "held": []}


def test_three_crashes_hold_the_culprit_and_no_other():
    culprit, innocent = enqueued(2)
    for crash in range(3):
        lease = queue.register_worker()
        ids = [message.message_id for message in claimed(lease, 2 if crash == 0 else 1)]
        assert culprit in ids
        silence(lease)
        reclaimed = queue.reclaim()
        make_due([culprit])

    assert reclaimed.held == (culprit,)
    assert state_of(culprit) == queue.SmallState.HELD
    assert models.Failure.objects.get().cause == "crashes"
    assert Event.objects.latest("id").data["held"] == [culprit]
    assert (entry(innocent).crashes, state_of(innocent)) == (1, queue.SmallState.QUEUED)
    assert outcomes_of(culprit) == ["lost"] * 3


def test_a_suspect_that_survives_goes_back_to_its_lane():
    lease = queue.register_worker()
    (message_id,) = enqueued()
    claimed(lease)
    silence(lease)
    queue.reclaim()
    make_due([message_id])
    lease = queue.register_worker()
    claimed(lease)

    queue.settle(lease, [queue.Settled(message_id, 7)])
    assert entry(message_id).priority == 12  # released: nothing was proven
    claimed(lease)
    queue.settle(lease, [queue.Settled(message_id, 7, counted=1)])
    assert entry(message_id).priority == 2


def test_a_profile_whose_policy_is_to_hold_gets_its_messages_held():
    profile = a_row_of_profile(on_uncertain="hold")
    lease = queue.register_worker()
    (message_id,) = enqueued()
    claimed(lease, profile_id=profile.pk)
    silence(lease)

    assert queue.reclaim().held == (message_id,)

    assert models.Failure.objects.get().cause == "worker_lost"
    assert queue.put_back([message_id]) == {message_id}


def test_a_worker_row_deleted_by_hand_leaves_nothing_behind():
    profile = a_row_of_profile()
    queue.set_limits(profile.pk, queue.Limits(connections=1))
    lease = queue.register_worker()
    (message_id,) = enqueued()
    claimed(lease)
    queue.take_slots(lease, profile.pk, limit=1, want=1)
    models.Worker.objects.all().delete()

    reclaimed = queue.reclaim()

    assert (reclaimed.worker_ids, reclaimed.messages, reclaimed.slots) == ((lease,), 1, 1)
    assert entry(message_id).lease_id is None


def test_a_session_that_ended_with_work_in_hand_loses_it():
    lease = queue.register_worker()
    (message_id,) = enqueued()
    claimed(lease)
    queue.retire_worker(lease)

    queue.reclaim()

    assert entry(message_id).lease_id is None


@pytest.mark.django_db(transaction=True)
def test_several_who_reclaim_at_once_take_everything_back_once():
    lease = queue.register_worker()
    ids = enqueued(50)
    claimed(lease, 50)
    silence(lease)

    answers = in_threads(*[queue.reclaim] * 4)

    assert sum(answer.messages for answer in answers if answer) == 50
    assert {entry(message_id).crashes for message_id in ids} == {1}
    assert Event.objects.count() == 1
