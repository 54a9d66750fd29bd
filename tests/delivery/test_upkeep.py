"""Retention: what goes, what never goes, and what happens beside people and workers."""

from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F, Sum
from django.utils import timezone

from delivery import models, queue, upkeep
from delivery.upkeep import Retention
from smtp_settings.models import Event, TestRun
from tests.builders import a_profile, a_user
from tests.delivery.queueing import (
    a_handover,
    claimed,
    composed,
    enqueued,
    in_threads,
    on_another_connection,
    silence,
    state_of,
)

pytestmark = pytest.mark.django_db

CONFIGURED = Retention()
LARGE = b"x" * 70_000 + b"\r\n"


def purged(retention=CONFIGURED, **options):
    """Purge; how many rows of each kind went."""
    removed = Counter()
    for part in upkeep.purge(retention, **options):
        removed[part.kind] += part.removed
    return {kind: count for kind, count in removed.items() if count}


def aged(days, *message_ids):
    """Let messages be so many days older, with all that tells of them."""
    ago = timedelta(days=days)
    messages = models.Message.objects.filter(pk__in=message_ids)
    messages.update(created_at=F("created_at") - ago, done_at=F("done_at") - ago)
    models.Failure.objects.filter(pk__in=message_ids).update(at=F("at") - ago)
    models.Attempt.objects.filter(message_id__in=message_ids).update(at=F("at") - ago)
    Event.objects.filter(message_id__in=message_ids).update(at=F("at") - ago)


def ended(state, *, days=0, **options):
    """A message that ended so, so many days ago; its id."""
    (message_id,) = enqueued(**options)
    lease = queue.register_worker()
    queue.claim(lease, [_lane(message_id)], [7])
    queue.finish(lease, [queue.Finished(message_id, state, counted=1)])
    aged(days, message_id)
    return message_id


def _lane(message_id):
    row = models.QueueEntry.objects.get(pk=message_id)
    return queue.Lane(row.pool_id, row.priority)


def is_kept(message_id):
    """Whether the message and its content are there."""
    return (
        models.Message.objects.filter(pk=message_id).exists(),
        models.Content.objects.filter(pk=message_id).exists(),
    )


S = queue.SmallState
WHOLE, EMPTY, GONE = (True, True), (True, False), (False, False)
# state, days since the end, what is left
CASES = [
    (S.SENT, 6, WHOLE),
    (S.SENT, 8, EMPTY),
    (S.SENT, 89, EMPTY),
    (S.SENT, 91, GONE),
    (S.CANCELLED, 8, EMPTY),
    (S.CANCELLED, 91, GONE),
    (S.SUPPRESSED, 8, EMPTY),
    (S.SUPPRESSED, 91, GONE),
    (S.FAILED, 8, WHOLE),
    (S.FAILED, 364, WHOLE),
    (S.FAILED, 366, GONE),
    (S.EXPIRED, 364, WHOLE),
    (S.EXPIRED, 366, GONE),
    (S.HELD, 3000, WHOLE),
]


@pytest.mark.parametrize(("state", "days", "left"), CASES)
def test_contents_go_first_then_messages_and_failures_with_all_they_have(state, days, left):
    message_id = ended(state, days=days)

    purged()

    assert is_kept(message_id) == left
    assert models.Failure.objects.filter(pk=message_id).exists() == (left == WHOLE and state != S.SENT)


def test_what_waits_is_never_removed_however_old():
    (waiting,), (leased,) = enqueued(), enqueued()
    queue.claim(queue.register_worker(), [_lane(leased)], [7])
    aged(3000, waiting, leased)

    assert purged() == {}
    assert is_kept(waiting) == is_kept(leased) == WHOLE


def test_a_state_that_lies_removes_nothing_that_is_queued_or_listed():
    (queued,) = enqueued()
    held = ended(S.HELD)
    models.Message.objects.filter(pk__in=[queued, held]).update(
        state=S.SENT, done_at=timezone.now() - timedelta(days=3000)
    )
    aged(3000, queued, held)

    assert purged() == {}
    assert is_kept(queued) == is_kept(held) == WHOLE


def test_never_removes_nothing():
    message_id = ended(S.SENT, days=3000)
    forever = Retention(**dict.fromkeys(["content", "sent", "cancelled", "suppressed", "attempts", "events"]))

    assert purged(forever) == {}
    assert is_kept(message_id) == WHOLE


def test_each_state_has_a_time_of_its_own():
    sent, cancelled = ended(S.SENT, days=20), ended(S.CANCELLED, days=20)

    purged(Retention(content=None, sent=30, cancelled=10))

    assert (is_kept(sent), is_kept(cancelled)) == (WHOLE, GONE)


def test_one_state_alone_is_purged():
    sent, failed = ended(S.SENT, days=3000), ended(S.FAILED, days=3000)
    Event.objects.create(kind="profile.saved")
    Event.objects.update(at=timezone.now() - timedelta(days=3000))

    assert purged(states=["failed"]) == {"failures": 1}
    assert (is_kept(sent), is_kept(failed)) == (WHOLE, GONE)
    assert Event.objects.exists()


def test_a_rehearsal_counts_what_would_go_and_leaves_it():
    everything_over()
    with connection.cursor() as cursor:
        before = rows_of_everything(cursor)

        counted = purged(is_rehearsal=True)

        assert rows_of_everything(cursor) == before
    assert purged() == counted | {"contents": 1, "messages": 1, "blobs": 1}


def everything_over():
    """One row of each kind that is past its time."""
    message_id = ended(S.SENT, days=3000, composed=composed(cuts=(60,), blobs=(LARGE,)))
    ended(S.FAILED, days=3000)
    models.Content.objects.filter(pk=message_id).update(blob_ids=[])  # or its blob would only go afterwards
    long_ago = timezone.now() - timedelta(days=3000)
    models.Blob.objects.update(last_used_on=long_ago.date())
    queue.record([queue.Tried(message_id, 1, 7, 1, "rcpt", queue.AttemptResult.RETRY)])
    models.Attempt.objects.update(at=long_ago)
    Event.objects.create(kind="profile.saved")
    Event.objects.update(at=long_ago)
    models.Incident.objects.create(kind="paused", began_at=long_ago, ended_at=long_ago)
    models.WebhookCall.objects.create(body="{}", created_at=long_ago, due_at=None)
    a_run(None, 3000)
    models.BulkJob.objects.create(action="retry", upper_id=1, created_at=long_ago, ended_at=long_ago)
    queue.add_stats([queue.StatRow(long_ago, 7, 1, sent=1)])
    models.Backlog.objects.create(minute=long_ago.replace(minute=5), waiting=1)
    models.Worker.objects.update(started_at=long_ago, heartbeat_at=long_ago, state=models.Worker.State.DEAD)
    enqueued(idempotency_key="order-1")
    models.IdempotencyKey.objects.update(expires_at=long_ago)


def rows_of_everything(cursor):
    tables = [models.Message, models.Content, models.Blob, models.Attempt, models.Stat, models.Worker]
    tables += [models.Failure, models.IdempotencyKey, models.Incident, models.WebhookCall, Event, TestRun]
    tables += [models.BulkJob, models.Backlog]
    return [tuple(table.objects.order_by("pk").values_list("pk", flat=True)) for table in tables]


def test_upkeep_in_steps_removes_all_that_a_purge_does():
    everything_over()

    stepped = 0
    while stepped < 40:
        models.Upkeep.objects.filter(done_at=None).update(due_at=timezone.now() - timedelta(seconds=1))
        upkeep.step(CONFIGURED)
        stepped += 1

    assert purged() == {}
    removed = dict(models.Upkeep.objects.values_list("kind", "removed"))
    assert set(removed) == {kind.name for kind in upkeep.KINDS}
    assert all(removed.values())


def test_a_step_that_has_nothing_to_do_comes_again_later_and_asks_one_question():
    while upkeep.step(CONFIGURED) == upkeep.PAUSE_SECONDS:
        pass  # one chunk of each kind, all of them empty

    assert upkeep.step(CONFIGURED) > upkeep.PAUSE_SECONDS
    assert models.Upkeep.objects.filter(done_at=None).count() == 0


def test_a_long_table_is_walked_in_chunks_that_go_on_where_the_last_one_stopped():
    kind = next(kind for kind in upkeep.KINDS if kind.name == "events")
    Event.objects.bulk_create(Event(kind="profile.saved") for _ in range(2 * kind.limit + 5))
    Event.objects.update(at=timezone.now() - timedelta(days=3000))

    seen = []
    for _ in range(4):
        models.Upkeep.objects.exclude(kind="events").delete()
        models.Upkeep.objects.bulk_create(
            [
                models.Upkeep(kind=other.name, due_at=timezone.now() + timedelta(hours=1))
                for other in upkeep.KINDS
                if other.name != "events"
            ],
            ignore_conflicts=True,
        )
        models.Upkeep.objects.filter(kind="events").update(due_at=timezone.now() - timedelta(seconds=1))
        upkeep.step(CONFIGURED)
        seen.append(Event.objects.count())

    assert seen == [kind.limit + 5, 5, 0, 0]
    row = models.Upkeep.objects.get(pk="events")
    assert (row.cursor, row.removed) == ("", 2 * kind.limit + 5)
    assert row.done_at is not None


def test_rows_that_stay_do_not_hide_those_behind_them():
    kept = [ended(S.HELD, days=3000) for _ in range(3)]
    sent = ended(S.SENT, days=3000)
    kind = next(kind for kind in upkeep.KINDS if kind.name == "messages")
    small = type(kind)(kind.name, kind.removing, kind.counting, limit=2)

    first = small.run(CONFIGURED)
    second = small.run(CONFIGURED, first.cursor)

    assert (first.removed, first.is_last, second.removed) == (0, False, 1)
    assert is_kept(sent) == GONE
    assert all(is_kept(message_id) == WHOLE for message_id in kept)


# What belongs to others


def test_the_history_of_what_needs_a_person_stays_with_it():
    held, sent = ended(S.HELD), ended(S.SENT)
    for message_id in (held, sent):
        queue.record([queue.Tried(message_id, 1, 7, 1, "rcpt", queue.AttemptResult.RETRY)])
        queue.add_event("hold", message_id=message_id)
    aged(3000, held, sent)

    purged()

    assert list(models.Attempt.objects.values_list("message_id", flat=True)) == [held]
    assert list(Event.objects.values_list("message_id", flat=True)) == [held]


def test_minutes_become_hours_and_no_message_is_lost_from_the_sums():
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=20)
    rows = [
        queue.StatRow(hour + timedelta(minutes=n), profile, worker, sent=n, failed=1, bytes=10, ms=5)
        for n in range(90)
        for profile in (7, 8)
        for worker in (1, 2)
    ]
    recent = queue.StatRow(timezone.now(), 7, 1, sent=3)
    for start in range(0, len(rows), 100):
        queue.add_stats(rows[start : start + 100])
    queue.add_stats([recent])
    sums = models.Stat.objects.aggregate(*map(Sum, ("sent", "failed", "bytes", "ms")))

    assert purged() == {"statistics": len(rows)}

    assert models.Stat.objects.aggregate(*map(Sum, ("sent", "failed", "bytes", "ms"))) == sums
    hours = models.Stat.objects.filter(worker_id=0).order_by("minute", "profile_id")
    assert [(row.minute, row.profile_id) for row in hours] == [
        (hour + timedelta(hours=n), profile) for n in (0, 1) for profile in (7, 8)
    ]
    assert hours[0].sent == 2 * sum(range(60))
    assert purged() == {}


def test_an_hour_that_was_folded_in_parts_is_added_up():
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=20)
    for minute in (5, 40):
        queue.add_stats([queue.StatRow(hour + timedelta(minutes=minute), 7, 1, sent=2)])
        purged()

    (row,) = models.Stat.objects.all()
    assert (row.minute, row.worker_id, row.sent) == (hour, 0, 4)


def test_of_what_waited_the_fullest_minute_of_each_hour_is_kept():
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=20)
    for minute, number in ((0, 3), (5, 9), (40, 4), (60, 2), (61, 1)):
        models.Backlog.objects.create(minute=hour + timedelta(minutes=minute), waiting=number)
    queue.note_backlog()

    assert purged() == {"backlog": 3}
    models.Backlog.objects.create(minute=hour + timedelta(minutes=70), waiting=7)
    assert purged() == {"backlog": 1}

    kept = models.Backlog.objects.order_by("minute").values_list("minute", "waiting")
    assert [*kept][:2] == [(hour, 9), (hour + timedelta(hours=1), 7)]
    assert len(kept) == 3


def test_a_session_that_an_entry_names_is_remembered():
    named, _unnamed, living = (queue.register_worker() for _ in range(3))
    enqueued()
    claimed(named)
    long_ago = timezone.now() - timedelta(days=8)
    models.Worker.objects.update(started_at=long_ago)
    models.Worker.objects.exclude(pk=living).update(heartbeat_at=long_ago, state=models.Worker.State.DEAD)

    assert purged() == {"sessions": 1}
    assert set(models.Worker.objects.values_list("pk", flat=True)) == {named, living}


def a_run(profile, days, *, kind="connect", user=None, state="passed"):
    """A test run of so many days ago, without a profile of one that was never saved; its id."""
    uuid = uuid4() if profile is None else profile.uuid
    values = {"profile": profile, "profile_uuid": uuid, "settings": {}, "recipients": []}
    run = TestRun.objects.create(kind=kind, user=user, state=state, **values)
    TestRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(days=days))
    return run.pk


def test_daily_checks_go_after_a_month_and_tests_with_the_event_log():
    profile, person = a_profile(), a_user()
    TestRun.objects.all().delete()
    checks = [a_run(profile, days) for days in (31, 29, 1)]
    failed = [a_run(profile, days, state="failed") for days in (90, 60)]
    going_on = a_run(profile, 400, state="running")
    looks = [a_run(profile, days, user=person) for days in (366, 31, 2)]
    tests = [a_run(profile, days, kind="send", user=person) for days in (900, 700, 1)]
    unsaved = a_run(None, 366, kind="send", user=person)

    assert purged()["test runs"] == 6
    left = set(TestRun.objects.values_list("pk", flat=True))
    assert left == {*checks[1:], failed[1], going_on, *looks[1:], tests[2]}
    assert unsaved not in left


def test_the_last_test_of_a_profile_stays_and_for_ever_means_no_more_than_tests():
    profile, person = a_profile(), a_user()
    TestRun.objects.all().delete()
    old = [a_run(profile, days, kind="send", user=person) for days in (900, 800)]
    checks = [a_run(profile, days) for days in (40, 35)]

    assert purged(Retention(events=None)) == {"test runs": 1}
    assert set(TestRun.objects.values_list("pk", flat=True)) == {*old, checks[1]}
    assert purged(Retention(events=10)) == {"test runs": 1}
    assert set(TestRun.objects.values_list("pk", flat=True)) == {old[1], checks[1]}


def test_jobs_go_when_they_ended_long_ago():
    long_ago = timezone.now() - timedelta(days=400)
    jobs = [
        models.BulkJob.objects.create(
            action="retry", upper_id=1, state=state, created_at=long_ago, ended_at=ended_at
        )
        for state, ended_at in (
            ("done", long_ago),
            ("stopped", long_ago),
            ("running", None),
            ("done", timezone.now()),
        )
    ]
    assert purged(is_rehearsal=True) == {"jobs": 2}
    assert purged() == {"jobs": 2}
    assert list(models.BulkJob.objects.order_by("pk")) == jobs[2:]


def test_a_key_goes_when_it_has_expired():
    enqueued(idempotency_key="old"), enqueued(idempotency_key="new")
    models.IdempotencyKey.objects.filter(pk="old").update(expires_at=timezone.now() - timedelta(seconds=1))

    assert purged() == {"keys": 1}
    assert list(models.IdempotencyKey.objects.values_list("pk", flat=True)) == ["new"]


def with_a_blob(**options):
    (message_id,) = enqueued(composed=composed(cuts=(60,), blobs=(LARGE,)), **options)
    return message_id


def unused_for(days):
    models.Blob.objects.update(last_used_on=timezone.now().date() - timedelta(days=days))


@pytest.mark.parametrize(
    ("days", "is_named", "is_left"), [(4, False, False), (4, True, True), (1, False, True)]
)
def test_a_large_part_goes_when_nothing_has_named_it_for_days(days, is_named, is_left):
    message_id = with_a_blob()
    unused_for(days)
    if not is_named:
        models.Content.objects.filter(pk=message_id).delete()

    purged()

    assert models.Blob.objects.exists() == is_left


def test_large_parts_go_some_at_a_time(monkeypatch):
    monkeypatch.setattr(upkeep.kinds, "_BYTES", 100_000)
    for n in range(4):
        part = bytes([65 + n]) * 70_000 + b"\r\n"
        enqueued(composed=composed(cuts=(60,), blobs=(part,)))
    models.Content.objects.update(blob_ids=[])
    unused_for(4)
    kind = next(kind for kind in upkeep.KINDS if kind.name == "blobs")

    first = kind.run(CONFIGURED)

    assert (first.removed, models.Blob.objects.count()) == (2, 2)
    assert kind.run(CONFIGURED, first.cursor).removed == 2


# Beside others


@pytest.mark.django_db(transaction=True)
def test_a_blob_taken_into_use_meanwhile_stays():
    message_id = with_a_blob()
    unused_for(4)
    models.Content.objects.filter(pk=message_id).delete()

    with transaction.atomic():
        again = with_a_blob()  # holds the blob's row until it commits
        with on_another_connection(purged) as other:
            removed = other.result(60)

    assert "blobs" not in removed
    assert models.Content.objects.get(pk=again).blob_ids == [models.Blob.objects.get().pk]


@pytest.mark.django_db(transaction=True)
def test_a_failure_that_a_person_puts_back_meanwhile_stays():
    message_id = ended(S.FAILED, days=3000)

    with transaction.atomic():
        assert queue.put_back([message_id]) == {message_id}
        with on_another_connection(purged) as other:
            removed = other.result(60)

    assert "failures" not in removed
    assert is_kept(message_id) == WHOLE
    assert state_of(message_id) == S.QUEUED


@pytest.mark.django_db(transaction=True)
def test_one_worker_at_a_time_does_the_upkeep():
    Event.objects.bulk_create(Event(kind="profile.saved") for _ in range(50))
    Event.objects.update(at=timezone.now() - timedelta(days=3000))
    with transaction.atomic():
        upkeep.step(CONFIGURED)  # holds the lock until its transaction ends
        with on_another_connection(lambda: upkeep.step(CONFIGURED)) as other:
            assert other.result(60) > upkeep.PAUSE_SECONDS


@pytest.mark.django_db(transaction=True)
def test_purges_at_the_same_time_remove_each_row_once():
    for _ in range(30):
        ended(S.SENT, days=3000)

    removed = in_threads(purged, purged, purged)

    assert sum(found.get("messages", 0) for found in removed) == 30
    assert not models.Message.objects.exists()


# Sensitive messages


@pytest.mark.parametrize("state", [state for state in S if state not in (S.QUEUED, S.HELD)])
def test_a_sensitive_message_loses_its_content_the_moment_it_ends(state):
    message_id = ended(state, sensitive=True)

    assert is_kept(message_id) == EMPTY


@pytest.mark.parametrize("is_held", [False, True], ids=["sent", "held, then cancelled"])
def test_its_large_parts_go_with_it_and_nobody_elses_do(is_held):
    other = with_a_blob()
    sensitive = [with_a_blob(sensitive=True) for _ in range(2)]
    assert models.Blob.objects.count() == 3

    for message_id in sensitive:
        lease = queue.register_worker()
        claimed(lease, 3)
        queue.finish(lease, [queue.Finished(message_id, S.HELD if is_held else S.SENT)])
        models.QueueEntry.objects.update(lease_id=None)
    if is_held:
        assert models.Blob.objects.count() == 3
        queue.cancel(sensitive)

    assert models.Content.objects.get().blob_ids == [models.Blob.objects.get().pk]
    assert is_kept(other) == WHOLE


def test_a_sensitive_message_that_is_held_keeps_it_until_it_is_cancelled():
    message_id = ended(S.HELD, sensitive=True)
    assert is_kept(message_id) == WHOLE

    queue.cancel([message_id])

    assert is_kept(message_id) == EMPTY


def test_a_sensitive_message_that_crashed_workers_loses_it_with_the_late_success():
    lease = queue.register_worker()
    (message_id,) = enqueued(sensitive=True)
    claimed(lease)
    models.QueueEntry.objects.update(crashes=queue.CRASHES - 1)
    silence(lease)
    queue.reclaim()
    assert is_kept(message_id) == WHOLE

    queue.finish(lease, [queue.Finished(message_id, S.SENT)])

    assert is_kept(message_id) == EMPTY
    assert a_handover(sensitive=True).sensitive


# The numbers of days


def test_what_is_configured_is_what_is_documented(settings):
    assert Retention.configured() == Retention()
    settings.MAILCONF_KEEP_DAYS = {**settings.MAILCONF_KEEP_DAYS, "sent": 30}
    assert Retention.configured().sent == 30


@pytest.mark.parametrize(
    ("retention", "shorter"),
    [
        (Retention(), []),
        (Retention(content=90), []),
        (Retention(content=91), [("sent", 90), ("cancelled", 90), ("suppressed", 90)]),
        (Retention(content=None, sent=None), [("cancelled", 90), ("suppressed", 90)]),
        (Retention(content=7, sent=3), [("sent", 3)]),
    ],
)
def test_content_that_outlasts_its_message_is_noticed(retention, shorter):
    assert list(retention.outlasting()) == shorter
