"""The ribbon: what is so on purpose and must not be forgotten, on every page, for those who may know it."""

import pytest
from django.core.cache import cache
from django.urls import reverse

from smtp_settings.models import SMTPProfile
from tests.builders import a_draft, a_profile
from tests.delivery.queueing import statements
from tests.pages import assert_strict, client_of, text_of

pytestmark = pytest.mark.django_db

PAGES = (
    "admin:index",
    "admin:smtp_settings_event_changelist",
    "admin:auth_user_changelist",
    "admin:password_change",
)
SENTENCE = "EU relay copies every message to debug@example.com."


@pytest.fixture(autouse=True)
def fresh():
    """What a source read is kept for some seconds; each test begins with nothing."""
    cache.clear()


@pytest.mark.parametrize("page", PAGES)
def test_debug_recipients_are_named_on_every_page(page):
    a_profile(name="EU relay", debug_recipients=["debug@example.com"])
    response = client_of("administrator").get(reverse(page))
    assert SENTENCE in text_of(response)
    assert_strict(response)


@pytest.mark.parametrize(("role", "sees"), [("viewer", True), ("operator", True), ("staff", False)])
def test_only_those_who_may_see_profiles_are_told(role, sees):
    a_profile(name="EU relay", debug_recipients=["debug@example.com"])
    assert (SENTENCE in text_of(client_of(role).get(reverse("admin:index")))) is sees


def test_nobody_is_told_before_signing_in():
    a_profile(name="EU relay", debug_recipients=["debug@example.com"])
    assert "debug@example.com" not in text_of(client_of("anonymous").get(reverse("admin:login")))


def test_it_goes_with_the_setting_and_counts_neither_drafts_nor_disabled_ones():
    client = client_of("viewer")
    a_draft(name="Draft", debug_recipients=["draft@example.com"])
    a_profile(name="Disabled", enabled=False, debug_recipients=["off@example.com"])
    profile = a_profile(name="EU relay", debug_recipients=["debug@example.com"])
    page = text_of(client.get(reverse("admin:index")))
    assert SENTENCE in page
    assert "draft@example.com" not in page
    assert "off@example.com" not in page
    row = SMTPProfile.objects.get(pk=profile.pk)
    row.debug_recipients = []
    row.save()
    assert SENTENCE not in text_of(client.get(reverse("admin:index")))


def test_it_costs_one_query_and_none_for_some_seconds():
    client = client_of("viewer")
    url = reverse("admin:password_change")
    client.get(url)
    with statements() as kept:
        client.get(url)
    cache.delete("mailconf.ribbon.copies")
    with statements() as fresh:
        client.get(url)
    assert len(fresh) - len(kept) == 1


def test_many_addresses_are_counted_and_names_escaped():
    a_profile(name="<b>EU</b>", debug_recipients=[f"qa{number}@example.com" for number in range(5)])
    response = client_of("viewer").get(reverse("admin:index"))
    assert "copies every message to qa0@example.com, qa1@example.com, qa2@example.com and 2 more." in text_of(
        response
    )
    assert "<b>EU" not in response.content.decode()
