"""What profile pages know of the queue."""

import pytest

from smtp_settings import facts
from smtp_settings.facts import ProfileFacts


@pytest.fixture(autouse=True)
def _put_back():
    before = list(facts._providers)
    yield
    facts._providers[:] = before


def test_without_a_provider_nothing_is_known():
    facts.provide(None)
    assert facts.facts_for([1, 2]) == {1: ProfileFacts(), 2: ProfileFacts()}


def test_the_provider_is_asked_once_for_all():
    asked = []

    def answer(ids):
        asked.append(list(ids))
        return {1: ProfileFacts(health="Working", waiting=3, may_delete=False)}

    facts.provide(answer)
    assert facts.facts_for([1, 2]) == {
        1: ProfileFacts(health="Working", waiting=3, may_delete=False),
        2: ProfileFacts(),
    }
    assert asked == [[1, 2]]


def test_for_no_profile_nobody_is_asked():
    facts.provide(lambda ids: 1 / 0)
    assert facts.facts_for([]) == {}
