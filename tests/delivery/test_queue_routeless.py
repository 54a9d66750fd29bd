"""Messages whose pool went with its profile or site: they were not committed yet when somebody looked."""

import pytest
from django.contrib.sites.models import Site
from django.db import transaction
from django.db.models import ProtectedError
from django.urls import reverse

from delivery import models, queue
from tests.delivery.engine import drained
from tests.delivery.queueing import a_row_of_profile, claimed, enqueued, entry, in_threads, lanes, state_of
from tests.pages import client_of, text_of

pytestmark = pytest.mark.django_db(transaction=True)


def handed_over_while(delete, **options):
    """A message whose transaction is open while somebody else deletes what its route needs; its id."""
    enqueued(**options)  # makes the pool, which a message handed over finds
    models.QueueEntry.objects.all().delete()
    with transaction.atomic():
        (message_id,) = enqueued(**options)
        in_threads(delete)
    return message_id


@pytest.fixture
def lost():
    one = a_row_of_profile()
    return handed_over_while(one.delete, profile_id=one.pk)


def test_a_message_whose_profile_was_deleted_meanwhile_is_held_for_a_person(lost):
    (well,) = enqueued()

    assert queue.hold_routeless() == {lost}

    assert (state_of(lost), models.Failure.objects.get().cause) == (queue.SmallState.HELD, "no_route")
    assert entry(well).lease_id is None
    assert queue.hold_routeless() == set()


def test_so_is_one_whose_site_was_deleted():
    site = Site.objects.create(domain="s.example", name="S")
    message_id = handed_over_while(site.delete, site_id=site.pk)
    assert queue.hold_routeless() == {message_id}


def test_moved_and_released_it_is_sent_and_released_alone_it_is_held_again(lost):
    queue.hold_routeless()
    assert queue.put_back([lost]) == {lost}
    assert not lanes()
    assert queue.hold_routeless() == {lost}

    two = a_row_of_profile("Two")
    assert queue.move([lost], to=two.pk) == {lost}
    queue.put_back([lost])
    assert [one.message_id for one in claimed(queue.register_worker(), profile_id=two.pk)] == [lost]


def test_what_a_worker_has_in_hand_is_left_to_it(lost):
    models.QueueEntry.objects.filter(pk=lost).update(lease_id=queue.register_worker())
    assert queue.hold_routeless() == set()


def test_no_profile_goes_whose_messages_can_be_seen():
    one = a_row_of_profile()
    enqueued(profile_id=one.pk)
    with pytest.raises(ProtectedError):
        one.delete()


def test_a_drain_holds_it_and_its_page_says_why_before_and_after(lost, monkeypatch):
    client = client_of("operator")
    page = reverse("admin:delivery_message_change", args=[lost])
    assert "No profile may send it" in text_of(client.get(page))
    monkeypatch.setattr("delivery.dispatcher.chores.RECLAIM_SECONDS", 0.0)
    drained()
    assert state_of(lost) == queue.SmallState.HELD
    assert "deleted while it was handed over" in text_of(client.get(page))
