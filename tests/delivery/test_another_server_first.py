"""A message that one server put off is tried on another first, if there is one."""

from datetime import timedelta

import pytest
from django.utils import timezone

from delivery.models import ProfileState, QueueEntry, SmallState
from delivery.queue import Breaker
from smtp_settings.models import Event
from tests.builders import a_profile
from tests.delivery.engine import drained, due_again, entry_of, queued, state_of
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

BUSY = "451 4.3.0 Try later"


def profile_for(server, **changes):
    return a_profile(host=server.host, port=server.port, **changes)


@pytest.mark.parametrize("count", [1, 3])
def test_what_the_default_server_put_off_goes_to_the_next_one(count):
    with smtp_server(answers={"DOT": BUSY}) as busy, smtp_server() as spare:
        first = profile_for(busy, is_default=True)
        profile_for(spare)
        ids = queued(count)
        drained()
        put_off = QueueEntry.objects.filter(last_profile_id=first.pk)
        assert put_off.count() == QueueEntry.objects.count() > 0
        due_again(*ids)
        drained()
        assert (busy.accepted, spare.accepted) == (0, count)
    assert {state_of(message_id) for message_id in ids} == {SmallState.SENT}


def test_a_backup_whose_breaker_is_due_is_not_tried_while_the_default_takes_all():
    with smtp_server() as well, smtp_server() as spare:
        profile_for(well, is_default=True, max_connections=1)
        backup = profile_for(spare)
        past = timezone.now() - timedelta(seconds=1)
        ProfileState.objects.create(profile_id=backup.pk, breaker=Breaker.OPEN, open_until=past)
        queued()
        drained()
        queued()
        drained()
        assert (well.accepted, spare.accepted) == (2, 0)
        assert not Event.objects.filter(kind="server.breaker_half_open").exists()
        assert ProfileState.objects.get(pk=backup.pk).breaker == Breaker.OPEN
        queued(profile=backup.name)
        drained()
        assert spare.accepted == 1
    assert ProfileState.objects.get(pk=backup.pk).breaker == Breaker.CLOSED


def test_it_goes_back_to_the_same_one_where_there_is_no_other():
    with smtp_server(answers={"DOT": BUSY}) as busy, smtp_server() as elsewhere:
        profile_for(busy, is_default=True)
        profile_for(elsewhere, sender_domains=["other.example"])  # it may not carry this one
        (message_id,) = queued()
        drained()
        busy.answers.clear()
        due_again(message_id)
        assert drained().sent == 1
        assert (busy.accepted, elsewhere.accepted) == (1, 0)


def test_a_server_with_the_other_policy_on_uncertain_mail_is_no_other():
    with smtp_server(answers={"DOT": BUSY}) as busy, smtp_server() as holding:
        profile_for(busy, is_default=True)
        profile_for(holding, on_uncertain="hold")
        (message_id,) = queued()
        drained()
        busy.answers.clear()
        due_again(message_id)
        assert drained().sent == 1
        assert (busy.accepted, holding.accepted) == (1, 0)


def test_an_uncertain_message_goes_back_to_the_server_that_may_have_it():
    with smtp_server() as default, smtp_server() as spare:
        profile_for(default, is_default=True)
        last = profile_for(spare)
        (message_id,) = queued()
        entry = entry_of(message_id)
        entry.attempts, entry.uncertain, entry.last_profile_id = 1, True, last.pk
        entry.save(update_fields=["attempts", "uncertain", "last_profile_id"])
        assert drained().sent == 1
        assert (default.accepted, spare.accepted) == (0, 1)
