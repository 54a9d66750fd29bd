"""Every page in both themes and at two widths: nothing sticks out or is hidden, no accessibility fault."""

import json
import os
from pathlib import Path

import pytest

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.form_page import enter, fill_in, open_form, run_test
from tests.delivery.engine import queued
from tests.delivery.policies import policy
from tests.house import every_address, furnish
from tests.needs import missing
from tests.servers import smtp_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LOOKS = [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")]


#: Pages that end the session, hold somebody's mail, or are Django's own.
NOT_SHOWN = {"logout", "login", "password_change", "sandbox_preview", "delivery_message_preview"}


@pytest.fixture
def pages(person, client):
    """A house with something in it; the addresses of its pages by name."""
    client.force_login(person)
    found = {}
    for address in every_address(furnish(person)):
        if address.name not in NOT_SHOWN and not address.name.startswith(("auth_", "sites_")):
            answer = client.get(address.url)
            if answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html"):
                found[address.name] = address.url
    return found


def open_everything(page):
    """Open closed sections, so that what is in them is looked at too."""
    closed = "main details:not(.mc-chip, .mc-anyway)"
    page.evaluate(f"document.querySelectorAll('{closed}').forEach(one => {{ one.open = true; }})")


def looks_of(page, url):
    """Load a page once and show it in each theme and width; yields the names of the looks."""
    page.goto(url)
    open_everything(page)
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        yield f"{width}-{scheme}"


@pytest.mark.parametrize("name", ["smtp_settings_smtpprofile_changelist", "delivery_message_changelist"])
def test_on_a_phone_the_box_of_a_row_is_large_enough_for_a_finger(browser, person, pages, name):
    page = browser.window(user=person, width=PHONE)
    page.goto(pages[name])
    box = page.locator("td.action-checkbox input").first.bounding_box()
    assert min(box["width"], box["height"]) >= 24


def test_no_page_is_wider_than_the_window(browser, person, pages, keep):
    page = browser.window(user=person)
    wide = {}
    for name, url in pages.items():
        for look in looks_of(page, url):
            keep(page, f"{name}-{look}")
            beyond = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if beyond > 0:
                wide[name, look] = beyond

    assert wide == {}


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
        open_everything(page)
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
    open_everything(page)
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


def faults_of(page):
    """What axe finds on the page as it stands."""
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in found]


def test_no_page_has_an_accessibility_fault(browser, person, pages, axe):
    page = browser.window(user=person, policy=False)
    faults = {}
    for name, url in pages.items():
        for number, look in enumerate(looks_of(page, url)):
            if not number:
                page.evaluate(axe)
            if found := faults_of(page):
                faults[f"{name} {look}"] = found

    assert not faults, json.dumps(faults, indent=1)


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
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        keep(page, f"policy-question-{width}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert faults_of(page) == []
    page.get_by_role("link", name="Go back").click()
    page.wait_for_selector("#id_emails_enabled")


def test_no_state_of_the_test_has_an_accessibility_fault(browser, person, axe, keep):
    """B40: never tested, wrong entries, passed, changed after the test, failed; in both themes."""
    page = browser.window(user=person, policy=False)
    faults = {}

    def look(state):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            keep(page, f"state-{state}-{scheme}")
            if found := faults_of(page):
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
        open_everything(page)
        look("failed")

    assert not faults, json.dumps(faults, indent=1)
