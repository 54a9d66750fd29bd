"""The main job in a browser: a profile is tested and saved, a message goes out, and a person sees it."""

import json
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from playwright.sync_api import expect

from delivery import queue
from delivery.models import Backlog
from smtp_settings.models import SMTPProfile
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.walk import BEYOND
from tests.servers import smtp_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

REPORT = b"""\
From: Reports <shop@example.com>
To: bob@example.com
Subject: Quarterly report
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

The numbers are in.
"""


def manage(environment, *arguments, stdin=b""):
    """Run a command as an operator does, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        input=stdin,
        capture_output=True,
        env=environment,
        cwd=settings.BASE_DIR,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def sign_in(page):
    page.goto("/admin/")
    page.fill("#id_username", "alex")
    page.fill("#id_password", "correct horse")
    page.click("#login-form [type=submit]")
    page.wait_for_selector(".mc-nav")


def fill_in(page, server):
    page.fill("#id_name", "EU relay")
    page.fill("#id_host", server.host)
    page.check("#id_auth input[value=none]")
    page.check("#id_security input[value=none]")  # last: its hint moves what is below it
    page.fill("#id_port", str(server.port))
    page.fill("#id_from_address", "shop@example.com")


@pytest.mark.parametrize(
    ("javascript", "width"), [(True, DESKTOP), (False, PHONE)], ids=["with scripts", "without, on a phone"]
)
def test_a_profile_is_tested_saved_and_used(browser, person, keep, process_environment, javascript, width):
    page = browser.window(javascript=javascript, width=width)
    with smtp_server(security="none") as server:
        sign_in(page)
        page.goto("/admin/smtp_settings/smtpprofile/add/")
        fill_in(page, server)

        page.click(".mc-savebar button[name=_save]", force=True)  # the script marks it as disabled
        said = page.inner_text("#mc-test-status" if javascript else "#mc-problems")
        assert (
            "Not saved yet." if javascript else "These connection settings have not passed a test"
        ) in said
        assert server.sessions == 0

        page.click(".mc-savebar button[name=_send_test]")
        page.wait_for_selector("#mc-test-result")
        expect(page.locator("#mc-test-result")).to_contain_text("accepted the email for alex@example.com")
        names = page.locator("#mc-test .mc-step-name").all_inner_texts()
        assert names[0] == "Look up the server name"
        assert names[-1] == "Send the message"
        assert not SMTPProfile.objects.exists()

        page.click(".mc-savebar button[name=_save]")
        page.wait_for_selector(".messagelist")
        assert "“EU relay” is saved and live." in page.inner_text(".messagelist")

        manage(process_environment, "enqueue", "-", stdin=REPORT)
        report = json.loads(manage(process_environment, "drain", "--until-empty", "--json"))
        assert report["sent"] == 1
        test_email, message = server.wait_for(2)
        assert test_email.rcpt_to == ("alex@example.com",)
        assert message.rcpt_to == ("bob@example.com",)
        assert b"The numbers are in." in message.content

    page.goto("/admin/delivery/message/")
    assert "Quarterly report" in page.inner_text("#result_list")
    page.click("text=Quarterly report")
    expect(page.locator("#content")).to_contain_text("Sent")
    keep(page, f"message-{width}")

    look_at_the_traffic(page, keep, renews_itself=javascript)


def look_at_the_traffic(page, keep, *, renews_itself):
    """The charts say what was sent, as a table too; with scripts they renew themselves and leave it open."""
    Backlog.objects.create(minute=timezone.now() - timedelta(days=2), waiting=40)
    cache.clear()  # numbers are kept for ten seconds: the dashboard after the sign-in had none
    if renews_itself:
        page.clock.install()
    page.goto("/admin/?period=30d")
    page.locator("#mc-traffic-table > summary").press("Enter")
    table, sent = page.locator("#mc-traffic-table table"), page.locator(".mc-keys .is-sent strong")
    expect(table).to_contain_text("40")
    expect(sent).to_have_text("1")
    for width in (320, PHONE, DESKTOP):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(BEYOND) <= 0, width
        keep(page, f"traffic-{width}")
    if not renews_itself:
        expect(page.locator("#mc-pause")).to_be_hidden()
        return

    queue.add_stats([queue.StatRow(timezone.now(), 7, 1, sent=5)])
    cache.clear()
    page.clock.fast_forward(16_000)
    expect(sent).to_have_text("6")
    expect(table).to_be_visible()
    expect(page.locator("#mc-traffic-table > summary")).to_be_focused()
    assert page.url.endswith("?period=30d")
    page.click("#mc-pause")
    expect(page.locator("#mc-updated .mc-said-paused")).to_be_visible()
    page.click("#mc-pause")
    expect(page.locator("#mc-updated .mc-said-live")).to_be_visible()


def test_what_is_typed_stays_after_a_refused_save(browser, person):
    page = browser.window(user=person, javascript=False)
    with smtp_server(security="none") as server:
        page.goto("/admin/smtp_settings/smtpprofile/add/")
        fill_in(page, server)
        page.fill("#id_description", "For the shop")
        page.click(".mc-savebar button[name=_save]")
        page.wait_for_selector("#mc-problems")

        assert page.input_value("#id_description") == "For the shop"
        assert page.input_value("#id_port") == str(server.port)
        assert page.is_checked("#id_security input[value=none]")


def test_the_port_follows_the_security_unless_it_is_ones_own(browser, person):
    page = browser.window(user=person)
    page.goto("/admin/smtp_settings/smtpprofile/add/")

    found = {}
    for held in ("587", "465", "25", "2525", "10025"):
        for security in ("starttls", "tls", "none"):
            page.check(f"#id_security input[value={'none' if security == 'starttls' else 'starttls'}]")
            page.fill("#id_port", held)
            page.check(f"#id_security input[value={security}]")
            found[held, security] = page.input_value("#id_port")

    usual = {"starttls": "587", "tls": "465", "none": "25"}
    assert found == {
        (held, security): "10025" if held == "10025" else usual[security] for held, security in found
    }


def test_only_what_the_choice_uses_is_shown(browser, person):
    page = browser.window(user=person, javascript=False)
    page.goto("/admin/smtp_settings/smtpprofile/add/")
    assert page.is_visible("#id_username")
    assert page.is_hidden("#id_directory")
    assert page.is_hidden("#id_accepts_clear_auth")

    page.check("#id_security input[value=none]")
    assert page.is_visible("#id_accepts_clear_auth")

    page.check("#id_auth input[value=none]")
    assert page.is_hidden("#id_username")
    assert page.is_hidden("#id_password")
    assert page.is_hidden("#id_accepts_clear_auth")
