"""Every page in both themes and at two widths: nothing sticks out or is hidden, no accessibility fault."""

import json
import os
from pathlib import Path

import pytest
from django.urls import reverse

from delivery import handover
from smtp_settings.models import TestRun
from tests.browser.conftest import DESKTOP, PHONE
from tests.builders import a_draft, a_profile
from tests.needs import missing
from tests.servers import smtp_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LOOKS = [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")]


@pytest.fixture
def pages(person, client):
    """A house with something in it; the addresses of its pages by name."""
    with smtp_server(security="none", answers={"RCPT": "550 5.1.1 No such user here"}) as refusing:
        relay = a_profile(
            name="EU relay", description="For the shop and its reports", host="127.0.0.1", port=refusing.port,
            is_default=True, user=person,
        )  # fmt: skip
        a_profile(
            name="Office 365", host="smtp.office365.com", port=587, security="starttls", password="x",
            from_address="reports@example.com", priority="high", user=person,
        )  # fmt: skip
        a_draft(name="New provider")
        client.force_login(person)
        client.post(reverse("admin:smtp_settings_smtpprofile_test", args=[relay.pk]))
    mail = (
        b"From: shop@example.com\r\nTo: bob@example.com\r\nSubject: Quarterly report\r\n\r\nThe numbers.\r\n"
    )
    message = handover.send(mail)
    return {
        "dashboard": "/admin/",
        "profiles": "/admin/smtp_settings/smtpprofile/",
        "profile-add": "/admin/smtp_settings/smtpprofile/add/",
        "profile": f"/admin/smtp_settings/smtpprofile/{relay.pk}/change/",
        "profile-delete": f"/admin/smtp_settings/smtpprofile/{relay.pk}/delete/",
        "test-runs": "/admin/smtp_settings/testrun/",
        "test-run": f"/admin/smtp_settings/testrun/{TestRun.objects.get(state='failed').pk}/change/",
        "events": "/admin/smtp_settings/event/",
        "messages": "/admin/delivery/message/",
        "message": reverse("admin:delivery_message_change", args=[message.id]),
        "users": "/admin/auth/user/",
    }


def open_everything(page):
    """Open closed sections, so that what is in them is looked at too."""
    page.evaluate(
        "document.querySelectorAll('main details:not(.mc-chip)').forEach(one => { one.open = true; })"
    )


def looks_of(page, url):
    """Load a page once and show it in each theme and width; yields the names of the looks."""
    page.goto(url)
    open_everything(page)
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        yield f"{width}-{scheme}"


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

        assert page.locator("#mc-test .mc-card-head .mc-badge").inner_text() == "Passed"
        assert set(page.locator("#mc-test .mc-step-state").all_inner_texts()) == {"done"}
        assert page.input_value("#id_password") == ""


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


def test_no_page_has_an_accessibility_fault(browser, person, pages):
    core = os.environ.get("AXE_CORE")
    if not core:
        missing("AXE_CORE does not name axe-core's axe.min.js")
    source = Path(core).read_text(encoding="utf-8")
    page = browser.window(user=person, policy=False)
    faults = {}
    for name, url in pages.items():
        for number, look in enumerate(looks_of(page, url)):
            if not number:
                page.evaluate(source)
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            if found:
                nodes = [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in found]
                faults[f"{name} {look}"] = nodes

    assert not faults, json.dumps(faults, indent=1)
