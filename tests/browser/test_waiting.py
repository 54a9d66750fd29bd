"""Why a message waits, and who would take one, as they look: in both themes and at two widths."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from delivery import queue
from delivery.models import ProfileState
from delivery.queue import Breaker, Paused
from tests.browser.walk import BEYOND, looks_of
from tests.builders import a_draft, a_profile
from tests.delivery.engine import queued

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WORDS = (
    "421 4.3.2 smtp.example.com: too much mail from your address of late, come again in a quarter of an hour"
)


@pytest.fixture
def message_id(person):
    """A message whose servers all say something else."""
    queue.register_worker()
    relay = a_profile(name="EU relay", is_default=True, user=person)
    queue.pause(relay.pk, Paused.PERSON, user_id=person.pk)
    backup = a_profile(name="Backup", priority="high")
    until = timezone.now() + timedelta(minutes=9)
    ProfileState.objects.create(profile_id=backup.pk, breaker=Breaker.OPEN, open_until=until, reason=WORDS)
    a_profile(name="Newsletter", send_offset=600, per_minute=25)
    a_profile(name="Marketing", sender_domains=["news.example.com"])
    a_draft(name="Next year")
    return queued(3)[-1]


def looked_at(page, url, keep, name):
    """Keep a picture of each look; how far the page is wider than the window in each."""
    beyond = {}
    for look in looks_of(page, url):
        keep(page, f"{name}-{look}")
        beyond[look] = page.evaluate(BEYOND)
    return set(beyond.values())


def test_a_waiting_message_says_why_and_leads_to_the_simulator(browser, person, message_id, keep):
    page = browser.window(user=person, javascript=False)

    assert looked_at(page, "/admin/delivery/message/?state=queued", keep, "waiting-list") == {0}
    act = page.locator(".actions .mc-button").first
    dimmed = act.evaluate("one => getComputedStyle(one).color")
    page.locator(".action-select").first.check()
    assert act.evaluate("one => getComputedStyle(one).color") != dimmed, "usable once a row is ticked"
    assert all(
        one.startswith("Backup: breaker open until ") for one in page.locator(".mc-why").all_inner_texts()
    )
    assert page.locator(".mc-why").count() == 3

    assert looked_at(page, f"/admin/delivery/message/{message_id}/", keep, "waiting") == {0}
    first = page.locator("#mc-why .mc-notice strong").inner_text()
    assert first.startswith("Backup: Breaker open until ")
    assert page.locator("#mc-why tbody tr").count() == 4
    assert WORDS in page.locator("#mc-why").inner_text()

    page.click("#mc-why .mc-card-head a")
    expect(page.locator("#id_sender")).to_have_value("shop@example.com")
    assert looked_at(page, page.url, keep, "route-answer") == {0}
    expect(page.locator(".mc-notice strong")).to_have_text("No server takes it now.")

    page.fill("#id_sender", "offers@news.example.com")
    page.click("button:has-text('Ask')")
    expect(page.locator(".mc-notice strong")).to_have_text("Marketing takes it.")
    expect(page.locator("table tbody tr")).to_have_count(5)
