"""Why a test failed, in the panel (B12): the step, the cause, the field; and what the corrections lead to."""

from uuid import uuid4

import pytest
from playwright.sync_api import expect

from smtp_settings.models import SMTPProfile, TestRun
from tests.browser.form_page import (
    SAVE,
    TEST,
    badge,
    enter,
    fill_in,
    open_form,
    open_sections,
    open_sections_by_hand,
    run_test,
    save_is_open,
    steps,
    wait_for_end,
)
from tests.servers import smtp_server
from tests.smtp_settings.test_failures_on_the_page import FAILURES, server_for, typed
from tests.wire.evil import EHLO, evil_server_beside, hang

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: One row of each part of the conversation: the name, TLS, the sign-in, the envelope, the content.
SHOWN = {"no such name", "unknown CA", "535", "5.1.1", "lost after the dot"}


@pytest.mark.parametrize(
    "failure", [one for one in FAILURES if one.name in SHOWN], ids=lambda failure: failure.name
)
def test_a_failure_names_step_cause_and_field(browser, person, keep, failure):
    """B12; every row, without scripts: tests/smtp_settings/test_failures_on_the_page.py."""
    page = browser.window(user=person)
    with server_for(failure) as (server, authority):
        open_form(page)
        fill_in(page, server, **typed(failure, server, authority))

        assert run_test(page) == failure.tone

    keep(page, f"cause-{failure.name.replace(' ', '-')}")
    told = steps(page)
    names = list(told)
    assert told[failure.step] == "failed", told
    after = names[names.index(failure.step) + 1 :]
    assert {told[name] for name in after} <= {"not tried"}, told
    cause = page.inner_text("#mc-cause")
    assert failure.cause in cause, cause
    linked = page.locator("#mc-cause a[data-field]").all_inner_texts()
    assert set(failure.fields) <= set(linked), linked
    assert not save_is_open(page)
    for link in page.locator("#mc-cause a[data-field]").all():
        name = link.get_attribute("data-field")
        row = page.locator(f".form-row:has([name={name}]), .mc-test-to:has([name={name}])")
        assert row.count(), f"{name} is on the page"


def test_a_port_that_is_not_allowed_is_said_at_its_field_and_nothing_is_sent(browser, person):
    """B12: the form refuses it, so no test begins."""
    page = browser.window(user=person)
    with smtp_server(security="none") as server:
        open_form(page)
        fill_in(page, server, port=22)
        page.click(TEST)
        said = page.locator(".form-row:has(#id_port) .errorlist")
        expect(said).to_have_text("Port 22 is not allowed here. An operator can add it.")
        expect(page.locator("#mc-test-status")).to_contain_text("Port 22 is not allowed here.")
        assert badge(page) == "Not tested"
        assert not save_is_open(page)
        expect(page.locator(".form-row:has(#id_port)").get_by_text("Port 22")).to_have_count(
            2
        )  # said as hint, too
        expect(page.locator(".form-row:has(#id_port) .mc-hint")).to_be_hidden()  # and shown once
    assert server.sessions == 0


def test_a_greylisting_server_does_not_open_save(browser, person, keep):
    """B14."""
    page = browser.window(user=person)
    with smtp_server(
        security="none", answers={"RCPT": "450 4.2.0 Greylisted, try again in 5 minutes"}
    ) as server:
        open_form(page)
        fill_in(page, server)
        run_test(page)

        assert "asks to try again" in page.inner_text("#mc-cause")
        assert "fine" in page.inner_text("#mc-cause")
        assert not save_is_open(page)
        page.click(SAVE, force=True)
        assert not SMTPProfile.objects.exists()
    keep(page, "cause-greylisting")


def test_an_unknown_authority_is_trusted_by_one_click_and_the_test_passes(browser, person, keep):
    """B13: the certificate goes into Own CA certificates, and the test runs again by itself."""
    page = browser.window(user=person)
    with smtp_server(security="starttls") as server:
        open_form(page)
        fill_in(page, server, security="starttls")
        run_test(page)
        before = TestRun.objects.count()

        page.click("#mc-cause button[name=_apply]")
        page.wait_for_function(
            "() => document.querySelector('#mc-test .mc-card-head .mc-badge').textContent.includes('Passed')"
        )

        assert "BEGIN CERTIFICATE" in page.input_value("#id_ca")
        assert TestRun.objects.count() == before + 1
        assert save_is_open(page)
        assert server.accepted == 1
    keep(page, "cause-trusted")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_a_correction_changes_the_form_and_tests_again(browser, person, scripts):
    """B12: "Use TLS from the first byte", with the difference beside it; the same without scripts."""
    page = browser.window(user=person, javascript=scripts)
    with smtp_server(security="tls") as server:
        page.goto("/admin/smtp_settings/smtpprofile/add/")
        (open_sections if scripts else open_sections_by_hand)(page)
        fill_in(page, server, security="starttls", command_timeout=5, ca=server.ca_pem)
        page.click("#mc-test button[name=_send_test]")
        page.wait_for_selector("#mc-cause", timeout=60_000)
        button = page.locator("#mc-cause button[name=_apply]").first
        assert "TLS from the first byte" in page.inner_text("#mc-cause .mc-fixes")

        button.click()
        page.wait_for_selector("#mc-test .mc-card-head .mc-badge:has-text('Passed')", timeout=60_000)

        assert page.is_checked("input[name=security][value=tls]")
        assert page.input_value("#id_port") == str(server.port)
        assert server.accepted == 1


def test_a_silent_server_is_given_up_and_the_wait_is_said(browser, person):
    """B32, with a shorter limit of the profile's own: a command timeout of two seconds."""
    page = browser.window(user=person)
    with evil_server_beside({"mail": hang}) as server:
        open_form(page)
        fill_in(page, server, command_timeout=2)
        run_test(page)

    assert steps(page)["MAIL FROM"] == "failed"
    assert page.locator("#mc-cause").count() == 1


def test_the_banner_of_a_hostile_server_is_shown_and_does_nothing(browser, person, keep):
    """B29: script, terminal codes, bidi and a line of a megabyte."""
    words = (
        "<script>document.title='owned'</script><img src=x onerror=alert(1)> \x1b[2J\x07 \u202egnp.exe "
        "javascript:alert(1) {{7*7}}"
    )
    page = browser.window(user=person)
    for greeting in (f"220 {words}", f"554 {words}", "554 " + "A" * 1_000_000):
        with smtp_server(
            security="none", answers={"BANNER": greeting, "RCPT": f"550 5.1.1 {words}"}
        ) as server:
            open_form(page)
            fill_in(page, server)
            run_test(page)
            keep(page, f"hostile-{greeting[:3]}-{len(greeting)}")

        text = page.inner_text("#mc-test")
        assert "owned" not in page.title()
        assert (
            page.locator("#mc-test script, #mc-test img").count()
            == page.locator("#mc-test script[type='application/json']").count()
        )
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert len(text) < 100_000
        page.set_viewport_size({"width": 320, "height": 700})
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, greeting[:20]
        page.set_viewport_size({"width": 1280, "height": 900})


def test_a_rate_limit_is_said_and_opens_nothing(browser, person):
    """B31."""
    page = browser.window(user=person)
    with smtp_server(security="none") as server:
        open_form(page)
        fill_in(page, server)
        run_test(page)
        run = TestRun.objects.get()
        for _number in range(9):
            run.pk, run.uuid, run._state.adding = None, uuid4(), True
            run.save()
        enter(page, from_address="other@example.com")
        page.click("#mc-test button[name=_send_test]")
        page.wait_for_function(
            "() => /Ten tests in ten minutes/.test(document.querySelector('#mc-test').textContent)"
        )

        assert not save_is_open(page)
        assert server.accepted == 1


def test_a_search_for_the_end_of_a_test_finds_it_after_a_reload(browser, person):
    """B24's other half: a reload during a test goes on with the same run."""
    page = browser.window(user=person)
    with evil_server_beside({"mail": [hang]}, ehlo=EHLO) as server:
        open_form(page)
        fill_in(page, server, command_timeout=4)
        page.click("#mc-test button[name=_send_test]")
        page.wait_for_selector("#mc-run .mc-step")
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        wait_for_end(page)

        assert TestRun.objects.count() == 1
        assert server.connections <= 2
