"""What long names, other days and every button do to the pages: nothing is cut off by its box."""

from datetime import timedelta

import pytest
from django.utils import timezone

from delivery import queue
from delivery.models import Message, QueueEntry
from delivery.queue import Paused
from tests.browser.conftest import DESKTOP, PHONE
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.delivery.queueing import claimed

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MESSAGES, PROFILES = "/admin/delivery/message/", "/admin/smtp_settings/smtpprofile/"
NOTIFICATIONS = "/admin/smtp_settings/notificationsettings/1/change/"
#: How much wider the content of each box is that would have to be scrolled.
HIDDEN = (
    "[...document.querySelectorAll('.mc-scroll, .results')].map(one => one.scrollWidth - one.clientWidth)"
)


@pytest.fixture
def servers():
    """Servers with long names, paused for reasons without a place to break."""
    relay = a_profile(name="Backup (Amazon SES, Frankfurt)", host="127.0.0.1", is_default=True)
    office = a_profile(name="Office 365", host="127.0.0.1")
    words = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
    queue.pause(office.pk, Paused.FAULT, reason=words)
    queue.open_breaker(relay.pk, reason="421 4.3.2 Service not available")
    return relay


def test_lists_and_tables_fit_their_boxes(browser, person, servers):
    page = browser.window(user=person, width=DESKTOP)
    page.goto(PROFILES)
    assert page.evaluate(HIDDEN) == [0]
    page = browser.window(user=person, width=PHONE)
    (message_id,) = queued()
    for address in ("/admin/", f"{MESSAGES}?state=held"):
        page.goto(address)
        assert set(page.evaluate(HIDDEN)) == {0}, address
        lease = queue.register_worker()
        claimed(lease, profile_id=servers.pk)
        queue.finish(lease, [queue.Finished(message_id, queue.SmallState.HELD, 1, cause="uncertain")])


def test_moments_of_other_days_stay_in_their_columns(browser, person, servers):
    (message_id,) = queued()
    lease = queue.register_worker()
    claimed(lease, profile_id=servers.pk)
    queue.settle(lease, [queue.Settled(message_id, servers.pk, timedelta(days=2), counted=1)])
    Message.objects.filter(pk=message_id).update(created_at=timezone.now() - timedelta(days=3))
    assert QueueEntry.objects.get(pk=message_id).ready_at > timezone.now() + timedelta(days=1)

    page = browser.window(user=person, width=DESKTOP)
    page.goto(f"{MESSAGES}?state=deferred")

    for column in (".field-queued_at", ".field-next_try"):
        over = "cell => cell.scrollWidth - cell.clientWidth"
        assert page.locator(f"#result_list {column}").evaluate(over) <= 0, column


def test_a_row_without_a_tick_stands_in_its_columns_on_a_phone(browser, person, servers):
    queued()
    claimed(queue.register_worker(), profile_id=servers.pk)

    page = browser.window(user=person, width=PHONE)
    page.goto(f"{MESSAGES}?state=sending")  # nothing can be done with those

    number, badge = (
        page.locator(f"#result_list {one}").bounding_box() for one in (".field-number a", ".mc-badge")
    )
    assert page.locator(".action-checkbox").count() == 0
    assert number["x"] + number["width"] <= badge["x"]


def test_the_open_tab_is_in_sight_on_a_phone(browser, person):
    queued()
    page = browser.window(user=person, width=PHONE)
    page.goto(f"{MESSAGES}?state=suppressed")
    box = page.locator(".mc-tabs [aria-current]").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE


@pytest.mark.parametrize("javascript", [True, False])
def test_the_tick_for_an_unencrypted_webhook_comes_with_such_an_address(browser, person, javascript):
    page = browser.window(user=person, javascript=javascript)
    page.goto(NOTIFICATIONS)
    tick = page.locator("#id_accepts_clear_webhook")
    for address, is_shown in [("", False), ("ht", False), ("https://a.example/", False), ("HTTP://a", True)]:
        page.fill("#id_webhook_url", address)
        assert tick.is_visible() is is_shown, address

    page.fill("#id_webhook_url", "http://hooks.example.com/")
    page.click("button[name=_save]")
    page.wait_for_selector("ul.errorlist")
    assert tick.is_visible()
