"""Calls of the webhook: stored, made again later and later, given up, and never twice by two callers."""

from datetime import timedelta

import pytest
from django.utils import timezone

from delivery import notices, queue
from delivery.incidents import call_again_in
from delivery.models import WebhookCall
from smtp_settings import sealing
from smtp_settings.models import Event, NotificationSettings
from smtp_settings.sealing import Secret
from tests.delivery.queueing import in_threads
from tests.webhooks import webhook_receiver

pytestmark = pytest.mark.django_db

SECRET = "zz-a-shared-secret"


def hooked(url, *, secret=SECRET, **fields):
    """A webhook at an address on this machine, which takes a choice."""
    row = NotificationSettings(
        **{"webhook_url": url, "accepts_clear_webhook": True, "secret_version": 1} | fields
    )
    if secret:
        row.webhook_secret = sealing.seal(Secret(secret), sealing.binding_for(row, "webhook_secret"))
    row.save()
    return row


def due_now():
    WebhookCall.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - timedelta(seconds=1))


def test_a_call_that_is_taken_is_made_once():
    with webhook_receiver() as receiver:
        hooked(receiver.url)
        queue.add_call('{"kind":"test"}')
        assert notices.call_due() == 1
        assert notices.call_due() == 0

    [call] = receiver.calls
    assert call.is_signed(SECRET)
    row = WebhookCall.objects.get()
    assert (row.due_at, row.status, row.attempts) == (None, 204, 1)
    assert row.done_at is not None
    assert call.headers["X-Mailconf-Delivery"] == str(row.pk)


def test_a_call_that_is_not_taken_is_made_again_with_the_same_number_and_body():
    with webhook_receiver(statuses=[503, 500]) as receiver:
        hooked(receiver.url)
        queue.add_call('{"kind":"test"}')
        for _ in range(3):
            notices.call_due()
            assert notices.call_due() == 0, "not before its time"
            due_now()

    assert len({(call.headers["X-Mailconf-Delivery"], call.body) for call in receiver.calls}) == 1
    assert len(receiver.calls) == 3
    assert all(call.is_signed(SECRET) for call in receiver.calls)
    assert WebhookCall.objects.get().done_at is not None


def test_a_receiver_that_is_gone_is_called_for_hours_and_then_given_up_with_an_event():
    with webhook_receiver() as receiver:
        pass
    hooked(receiver.url)
    queue.add_call("{}")
    tries = 0
    while WebhookCall.objects.get().due_at is not None:
        due_now()
        assert notices.call_due() == 0
        tries += 1

    assert call_again_in(tries) is None
    assert call_again_in(tries - 1) is not None
    event = Event.objects.get(kind="webhook.given_up")
    assert "zzpath" not in str(event.data)
    assert queue.calls_given_up() == 1


def test_a_receiver_that_says_gone_is_believed():
    with webhook_receiver(statuses=[410]) as receiver:
        hooked(receiver.url)
        queue.add_call("{}")
        notices.call_due()

    assert WebhookCall.objects.get().due_at is None


def test_a_call_that_is_taken_later_ends_the_complaint():
    with webhook_receiver(statuses=[410]) as receiver:
        hooked(receiver.url)
        queue.add_call("{}")
        notices.call_due()
        assert queue.calls_given_up() == 1
        queue.add_call("{}")
        notices.call_due()

    assert queue.calls_given_up() == 0


def test_without_a_webhook_what_was_to_be_called_is_dropped():
    hooked("")
    queue.add_call("{}")

    assert notices.call_due() == 0
    assert WebhookCall.objects.filter(due_at__isnull=False).count() == 0
    assert queue.calls_given_up() == 0


def test_without_its_secret_nothing_is_called():
    with webhook_receiver() as receiver:
        hooked(receiver.url, secret="")
        queue.add_call("{}")
        notices.call_due()

    assert receiver.calls == []
    assert WebhookCall.objects.get().error


def test_a_secret_of_another_row_does_not_open():
    with webhook_receiver() as receiver:
        row = hooked(receiver.url)
        NotificationSettings.objects.update(secret_version=row.secret_version + 1)
        queue.add_call("{}")
        notices.call_due()

    assert receiver.calls == []


@pytest.mark.parametrize(
    "url", ["http://10.0.0.8/", "http://169.254.169.254/latest/", "http://[fd00::1]:8080/"]
)
def test_a_webhook_reaches_into_no_network_of_ours(url):
    hooked(url)
    queue.add_call("{}")
    notices.call_due()

    assert "not allowed" in WebhookCall.objects.get().error


def test_the_mail_ports_are_shut_for_a_webhook(settings):
    settings.MAILCONF_ALLOWED_PORTS = (25, 465, 587, 2465, 2525, 2587)
    hooked("http://127.0.0.1:25/")
    queue.add_call("{}")
    notices.call_due()

    assert "Port 25" in WebhookCall.objects.get().error


@pytest.mark.django_db(transaction=True)
def test_two_callers_make_each_call_once():
    with webhook_receiver() as receiver:
        hooked(receiver.url)
        for number in range(20):
            queue.add_call(f'{{"n":{number}}}')
        in_threads(*[notices.call_due] * 4)

    assert sorted(call.told["n"] for call in receiver.calls) == list(range(20))
