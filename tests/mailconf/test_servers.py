"""What pages say of a server: how it is spoken to, what was learned of it, that it turns us away."""

import json
from datetime import timedelta

import pytest
from django.core import management
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


# What was learned


def a_crowded_profile(**fields):
    """A profile whose server refused a connection, ended its sessions early and took few recipients."""
    profile = a_profile(name="EU relay", max_connections=8, **fields)
    fingerprint = profile.cleared_fingerprint[:32]
    queue.learn_connections(profile.pk, 3, fingerprint=fingerprint)
    queue.learn_session_messages(profile.pk, 20, fingerprint=fingerprint)
    queue.learn_recipients(profile.pk, 1, fingerprint=fingerprint)
    ProfileState.objects.update(
        connections_at=timezone.now() - timedelta(hours=18),
        crowded=40,
        session_messages_at=timezone.now() - timedelta(days=6),
    )
    return profile


def test_lists_pages_and_the_dashboard_say_what_was_learned_and_when():
    profile = a_crowded_profile()
    words = "Learned from its answers: at most 4 connections at once ("
    since = timezone.localtime(ProfileState.objects.get().session_messages_at)
    sessions = f"20 messages a session ({date_format(since, 'j M, H:i')}), 1 recipient a message ("
    for page in (*pages_of(profile, "viewer"), text_of(client_of("viewer").get(reverse("admin:index")))):
        assert words in page
        assert sessions in page


def test_a_limit_of_sessions_is_forgotten_after_a_week_and_with_other_settings():
    profile = a_crowded_profile()
    ProfileState.objects.update(session_messages_at=timezone.now() - timedelta(days=7))
    assert not any("a session (" in page for page in pages_of(profile))
    assert all("1 recipient a message (" in page for page in pages_of(profile))
    SMTPProfile.objects.update(cleared_fingerprint="cd" * 32)
    assert not any("Learned" in page for page in pages_of(profile))


def test_a_person_who_may_resume_forgets_it_with_one_click_on_the_page():
    profile = a_crowded_profile()
    client = client_of("operator")
    url = reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])
    act = reverse("admin:smtp_settings_smtpprofile_forget", args=[profile.pk])
    assert f'id="mc-forget" action="{act}"' in client.get(url).content.decode()
    assert 'form="mc-forget"' not in client_of("viewer").get(url).content.decode()

    answer = client.post(act, headers={"referer": f"http://testserver{url}"})

    assert answer.url == url
    page = text_of(client.get(url))
    assert "What was learned of “EU relay” is forgotten." in page
    assert "at most" not in page.split("is forgotten.")[1].split("Server")[0]
    (event,) = Event.objects.filter(kind="server.forgotten")
    assert (event.profile_id, event.user_id) == (profile.pk, client.user.pk)
    client.post(act)
    assert Event.objects.filter(kind="server.forgotten").count() == 1


def test_the_event_log_says_what_was_learned_from_which_answer():
    profile = a_profile()
    data = {"connections": 3, "reason": "421 4.7.0 Too many connections"}
    queue.add_event("server.learned", level="warning", profile_id=profile.pk, data=data)
    queue.add_event("server.learned", profile_id=profile.pk, data={"session_messages": 20, "reason": ""})
    queue.add_event("server.learned", profile_id=profile.pk, data={"recipients_taken": 1, "reason": "452"})
    page = text_of(client_of("viewer").get(reverse("admin:smtp_settings_event_changelist")))
    assert "Limit of a server learned 421 4.7.0 Too many connections, at most 3 connections at once" in page
    assert "at most 20 messages a session" in page
    assert "at most 1 recipient a message" in page


def test_a_server_that_turns_us_away_for_good_is_an_alert_with_its_words():
    profile = a_profile(name="EU relay")
    queue.open_breaker(profile.pk, reason="554 5.7.1 You are on our <list>")
    page = client_of("viewer").get(reverse("admin:index"))
    assert "EU relay turns us away: next try " in text_of(page)
    assert "<code>554 5.7.1 You are on our &lt;list&gt;</code>" in page.content.decode()


def test_a_server_that_does_not_answer_is_no_refusal():
    profile = a_profile(name="EU relay")
    queue.open_breaker(profile.pk, reason="No answer within 30 s")
    page = text_of(client_of("viewer").get(reverse("admin:index")))
    assert "turns us away" not in page
    assert "EU relay: Breaker open, next try " in page


def test_the_status_of_the_queue_says_what_was_learned(capsys):
    a_crowded_profile()
    management.call_command("queue_status", "--json")
    assert json.loads(capsys.readouterr().out)["learned"] == {
        "EU relay": {"connections": 4, "session_messages": 20, "recipients": 1}
    }
    management.call_command("queue_status")
    assert (
        "Learned of EU relay: at most 4 connections at once, 20 messages a session, 1 recipients a message."
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("minutes", "words"), [(9, "Breaker open, next try "), (-9, "Breaker open, the next message tries it")]
)
def test_a_breaker_names_no_moment_that_is_over(minutes, words):
    profile = a_profile(name="EU relay")
    until = timezone.now() + timedelta(minutes=minutes)
    ProfileState.objects.create(profile_id=profile.pk, breaker=queue.Breaker.OPEN, open_until=until)
    for page in pages_of(profile):
        assert words in page
