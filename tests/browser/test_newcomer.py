"""A newcomer: from an empty form to a live profile, led by what the page says and offers, and nothing else.

The server is there and waits with STARTTLS on one port and TLS on another. The person enters a wrong port,
a wrong security setting and a wrong password, reads the cause and follows it. Screenshots of each station are
kept.
"""

import pytest

from smtp_settings.clearance import activation
from smtp_settings.models import SMTPProfile
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.form_page import (
    ADD,
    SAVE,
    TEST,
    badge,
    enter,
    open_sections,
    open_sections_by_hand,
    save_is_open,
    wait_for_end,
)
from tests.ports import free_port
from tests.servers import smtp_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

USER, PASSWORD = "shop@example.com", "correct horse"


def follow_a_link_to_a_field(page, name):
    """Click the field the cause names; it has to be on the page, shown and ready for typing."""
    page.click(f"#mc-cause a[data-field={name}]")
    shown = page.locator(f"[name={name}]").first
    shown.wait_for(state="visible")
    assert shown.evaluate("one => one.matches(':focus, :target') || one.contains(document.activeElement)"), (
        name
    )


@pytest.mark.parametrize(
    ("width", "scripts"),
    [(DESKTOP, True), (PHONE, True), (DESKTOP, False)],
    ids=["desktop", "phone", "no scripts"],
)
def test_from_an_empty_form_to_a_live_profile_with_three_wrong_values_on_the_way(
    browser, person, keep, width, scripts
):
    """The issue's "done when": wrong port, wrong security, wrong password in turn."""
    page = browser.window(user=person, width=width, javascript=scripts)
    station = f"newcomer-{width}{'' if scripts else '-plain'}"
    nobody = free_port()
    with (
        smtp_server(security="tls", auth=(USER, PASSWORD)) as server,
    ):
        page.goto(ADD)
        keep(page, f"{station}-1-empty")
        if scripts:
            open_sections(page)
        else:
            open_sections_by_hand(page)
        enter(page, name="EU relay", host="127.0.0.1", port=nobody, username=USER, password="wrong horse")
        enter(page, from_address="shop@example.com", ca=server.ca_pem, command_timeout=5)

        # 1. The wrong port: nobody listens there.
        press_test(page)
        keep(page, f"{station}-2-wrong-port")
        cause = page.inner_text("#mc-cause")
        assert f"port {nobody}" in cause
        assert not save_is_open(page) or not scripts
        enter(page, port=server.port)
        retype(page, "wrong horse")

        # 2. The wrong security setting: the button says what to choose.
        press_test(page)
        keep(page, f"{station}-3-wrong-security")
        assert "TLS from the first byte" in page.inner_text("#mc-cause")
        retype(page, "wrong horse")
        page.click("#mc-cause button[name=_apply] >> nth=0")
        page.wait_for_function(
            "() => /password|^$/.test(document.querySelector('#mc-cause')?.textContent ?? '')"
        )
        wait_for_end(page)

        # 3. The wrong password: the field is named and linked.
        keep(page, f"{station}-4-wrong-password")
        assert page.is_checked("input[name=security][value=tls]")
        assert "refused the user name or password" in page.inner_text("#mc-cause")
        if scripts:
            follow_a_link_to_a_field(page, "password")
        enter(page, password=PASSWORD)
        press_test(page)
        keep(page, f"{station}-5-passed")
        assert badge(page).startswith("Passed")
        assert "accepted the email for" in page.inner_text("#mc-test")

        page.click(SAVE)
        page.wait_for_selector(".messagelist")
        keep(page, f"{station}-6-saved")
        assert "is saved and live" in page.inner_text(".messagelist")
        assert server.accepted == 1
        assert server.sessions <= 5

    assert activation.is_live(SMTPProfile.objects.get())


def press_test(page):
    page.click(TEST)
    page.wait_for_selector("#mc-run .mc-step, #mc-problems", state="attached", timeout=60_000)
    wait_for_end(page)


def retype(page, password):
    """Without scripts a refused test comes back without the password, as any page does: it is typed again."""
    if page.input_value("#id_password") == "":
        enter(page, password=password)


def test_a_newcomer_who_knows_only_the_provider_has_the_server_filled_in(browser, person, keep):
    """B30's beginning: the preset fills, and says what it filled."""
    page = browser.window(user=person)
    page.goto(ADD)
    open_sections(page)
    page.select_option("#id_preset", "sendgrid")
    page.wait_for_function("() => document.querySelector('#id_host').value !== ''")
    keep(page, "newcomer-preset")

    assert page.input_value("#id_host") == "smtp.sendgrid.net"
    assert "Filled in for" in page.inner_text("#smtpprofile_form")
