"""Messages that are given another route: which ones, by whom at once, and what the drains see of it."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sites.models import Site
from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone

from delivery import models, queue
from delivery.queue import NotMoved
from smtp_settings.models import Event, SMTPProfile
from tests.delivery.queueing import (
    a_row_of_profile,
    claimed,
    composed,
    enqueued,
    entry,
    in_threads,
    lanes,
    on_another_connection,
    state_of,
    statements,
    wait_until,
    waits_for_a_lock,
)
from tests.delivery.test_queue_people import ended

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def way_of(message_id):
    """The way a message goes, as the queue has it: site, domain, profile; and whom its row names."""
    row = models.QueueEntry.objects.filter(pk=message_id).first() or models.Failure.objects.get(pk=message_id)
    pool = models.Pool.objects.get(pk=row.pool_id)
    return (
        pool.site_id,
        pool.sender_domain,
        pool.profile_id,
        models.Message.objects.values_list("pinned_profile_id", flat=True).get(pk=message_id),
    )


def deferred(profile_id, *, wait=HOUR, **options):
    """A message that this profile's server put off; its id."""
    (message_id,) = enqueued(**options.pop("options", {}))
    lease = queue.register_worker()
    claimed(lease, profile_id=profile_id)
    queue.settle(lease, [queue.Settled(message_id, profile_id, wait, counted=1, **options)])
    return message_id


def is_due(message_id):
    return entry(message_id).ready_at <= timezone.now()


# Which ones, and what becomes of them


def test_a_waiting_message_leaves_by_the_chosen_profile_only_and_keeps_its_place():
    site, one, two = Site.objects.create(domain="s.example"), a_row_of_profile(), a_row_of_profile("Two")
    (message_id,) = enqueued(site_id=site.pk, profile_id=one.pk, priority=3)
    before = entry(message_id)

    assert queue.move([message_id], to=two.pk) == {message_id}

    after = entry(message_id)
    assert way_of(message_id) == (site.pk, None, two.pk, two.pk)
    assert (after.ready_at, after.priority, after.attempts) == (before.ready_at, 3, 0)


def test_set_free_it_goes_the_way_of_mail_handed_over_now():
    one = a_row_of_profile()
    (message_id,) = enqueued(profile_id=one.pk, composed=composed(from_header="a@Listed.example"))
    a_row_of_profile("Two", sender_domains=["listed.example"])

    assert queue.move([message_id], to=None) == {message_id}

    assert way_of(message_id) == (None, "listed.example", None, None)


def test_what_was_passed_on_to_a_profile_is_set_free_too():
    one = a_row_of_profile()
    (message_id,) = enqueued()
    pools = queue.pools_for([queue.Route(None, None, one.pk)])
    models.QueueEntry.objects.update(pool_id=next(iter(pools.values())))

    assert queue.move([message_id], to=None) == {message_id}
    assert way_of(message_id) == (None, None, None, None)


@pytest.mark.parametrize("state", queue.NEEDS_A_PERSON)
def test_what_needs_a_person_stays_as_it_is_and_goes_the_new_way_when_it_is_put_back(state):
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    message_id = ended(state, profile_id=one.pk)

    assert queue.move([message_id], to=two.pk) == {message_id}
    assert state_of(message_id) == state
    queue.put_back([message_id])

    assert way_of(message_id) == (None, None, two.pk, two.pk)


@pytest.mark.parametrize("state", ["SENT", "CANCELLED", "SUPPRESSED"])
def test_what_is_over_is_left(state):
    two = a_row_of_profile("Two")
    message_id = ended(queue.SmallState[state])

    assert queue.move([message_id, 999_999_999], to=two.pk) == set()
    assert models.Message.objects.get().pinned_profile_id is None


def test_what_a_worker_has_in_hand_is_left_and_moved_once_it_is_given_back():
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    lease = queue.register_worker()
    (message_id,) = enqueued(profile_id=one.pk)
    claimed(lease, profile_id=one.pk)

    assert queue.move([message_id], to=two.pk) == set()
    queue.settle(lease, [queue.Settled(message_id, one.pk)])

    assert way_of(message_id)[2] == one.pk
    assert queue.move([message_id], to=two.pk) == {message_id}


# What keeps one from being moved, each with its word


def test_one_that_goes_that_way_is_left_for_that():
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    there, elsewhere, free = *enqueued(profile_id=two.pk), *enqueued(profile_id=one.pk), *enqueued()

    assert queue.move([there, elsewhere], to=two.pk) == {elsewhere}
    assert queue.why_not_moved([there], to=two.pk) == {there: NotMoved.THERE}
    assert queue.move([free], to=None) == set()
    assert queue.why_not_moved([free], to=None) == {free: NotMoved.THERE}


def test_one_without_a_from_address_does_not_go_where_it_would_fail_at_once():
    bare, speaking = a_row_of_profile("Bare"), a_row_of_profile("Speaking", from_address="shop@example.com")
    (message_id,) = enqueued(composed=composed(from_header=None))

    assert queue.move([message_id], to=bare.pk) == set()
    assert queue.why_not_moved([message_id], to=bare.pk) == {message_id: NotMoved.NO_FROM}
    assert queue.move([message_id], to=speaking.pk) == {message_id}
    assert queue.move([message_id], to=None) == {message_id}


def test_to_a_profile_that_is_no_more_nothing_moves():
    (message_id,) = enqueued()

    assert queue.move([message_id], to=999_999) == set()
    assert queue.why_not_moved([message_id], to=999_999) == {message_id: NotMoved.NO_PROFILE}
    assert not Event.objects.exists()


def test_of_one_in_a_workers_hands_no_reason_of_its_own_is_said():
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    (message_id,) = enqueued(profile_id=one.pk)
    claimed(queue.register_worker(), profile_id=one.pk)

    assert queue.why_not_moved([message_id], to=two.pk) == {}


# When it goes next


@pytest.mark.parametrize("free", [False, True])
def test_what_another_server_put_off_is_due_now(free):
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    message_id = deferred(one.pk, options={"profile_id": one.pk})

    queue.move([message_id], to=None if free else two.pk)

    assert is_due(message_id)
    assert entry(message_id).attempts == 1
    assert entry(message_id).last_profile_id == one.pk


def test_a_wait_that_this_very_server_asked_for_stays():
    one = a_row_of_profile()
    message_id = deferred(one.pk)

    assert queue.move([message_id], to=one.pk) == {message_id}
    assert not is_due(message_id)


def test_an_uncertain_message_keeps_its_wait():
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    message_id = deferred(one.pk, uncertain=True)

    assert queue.move([message_id], to=two.pk) == {message_id}
    assert not is_due(message_id)


def test_one_for_later_is_sent_no_sooner():
    two = a_row_of_profile("Two")
    (message_id,) = enqueued(send_at=timezone.now() + HOUR)

    assert queue.move([message_id], to=two.pk) == {message_id}
    assert not is_due(message_id)


# Where it is written down


def test_the_event_log_says_who_moved_which_from_where_to_where():
    user = get_user_model().objects.create(username="ana")
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    (pinned,), (free,) = enqueued(profile_id=one.pk), enqueued()

    queue.move([pinned, free, 999_999_999], to=two.pk, user_id=user.pk, job_id=3)
    queue.move([pinned], to=None, user_id=user.pk)

    told = [
        (event.message_id, event.user_id, event.job_id, event.profile_id, event.data)
        for event in Event.objects.filter(kind="message.moved").order_by("id")
    ]
    assert told == [
        (pinned, user.pk, 3, two.pk, {"moved_from": "One", "moved_to": "Two"}),
        (free, user.pk, 3, two.pk, {"moved_from": "", "moved_to": "Two"}),
        (pinned, user.pk, None, None, {"moved_from": "Two", "moved_to": ""}),
    ]


def test_a_copy_goes_the_way_the_message_was_moved_to():
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    (message_id,) = enqueued(profile_id=one.pk)
    queue.move([message_id], to=two.pk)
    queue.cancel([message_id])

    copy = queue.send_again([message_id])[message_id]

    assert way_of(copy.id)[2:] == (two.pk, two.pk)


def test_five_hundred_are_moved_in_a_handful_of_statements():
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    ids = enqueued(500, profile_id=one.pk)
    with statements() as few:
        queue.move(ids[:1], to=two.pk)
    with statements() as many:
        queue.move(ids[1:], to=two.pk)

    assert len(many) <= len(few)


# At once


@pytest.mark.django_db(transaction=True)
def test_two_people_move_the_same_at_once_and_each_message_goes_one_way():
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    ids = enqueued(300)

    to_one, to_two = in_threads(
        lambda: queue.move(ids, to=one.pk), lambda: queue.move(reversed(ids), to=two.pk)
    )

    assert to_one == to_two == set(ids)
    for message_id in ids:
        last = Event.objects.filter(kind="message.moved", message_id=message_id).latest("id").profile_id
        assert way_of(message_id)[2:] == (last, last)


@pytest.mark.django_db(transaction=True)
def test_the_second_who_moves_to_the_same_place_finds_nothing_to_do():
    two = a_row_of_profile("Two")
    ids = enqueued(300)

    done = in_threads(*[lambda: queue.move(ids, to=two.pk)] * 3)

    assert sorted(map(len, done)) == [0, 0, 300]
    assert Event.objects.filter(kind="message.moved").count() == 300


@pytest.mark.django_db(transaction=True)
def test_drains_that_claim_meanwhile_take_each_message_once_by_the_way_it_goes():
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    ids = enqueued(400, profile_id=one.pk)
    leases = [queue.register_worker() for _ in range(2)]

    def drained(lease):
        """Claim as a drain does: a lane's rows for the profile that its pool names."""
        taken = []
        for _turn in range(60):
            for ready in queue.ready_lanes():
                lane, profile_id = queue.Lane(ready.pool.id, ready.priority), ready.pool.profile_id
                taken += queue.claim(lease, [lane], [profile_id] * 5)
        return taken

    def moved():
        return [found for at in range(0, 400, 20) for found in queue.move(ids[at : at + 20], to=two.pk)]

    *taken, done = in_threads(*[lambda lease=lease: drained(lease) for lease in leases], moved)

    claims = {found.message_id: found.profile_id for part in taken for found in part}
    assert sum(map(len, taken)) == len(claims)
    assert {claims[message_id] for message_id in done if message_id in claims} <= {two.pk}
    assert {profile for message_id, profile in claims.items() if message_id not in done} <= {one.pk}
    left = set(ids) - claims.keys()
    assert left <= set(done)  # what is left has been moved: the drains may have looked for the last time
    assert {way_of(message_id)[2] for message_id in left} <= {two.pk}


@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_being_claimed_is_waited_for_and_left():
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    (message_id,) = enqueued(profile_id=one.pk)
    lease, is_claimed = queue.register_worker(), threading.Event()

    def moved():
        assert is_claimed.wait(60)
        return queue.move([message_id], to=two.pk)

    with on_another_connection(moved) as moving:
        with transaction.atomic():
            queue.claim(lease, lanes(), [one.pk])
            is_claimed.set()
            wait_until(waits_for_a_lock)
        assert moving.result(60) == set()

    assert entry(message_id).lease_id == lease


@pytest.mark.django_db(transaction=True)
def test_a_profile_that_is_being_moved_to_is_not_deleted_behind_ones_back():
    """Whoever deletes it locks it first: the one finds the messages, or the other no profile."""
    one, two = a_row_of_profile(), a_row_of_profile("Two")
    ids = enqueued(50, profile_id=one.pk)
    queue.pools_for([queue.Route(None, None, two.pk)])  # it is there already

    def removed():
        try:
            with transaction.atomic():
                SMTPProfile.objects.select_for_update().get(pk=two.pk).delete()
        except ProtectedError:
            return False
        return True

    moved, was_removed = in_threads(lambda: queue.move(ids, to=two.pk), removed)

    assert moved == (set() if was_removed else set(ids))
    pools = set(models.Pool.objects.values_list("pk", flat=True))
    assert set(models.QueueEntry.objects.values_list("pool_id", flat=True)) <= pools
