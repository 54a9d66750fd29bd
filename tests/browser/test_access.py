"""By keyboard alone, by ear, large, in forced colours, in long words and from right to left (B39-B43)."""

import json
from itertools import pairwise

import pytest

from smtp_settings.models import SMTPProfile, TestRun
from tests.browser.form_page import (
    ADD,
    SAVE,
    TEST,
    enter,
    fill_in,
    open_form,
    open_sections,
    run_test,
    wait_for_end,
)
from tests.browser.walk import pages_of, too_wide
from tests.builders import a_user
from tests.house import furnish
from tests.pseudo import pseudo_language
from tests.servers import smtp_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def house(person, client):
    client.force_login(person)
    return furnish(person)


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_texts_a_third_longer_stay_in_the_window(
    browser, person, house, client, keep, settings, direction, part
):
    """B43. The pages' policy is enforced here, on all of them."""
    if direction == "rtl":
        settings.LANGUAGES_BIDI = [*settings.LANGUAGES_BIDI, settings.LANGUAGE_CODE]
    pages = pages_of(house, client, part, parts=2)
    page = browser.window(user=person)
    found = {}
    with pseudo_language(longer=True):
        for name, url in pages.items():
            page.goto(url)
            assert page.get_attribute("html", "dir") == direction
            open_sections(page)
            if wide := too_wide(page, (320, 390, 1280)):
                found[name] = wide
            keep(page, f"long-{direction}-{name}")

    assert not found, json.dumps(found, indent=1)


def tab_to(page, selector, most=200):
    """Press Tab until the element has the focus; AssertionError when it never gets it."""
    for _press in range(most):
        if page.evaluate("selector => document.activeElement?.matches(selector) ?? false", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached by the Tab key")


def type_into(page, selector, text):
    tab_to(page, selector)
    page.keyboard.press("Control+a")
    page.keyboard.type(str(text))


def test_the_whole_way_by_keyboard_alone(browser, person, keep):
    """B39: sign in, open the form, fill it in, test, save; not one click."""
    page = browser.window()
    with smtp_server(security="none", auth=("shop", "correct horse")) as server:
        page.goto("/admin/")
        page.wait_for_selector("#id_username:focus")
        page.keyboard.type("alex")
        type_into(page, "#id_password", "correct horse")
        page.keyboard.press("Enter")
        page.wait_for_selector(".mc-nav")
        tab_to(page, ".mc-nav a[href$='/smtpprofile/']")
        page.keyboard.press("Enter")
        page.wait_for_url("**/smtpprofile/")
        tab_to(page, "a.addlink, .object-tools a[href$='/add/'], a[href$='/smtpprofile/add/']")
        page.keyboard.press("Enter")
        page.wait_for_url("**/add/")

        type_into(page, "#id_name", "EU relay")
        type_into(page, "#id_host", server.host)
        tab_to(page, "input[name=security]")
        while not page.is_checked("input[name=security][value=none]"):
            page.keyboard.press("ArrowDown")
        type_into(page, "#id_port", server.port)
        tab_to(page, "[name=accepts_clear_auth]")
        page.keyboard.press("Space")
        type_into(page, "#id_username", "shop")
        type_into(page, "#id_password", "correct horse")
        type_into(page, "#id_from_address", "shop@example.com")
        page.keyboard.press("Enter")  # an attempt to save, never a test
        assert TestRun.objects.count() == 0
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#mc-test .mc-card-head .mc-badge:has-text('Passed')", timeout=60_000)
        tab_to(page, SAVE)
        keep(page, "keyboard-before-save", full_page=False)
        page.keyboard.press("Enter")
        page.wait_for_selector(".messagelist")

        assert server.accepted == 1
    assert SMTPProfile.objects.get().name == "EU relay"


def test_tab_goes_through_the_form_as_the_eye_does(browser, person):
    """B39: never up the page by more than a line, and nothing without a name or a ring around it."""
    page = browser.window(user=person)
    open_form(page)
    seen = page.evaluate(
        """() => [...document.querySelectorAll(
                'main a[href], main button, main input, main select, main textarea, main summary')]
            .filter(one => one.offsetParent && one.tabIndex >= 0 && !one.closest('.mc-savebar'))
            .map(one => [Math.round(one.getBoundingClientRect().top + scrollY),
                one.name || one.textContent.trim().slice(0, 30)])"""
    )
    up = [(before, after) for before, after in pairwise(seen) if after[0] < before[0] - 60]
    assert up == []

    page.focus("#id_name")
    ringless = page.evaluate(
        """async () => {
            const without = [];
            for (const one of document.querySelectorAll('main button, main input:not([type=hidden]), '
                + 'main select, main textarea, main summary, main a[href]')) {
                if (!one.checkVisibility() || one.tabIndex < 0) { continue; }
                one.focus({focusVisible: true});
                const style = getComputedStyle(one);
                if (style.outlineStyle === 'none' && style.boxShadow === 'none') {
                    without.push(one.name || one.textContent.trim());
                }
            }
            return without;
        }"""
    )
    assert ringless == []


def tree(page, selector="#mc-test"):
    return page.locator(selector).aria_snapshot()


def test_each_state_is_said_to_those_who_listen(browser, person, keep):
    """B40: the tree has the state's sentence, the steps as a list, and says what Save lacks."""
    page = browser.window(user=person)
    with smtp_server(security="none") as server:
        open_form(page)
        assert "- status: Save is available after a test email" in tree(page)
        save = tree(page, ".mc-savebar")
        assert '- button "Save" [disabled]' in save
        assert page.get_attribute(SAVE, "aria-describedby") == "mc-gate-text"
        assert page.get_attribute(SAVE, "disabled") is None

        fill_in(page, server)
        run_test(page)
        passed = tree(page)
        assert "- list" in passed
        for step in (
            "Look up the server name",
            "Connect",
            "EHLO",
            "MAIL FROM",
            "RCPT TO",
            "Send the message",
        ):
            assert step in passed
        assert '- button "Save" [disabled]' not in tree(page, ".mc-savebar")
        assert page.locator("[role=status], [aria-live]").count() == 1

        enter(page, from_address="other@example.com")
        assert '- button "Save" [disabled]' in tree(page, ".mc-savebar")
        assert "You changed From address after the test" in tree(page, ".mc-savebar")

        server.answers["RCPT"] = "550 5.1.1 No such user"
        run_test(page)
        failed = tree(page)
        assert "The test recipient does not exist" in failed
        assert page.get_attribute("#mc-cause", "tabindex") == "-1"
        assert page.evaluate("document.activeElement.matches('button[name=_send_test]')"), "the focus stayed"


def test_the_status_line_says_each_step_once(browser, person):
    """B40."""
    page = browser.window(user=person)
    with smtp_server(security="none") as server:
        open_form(page)
        fill_in(page, server)
        page.evaluate(
            """() => {
                window.said = [];
                const line = document.querySelector('#mc-test [role=status]');
                new MutationObserver(() => window.said.push(line.textContent)).observe(
                    line, {childList: true, characterData: true, subtree: true});
            }"""
        )
        run_test(page)
        said = page.evaluate("window.said")

    assert said, "nothing was said"
    assert said == list(dict.fromkeys(said)), said
    assert "The test succeeded" in said[-1] or "accepted the email" in said[-1]


def test_forced_colours_and_reduced_motion_hide_nothing(browser, person, keep):
    """B42: states have words, focus has an outline of its own, nothing moves; badges: test_pages.py."""
    with smtp_server(security="none") as server:
        for scheme in ("light", "dark"):
            page = browser.window(user=person, scheme=scheme)
            page.emulate_media(forced_colors="active", reduced_motion="reduce", color_scheme=scheme)
            open_form(page)
            fill_in(page, server)
            page.click(TEST)
            page.wait_for_selector("#mc-run .mc-step")
            moving = page.evaluate(
                "document.getAnimations().filter(one => one.playState === 'running').length"
            )
            wait_for_end(page)
            keep(page, f"forced-{scheme}-form")

            assert moving == 0
            assert all(text.strip() for text in page.locator(".mc-step-state").all_inner_texts())
            page.focus("#id_name")
            page.evaluate("selector => document.querySelector(selector).focus({focusVisible: true})", TEST)
            outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none"


def test_a_window_of_its_own_has_the_same_gate(browser, person, keep):
    """B60: `_popup=1` hides the navigation, not the gate."""
    page = browser.window(user=person)
    with smtp_server(security="none") as server:
        open_form(page, f"{ADD}?_popup=1")
        fill_in(page, server)
        page.click(SAVE, force=True)
        keep(page, "popup")
        assert page.locator(".mc-nav").count() == 0
        assert not SMTPProfile.objects.exists()
        assert run_test(page).startswith("Passed")
        enter(page, host="localhost", ip_version="4")
        page.click(SAVE, force=True)
        assert not SMTPProfile.objects.exists()


@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_who_looks_has_no_button_that_changes_anything(browser, person, house, role):
    """B57: in the browser, on the pages of the profile."""
    page = browser.window(user=a_user(role))
    page.goto(f"/admin/smtp_settings/smtpprofile/{house.profile.pk}/change/")
    names = page.eval_on_selector_all(
        "main button",
        "all => all.filter(one => one.offsetParent).map(one => one.name || one.textContent.trim())",
    )
    assert not {
        "_save",
        "_continue",
        "_draft",
        "_save_anyway",
        "_fill",
        "_apply",
        "_fix",
        "_draft_confirmed",
    } & set(names)
    shown = page.inner_text("main")
    assert ("Send test email" in shown) == (role == "operator")
    page.goto("/admin/smtp_settings/smtpprofile/")
    assert page.locator("a[href$='/add/']").count() == 0
    assert (page.locator("button:has-text('Test')").count() > 0) == (role == "operator")
    assert (page.locator("button:has-text('Pause')").count() > 0) == (role == "operator")
    assert page.locator("button:has-text('Duplicate'), a:has-text('Duplicate')").count() == 0
