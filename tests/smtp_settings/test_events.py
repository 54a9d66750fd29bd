"""The event log: what was changed in words, by whom and from where, and no secret."""

import re

import pytest
from django.contrib.sites.models import Site
from django.urls import reverse

from delivery import jobs, queue
from delivery.incidents import Kind
from mailconf.env import BASE_DIR
from smtp_settings.admin.listing import acts as listing_acts
from smtp_settings.admin.records import detail_words, event_words
from smtp_settings.clearance import activation
from smtp_settings.models import Event, OAuthCredential, SMTPProfile
from smtp_settings.sealing import Secret
from tests.builders import a_profile, a_user, evidence, unsaved_profile
from tests.pages import client_of, text_of

pytestmark = pytest.mark.django_db
LOG = reverse("admin:smtp_settings_event_changelist")


def saved(profile, user, *, password="", **fields):
    """Change a profile and save it with a test of its own; what the event says."""
    profile = SMTPProfile.objects.get(pk=profile.pk)
    for name, value in fields.items():
        setattr(profile, name, value)
    effective = activation.effective_secret(profile, typed=Secret(password) if password else None)
    run = evidence(profile, effective.secret, user=user)
    activation.save_profile(profile, effective, user=user, run=run)
    return event_words.details_of(Event.objects.filter(kind="profile.saved").first())


def test_a_change_names_the_field_with_its_old_and_new_value():
    profile, person = a_profile(host="a.example", debug_recipients=[]), a_user()
    said = saved(profile, person, host="b.example", security="starttls", debug_recipients=["qa@example.com"])
    assert said[:3] == [
        "Changed Server: a.example → b.example",
        "Changed Security: None, not encrypted (usually 25) → STARTTLS (usually 587)",
        "Changed Debug recipients: empty → qa@example.com",
    ]


def test_secrets_certificates_and_notes_are_named_only():
    person = a_user()
    profile = a_profile(password="one secret", user=person)
    said = saved(profile, person, password="another secret", ca="PEM", notes="call Ana, +49 123")
    assert {"Changed Own CA certificates", "Changed Notes", "Changed Password"} <= set(said)
    stored = str(list(Event.objects.values_list("data", flat=True)))
    assert not any(word in stored for word in ("one secret", "another secret", "PEM", "+49 123"))


def test_the_ticks_that_override_a_warning_say_what_was_accepted():
    person = a_user()
    said = saved(a_profile(password="x", accepts_clear_auth=False), person, accepts_clear_auth=True)
    assert "Accepted: the password is sent without encryption" in said
    said = saved(a_profile(), person, verification="none", accepts_unverified=True)
    assert "Accepted: another machine could pretend to be this server" in said


def test_a_draft_of_a_live_profile_is_a_warning_that_says_what_stopped():
    profile, person = a_profile(), a_user()
    activation.save_draft(SMTPProfile.objects.get(pk=profile.pk), user=person)
    event = Event.objects.get(kind="profile.draft")
    assert event.level == "warning"
    assert "It was live and does not send any more" in event_words.details_of(event)


def test_a_new_default_names_the_one_that_lost_it_and_sites_are_a_change():
    first, person = a_profile(name="First", is_default=True), a_user()
    assert first.is_default
    second = unsaved_profile(is_default=True)
    run = evidence(second, user=person)
    activation.save_profile(second, activation.NO_SECRET, user=person, run=run)
    said = event_words.details_of(Event.objects.filter(kind="profile.saved").first())
    assert "no longer the default: First" in said
    activation.save_profile(
        SMTPProfile.objects.get(pk=second.pk),
        activation.NO_SECRET,
        user=person,
        sites=[Site.objects.create(domain="shop.example")],
    )
    said = event_words.details_of(Event.objects.filter(kind="profile.saved").first())
    assert "Changed Sites: empty → shop.example" in said


def test_saved_anyway_shows_its_reason():
    profile, person = a_profile(), a_user()
    row = SMTPProfile.objects.get(pk=profile.pk)
    activation.save_untested(row, activation.NO_SECRET, user=person, reason="the server comes on Monday")
    page = text_of(client_of("viewer").get(LOG))
    assert "Profile saved without a test" in page
    assert "Reason: the server comes on Monday" in page


def test_what_a_worker_left_behind_is_told_in_words():
    lease = queue.register_worker()
    queue.add_event("journal.replayed", worker_id=lease, data={"worker": lease, "sent": 96, "uncertain": 1})
    page = text_of(client_of("viewer").get(LOG))
    assert f"Worker ended without a goodbye worker {lease}, 1 message uncertain, 96 messages sent" in page
    assert "Worker" in page


def test_every_kind_can_be_filtered_and_shown_with_any_details():
    data = {"phase": "auth", "security": "tls", "unheard_of": 3, "held": [1, 2], "reason": "x", "changes": []}
    client = client_of("administrator")
    for kind, name in event_words.NAMES.items():
        event = Event.objects.create(kind=kind, data=data)
        page = text_of(client.get(LOG, {"kind": kind, "level": "info"}))
        assert f"{name} x" in page or f"{name} Reason: x" in page
        assert "unheard of: 3" in page
    assert client.get(reverse("admin:smtp_settings_event_change", args=[event.pk])).status_code == 200


def test_every_kind_written_anywhere_has_a_name_and_all_are_made_alike():
    """What it is about, a dot, and what became of it: `server.paused`."""
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", kind) for kind in event_words.NAMES)
    calls = re.compile(r"(?:add_event|add_message_events|_noted?|event_of|Event)\(\s*(?:kind=)?\"([^\"]+)\"")
    told = {
        kind
        for app in ("delivery", "mailconf", "smtp_settings")
        for file in (BASE_DIR / app).rglob("*.py")
        for kind in calls.findall(file.read_text())
    }
    assert "server.paused" in told
    assert told - event_words.NAMES.keys() == set()


def test_who_and_from_where_stand_beside_it_and_operators_see_only_their_own():
    operator = client_of("operator")
    Event.objects.create(
        kind="server.paused", user_id=operator.user.pk, ip="203.0.113.7", data={"name": "EU"}
    )
    Event.objects.create(kind="server.paused", user_id=a_user().pk, data={"name": "Secret relay"})
    Event.objects.create(kind="server.breaker_opened", user_id=999_999, data={"name": "Third"})

    own = text_of(operator.get(LOG))
    everything = text_of(client_of("viewer").get(LOG))

    assert "203.0.113.7" in own
    assert operator.user.username in own
    assert "Secret relay" not in own
    assert "Secret relay" in everything
    assert "User 999999 (deleted)" in everything


def test_the_page_says_event_log_and_counts_events():
    Event.objects.create(kind="person.signed_in")
    page = client_of("viewer").get(LOG)
    assert "<h1>Event log</h1>" in page.content.decode()
    assert "Rows 1 to 1 of 1." in text_of(page)


def test_hostile_words_in_an_event_are_escaped():
    Event.objects.create(kind="<b>kind</b>", data={"name": "<script>alert(1)</script>", "x": "<img src=x>"})
    html = client_of("viewer").get(LOG).content.decode()
    assert "<script>alert" not in html
    assert "<img src=x>" not in html
    assert "<b>kind" not in html


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (detail_words.ACTS, [*jobs.ACTS, *listing_acts.BY_NAME]),
        (detail_words.SUBJECTS, list(Kind)),
        (detail_words.REFUSED, ["permission", "select_across"]),
    ],
)
def test_every_act_and_every_other_code_of_a_detail_has_words(words, codes):
    assert set(words) == set(codes)


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("job.started", {"act": "hold", "per_minute": 60}, ["Hold messages", "60 a minute at most"]),
        (
            "act.refused",
            {"act": "pause_selected", "why": "permission"},
            ["Pause profiles", "refused: without the permission for it"],
        ),
        (
            "act.refused",
            {"act": "<b>", "why": "select_across"},
            ["<b>", "refused: for more than the page shows"],
        ),
        ("message.content_read", {"part": "attachment 2"}, ["attachment 2"]),
        ("message.content_read", {"part": "preview"}, ["the preview"]),
        ("log.exported", {"part": "events"}, ["the event log"]),
        (
            "notification.no_way",
            {"name": "A", "what": "breaker"},
            ["about a server that does not answer or turns us away"],
        ),
        (
            "notifications.saved",
            {"settings": ["recipients", "kinds"], "host": "hooks.example.com"},
            ["Changed Recipients", "Changed What is told", "webhook at hooks.example.com"],
        ),
        ("webhook.given_up", {"reason": "410 Gone", "attempts": 1}, ["410 Gone", "after 1 attempt"]),
        (
            "queue.taken_over",
            {"package": "django-mailer", "taken": 3, "left": 1},
            ["django-mailer", "3 messages taken over", "1 message left there"],
        ),
        ("keys.rotated", {"key": "k2", "resealed": 2}, ["key k2", "2 secrets sealed anew"]),
        (
            "policy.saved",
            {"name": "All sites", "changes": [{"field": "debug_mode", "old": "off", "new": "log"}]},
            ["Changed Debug mode: Off → Log only"],
        ),
        ("test.passed", {"name": "A", "server": ""}, []),
    ],
)
def test_details_are_words_and_no_codes(kind, data, said):
    assert event_words.details_of(Event(kind=kind, data=data)) == said


# What it is about


def about(client, **fields):
    """The cell of one event as this client is shown it, without the page around it."""
    event = Event.objects.create(**fields)
    page = client.get(LOG).content.decode()
    event.delete()
    return re.search(r"field-about[^>]*>(.*?)</td>", page, re.DOTALL)[1]


@pytest.mark.parametrize(
    ("fields", "text", "url", "permission"),
    [
        (
            {"kind": "message.held", "message_id": 7},
            "Message 7",
            "delivery/message/7/",
            "delivery.view_message",
        ),
        ({"kind": "job.done", "job_id": 8}, "Job 8", "delivery/bulkjob/8/", "delivery.view_bulkjob"),
        (
            {"kind": "policy.saved", "data": {"name": "All sites", "site": None}},
            "All sites",
            "smtp_settings/sendingpolicy/",
            "smtp_settings.view_sendingpolicy",
        ),
        (
            {"kind": "policy.saved", "data": {"name": "Shop", "site": 3}},
            "Shop",
            "smtp_settings/sendingpolicy/site/3/",
            "smtp_settings.view_sendingpolicy",
        ),
        (
            {"kind": "webhook.given_up"},
            "Notifications",
            "smtp_settings/notificationsettings/",
            "smtp_settings.view_notificationsettings",
        ),
    ],
)
def test_what_it_is_about_is_a_link_for_those_who_may_open_it(fields, text, url, permission):
    link = f'<a href="/admin/{url}">{text}</a>'
    looker = ["smtp_settings.view_event"]
    assert about(client_of("staff", permissions=looker), **fields) == text
    assert about(client_of("staff", permissions=[*looker, permission]), **fields) == link


def test_a_profile_is_a_link_while_it_exists_by_the_name_it_had():
    profile, client = a_profile(name="Now"), client_of("viewer")
    page = reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])
    fields = {"kind": "profile.saved", "data": {"name": "Then"}}
    assert about(client, profile_id=profile.pk, **fields) == f'<a href="{page}">Then</a>'
    assert about(client, profile_id=999, **fields) == "Then"
    assert about(client, profile_id=999, kind="server.thawed") == "Profile 999 (deleted)"


def test_an_oauth_credential_and_a_worker_lead_to_where_they_are_shown():
    row = OAuthCredential.objects.create(name="Contoso", provider="microsoft", flow="application")
    page = reverse("admin:smtp_settings_oauthcredential_change", args=[row.pk])
    fields = {"kind": "oauth.saved", "data": {"credential": "Contoso"}}
    client = client_of("viewer")
    assert about(client, **fields) == f'<a href="{page}">Contoso</a>'
    assert about(client, kind="worker.lost", worker_id=4) == '<a href="/admin/#mc-workers">Worker 4</a>'
    row.delete()
    assert about(client, **fields) == "Contoso"


def test_a_test_leads_to_its_steps_and_its_profile():
    run = evidence(profile := a_profile(name="Relay"), user=a_user())
    Event.objects.create(
        kind="test.passed", profile_id=profile.pk, data={"name": "Relay", "run": str(run.uuid)}
    )
    page = client_of("viewer").get(LOG).content.decode()
    url = reverse("admin:smtp_settings_testrun_change", args=[run.pk])
    assert f'<a href="{url}">Test passed</a>' in page
    run.delete()
    assert "Test passed" in (page := client_of("viewer").get(LOG).content.decode())
    assert url not in page


def test_a_recipient_is_named_to_those_who_may_read_messages():
    fields = {"kind": "message.suppressed", "message_id": 7, "data": {"name": "blind@example.com"}}
    assert "blind@example.com" in about(client_of("superuser"), **fields)
    assert "Message 7" in (cell := about(client_of("viewer"), **fields))
    assert "blind" not in cell
