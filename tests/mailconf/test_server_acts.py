"""What people do with servers, from the profile pages to the queue."""

from datetime import timedelta

import pytest
from django.utils import timezone

from delivery import queue
from delivery.models import ProfileState
from delivery.queue import Breaker, Paused
from smtp_settings import facts
from smtp_settings.facts import Candidate, Health
from smtp_settings.models import Event
from tests.builders import a_profile, a_user

pytestmark = pytest.mark.django_db


def kinds():
    return [(event.kind, event.user_id) for event in Event.objects.filter(kind__startswith="server.")]


def test_a_person_pauses_and_resumes_and_the_log_knows_who():
    profile, person = a_profile(), a_user()

    assert facts.acts().pause(profile.pk, person.pk)
    known = facts.facts_for([profile.pk])[profile.pk]
    assert known.paused.startswith(f"Paused by {person.username} since ")
    assert (known.is_down, known.kind) == (True, Health.PAUSED)

    assert facts.acts().resume(profile.pk, person.pk)
    assert not facts.facts_for([profile.pk])[profile.pk].is_down
    assert kinds() == [("server.resumed", person.pk), ("server.paused", person.pk)]


def test_a_second_pause_changes_nothing_and_is_no_event():
    profile, first, second = a_profile(), a_user(), a_user()
    facts.acts().pause(profile.pk, first.pk)

    assert not facts.acts().pause(profile.pk, second.pk)

    assert ProfileState.objects.get().paused_by_id == first.pk
    assert len(kinds()) == 1


def test_a_persons_pause_stands_over_a_faults():
    profile, person = a_profile(), a_user()
    queue.pause(profile.pk, Paused.FAULT, reason="sign-in refused")
    assert facts.acts().pause(profile.pk, person.pk)
    assert ProfileState.objects.get().paused == Paused.PERSON


def test_the_next_try_is_brought_forward_and_the_breaker_stays_open():
    profile, person = a_profile(), a_user()
    queue.open_breaker(profile.pk, reason="no answer", at_least=timedelta(hours=1))
    assert facts.facts_for([profile.pk])[profile.pk].can_try_now

    assert facts.acts().try_now(profile.pk, person.pk)

    state = ProfileState.objects.get()
    assert (state.breaker, state.open_until <= timezone.now()) == (Breaker.OPEN, True)
    assert kinds() == [("server.try_now", person.pk)]


@pytest.mark.parametrize("act", ["resume", "try_now"])
def test_a_server_in_use_has_nothing_to_resume_or_to_try(act):
    profile, person = a_profile(), a_user()
    assert not getattr(facts.acts(), act)(profile.pk, person.pk)
    assert kinds() == []


def test_the_order_of_use_is_the_dispatchers():
    found = facts.order_of_use(
        [
            Candidate(1, is_default=False, priority="low"),
            Candidate(2, is_default=False, priority="high", free_connections=1),
            Candidate(3, is_default=False, priority="high", free_connections=4),
            Candidate(4, is_default=True, priority="normal"),
            Candidate(5, is_default=False, priority="high", site_ids=frozenset({9})),
        ]
    )
    assert found == [4, 3, 2, 1]
    of_site = facts.order_of_use(
        [Candidate(5, is_default=False, priority="high", site_ids=frozenset({9}))], 9
    )
    assert of_site == [5]
