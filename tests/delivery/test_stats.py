"""The numbers that pages and commands show."""

from datetime import timedelta

import pytest
from django.contrib.sites.models import Site
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from delivery import models, queue, stats
from tests.delivery.queueing import a_row_of_profile, claimed, enqueued, silence, statements

pytestmark = pytest.mark.django_db


def finished(message_id, lease, state, **fields):
    assert queue.finish(lease, [queue.Finished(message_id, state, **fields)]) == {message_id}


def test_messages_are_counted_by_the_state_people_see():
    lease = queue.register_worker()
    for state in queue.SmallState:
        if state != queue.SmallState.QUEUED:
            enqueued()
            (message,) = claimed(lease)
            finished(message.message_id, lease, state)
    enqueued(2)
    _, deferred = claimed(lease, 2)
    queue.settle(lease, [queue.Settled(deferred.message_id, 7, timedelta(minutes=5), counted=1)])
    enqueued(3)

    assert stats.counts() == {
        "queued": 3,
        "sending": 1,
        "deferred": 1,
        "sent": 1,
        "failed": 1,
        "held": 1,
        "cancelled": 1,
        "expired": 1,
        "suppressed": 1,
    }


def test_counts_stop_at_the_cap():
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {models.QueueEntry._meta.db_table} (message_id, pool_id, attempts)"
            f" SELECT n, 1, n % 2 FROM generate_series(1, {2 * stats.CAP + 100}) n"
        )

    counted = stats.counts()

    assert counted["queued"] == counted["deferred"] == stats.CAP


def test_cached_counts_are_asked_for_once_in_ten_seconds():
    cache.clear()
    stats.cached_counts()
    enqueued()

    with statements() as seen:
        assert set(stats.cached_counts()) == set(stats.MessageState)

    assert seen == []
    cache.clear()


def test_an_empty_queue_has_no_age_and_nothing_next():
    assert stats.oldest_ready_age() is None
    assert stats.oldest_ready_at() == {}
    assert stats.next_try_at() is None


def test_the_oldest_due_message_gives_the_age():
    hour, soon = timezone.now() - timedelta(hours=1), timezone.now() + timedelta(hours=1)
    models.QueueEntry.objects.filter(pk__in=enqueued()).update(ready_at=hour)
    enqueued(priority=1)
    enqueued(send_at=soon)
    enqueued(send_at=soon + timedelta(hours=1))

    assert timedelta(hours=1) <= stats.oldest_ready_age() < timedelta(hours=1, minutes=1)
    assert stats.oldest_ready_at()[queue.MessagePriority.NORMAL] == hour
    assert stats.oldest_ready_at()[queue.MessagePriority.HIGH] > hour


def test_the_next_try_is_of_a_message_that_was_tried_not_of_a_scheduled_one():
    lease = queue.register_worker()
    enqueued(send_at=timezone.now() + timedelta(minutes=1))
    assert stats.next_try_at() is None
    enqueued(3)
    first, later, refused = claimed(lease, 3)
    queue.settle(
        lease,
        [
            queue.Settled(later.message_id, 7, timedelta(minutes=50), counted=1),
            queue.Settled(first.message_id, 7, timedelta(minutes=20), counted=0, dropped=1),
            queue.Settled(refused.message_id, 7, timedelta(minutes=30), counted=1),
        ],
    )
    expected = models.QueueEntry.objects.get(pk=first.message_id).ready_at
    assert stats.next_try_at() == expected


def test_uncertain_messages_are_counted_waiting_and_held():
    lease = queue.register_worker()
    enqueued(2)
    waiting, held = claimed(lease, 2)
    queue.settle(
        lease,
        [queue.Settled(message.message_id, 7, uncertain=True, counted=1) for message in (waiting, held)],
    )
    queue.hold([held.message_id])

    assert stats.uncertain_count() == 2


def test_a_profile_waits_for_what_it_would_send_first():
    site = Site.objects.create(domain="shop.example")
    default = a_row_of_profile("Default", is_default=True)
    of_site = a_row_of_profile("Of the site")
    of_site.sites.add(site)
    a_row_of_profile("Draft", is_draft=True, enabled=False, priority="high")
    enqueued(3)
    enqueued(2, profile_id=of_site.pk)

    facts = stats.profile_facts([default.pk, of_site.pk, 999])

    assert (facts[default.pk].waiting, facts[default.pk].pinned, facts[default.pk].may_delete) == (3, 0, True)
    assert (facts[of_site.pk].waiting, facts[of_site.pk].pinned, facts[of_site.pk].may_delete) == (
        2,
        2,
        False,
    )
    assert facts[999] == stats.ProfileNumbers(999)


def test_messages_nobody_may_send_wait_for_no_profile():
    site = Site.objects.create(domain="shop.example")
    elsewhere = a_row_of_profile()
    elsewhere.sites.add(Site.objects.create(domain="other.example"))
    enqueued(site_id=site.pk)

    nothing = stats.ProfileNumbers(elsewhere.pk, max_connections=elsewhere.max_connections)
    assert stats.profile_facts([elsewhere.pk]) == {elsewhere.pk: nothing}


def test_a_profiles_numbers_tell_its_day_its_connections_and_its_state():
    profile = a_row_of_profile()
    lease = queue.register_worker()
    now = timezone.now()
    queue.add_stats([queue.StatRow(now, profile.pk, lease, sent=3, deferred=1, ms=800)])
    queue.add_stats([queue.StatRow(now, profile.pk, lease, failed=1, ms=200)])
    queue.add_stats([queue.StatRow(now - timedelta(days=2), profile.pk, lease, sent=50)])
    queue.set_limits(profile.pk, queue.Limits(connections=4))
    queue.take_slots(lease, profile.pk, limit=4, want=3)
    queue.pause(profile.pk, queue.Paused.FAULT, reason="sign-in refused")

    numbers = stats.profile_facts([profile.pk])[profile.pk]

    assert (numbers.sent_24h, numbers.deferred_24h, numbers.failed_24h, numbers.ms) == (3, 1, 1, 200)
    assert (numbers.connections, numbers.connections_in_use) == (4, 3)
    assert (numbers.paused, numbers.reason) == (queue.Paused.FAULT, "sign-in refused")
    assert numbers.breaker is queue.Breaker.CLOSED


def test_many_profiles_cost_as_many_statements_as_one():
    ids = [a_row_of_profile(f"Profile {n}").pk for n in range(5)]
    enqueued()

    with statements() as one:
        stats.profile_facts(ids[:1])
    with statements() as all_of_them:
        stats.profile_facts(ids)

    assert len(all_of_them) == len(one) <= 8
    assert stats.profile_facts([]) == {}


def test_traffic_is_summed_by_span_and_in_total():
    noon = timezone.now().replace(minute=0, second=0, microsecond=0)
    hour = timedelta(hours=1)
    last_minute = noon - timedelta(minutes=1)
    for minute, sent in ((noon, 1), (noon, 2), (last_minute, 5), (noon - 3 * hour, 4), (noon - 72 * hour, 9)):
        queue.add_stats([queue.StatRow(minute, 1, 1, sent=sent, failed=1)])

    spans = stats.traffic([noon - 3 * hour, noon - 2 * hour, noon - hour, noon])

    assert spans == [stats.Traffic(4, 1), stats.Traffic(), stats.Traffic(5, 1), stats.Traffic(3, 2)]
    assert stats.totals(timedelta(days=1)) == stats.Totals(sent=12, failed=4)
    assert stats.totals(timedelta()) == stats.Totals()


def test_what_waits_is_noted_once_a_minute_and_its_most_is_told_by_span():
    noon = timezone.now().replace(minute=0, second=0, microsecond=0)
    hour = timedelta(hours=1)
    for minutes, number in ((-60, 3), (-30, 8), (-1, 2), (-180, 5)):
        models.Backlog.objects.create(minute=noon + timedelta(minutes=minutes), waiting=number)
    assert stats.waiting([noon - 3 * hour, noon - 2 * hour, noon - hour, noon]) == [5, None, 8, None]

    models.Backlog.objects.all().delete()
    enqueued(4)
    claimed(queue.register_worker(), 1)
    queue.note_backlog()
    enqueued(1)
    queue.note_backlog()

    assert list(models.Backlog.objects.values_list("waiting", flat=True)) == [3]  # one now()


def test_failures_are_grouped_by_how_they_ended():
    lease = queue.register_worker()
    enqueued(3)
    for message, code in zip(claimed(lease, 3), (550, 550, 552), strict=True):
        finished(message.message_id, lease, queue.SmallState.FAILED, code=code, cause="refused", profile_id=7)

    first, second = stats.frequent_failures(timedelta(days=1))

    assert (first.cause, first.code, first.count, first.profile_id) == ("refused", 550, 2, 7)
    assert (second.code, second.count, second.state) == (552, 1, queue.SmallState.FAILED)
    assert stats.frequent_failures(timedelta()) == []


def test_workers_tell_what_they_hold_and_whether_they_are_heard_of():
    assert stats.last_heartbeat_at() is None
    busy, silent, gone = (queue.register_worker() for _ in range(3))
    enqueued(2)
    claimed(busy, 2)
    queue.stop_worker(busy)
    silence(silent)
    queue.retire_worker(gone)

    second, first = stats.workers()

    assert (first.id, first.holds, first.is_live, first.is_stopping) == (busy, 2, True, True)
    assert (second.id, second.holds, second.is_live, second.is_stopping) == (silent, 0, False, False)
    assert stats.last_heartbeat_at() > timezone.now() - timedelta(seconds=30)
