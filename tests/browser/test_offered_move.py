"""The offer after a save to move what waits, as it looks on a desk and on a phone, and where it leads."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.walk import BEYOND, show
from tests.builders import a_profile
from tests.delivery.test_passed_by import waits

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_save_offers_to_move_what_waits_and_leads_to_the_question(browser, person, keep):
    profile = a_profile(name="Marketing", user=person)
    for _ in range(3):
        waits()
    page = browser.window(user=person)
    page.goto(f"/admin/smtp_settings/smtpprofile/{profile.pk}/change/")
    page.fill("#id_sender_domains", "shop.example")
    page.click(".mc-savebar button[name=_save]")

    offer = page.locator(".messagelist .warning")
    expect(offer).to_contain_text("3 waiting messages from its sender domains were queued before")
    for width in (DESKTOP, PHONE):
        for scheme in ("light", "dark"):
            keep(page, f"offered-move-{show(page, width, scheme)}", full_page=False)
            assert page.evaluate(BEYOND) == 0
            assert offer.locator("a").bounding_box()["height"] >= 28

    offer.locator("a").click()

    expect(page.locator("#mc-which-title")).to_have_text("“Move to another profile” for 3 messages?")
    expect(page.locator("#id_to")).to_have_value("any")
    for width in (DESKTOP, PHONE):
        keep(page, f"offered-move-question-{show(page, width, 'light')}")
        assert page.evaluate(BEYOND) == 0
