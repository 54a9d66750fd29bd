"""What profile pages say of a server that is not pipelined to."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from delivery import queue
from delivery.models import ProfileState
from smtp_settings.models import Event, SMTPProfile
from tests.builders import a_profile
from tests.pages import client_of, inline_in, text_of

pytestmark = pytest.mark.django_db

NOTE = "its answers to pipelined commands did not fit together."


def a_garbled_profile(**fields):
    """A profile as its row is after an answer out of place."""
    profile = a_profile(name="EU relay", **fields)
    queue.learn_sequential(profile.pk, fingerprint=profile.cleared_fingerprint[:32])
    return profile


def pages_of(profile, role="operator"):
    client = client_of(role)
    found = [
        client.get(reverse("admin:smtp_settings_smtpprofile_changelist")),
        client.get(reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])),
    ]
    assert [inline_in(page.content.decode()) for page in found] == [[], []]
    return [text_of(page) for page in found]


def test_the_list_and_the_page_say_until_when_and_why():
    profile = a_garbled_profile()
    until = timezone.localtime(ProfileState.objects.get().sequential_until)
    sentence = f"One command at a time until {date_format(until, 'j M, H:i')}: {NOTE}"
    assert all(sentence in page for page in pages_of(profile))


def test_who_may_only_look_reads_it_too():
    assert all(NOTE in page for page in pages_of(a_garbled_profile(), "viewer"))


@pytest.mark.parametrize(
    "change",
    [
        lambda: ProfileState.objects.update(sequential_until=timezone.now()),
        lambda: ProfileState.objects.update(sequential_until=None),
        lambda: SMTPProfile.objects.update(cleared_fingerprint="cd" * 32),
        lambda: SMTPProfile.objects.update(enabled=False),
    ],
    ids=["over", "never", "other settings", "disabled"],
)
def test_nothing_is_said_when_it_is_over_or_of_other_settings(change):
    profile = a_garbled_profile()
    change()
    assert not any(NOTE in page for page in pages_of(profile))


def test_the_event_log_names_it():
    profile = a_garbled_profile()
    queue.add_event(
        "server.sequential", level="warning", profile_id=profile.pk, data={"reason": "354 out of place"}
    )
    client = client_of("viewer")
    page = text_of(client.get(reverse("admin:smtp_settings_event_changelist")))
    assert Event.objects.filter(kind="server.sequential", at__gt=timezone.now() - timedelta(hours=1)).exists()
    assert "One command at a time for a day 354 out of place" in page


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("server.breaker_opened", "Breaker opened"),
        ("server.breaker_closed", "Breaker closed"),
        ("server.paused", "Profile paused"),
    ],
)
def test_the_event_log_says_in_words_what_became_of_which_server(kind, words):
    profile = a_profile()
    queue.add_event(kind, profile_id=profile.pk, data={"reason": "it said so"})
    page = text_of(client_of("viewer").get(reverse("admin:smtp_settings_event_changelist")))
    assert f"{words} it said so - {profile.name} -" in page


def test_the_form_explains_what_automatic_pipelining_does():
    page = text_of(client_of("administrator").get(reverse("admin:smtp_settings_smtpprofile_add")))
    assert "goes to one round trip a message after ten clean ones" in page
    assert "one command at a time for a day" in page
