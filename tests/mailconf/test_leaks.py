"""If a password leaked: it is out of use in one step, and the page says what was sent and what to do."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from delivery.models import Message, ProfileState, SmallState, Stat
from delivery.queue import Paused
from smtp_settings.clearance import activation
from smtp_settings.models import Event, SMTPProfile, TestRun
from tests.builders import a_profile, evidence
from tests.delivery.engine import queued
from tests.pages import assert_strict, client_of, text_of

pytestmark = pytest.mark.django_db

WORD = "zz-kanarienvogel"


def page_of(profile):
    return reverse("admin:smtp_settings_smtpprofile_leak", args=[profile.pk])


def test_the_password_is_forgotten_and_the_profile_paused_in_one_step():
    profile = a_profile(password=WORD, name="Relay")
    run = evidence(profile)
    TestRun.objects.filter(pk=run.pk).update(secret=b"sealed")
    client = client_of("administrator")

    text = text_of(client.post(page_of(profile), follow=True))

    assert "“Relay” is paused and its password is removed here." in text
    row = SMTPProfile.objects.get()
    assert row.password is None
    assert not activation.is_live(row)
    assert ProfileState.objects.get().paused == Paused.PERSON
    assert not TestRun.objects.filter(secret__isnull=False).exists()
    event = Event.objects.get(kind="password.leak_answered")
    assert (event.user_id, event.level, event.profile_id) == (client.user.pk, "warning", profile.pk)
    assert event.data["changes"] == [{"field": "password", "did": "removed"}]


def test_a_stale_form_cannot_bring_the_profile_back_to_life():
    profile = a_profile(password=WORD)
    before = SMTPProfile.objects.get().version
    client_of("administrator").post(page_of(profile))

    assert SMTPProfile.objects.get().version == before + 1


def test_doing_it_twice_is_no_error():
    profile = a_profile(password=WORD)
    client = client_of("administrator")
    for _ in range(2):
        assert client.post(page_of(profile)).status_code == 302


def test_the_page_lists_what_was_sent_since_the_password_was_set():
    profile, other = a_profile(password=WORD, name="Relay", username="shop"), a_profile(name="Other")
    twin = a_profile(password=WORD, name="Twin", username="shop")
    ids = queued(3)
    now = timezone.now()
    Message.objects.filter(pk__in=ids[:2]).update(state=SmallState.SENT, profile=profile, done_at=now)
    Message.objects.filter(pk=ids[2]).update(state=SmallState.SENT, profile=other, done_at=now)
    Message.objects.filter(pk=ids[1]).update(sensitive=True, subject="zzcode 123")
    Stat.objects.create(minute=now, worker_id=1, profile_id=profile.pk, sent=5)
    answer = client_of("administrator").get(page_of(profile))
    assert_strict(answer)
    text = text_of(answer)

    assert f"#{ids[0]}" in text
    assert f"#{ids[1]}" in text
    assert f"#{ids[2]}" not in text
    assert "zzcode" not in text
    assert "5 messages since" in text
    assert twin.name in text
    assert WORD not in answer.content.decode()


def test_what_was_sent_before_the_password_was_set_is_not_listed():
    profile = a_profile(password=WORD)
    [message_id] = queued(1)
    old = timezone.now() - timedelta(days=3)
    Message.objects.filter(pk=message_id).update(state=SmallState.SENT, profile=profile, done_at=old)

    assert f"#{message_id}" not in text_of(client_of("administrator").get(page_of(profile)))


@pytest.mark.parametrize(
    ("host", "links"),
    [("smtp.gmail.com", ["https://support.google.com/accounts/answer/185833"]), ("mail.example.com", [])],
)
def test_the_providers_own_page_is_linked_where_it_is_known(host, links):
    profile = a_profile(host=host, password=WORD)
    answer = client_of("administrator").get(page_of(profile))
    assert re.findall(r'href="(https://[^"]+)" rel="noreferrer', answer.content.decode()) == links
    assert_strict(answer)


@pytest.mark.parametrize("role", ["operator", "viewer", "staff"])
def test_it_needs_its_own_permission(role):
    profile = a_profile(password=WORD)
    client = client_of(role)

    assert client.get(page_of(profile)).status_code == 403
    assert client.post(page_of(profile)).status_code == 403
    assert SMTPProfile.objects.get().password is not None


def test_a_forged_post_is_refused():
    profile = a_profile(password=WORD)
    client = client_of("administrator", enforce_csrf_checks=True)

    assert client.post(page_of(profile)).status_code == 403
    assert SMTPProfile.objects.get().password is not None


def test_the_profile_page_leads_there_for_those_who_may():
    profile = a_profile(password=WORD)
    form = reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])

    assert page_of(profile) in client_of("administrator").get(form).content.decode()
    assert page_of(profile) not in client_of("viewer").get(form).content.decode()
