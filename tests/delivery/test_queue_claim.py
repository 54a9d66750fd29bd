"""Taking messages: each once, in order, from the index."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from delivery import models, queue
from delivery.queue.claim import _CLAIM
from tests.delivery.queueing import (
    a_handover,
    a_row_of_profile,
    claimed,
    composed,
    enqueued,
    entry,
    in_threads,
    lanes,
    make_due,
    silence,
    state_of,
    statements,
)

pytestmark = pytest.mark.django_db


def test_a_claimed_message_has_all_that_sending_needs():
    lease = queue.register_worker()
    (made,) = queue.enqueue(
        [a_handover(composed=composed(cuts=(20,), blobs=(b"x\r\n" * 30_000,)), sensitive=True, priority=1)]
    )

    (message,) = claimed(lease, profile_id=7)

    assert (message.message_id, message.seat, message.profile_id, message.priority) == (made.id, 1, 7, 1)
    assert (message.mail_from, list(message.rcpt_to)) == (
        "ana@example.org",
        ["Bo@example.com", "cy@example.com"],
    )
    assert (message.from_header, message.subject) == ("Ana <ana@example.org>", "Report")
    assert message.message_id_header == made.message_id
    assert message.data.endswith(composed().data)
    assert queue.load_blobs(message.blob_ids) == {message.blob_ids[0]: b"x\r\n" * 30_000}
    assert message.size == len(message.data) + 90_000
    assert (message.attempts, message.drops, message.crashes, message.uncertain) == (0, 0, 0, False)
    assert (message.last_profile_id, message.verdicts, message.expires_at) == (None, None, None)
    assert message.sensitive
    assert message.due_at == message.ready_at <= message.db_now
    assert entry(made.id).lease_id == lease


def test_a_leased_message_is_not_claimed_again():
    lease, other = queue.register_worker(), queue.register_worker()
    enqueued(3)

    assert len(claimed(lease, 2)) == 2
    assert len(claimed(other, 2)) == 1
    assert claimed(other, 2) == []


def due_since(moment, *ids):
    models.QueueEntry.objects.filter(pk__in=ids).update(ready_at=moment)


def test_lanes_are_read_in_the_order_given_and_each_by_age():
    lease = queue.register_worker()
    now = timezone.now()
    normal_young, normal_old = enqueued(2)
    (urgent,) = enqueued(priority=1)
    (low,) = enqueued(priority=3)
    due_since(now - timedelta(minutes=1), normal_young)
    due_since(now - timedelta(minutes=9), normal_old)
    due_since(now - timedelta(hours=1), low)

    messages = claimed(lease, 10)

    assert [message.message_id for message in messages] == [urgent, normal_old, normal_young, low]
    assert [message.seat for message in messages] == [1, 2, 3, 4]


def test_seats_give_each_message_its_profile():
    lease = queue.register_worker()
    enqueued(3)

    messages = queue.claim(lease, lanes(), [5, 5, 6])

    assert [message.profile_id for message in messages] == [5, 5, 6]


def test_future_messages_stay_where_they_are():
    lease = queue.register_worker()
    enqueued(5, send_at=timezone.now() + timedelta(minutes=1))
    (due,) = enqueued()

    assert [message.message_id for message in claimed(lease, 10)] == [due]


def test_a_low_water_mark_skips_what_lies_below_it():
    lease = queue.register_worker()
    first, second, third = enqueued(3)
    (lane,) = lanes()
    mark = queue.Lane(lane.pool_id, lane.priority, entry(second).ready_at, second)

    assert [message.message_id for message in queue.claim(lease, [mark], [1, 1, 1])] == [second, third]
    assert [message.message_id for message in queue.claim(lease, [lane], [1])] == [first]


def test_without_lanes_or_seats_nothing_is_asked():
    with statements() as seen:
        assert queue.claim(1, [], [1]) == []
        assert queue.claim(1, [queue.Lane(1, 2)], []) == []

    assert seen == []


def test_ready_lanes_tell_the_route_and_the_age_urgent_first():
    profile = a_row_of_profile()
    hour = timezone.now() - timedelta(hours=1)
    due_since(hour, *enqueued(2))
    enqueued(profile_id=profile.pk, priority=1)
    enqueued(priority=3, send_at=timezone.now() + timedelta(hours=1))

    pinned, common = queue.ready_lanes()

    assert (pinned.pool.profile_id, pinned.priority) == (profile.pk, 1)
    assert (common.pool.profile_id, common.priority, common.oldest_ready_at) == (None, 2, hour)
    assert queue.pools() == sorted([common.pool, pinned.pool], key=lambda pool: pool.id)


def test_whether_anything_is_leased_is_known():
    lease = queue.register_worker()
    enqueued()
    assert not queue.is_any_leased()

    claimed(lease)

    assert queue.is_any_leased()


def test_a_claim_and_a_finish_of_a_hundred_are_two_statements():
    lease = queue.register_worker()
    enqueued(100)
    (lane,) = lanes()

    with statements() as seen:
        messages = queue.claim(lease, [lane], [7] * 100)
        queue.finish(
            lease,
            [queue.Finished(message.message_id, queue.SmallState.SENT, counted=1) for message in messages],
        )

    assert len(messages) == 100
    assert len(seen) == 2
    assert not models.QueueEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_four_workers_claim_each_of_two_thousand_messages_once():
    for priority in (1, 2, 3):
        enqueued(600, priority=priority)
    enqueued(200, profile_id=a_row_of_profile().pk)

    def work():
        lease, ids, largest = queue.register_worker(), [], 0
        while messages := claimed(lease, 37):
            largest = max(largest, len(messages))
            if len(messages) > 1:  # somebody else, or this one later, takes it
                queue.settle(lease, [queue.Settled(messages.pop().message_id, 7)])
            ids += [message.message_id for message in messages]
            outcomes = [queue.Finished(message.message_id, queue.SmallState.SENT) for message in messages]
            assert len(queue.finish(lease, outcomes)) == len(messages)
        return ids, largest

    results = in_threads(*[work] * 4)

    every = [message_id for ids, _ in results for message_id in ids]
    assert sorted(every) == sorted(models.Message.objects.values_list("id", flat=True))
    assert max(largest for _, largest in results) <= 37
    assert not models.QueueEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_claim_uses_the_lanes_index_among_fifty_thousand_rows():
    lease = queue.register_worker()
    (due,) = enqueued()
    table = models.QueueEntry._meta.db_table
    pool_id = entry(due).pool_id
    with connection.cursor() as cursor:  # the statistics still say that the table is empty
        cursor.execute(
            f"INSERT INTO {table} (message_id, pool_id, priority, ready_at)"
            " SELECT 1000000000 + n, %s, 1 + n %% 3, now() + n * interval '1 s'"
            " FROM generate_series(1000, 51000) n",
            [pool_id],
        )
    parameters = {
        "lease": lease,
        "pools": [pool_id] * 3,
        "priorities": [1, 2, 3],
        "mark_at": ["-infinity"] * 3,
        "mark_id": [0] * 3,
        "limit": 100,
        "seats": [7] * 100,
    }

    def explained():
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + _CLAIM, parameters)
            return "\n".join(line for (line,) in cursor.fetchall())

    fresh = explained()
    make_due([due])
    queue.finish(lease, [queue.Finished(due, queue.SmallState.SENT)])
    enqueued()
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")
    analyzed = explained()

    for plan in (fresh, analyzed):
        assert "entry_lane" in plan
        assert f"Seq Scan on {table}" not in plan
        assert "Rows Removed by Filter" not in plan


# Finish


def test_an_outcome_is_recorded_and_the_entry_leaves():
    lease = queue.register_worker()
    (message_id,) = enqueued()
    claimed(lease)

    done = queue.finish(
        lease,
        [queue.Finished(message_id, queue.SmallState.SENT, 1, 7, 250, "2.0.0", "queued as 42")],
    )

    message = models.Message.objects.get()
    assert done == {message_id}
    assert (message.state, message.attempts, message.profile_id) == (queue.SmallState.SENT, 1, 7)
    assert (message.code, message.enhanced, message.reply) == (250, "2.0.0", "queued as 42")
    assert message.done_at is not None
    assert not models.QueueEntry.objects.exists()
    assert not models.Failure.objects.exists()
    assert models.Content.objects.exists()
    assert queue.finish(lease, []) == set()


@pytest.mark.parametrize("state", queue.NEEDS_A_PERSON)
def test_what_needs_a_person_is_listed_with_what_putting_back_needs(state):
    lease = queue.register_worker()
    (message_id,) = enqueued(priority=3)
    claimed(lease)
    pool_id = entry(message_id).pool_id
    done_at = timezone.now() - timedelta(seconds=5)

    outcome = queue.Finished(message_id, state, 1, 7, 550, cause="refused", done_at=done_at)
    queue.finish(lease, [outcome])

    failure = models.Failure.objects.get()
    assert (failure.message_id, failure.state, failure.code, failure.cause) == (
        message_id,
        state,
        550,
        "refused",
    )
    assert (failure.pool_id, failure.priority, failure.profile_id, failure.at) == (pool_id, 3, 7, done_at)
    assert models.Message.objects.get().done_at == done_at


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (queue.SmallState.SENT, False),
        (queue.SmallState.FAILED, False),
        (queue.SmallState.CANCELLED, False),
        (queue.SmallState.HELD, True),
    ],
)
def test_a_sensitive_message_loses_its_content_when_it_is_over(state, kept):
    lease = queue.register_worker()
    (message_id,) = enqueued(sensitive=True)
    claimed(lease)

    queue.finish(lease, [queue.Finished(message_id, state)])

    assert models.Content.objects.exists() is kept


def test_another_sessions_failure_does_not_touch_a_leased_message():
    old, new = queue.register_worker(), queue.register_worker()
    (message_id,) = enqueued()
    claimed(old)
    silence(old)
    queue.reclaim()
    make_due([message_id])
    claimed(new)

    assert queue.finish(old, [queue.Finished(message_id, queue.SmallState.FAILED)]) == set()

    assert entry(message_id).lease_id == new
    assert state_of(message_id) == queue.SmallState.QUEUED


def test_a_late_success_wins_while_nobody_holds_the_message():
    old = queue.register_worker()
    (message_id,) = enqueued()
    claimed(old)
    silence(old)
    queue.reclaim()

    assert queue.finish(old, [queue.Finished(message_id, queue.SmallState.SENT, 1, 7)]) == {message_id}

    assert state_of(message_id) == queue.SmallState.SENT
    assert queue.finish(old, [queue.Finished(message_id, queue.SmallState.FAILED)]) == set()


def test_a_late_success_of_a_message_another_session_holds_is_only_noted():
    old, new = queue.register_worker(), queue.register_worker()
    (message_id,) = enqueued()
    claimed(old)
    silence(old)
    queue.reclaim()
    make_due([message_id])
    claimed(new)

    outcome = queue.Finished(message_id, queue.SmallState.SENT, 1, 7, 250, "2.0.0", "ok")
    assert queue.finish(old, [outcome]) == set()

    assert entry(message_id).lease_id == new
    late = models.Attempt.objects.get(outcome=queue.AttemptResult.LATE)
    assert (late.worker_id, late.profile_id, late.n, late.code, late.reply) == (old, 7, 1, 250, "ok")


def test_an_outcome_told_twice_is_recorded_once():
    lease = queue.register_worker()
    (message_id,) = enqueued()
    claimed(lease)
    outcome = queue.Finished(message_id, queue.SmallState.SENT, 1, 7)
    queue.finish(lease, [outcome])

    assert queue.finish(lease, [outcome]) == {message_id}

    assert models.Message.objects.get().attempts == 1
    assert not models.Attempt.objects.exists()


@pytest.mark.parametrize("sensitive", [False, True])
def test_a_late_success_closes_a_message_that_was_only_held(sensitive):
    old = queue.register_worker()
    (message_id,) = enqueued(sensitive=sensitive)
    profile = a_row_of_profile(on_uncertain="hold")
    claimed(old, profile_id=profile.pk)
    silence(old)
    queue.reclaim()
    assert state_of(message_id) == queue.SmallState.HELD

    outcome = queue.Finished(
        message_id, queue.SmallState.SENT, 1, profile.pk, verdicts={"bo@example.com": "sent"}
    )
    assert queue.finish(old, [outcome]) == {message_id}

    assert state_of(message_id) == queue.SmallState.SENT
    assert not models.Failure.objects.exists()
    assert models.Message.objects.get().verdicts == {"bo@example.com": "sent"}
    assert models.Content.objects.exists() is not sensitive


# Settle


def test_a_retry_gives_the_message_back_for_later_and_counts():
    lease = queue.register_worker()
    (message_id,) = enqueued()
    claimed(lease, profile_id=7)

    settled = queue.settle(lease, [queue.Settled(message_id, 7, timedelta(minutes=4), counted=1)])

    row = entry(message_id)
    assert settled == {message_id}
    assert (row.lease_id, row.profile_id, row.last_profile_id) == (None, None, 7)
    assert (row.attempts, row.drops, row.uncertain) == (1, 0, False)
    assert timedelta(minutes=3) < row.ready_at - timezone.now() <= timedelta(minutes=4)
    assert claimed(lease) == []
    assert queue.settle(lease, []) == set()


def test_a_release_counts_nothing_and_is_due_at_once():
    lease = queue.register_worker()
    (message_id,) = enqueued()
    claimed(lease)

    queue.settle(lease, [queue.Settled(message_id, 7)])

    (message,) = claimed(lease)
    assert (message.attempts, message.drops, message.last_profile_id) == (0, 0, 7)


def test_a_lost_connection_a_doubt_and_another_route_are_kept():
    lease = queue.register_worker()
    profile = a_row_of_profile()
    (elsewhere,) = enqueued(profile_id=profile.pk)
    (message_id,) = enqueued()
    claimed(lease, 2)
    pool_id = entry(elsewhere).pool_id

    outcome = queue.Settled(message_id, 7, dropped=1, uncertain=True, pool_id=pool_id)
    queue.settle(lease, [outcome])

    (message,) = claimed(lease, 1)
    assert (message.drops, message.uncertain, message.pool_id) == (1, True, pool_id)
    queue.settle(lease, [queue.Settled(message_id, 7)])
    assert entry(message_id).uncertain


def test_verdicts_are_written_with_the_retry_and_added_up():
    lease = queue.register_worker()
    (message_id,) = enqueued()
    for verdicts in ({"bo@example.com": "sent"}, {"cy@example.com": "failed"}):
        claimed(lease)
        queue.settle(lease, [queue.Settled(message_id, 7, counted=1, verdicts=verdicts)])

    (message,) = claimed(lease)

    assert message.verdicts == {"bo@example.com": "sent", "cy@example.com": "failed"}
    last = {"dee@example.com": "sent"}
    queue.finish(lease, [queue.Finished(message_id, queue.SmallState.SENT, verdicts=last)])
    assert models.Message.objects.get().verdicts == dict(message.verdicts) | last


SENT, REFUSED = {"state": "sent", "reply": "ok"}, {"state": "failed", "reply": "no"}


@pytest.mark.parametrize("is_held_again", [False, True], ids=["waiting", "in another session's hands"])
@pytest.mark.parametrize("ends", [False, True], ids=["settled", "finished"])
def test_recipients_accepted_under_a_lost_lease_are_not_sent_to_again(ends, is_held_again):
    old, new = queue.register_worker(), queue.register_worker()
    (message_id,) = enqueued()
    claimed(old)
    silence(old)
    queue.reclaim()
    make_due([message_id])
    if is_held_again:
        claimed(new)

    verdicts = {"bo@example.com": SENT, "cy@example.com": REFUSED}
    if ends:
        failed = queue.Finished(message_id, queue.SmallState.FAILED, verdicts=verdicts)
        assert queue.finish(old, [failed]) == set()
    else:
        assert queue.settle(old, [queue.Settled(message_id, 7, counted=1, verdicts=verdicts)]) == set()

    assert models.Message.objects.get().verdicts == {"bo@example.com": SENT}
    assert entry(message_id).lease_id == (new if is_held_again else None)


def test_verdicts_under_a_lost_lease_leave_a_sent_message_alone():
    old, new = queue.register_worker(), queue.register_worker()
    (message_id,) = enqueued()
    claimed(new)
    queue.finish(new, [queue.Finished(message_id, queue.SmallState.SENT)])

    queue.settle(old, [queue.Settled(message_id, 7, verdicts={"bo@example.com": SENT})])

    assert models.Message.objects.get().verdicts is None


def test_only_the_leases_owner_gives_back():
    lease, other = queue.register_worker(), queue.register_worker()
    (message_id,) = enqueued()
    claimed(lease)

    assert queue.settle(other, [queue.Settled(message_id, 7)]) == set()
    assert entry(message_id).lease_id == lease


def test_attempts_are_recorded_in_one_statement():
    tried = [
        queue.Tried(n, 1, 7, 1, "rcpt", queue.AttemptResult.RETRY, 451, "4.7.1", "later", 12) for n in (5, 6)
    ]

    with statements() as seen:
        queue.record(tried)
        queue.record([])

    assert len(seen) == 1
    first, _ = models.Attempt.objects.order_by("message_id")
    assert (first.message_id, first.phase, first.outcome, first.code, first.ms) == (
        5,
        "rcpt",
        "retry",
        451,
        12,
    )
