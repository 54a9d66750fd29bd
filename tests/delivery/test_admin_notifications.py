"""The notifications page: who may change what, that the secret goes in and never out, and the test."""

import json

import pytest
from django.core import management
from django.urls import reverse

from delivery import queue
from delivery.incidents import Kind
from delivery.models import Message, WebhookCall
from delivery.notices.paths import Blind, Paths, blind
from smtp_settings import webhook
from smtp_settings.models import Event, NotificationSettings
from tests.builders import a_profile
from tests.pages import assert_strict, client_of, text_of
from tests.submitting import form_of
from tests.webhooks import webhook_receiver

pytestmark = pytest.mark.django_db

PAGE = "/admin/smtp_settings/notificationsettings/1/change/"
SECRET = "zz-kanarienvogel-of-the-hook"
KINDS = ["paused", "breaker", "held", "too_large", "oauth", "certificate", "password", "sign_in", "check",
         "pickup", "no_worker", "clone"]  # fmt: skip


def filled(**fields):
    values = {"recipients": "ann@example.com", "kinds": KINDS, "breaker_minutes": 10, "worker_minutes": 5}
    values |= {"version": webhook.notification_settings().version}
    return {**values, "webhook_url": "", "webhook_secret": "", "_save": "1", **fields}


def saved(client, **fields):
    """Post the form and follow; the page's text."""
    return text_of(client.post(PAGE, filled(**fields), follow=True))


def test_the_list_leads_to_the_page_and_the_page_is_there_before_anything_was_saved():
    client = client_of("viewer")
    answer = client.get(reverse("admin:smtp_settings_notificationsettings_changelist"), follow=True)

    assert answer.redirect_chain[0][0] == PAGE
    assert answer.status_code == 200
    assert NotificationSettings.objects.count() == 0
    assert_strict(answer)


def test_who_may_only_look_reads_what_is_told_a_line_each():
    page = client_of("viewer").get(PAGE).content.decode()
    assert page.count("<li>A ") > 1
    assert "<li>Messages are held</li>" in page
    NotificationSettings.objects.create(muted=[kind.value for kind in Kind])
    page = client_of("viewer").get(PAGE).content.decode()
    assert "<li>Messages are held</li>" not in page


def test_what_is_saved_is_told_of_and_the_secret_is_never_shown(caplog):
    client = client_of("administrator")
    assert "keep the saved one" not in text_of(client.get(PAGE))  # there is none yet
    text = saved(client, webhook_url="https://hooks.example.com/zzpath", webhook_secret=SECRET)
    assert "keep the saved one" in text_of(client.get(PAGE))
    assert "The notifications are saved." in text

    row = NotificationSettings.objects.get()
    assert row.recipients == ["ann@example.com"]
    assert webhook.opened_secret(row).reveal() == SECRET
    page = client.get(PAGE)
    assert_strict(page)
    assert SECRET not in page.content.decode()
    assert SECRET.encode() not in bytes(row.webhook_secret)
    event = Event.objects.get(kind="notifications.saved")
    assert SECRET not in json.dumps(event.data)
    assert "zzpath" not in json.dumps(event.data)
    assert event.data["host"] == "hooks.example.com"
    assert SECRET not in caplog.text


def test_an_empty_secret_keeps_the_saved_one_and_an_empty_address_removes_it():
    client = client_of("administrator")
    saved(client, webhook_url="https://hooks.example.com/a", webhook_secret=SECRET)
    saved(client, webhook_url="https://hooks.example.com/b")
    assert webhook.opened_secret(NotificationSettings.objects.get()).reveal() == SECRET

    saved(client, webhook_url="")
    assert NotificationSettings.objects.get().webhook_secret is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"recipients": "no address"}, "address"),
        ({"recipients": ", ".join(f"a{n}@example.com" for n in range(21))}, "At most 20 addresses."),
        ({"webhook_url": "https://hooks.example.com/"}, "The webhook needs a secret."),
        ({"webhook_url": "https://hooks.example.com/", "webhook_secret": "short"}, "At least 16 characters."),
        ({"webhook_url": "http://hooks.example.com/", "webhook_secret": SECRET}, "must begin with https://"),
        ({"webhook_url": "https://u:p@hooks.example.com/", "webhook_secret": SECRET}, "without a user name"),
        ({"webhook_url": "zz", "webhook_secret": SECRET}, "Enter a whole address"),
        ({"breaker_minutes": 0}, "greater than or equal to 1"),
        ({"kinds": ["zz"]}, "not one of the available choices"),
    ],
)
def test_what_cannot_be_meant_is_not_saved(fields, sentence):
    assert sentence in saved(client_of("administrator"), **fields)
    assert NotificationSettings.objects.count() == 0


def test_plain_http_is_a_choice():
    saved(
        client_of("administrator"),
        webhook_url="http://hooks.example.com/", webhook_secret=SECRET, accepts_clear_webhook="on",
    )  # fmt: skip

    assert NotificationSettings.objects.get().accepts_clear_webhook


def test_what_somebody_else_saved_meanwhile_is_not_overwritten():
    client = client_of("administrator")
    mine = filled(recipients="me@example.com", webhook_url="https://b.example.com", webhook_secret=SECRET)
    saved(client, webhook_url="https://a.example.com/hook", webhook_secret=SECRET + "2", kinds=KINDS[1:])

    page = client.post(PAGE, mine)
    assert "Somebody saved this page after you opened it." in text_of(page)
    for value in ("ann@example.com", "https://a.example.com/hook", ", ".join(KINDS[1:])):
        assert f"Saved meanwhile: {value}" in text_of(page)
    assert "MC1" not in page.content.decode()
    row = NotificationSettings.objects.get()
    assert (row.recipients, row.webhook_url) == (["ann@example.com"], "https://a.example.com/hook")

    again = form_of(page, "notificationsettings_form") | {"webhook_secret": SECRET, "_save": "1"}
    assert client.post(PAGE, again).status_code == 302
    row.refresh_from_db()
    assert row.recipients == ["me@example.com"]


def test_kinds_that_are_not_ticked_are_muted():
    saved(client_of("administrator"), kinds=["paused"])

    assert set(NotificationSettings.objects.get().muted) == set(KINDS) - {"paused"}


@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_who_looks_sees_the_host_of_the_webhook_and_can_change_nothing(role):
    saved(client_of("administrator"), webhook_url="https://hooks.example.com/zzpath", webhook_secret=SECRET)
    client = client_of(role)
    page = client.get(PAGE).content.decode()

    assert "hooks.example.com" in page
    assert "zzpath" not in page
    assert client.post(PAGE, filled(recipients="eve@example.com")).status_code == 403
    assert client.post(reverse("admin:smtp_settings_notificationsettings_test")).status_code == 403
    assert NotificationSettings.objects.get().recipients == ["ann@example.com"]


def test_the_test_queues_an_email_and_calls_the_webhook_at_once():
    a_profile()
    client = client_of("administrator")
    with webhook_receiver() as receiver:
        saved(client, webhook_url=receiver.url, webhook_secret=SECRET, accepts_clear_webhook="on")
        text = text_of(client.post(reverse("admin:smtp_settings_notificationsettings_test"), follow=True))

    assert "A test email to ann@example.com is queued." in text
    assert "The webhook took the test call: it answered 204." in text
    [message] = Message.objects.filter(tag=queue.NOTICE_TAG)
    assert message.rcpt_to == ["ann@example.com"]
    [call] = receiver.calls
    assert call.is_signed(SECRET)
    assert (call.told["event"], call.told["kind"]) == ("test", "test")
    assert WebhookCall.objects.count() == 0
    assert Event.objects.filter(kind="notifications.tested").count() == 1


def test_a_test_that_fails_says_why():
    client = client_of("administrator")
    with webhook_receiver() as receiver:
        pass
    saved(client, webhook_url=receiver.url, webhook_secret=SECRET, accepts_clear_webhook="on")
    text = text_of(client.post(reverse("admin:smtp_settings_notificationsettings_test"), follow=True))

    assert "No server is in use that could carry a test email." in text
    assert "The webhook did not take the test call." in text
    assert "zzpath" not in text


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        (Paths(0, has_webhook=False, calls_given_up=0, carriers=5), [Blind.NOBODY]),
        (Paths(1, has_webhook=False, calls_given_up=0, carriers=0), [Blind.ONE_SERVER]),
        (Paths(1, has_webhook=False, calls_given_up=0, carriers=1), [Blind.ONE_SERVER]),
        (Paths(1, has_webhook=False, calls_given_up=0, carriers=2), []),
        (Paths(1, has_webhook=True, calls_given_up=0, carriers=1), []),
        (Paths(0, has_webhook=True, calls_given_up=0, carriers=1), []),
        (Paths(0, has_webhook=True, calls_given_up=3, carriers=1), [Blind.CALLS_FAIL]),
        (Paths(1, has_webhook=True, calls_given_up=3, carriers=1), [Blind.CALLS_FAIL, Blind.ONE_SERVER]),
        (Paths(1, has_webhook=True, calls_given_up=3, carriers=2), [Blind.CALLS_FAIL]),
    ],
)
def test_it_is_known_when_nobody_would_hear(found, reasons):
    assert blind(found) == reasons


def test_the_page_the_dashboard_and_the_check_say_when_the_only_way_is_the_server_itself(capsys):
    a_profile()
    client = client_of("administrator")
    saved(client)
    sentence = "The emails would go through the very server they are about"

    assert sentence in text_of(client.get(PAGE))
    assert sentence in text_of(client.get("/admin/"))
    management.call_command("check", databases=["default"])
    assert "mailconf.W025" in capsys.readouterr().err

    a_profile()
    assert sentence not in text_of(client.get(PAGE))
