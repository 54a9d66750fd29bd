"""Every page in both themes and at all widths: nothing sticks out or is hidden, no accessibility fault."""

import json
import os
from functools import partial
from itertools import chain
from pathlib import Path

import pytest
from django.core.cache import cache
from django.utils import timezone

from delivery import queue
from delivery.models import Backlog, Message, SmallState
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.form_page import enter, fill_in, open_form, open_sections, run_test
from tests.browser.walk import (
    LOOKS,
    faults_in_every_look,
    faults_of,
    pages_of,
    show,
    too_small_for_a_thumb,
    too_wide,
)
from tests.delivery.engine import queued
from tests.delivery.policies import policy
from tests.house import furnish
from tests.needs import missing
from tests.servers import smtp_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: So many tests share the walk through all pages, for as many processes.
PARTS = 4


@pytest.fixture
def house(person, client):
    client.force_login(person)
    return furnish(person)


def test_on_a_phone_the_box_of_a_row_is_large_enough_for_a_finger(browser, person, house):
    page = browser.window(user=person, width=PHONE)
    for name in ("smtp_settings/smtpprofile", "delivery/message"):
        page.goto(f"/admin/{name}/")
        box = page.locator("td.action-checkbox input").first.bounding_box()
        assert min(box["width"], box["height"]) >= 24, name


@pytest.mark.parametrize("part", range(PARTS))
def test_no_page_sticks_out_is_too_small_for_a_thumb_or_has_an_accessibility_fault(
    browser, person, house, client, axe, keep, part
):
    """B41, B42, UX 2: each page is loaded once; 640 is a window of 1280 at 200 %."""
    page = browser.window(user=person, policy=False)
    faults = {}
    pages = pages_of(house, client, part, PARTS)
    for name, url in chain(pages.items(), with_charts(pages)):
        page.goto(url)
        open_sections(page)
        page.evaluate(axe)
        found = {
            "accessibility": faults_in_every_look(page, partial(keep_look, keep, page, name)),
            "small": too_small_for_a_thumb(page),
            "wide": too_wide(page, (PHONE, 320, 640, DESKTOP)),
            "badges without a word": wordless_badges(page),
        }
        if any(found.values()):
            faults[name] = found

    assert not faults, json.dumps(faults, indent=1)


def keep_look(keep, page, name, look):
    keep(page, f"{name}-{look}")


def with_charts(pages):
    """The dashboard once more, past the first steps: there are its charts."""
    if "index" in pages:
        Message.objects.update(state=SmallState.SENT)
        queue.add_stats([queue.StatRow(timezone.now(), 7, 1, sent=50, failed=9)])
        queue.note_backlog()
        Backlog.objects.update(waiting=3)
        cache.clear()
        yield "index-with-charts", f"{pages['index']}?period=7d"


def wordless_badges(page):
    """Badges that say something by their colour alone, which forced colours take away."""
    page.emulate_media(forced_colors="active")
    said = page.locator(".mc-badge:visible").all_inner_texts()
    page.emulate_media(forced_colors="none")
    return [text for text in said if not text.strip()]


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize("width", [DESKTOP, 1024, PHONE])
def test_the_whole_navigation_is_in_the_window_and_its_menu_opens_by_keyboard(
    browser, person, keep, width, javascript
):
    page = browser.window(user=person, width=width, javascript=javascript)
    page.goto("/admin/auth/group/")
    lines = {round(one.bounding_box()["y"]) for one in page.locator(".mc-nav > ul > li").all()}
    page.focus(".mc-menu > summary")
    page.keyboard.press("Enter")
    keep(page, f"navigation-{width}", full_page=False)

    ways = page.locator(".mc-nav a")
    boxes = [way.bounding_box() for way in ways.all()]
    assert ways.all_inner_texts()[-5:] == ["OAuth credentials", "Notifications", "Users", "Groups", "Sites"]
    assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert width == PHONE or len(lines) == 1
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/oauthcredential/")


def test_a_test_with_tls_and_a_sign_in_passes_and_is_the_picture_of_the_project(browser, person, keep):
    page = browser.window(user=person)
    page.set_viewport_size({"width": 1060, "height": 1230})
    with smtp_server(security="starttls", auth=("shop@example.com", "correct horse")) as server:
        page.goto("/admin/smtp_settings/smtpprofile/add/")
        open_sections(page)
        page.fill("#id_name", "EU relay")
        page.fill("#id_host", "localhost")
        page.fill("#id_port", str(server.port))
        page.fill("#id_username", "shop@example.com")
        page.fill("#id_password", "correct horse")
        page.fill("#id_from_address", "shop@example.com")
        page.fill("#id_ca", server.ca_pem)
        page.check("#id_ip_version input[value='4']")
        page.click(".mc-savebar button[name=_send_test]")
        page.wait_for_selector("#mc-test-result")
        page.evaluate("document.getElementById('mc-test').scrollIntoView({block: 'start'})")
        keep(page, "test-panel", picture="test-panel")

        # A note: no worker is running here, so the web server ran it.
        assert page.locator("#mc-test .mc-card-head .mc-badge").inner_text() == "Passed with notes"
        assert set(page.locator("#mc-test .mc-step-state").all_inner_texts()) == {"done"}


def test_the_save_bar_hides_no_focused_control(browser, person):
    page = browser.window(user=person)
    page.goto("/admin/smtp_settings/smtpprofile/add/")
    open_sections(page)
    page.focus("#id_name")
    covered = []
    for _press in range(70):
        found = page.evaluate(
            """() => {
                const one = document.activeElement, bar = document.querySelector('.mc-savebar');
                if (!one || one === document.body || bar.contains(one)) { return null; }
                const box = one.getBoundingClientRect(), top = bar.getBoundingClientRect().top;
                return box.top >= top - 1 || box.bottom <= 0 ? one.name || one.tagName : "";
            }"""
        )
        if found is None:
            break
        if found:
            covered.append(found)
        page.keyboard.press("Tab")

    assert covered == []


@pytest.fixture(scope="session")
def axe():
    """The text of axe-core."""
    core = os.environ.get("AXE_CORE")
    if not core:
        missing("AXE_CORE does not name axe-core's axe.min.js")
    return Path(core).read_text(encoding="utf-8")


def test_the_question_before_a_restriction_ends_fits_and_has_no_accessibility_fault(
    browser, person, axe, keep
):
    row = policy(emails_enabled=False)
    queued()
    page = browser.window(user=person, policy=False)
    page.goto(f"/admin/smtp_settings/sendingpolicy/{row.pk}/change/")
    page.check("#id_emails_enabled")
    page.click("button[name=_save]")
    page.wait_for_selector("button[name=_decided][value=cancel]")
    page.evaluate(axe)
    for width, scheme in LOOKS:
        keep(page, f"policy-question-{show(page, width, scheme)}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults_in_every_look(page) == {}
    page.get_by_role("link", name="Go back").click()
    page.wait_for_selector("#id_emails_enabled")


def test_no_state_of_the_test_has_an_accessibility_fault(browser, person, axe, keep):
    """B40: never tested, wrong entries, passed, changed after the test, failed; in both themes."""
    page = browser.window(user=person, policy=False)
    faults = {}

    def look(state):
        for scheme, rules in (("light", None), ("dark", ["color-contrast"])):
            page.emulate_media(color_scheme=scheme)
            keep(page, f"state-{state}-{scheme}")
            if found := faults_of(page, rules=rules):
                faults[f"{state} {scheme}"] = found

    with smtp_server(security="none") as server:
        open_form(page)
        page.evaluate(axe)
        look("never")
        page.click("#mc-test button[name=_send_test]")
        page.wait_for_selector(".errorlist")
        look("incomplete")
        fill_in(page, server)
        run_test(page)
        look("passed")
        enter(page, from_address="other@example.com")
        look("stale")
        server.answers["RCPT"] = "550 5.1.1 No such user"
        run_test(page)
        open_sections(page)
        look("failed")

    assert not faults, json.dumps(faults, indent=1)
