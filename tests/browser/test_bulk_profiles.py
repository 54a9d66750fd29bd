"""The ticked profiles: the row of buttons, the notices and the question before some are deleted."""

import pytest
from django.contrib.sites.models import Site

from smtp_settings.models import SMTPProfile
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.walk import LOOKS, show, too_small_for_a_thumb, too_wide
from tests.builders import a_draft, a_profile
from tests.delivery.queueing import enqueued

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def tick_all(page):
    for box in page.locator("input.action-select").all():
        box.check()


def look_at(page, keep, name):
    """Keep the page in each look; nothing of it sticks out or is too small for a finger."""
    for width, scheme in LOOKS:
        keep(page, f"{name}-{show(page, width, scheme)}")
    assert (too_wide(page, (PHONE, 320, 640, DESKTOP)), too_small_for_a_thumb(page)) == ({}, [])


@pytest.mark.parametrize("javascript", [True, False])
def test_the_ticked_are_enabled_deleted_and_disabled_and_every_page_on_the_way_fits(
    browser, person, keep, javascript
):
    site = Site.objects.create(domain="shop.example")
    a_profile(name="EU relay", is_default=True, description="Orders and invoices", user=person)
    a_profile(name="Amazon SES Frankfurt", priority="high", sites=[site], user=person)
    kept = a_profile(name="Office 365", user=person)
    a_profile(name="Old relay", user=person, enabled=False)
    a_draft(name="Sketch")
    enqueued(1200, profile_id=kept.pk)
    page = browser.window(user=person, javascript=javascript)

    page.goto("/admin/smtp_settings/smtpprofile/")
    tick_all(page)
    look_at(page, keep, "profiles-ticked")
    page.click("button[value=enable_selected]")
    assert "1 profile is enabled." in page.locator(".messagelist").inner_text()
    look_at(page, keep, "profiles-enabled")

    tick_all(page)
    page.click("button[value=delete_selected]")
    page.wait_for_selector("#mc-going-title")
    look_at(page, keep, "profiles-question")
    page.click("form.mc-card button.is-danger")
    assert "4 profiles are deleted." in page.locator(".messagelist").inner_text()

    tick_all(page)
    page.click("button[value=disable_selected]")
    said = page.locator(".messagelist").inner_text()
    assert "1 profile is disabled. No profile is live now." in said
    assert list(SMTPProfile.objects.values_list("name", "enabled")) == [("Office 365", False)]
