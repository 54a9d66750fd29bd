"""The live test panel in a browser, with scripted servers: what opens Save, what shuts it, what is said."""

import asyncio
import re
import socket
import socketserver
import threading
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db.models import F
from django.utils import timezone
from playwright.sync_api import expect

from smtp_settings.gate import EVIDENCE_AGE
from smtp_settings.models import SMTPProfile, TestRun
from tests.acceptance.processes import until
from tests.browser.conftest import DESKTOP, PHONE, Browser
from tests.browser.form_page import tick
from tests.builders import a_draft, a_profile
from tests.servers import smtp_server
from tests.wire.evil import evil_server_beside, hang, say

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ADD = "/admin/smtp_settings/smtpprofile/add/"
SAVE = ".mc-savebar [name=_save]"
TEST = "#mc-test [name=_send_test]"
BADGE = "#mc-test .mc-gate-badge"
LINE = "#mc-gate-line"
NEVER = "Save is available after a test email with these settings has succeeded."
PASSED = re.compile("Passed")
#: Fields that count, with another value for each, in the profile of `live_profile`.
OTHERS = {
    "host": "localhost",
    "port": "2526",
    "from_address": "other@example.com",
    "bounce_address": "bounces@example.com",
    "ehlo_name": "mail.example.com",
    "source_address": "127.0.0.2",
}


class Gate:
    """An action of the scripted server: waits at its stage until it is opened, then answers honestly."""

    def __init__(self):
        self.reached = threading.Event()

    async def __call__(self, peer, honest):
        self.loop, self.event = asyncio.get_running_loop(), asyncio.Event()
        self.reached.set()
        await self.event.wait()
        await peer.write(honest)

    def open(self):
        self.loop.call_soon_threadsafe(self.event.set)


@pytest.fixture
def server():
    with smtp_server(security="none") as running:
        yield running


@pytest.fixture
def live_profile(server, person):
    return a_profile(name="EU relay", host=server.host, port=server.port, user=person)


def change_url(profile):
    return f"/admin/smtp_settings/smtpprofile/{profile.pk}/change/"


def fill_in(page, server, name="EU relay"):
    page.goto(ADD)
    page.fill("#id_name", name)
    page.fill("#id_host", server.host)
    page.fill("#id_from_address", "shop@example.com")
    page.check("#id_auth input[value=none]")
    page.check("#id_security input[value=none]")  # last: its hint moves what is below it
    page.fill("#id_port", str(server.port))


def open_sections(page):
    page.evaluate("document.querySelectorAll('fieldset details').forEach(one => { one.open = true; })")


# The driver takes `aria-disabled` for disabled: what clicks on a blocked Save does so by force.
def is_open(page):
    return page.get_attribute(SAVE, "aria-disabled") is None


def expect_shut(page):
    expect(page.locator(SAVE)).to_have_attribute("aria-disabled", "true")


def expect_open(page):
    expect(page.locator(SAVE)).not_to_have_attribute("aria-disabled", "true")


def sign_in_again(page):
    """Sign in in another tab, which gives every form of the first one an old token."""
    other = page.context.new_page()
    other.goto("/admin/login/")
    other.fill("#id_username", "alex")
    other.fill("#id_password", "correct horse")
    other.press("#id_password", "Enter")
    other.wait_for_url("**/admin/")
    other.close()


class Door(socketserver.ThreadingTCPServer):
    """Stands before the web server and can be shut as one that is restarted: connections are refused."""

    daemon_threads, block_on_close, allow_reuse_address = True, False, True

    def __init__(self, base, port=0):
        self.behind, self.open = (urlsplit(base).hostname, urlsplit(base).port), []
        super().__init__(("localhost", port), Passage)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://localhost:{self.server_address[1]}"

    def shut(self):
        self.shutdown()
        self.server_close()
        for one in self.open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Passage(socketserver.BaseRequestHandler):
    """Carries bytes to the web server and back until one of them is done."""

    def handle(self):
        with socket.create_connection(self.server.behind) as behind:
            self.server.open += [self.request, behind]
            back = threading.Thread(target=carry, args=(behind, self.request), daemon=True)
            back.start()
            carry(self.request, behind)
            back.join()


def carry(source, target):
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)


def has_focus(page, selector):
    return page.eval_on_selector(selector, "one => one === document.activeElement")


# B1, B2: a new profile


def test_save_of_a_new_profile_is_blocked_described_and_says_why(browser, person, server):
    page = browser.window(user=person)
    fill_in(page, server)
    expect_shut(page)
    assert page.get_attribute(SAVE, "aria-describedby") == "mc-gate-text"
    assert NEVER in page.inner_text("#mc-gate-text")

    page.click(SAVE, force=True)

    assert page.inner_text("#mc-test-status") == f"Not saved yet. {NEVER}"
    assert has_focus(page, TEST)
    assert page.url.endswith("/add/")
    assert not SMTPProfile.objects.exists()
    assert server.sessions == 0


def test_a_good_server_shows_nine_steps_and_opens_save(browser, person, server, keep):
    page = browser.window(user=person)
    fill_in(page, server)

    page.click(TEST)
    expect(page.locator(BADGE)).to_have_text(PASSED)

    assert page.locator("#mc-run .mc-step-name").all_inner_texts() == [
        "Look up the server name", "Connect", "Server greeting", "EHLO", "STARTTLS and certificate",
        "Sign in", "MAIL FROM", "RCPT TO", "Send the message",
    ]  # fmt: skip
    assert "accepted the email for alex@example.com" in page.inner_text("#mc-test-result")
    assert not SMTPProfile.objects.exists()
    expect_open(page)
    keep(page, "panel-passed")

    page.click(SAVE)
    page.wait_for_selector(".messagelist")
    assert "“EU relay” is saved and live." in page.inner_text(".messagelist")
    assert server.accepted == 1


def test_a_password_that_was_tested_is_saved_with_its_profile(browser, person):
    with smtp_server(security="starttls", auth=("shop", "korrekt horse")) as server:
        page = browser.window(user=person)
        page.goto(ADD)
        open_sections(page)
        for name, text in {
            "name": "EU relay", "host": "localhost", "port": str(server.port), "username": "shop",
            "password": "korrekt horse", "from_address": "shop@example.com", "ca": server.ca_pem,
        }.items():  # fmt: skip
            page.fill(f"#id_{name}", text)
        page.click(TEST)
        expect(page.locator(BADGE)).to_have_text(PASSED)
        assert "TLSv1.3" in page.inner_text("#mc-run")
        page.click(SAVE)
        page.wait_for_selector(".messagelist")
        assert SMTPProfile.objects.get().password is not None


# B3 to B7: what shuts the gate again


def test_save_of_an_untouched_profile_is_open(browser, person, live_profile):
    page = browser.window(user=person)
    page.goto(change_url(live_profile))
    assert is_open(page)
    assert page.inner_text(LINE) == "Connection settings are unchanged. You can save."


def test_what_shapes_no_session_leaves_save_open(browser, person, live_profile, server):
    page = browser.window(user=person)
    page.goto(change_url(live_profile))
    open_sections(page)
    page.fill("#id_name", "Another name")
    page.fill("#id_notes", "For the shop")
    page.fill("#id_per_minute", "20")
    page.check("#id_priority input[value=high]")
    assert is_open(page)

    # Signed out without a word, by another window: nothing leaves the page.
    page.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)
    page.click(SAVE)
    expect(page.locator(LINE)).to_contain_text("You have been signed out.")
    assert page.input_value("#id_notes") == "For the shop"
    sign_in_again(page)

    # Meanwhile somebody else has saved it: both versions are shown, and nothing is saved.
    SMTPProfile.objects.update(version=F("version") + 1, description="Sam was here")
    page.click(SAVE, force=True)
    expect(page.locator("#mc-conflict-title")).to_be_visible()
    assert "Sam was here" in page.inner_text("section[aria-labelledby=mc-conflict-title]")
    assert page.input_value("#id_name") == "Another name"
    assert SMTPProfile.objects.get().name == "EU relay"

    page.click(SAVE)
    page.wait_for_selector(".messagelist")
    assert SMTPProfile.objects.get().name == "Another name"
    assert server.sessions == 0


def test_with_always_even_an_unchanged_profile_needs_a_test(browser, person, live_profile, settings):
    settings.MAILCONF_TEST_BEFORE_SAVE = "always"
    page = browser.window(user=person)
    page.goto(change_url(live_profile))
    expect_shut(page)
    assert page.inner_text(LINE) == "A test is needed before every save here."
    page.click(TEST)
    expect(page.locator(BADGE)).to_have_text(PASSED)
    expect_open(page)


def test_each_connection_field_shuts_the_gate_and_its_saved_value_opens_it(browser, person, live_profile):
    page = browser.window(user=person)
    page.goto(change_url(live_profile))
    open_sections(page)
    for name, other in OTHERS.items():
        saved = page.input_value(f"#id_{name}")
        page.fill(f"#id_{name}", other)
        assert not is_open(page), name
        assert page.inner_text(LINE) == NEVER
        page.fill(f"#id_{name}", saved)
        assert is_open(page), name
    for name, other, saved in [("minimum_tls", "1.3", "1.2"), ("pipelining", "sequential", "auto")]:
        page.select_option(f"#id_{name}", other)
        assert not is_open(page), name
        page.select_option(f"#id_{name}", saved)
        assert is_open(page), name
    for name, other, saved in [
        ("verification", "none", "full"),
        ("ip_version", "4", "any"),
        ("auth", "password", "none"),
    ]:
        page.check(f"#id_{name} input[value='{other}']")
        assert not is_open(page), name
        page.check(f"#id_{name} input[value='{saved}']")
        assert is_open(page), name


def test_a_typed_password_is_a_change_and_an_empty_field_is_none(browser, person, server):
    profile = a_profile(host=server.host, port=server.port, password="korrekt", user=person)
    page = browser.window(user=person)
    page.goto(change_url(profile))
    assert is_open(page)
    page.fill("#id_password", "another one")
    assert not is_open(page)
    page.fill("#id_password", "")
    assert is_open(page)


def test_what_is_not_used_does_not_count(browser, person, live_profile):
    page = browser.window(user=person)
    page.goto(change_url(live_profile))
    page.check("#id_auth input[value=password]")
    page.fill("#id_username", "shop")
    page.fill("#id_password", "secret")
    page.check("#id_auth input[value=none]")
    assert is_open(page)


def test_a_change_after_a_pass_is_named_and_the_tested_values_come_back(browser, person, server, keep):
    page = browser.window(user=person)
    fill_in(page, server)
    page.click(TEST)
    expect(page.locator(BADGE)).to_have_text(PASSED)

    page.fill("#id_host", "smtp.example.com")
    assert page.inner_text(BADGE) == "Test again"
    assert page.inner_text(LINE).startswith("You changed Server after the test.")
    assert not is_open(page)
    page.fill("#id_port", "25")
    page.fill("#id_from_address", "x@example.com")
    assert page.inner_text(LINE).startswith("You changed From address, Server and 1 more after the test.")
    keep(page, "panel-stale")

    page.click(".mc-savebar [data-act=back]")

    assert page.input_value("#id_host") == server.host
    assert page.input_value("#id_port") == str(server.port)
    expect(page.locator(BADGE)).to_have_text(PASSED)
    assert is_open(page)
    page.click(SAVE)
    page.wait_for_selector(".messagelist")


def test_the_tested_values_typed_again_are_the_tested_ones(browser, person, server):
    page = browser.window(user=person)
    fill_in(page, server)
    page.click(TEST)
    expect(page.locator(BADGE)).to_have_text(PASSED)
    page.fill("#id_host", "smtp.example.com")
    assert not is_open(page)
    page.fill("#id_host", server.host)
    assert is_open(page)


def test_a_change_during_a_test_is_stale_when_it_ends(browser, person):
    gate = Gate()
    with evil_server_beside({"mail": gate}) as server:
        page = browser.window(user=person)
        fill_in(page, server)
        page.click(TEST)
        assert gate.reached.wait(60)
        expect(page.locator(BADGE)).to_have_text("Testing…")
        page.fill("#id_from_address", "other@example.com")
        gate.open()
        expect(page.locator(BADGE)).to_have_text("Test again")
        assert page.inner_text(LINE).startswith("You changed From address after the test.")
        expect_shut(page)


# B8 to B11: keys, clicks, Stop, wrong fields


def test_enter_in_a_field_neither_tests_nor_saves(browser, person, server):
    page = browser.window(user=person)
    fill_in(page, server)
    for name in ("name", "host", "port", "from_address", "test_to"):
        page.press(f"#id_{name}", "Enter")
        assert page.inner_text("#mc-test-status").startswith("Not saved yet."), name
        assert has_focus(page, TEST)
    assert not TestRun.objects.exists()
    assert not SMTPProfile.objects.exists()
    assert server.sessions == 0


def test_control_and_enter_send_a_test(browser, person, server):
    page = browser.window(user=person)
    fill_in(page, server)
    page.press("#id_host", "Control+Enter")
    expect(page.locator(BADGE)).to_have_text(PASSED)
    assert server.accepted == 1
    assert has_focus(page, "#id_host")


@pytest.mark.parametrize("button", [TEST, ".mc-savebar [name=_send_test]"])
def test_a_double_click_sends_one_email(browser, person, server, button):
    page = browser.window(user=person)
    fill_in(page, server)
    page.dblclick(button)
    expect(page.locator(BADGE)).to_have_text(PASSED)
    assert TestRun.objects.count() == 1
    assert server.accepted == 1


def test_the_running_button_says_so_and_keeps_the_focus(browser, person):
    gate = Gate()
    with evil_server_beside({"banner": gate}) as server:
        page = browser.window(user=person)
        fill_in(page, server)
        page.click(TEST)
        assert gate.reached.wait(60)
        expect(page.locator(TEST)).to_have_text("Testing…")
        assert page.get_attribute(TEST, "aria-busy") == "true"
        assert has_focus(page, TEST)
        expect(page.locator("#mc-test-status")).to_have_text("Server greeting…")
        expect(page.locator(".mc-step.is-running .mc-step-name")).to_have_text("Server greeting")
        expect_shut(page)
        gate.open()
        expect(page.locator(TEST)).to_have_text("Send test email")
        assert page.get_attribute(TEST, "aria-busy") is None
        assert has_focus(page, TEST)


def test_stop_closes_the_connection(browser, person, keep):
    with evil_server_beside({"banner": hang}) as server:
        page = browser.window(user=person)
        fill_in(page, server)
        page.click(TEST)
        expect(page.locator(".mc-step.is-running .mc-step-name")).to_have_text("Server greeting")
        keep(page, "panel-running")
        page.click("#mc-stop")
        expect(page.locator(BADGE)).to_have_text("Stopped")
        assert page.inner_text(LINE) == "The test was stopped. Send another test email to enable Save."
        assert page.is_hidden("#mc-stop")
        expect_shut(page)
        assert server.ledger == []
        until(lambda: server.open == 0)


def test_a_wrong_field_starts_no_test_and_gets_the_focus(browser, person, server):
    page = browser.window(user=person)
    fill_in(page, server)
    page.fill("#id_host", "")
    page.click(TEST)
    expect(page.locator(".field-host .errorlist")).to_have_text("Enter the server.")
    assert has_focus(page, "#id_host")
    assert page.inner_text(BADGE) == "Not tested"
    assert page.inner_text(LINE) == "Not tested: Enter the server."
    assert not TestRun.objects.exists()

    page.fill("#id_host", server.host)
    page.click(TEST)
    expect(page.locator(BADGE)).to_have_text(PASSED)
    assert page.locator(".errorlist").count() == 0


def test_a_wrong_field_in_a_closed_section_opens_it(browser, person, server):
    page = browser.window(user=person)
    fill_in(page, server)
    open_sections(page)
    page.fill("#id_source_address", "not an address")
    page.evaluate("document.querySelectorAll('fieldset details').forEach(one => { one.open = false; })")
    page.click(TEST)
    expect(page.locator("#id_source_address")).to_be_visible()
    assert has_focus(page, "#id_source_address")
    page.click(SAVE, force=True)
    assert has_focus(page, "#id_source_address")


# B12 to B15: failures, and what goes round the script


def test_a_refusal_is_explained_and_save_stays_shut(browser, person, keep):
    with smtp_server(security="none", answers={"RCPT": "550 5.7.1 Relaying denied"}) as server:
        page = browser.window(user=person)
        fill_in(page, server)
        page.click(TEST)
        expect(page.locator(BADGE)).to_have_text("Failed")
        assert page.locator(".mc-step-state").all_inner_texts()[-2:] == ["failed", "not tried"]
        assert "550 5.7.1 Relaying denied" in page.inner_text("#mc-test-result")
        assert page.is_visible(".mc-savebar [data-act=cause]")
        expect_shut(page)
        keep(page, "panel-failed")

        page.click(".mc-savebar [name=_draft]")
        expect(page.locator(".messagelist")).to_contain_text("It is not used until it is tested and saved.")
        page.goto(change_url(SMTPProfile.objects.get()))
        page.click(".mc-anyway summary")
        page.fill("#id_anyway_reason", "Because")
        page.click("[name=_save_anyway]")
        expect(page.locator("#mc-problems")).to_contain_text("Say in at least 10 characters")
        assert SMTPProfile.objects.get().is_draft
        page.fill("#id_anyway_reason", "The server is installed tomorrow")
        page.click("[name=_save_anyway]")
        page.wait_for_selector(".messagelist")
        expect(page.locator("#result_list .field-health")).to_have_text("Saved without a test")


def test_greylisting_does_not_open_save(browser, person):
    with smtp_server(security="none", answers={"RCPT": "450 4.2.0 Greylisted, try again"}) as server:
        page = browser.window(user=person)
        fill_in(page, server)
        page.click(TEST)
        expect(page.locator(BADGE)).to_have_text("Failed")
        expect_shut(page)


def test_a_correction_is_applied_and_tested_again(browser, person, server):
    page = browser.window(user=person)
    fill_in(page, server)
    page.check("#id_security input[value=starttls]")
    page.fill("#id_port", str(server.port))
    page.evaluate(
        """() => { const button = Object.assign(document.createElement('button'),
            {name: '_apply', value: 'security=none', textContent: 'No encryption'});
            document.getElementById('mc-run').append(button); }"""
    )
    page.click("[name=_apply]")
    expect(page.locator(BADGE)).to_have_text(PASSED)
    assert page.is_checked("#id_security input[value=none]")
    assert page.input_value("#id_port") == str(server.port)
    assert (
        page.inner_text("#mc-changes")
        == "Changed: Security: STARTTLS (usually 587) → None, not encrypted (usually 25)."
    )


@pytest.mark.parametrize(
    "way_round",
    [
        "document.getElementById('smtpprofile_form').submit()",
        "document.querySelectorAll('[aria-disabled]').forEach(one => one.removeAttribute('aria-disabled'))",
    ],
)
def test_what_goes_round_the_script_is_refused_and_the_entries_stay(browser, person, server, way_round):
    page = browser.window(user=person)
    fill_in(page, server)
    page.fill("#id_description", "For the shop")
    page.evaluate(way_round)
    if "submit" not in way_round:
        page.click(SAVE)
        assert page.inner_text("#mc-test-status").startswith("Not saved yet.")
        return
    page.wait_for_selector("#mc-problems")
    assert "These connection settings have not passed a test" in page.inner_text("#mc-problems")
    assert page.input_value("#id_description") == "For the shop"
    assert not SMTPProfile.objects.exists()


def test_a_pass_that_is_too_old_shuts_save_by_itself(browser, person, server):
    page = browser.window(user=person)
    page.clock.install()
    fill_in(page, server)
    page.click(TEST)
    page.clock.run_for(3000)
    expect(page.locator(BADGE)).to_have_text(PASSED)
    page.clock.fast_forward(31 * 60 * 1000)
    expect(page.locator(BADGE)).to_have_text("Test again")
    assert (
        page.inner_text(LINE) == "The test is older than 30 minutes. Send another test email to enable Save."
    )
    expect_shut(page)


# B24 to B28: reload, no answer, Back


def test_a_test_goes_on_over_a_reload(browser, person):
    gate = Gate()
    with evil_server_beside({"mail": gate}) as server:
        page = browser.window(user=person)
        fill_in(page, server)
        page.click(TEST)
        assert gate.reached.wait(60)
        expect(page.locator(BADGE)).to_have_text("Testing…")
        page.reload()
        expect(page.locator(BADGE)).to_have_text("Testing…")
        gate.open()
        # The browser has not kept the entries; the tested ones come back at a click.
        expect(page.locator(BADGE)).to_have_text("Test again")
        page.click("#mc-test [data-act=back]")
        assert page.input_value("#id_host") == server.host
        expect(page.locator(BADGE)).to_have_text(PASSED)
        page.fill("#id_name", "EU relay")
        page.click(SAVE)
        page.wait_for_selector(".messagelist")
        assert SMTPProfile.objects.get().host == server.host


def test_a_recent_test_of_a_profile_is_shown_without_the_script_too(browser, person, live_profile, server):
    page = browser.window(user=person)
    page.goto(change_url(live_profile))
    page.fill("#id_from_address", "other@example.com")
    page.click(TEST)
    expect(page.locator(BADGE)).to_have_text(PASSED)
    plain = browser.window(user=person, javascript=False)
    plain.goto(change_url(live_profile))
    assert "accepted the email" in plain.inner_text("#mc-test-result")
    assert plain.inner_text(LINE) == "Connection settings are unchanged. You can save."


def test_a_lost_connection_is_said_and_the_same_test_goes_on(browser, person):
    gate, door = Gate(), Door(browser.base)
    through = Browser(browser.chromium, door.url)
    with evil_server_beside({"mail": gate}) as server:
        page = through.window(user=person)
        fill_in(page, server)
        page.click(TEST)
        assert gate.reached.wait(60)
        expect(page.locator(BADGE)).to_have_text("Testing…")
        door.shut()
        expect(page.locator(LINE)).to_have_text("The connection to mailconf was lost. Trying again…")
        assert page.inner_text(BADGE) == "Testing…"
        gate.open()
        again = Door(browser.base, urlsplit(door.url).port)
        expect(page.locator(BADGE)).to_have_text(PASSED)
        assert TestRun.objects.count() == 1

        # Nor does a Save leave the page while nobody answers.
        again.shut()
        page.fill("#id_description", "For the shop")
        page.click(SAVE)
        expect(page.locator("#mc-test-status")).to_contain_text("Not saved: mailconf did not answer.")
        again = Door(browser.base, urlsplit(door.url).port)
        page.click(SAVE)
        page.wait_for_selector(".messagelist")
        assert SMTPProfile.objects.get().description == "For the shop"
    page.close()
    again.shut()
    assert [one for one in through.complaints if "ERR_" not in one] == []
    assert any("ERR_CONNECTION_REFUSED" in one for one in through.complaints)


def test_who_is_signed_out_during_a_test_keeps_the_entries(browser, person):
    gate = Gate()
    with evil_server_beside({"mail": gate}) as server:
        page = browser.window(user=person)
        fill_in(page, server)
        page.click(TEST)
        assert gate.reached.wait(60)
        page.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)
        expect(page.locator(LINE)).to_contain_text("You have been signed out.")
        assert page.inner_text(BADGE) == "Not tested"
        assert page.input_value("#id_host") == server.host
        gate.open()
        until(lambda: TestRun.objects.filter(state="passed").exists())

        page.click(SAVE, force=True)
        expect(page.locator(LINE)).to_contain_text("You have been signed out.")
        sign_in_again(page)
        gate.reached.clear()
        page.click(TEST)
        assert gate.reached.wait(60)
        gate.open()
        expect(page.locator(BADGE)).to_have_text(PASSED)
        page.click(SAVE)
        page.wait_for_selector(".messagelist")
        assert SMTPProfile.objects.get().host == server.host


def test_autofill_before_load_changes_no_state(browser, person, live_profile, server):
    page, runs = browser.window(user=person), TestRun.objects.count()
    page.add_init_script(
        """new MutationObserver(() => {
            for (const [name, text] of Object.entries({username: "alex", password: "correct horse"})) {
                const box = document.querySelector(`#smtpprofile_form [name=${name}]`);
                if (box && !box.value) { box.value = text; }
            }
        }).observe(document, {childList: true, subtree: true});"""
    )
    page.goto(ADD)
    assert page.input_value("#id_password") == "correct horse"
    expect_shut(page)
    assert page.inner_text(LINE) == NEVER

    page.goto(change_url(live_profile))  # signs in with nothing: neither field is in use
    assert page.input_value("#id_username") == "alex"
    assert is_open(page)
    assert page.inner_text(LINE) == "Connection settings are unchanged. You can save."
    assert TestRun.objects.count() == runs
    assert server.sessions == 0


def test_after_back_the_entries_are_looked_at_again(browser, person, live_profile):
    page = browser.window(user=person)
    page.goto(change_url(live_profile))
    page.fill("#id_host", "smtp.example.com")
    assert not is_open(page)
    page.goto("/admin/")
    page.go_back()
    page.wait_for_selector(SAVE)
    is_kept = page.input_value("#id_host") == "smtp.example.com"
    expect(page.locator(LINE)).to_have_text(
        NEVER if is_kept else "Connection settings are unchanged. You can save."
    )
    assert is_open(page) is not is_kept


def test_a_limit_is_said_and_leads_to_the_other_test(browser, person):
    gate = Gate()
    with evil_server_beside({"mail": gate}) as server:
        first = browser.window(user=person)
        fill_in(first, server)
        first.click(TEST)
        assert gate.reached.wait(60)
        page = browser.window(user=person)
        page.goto(ADD)
        expect(page.locator(BADGE)).to_have_text("Testing…")  # a new page shows the one that runs
        gate.open()
        expect(first.locator(BADGE)).to_have_text(PASSED)
        expect(page.locator("#mc-test-result")).to_contain_text("accepted the email")


# Connection check, route, keyboard


def test_a_connection_check_sends_nothing_and_does_not_open_save(browser, person, server, keep):
    page = browser.window(user=person)
    fill_in(page, server)
    page.click("#mc-test [name=_check]")
    expect(page.locator("#mc-test-status")).to_have_text(
        "The connection works. It does not open Save: send a test email for that."
    )
    assert page.locator(".mc-step-state").all_inner_texts()[-3:] == ["skipped"] * 3
    expect_shut(page)
    assert server.accepted == 0
    keep(page, "panel-connected")


def test_where_the_email_goes_is_kept_up_to_date(browser, person):
    page = browser.window(user=person)
    page.goto(ADD)
    assert page.inner_text("#mc-route") == "to alex@example.com, from alex@example.com, through no server yet"
    page.fill("#id_host", "smtp.example.com")
    page.fill("#id_from_address", "shop@example.com")
    page.fill("#id_test_to", "sam@example.com")
    assert (
        page.inner_text("#mc-route")
        == "to sam@example.com, from shop@example.com, through smtp.example.com:587"
    )


def test_each_step_is_announced_once(browser, person, server):
    page = browser.window(user=person)
    fill_in(page, server)
    page.evaluate(
        """() => {
            const status = document.getElementById('mc-test-status');
            window.said = [];
            const watch = new MutationObserver(() => window.said.push(status.textContent));
            watch.observe(status, {childList: true});
        }"""
    )
    page.click(TEST)
    expect(page.locator(BADGE)).to_have_text(PASSED)
    said = page.evaluate("window.said")
    assert len(said) == len(set(said))
    assert said[0] == "The test begins…"
    assert said[-1].startswith("The test succeeded")
    assert page.locator(":is([role=status], [aria-live])").count() == 1


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_nothing_of_the_form_is_left_under_the_bar(browser, person, live_profile, width):
    page = browser.window(user=person, width=width)
    page.goto(change_url(live_profile))
    hidden = page.evaluate(
        """() => [...document.getElementById('smtpprofile_form')
            .querySelectorAll(':is(input, select, textarea, button, a, summary)')]
            .filter(one => one.offsetParent && !one.closest('.mc-savebar'))
            .filter(one => {
                one.focus();
                if (document.activeElement !== one) { return false; }
                const bar = document.querySelector(innerWidth < 768 ? '.mc-savebar-main' : '.mc-savebar');
                return one.getBoundingClientRect().bottom > bar.getBoundingClientRect().top + 1;
            }).map(one => one.name || one.id || one.textContent)"""
    )
    assert hidden == []


def test_the_bar_is_one_line_on_a_phone(browser, person, live_profile, keep):
    page = browser.window(user=person, width=PHONE)
    page.goto(change_url(live_profile))
    assert page.locator(".mc-savebar-main").bounding_box()["height"] < 64
    keep(page, "panel-phone")


def test_leaving_asks_only_after_a_connection_field_was_changed(browser, person, live_profile):
    page = browser.window(user=person)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.goto(change_url(live_profile))
    page.fill("#id_name", "Another name")
    page.goto("/admin/")
    assert asked == []
    page.goto(change_url(live_profile))
    page.fill("#id_host", "smtp.example.com")
    page.goto("/admin/")
    assert asked == ["beforeunload"]


def test_a_draft_says_what_it_is(browser, person):
    page = browser.window(user=person)
    page.goto(change_url(a_draft(name="New provider")))
    assert page.inner_text(BADGE) == "Draft"
    assert page.inner_text(LINE) == "This profile is a draft and is not used. Send a test email, then save."
    expect_shut(page)


def test_no_secret_is_kept_by_the_browser(browser, person, server):
    page = browser.window(user=person)
    fill_in(page, server)
    tick(page.locator("#id_auth input[value=password]"))
    page.fill("#id_username", "shop")
    page.fill("#id_password", "kanarienvogel")
    tick(page.locator("#id_accepts_clear_auth"))
    page.click(TEST)
    expect(page.locator(BADGE)).to_have_text("Failed")
    kept = page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}])")
    assert "kanarienvogel" not in kept
    assert "test-runs" in kept
    assert "kanarienvogel" not in page.inner_html("#mc-run")


def test_the_link_in_the_email_shows_on_the_panel(browser, person, server):
    page = browser.window(user=person)
    fill_in(page, server)
    page.click(TEST)
    expect(page.locator(BADGE)).to_have_text(PASSED)
    TestRun.objects.update(received_at=timezone.now())
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#mc-test-result")).to_contain_text("The link in the email was followed at")


def test_an_old_run_left_in_the_window_is_forgotten(browser, person, server):
    page = browser.window(user=person)
    fill_in(page, server)
    page.click(TEST)
    expect(page.locator(BADGE)).to_have_text(PASSED)
    TestRun.objects.update(created_at=timezone.now() - EVIDENCE_AGE - timedelta(minutes=5))
    page.goto(ADD)
    page.wait_for_function("() => !sessionStorage.length")
    assert page.inner_text(BADGE) == "Not tested"


def test_the_server_is_quiet_about_a_reply_with_markup(browser, person):
    with evil_server_beside({"banner": say("554 <img src=x onerror=alert(1)>")}) as server:
        page = browser.window(user=person)
        fill_in(page, server)
        page.click(TEST)
        expect(page.locator(BADGE)).to_have_text("Failed")
        assert page.locator("#mc-run img").count() == 0
