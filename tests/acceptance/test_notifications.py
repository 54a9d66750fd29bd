"""A server that falls is told once, through another and by webhook, and once when it works again."""

import pytest

from delivery import notices, queue
from delivery.models import Incident, Message, ProfileState, SmallState, WebhookCall
from delivery.queue import Paused
from smtp_settings import sealing
from smtp_settings.models import NotificationSettings
from smtp_settings.sealing import Secret
from tests.acceptance.processes import celery_worker, drains, manage, until
from tests.acceptance.test_wrong_password import corrected
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.servers import smtp_server
from tests.webhooks import webhook_receiver

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "zz-a-shared-secret-of-some-length"
ANN = "ann@example.com"


def told(url):
    row = NotificationSettings(
        recipients=[ANN], webhook_url=url, accepts_clear_webhook=True, secret_version=1, breaker_minutes=1
    )
    row.webhook_secret = sealing.seal(Secret(SECRET), sealing.binding_for(row, "webhook_secret"))
    row.save()


def news(server):
    """Who got the notifications a server accepted."""
    return [one.rcpt_to for one in server.messages if b"Auto-Submitted: auto-generated" in one.content]


def tries(hook):
    """Give the server one more message to try with; whether its recovery was told."""
    queued(1)
    with hook.changed:
        return hook.changed.wait_for(lambda: len(hook.calls) >= 2, 0.5)


@pytest.mark.long  # 40 s; tests/delivery/test_watching.py looks without workers
def test_a_paused_server_is_told_once_by_mail_and_webhook_and_once_when_it_works_again(
    process_environment, tmp_path
):
    with smtp_server(auth=("shop", "new")) as broken, smtp_server() as other, webhook_receiver() as hook:
        relay = a_profile(name="Relay", host=broken.host, port=broken.port, password="old", is_default=True)
        a_profile(name="Backup", host=other.host, port=other.port, priority="low")
        told(hook.url)
        watcher = manage(process_environment, "watch", "--every", "0.3")
        try:
            with celery_worker(process_environment, queues="mail,work", beat=tmp_path / "beat"):
                queued(20)
                calls = hook.wait_for(1)
                until(lambda: len(news(other)) == 1)
                queued(20)  # the second failure: the same incident
                until(lambda: Message.objects.filter(state=SmallState.SENT).count() == 41)
                assert ProfileState.objects.get(profile=relay).paused == Paused.FAULT

                corrected(relay, "new")
                until(lambda: tries(hook))
                until(lambda: len(news(other)) + len(news(broken)) == 2)
        finally:
            watcher.terminate()
            watcher.communicate(timeout=120)

    assert [(call.told["event"], call.told["kind"], call.told["name"]) for call in calls] == [
        ("began", "paused", "Relay"),
        ("ended", "paused", "Relay"),
    ]
    assert all(call.is_signed(SECRET) for call in calls)
    assert len({call.headers["X-Mailconf-Delivery"] for call in calls}) == 2
    assert news(other)[0] == (ANN,)


def test_servers_that_all_refuse_make_one_notification_each_and_no_loop(process_environment):
    refusing = {"AUTH": "535 5.7.8 no"}
    with (
        smtp_server(auth=("shop", "x"), answers=refusing) as one,
        smtp_server(auth=("shop", "x"), answers=refusing) as two,
        webhook_receiver() as hook,
    ):
        a_profile(name="One", host=one.host, port=one.port, password="old", is_default=True)
        a_profile(name="Two", host=two.host, port=two.port, password="old", priority="low")
        told(hook.url)
        watcher = manage(process_environment, "watch", "--every", "0.3")
        try:
            with drains(process_environment, 1):
                queued(5)
                hook.wait_for(2)
                until(lambda: not WebhookCall.objects.filter(due_at__isnull=False).exists())
                # Its notices wait for servers; looking again and again makes no more of them.
                before = Message.objects.filter(tag=queue.NOTICE_TAG).count()
                assert sum(notices.watch() for _ in range(20)) == 0
        finally:
            watcher.terminate()
            watcher.communicate(timeout=120)

    assert sorted(call.told["name"] for call in hook.calls) == ["One", "Two"]
    assert before <= 1
    assert Message.objects.filter(tag=queue.NOTICE_TAG).count() == before
    assert Incident.objects.filter(ended_at=None).count() == 2
