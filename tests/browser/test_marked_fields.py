"""The fields a cause names, marked in the form while the cause holds."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE
from tests.browser.form_page import tick
from tests.browser.test_panel import TEST, change_url, fill_in
from tests.builders import a_profile
from tests.servers import smtp_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MARK = ".mc-look"


@pytest.fixture
def page(browser, person):
    return browser.window(user=person)


@pytest.fixture
def unwilling():
    with smtp_server(security="none", auth=("shop", "another password")) as server:
        yield server


def refused(page, server):
    """Fill the form in with a wrong password and test it."""
    fill_in(page, server)
    tick(page.locator("#id_auth input[value=password]"))
    page.fill("#id_username", "shop")
    page.fill("#id_password", "wrong")
    tick(page.locator("#id_accepts_clear_auth"))
    page.click(TEST)
    expect(page.locator("#mc-cause")).to_be_visible()


def marked(page):
    return page.eval_on_selector_all(
        MARK, "all => all.map(one => one.parentElement.querySelector('input').name)"
    )


def test_the_named_fields_say_so_and_the_focus_stays(page, unwilling, keep):
    refused(page, unwilling)
    assert marked(page) == ["username", "password"]
    assert page.locator(MARK).all_inner_texts() == ["Look here", "Look here"]
    assert page.evaluate("document.activeElement.name") == "_send_test"
    keep(page, "marked-fields")


def test_a_field_that_is_edited_loses_its_mark_and_the_other_keeps_it(page, unwilling):
    refused(page, unwilling)
    page.fill("#id_password", "better")
    assert marked(page) == ["username"]


def test_the_next_test_begins_without_marks_and_a_pass_has_none(page, unwilling):
    refused(page, unwilling)
    page.fill("#id_password", "another password")
    page.click(TEST)
    expect(page.locator(MARK)).to_have_count(0)
    expect(page.locator("#mc-test .mc-gate-badge")).to_contain_text("Passed")
    expect(page.locator(MARK)).to_have_count(0)


def test_the_mark_is_there_again_after_a_reload(page, unwilling, person):
    profile = a_profile(
        host=unwilling.host,
        port=unwilling.port,
        auth="password",
        username="shop",
        password="wrong",
        accepts_clear_auth=True,
        user=person,
    )
    page.goto(change_url(profile))
    page.click(TEST)
    expect(page.locator("#mc-cause")).to_be_visible()
    page.reload()
    expect(page.locator(MARK)).to_have_count(2)
    assert marked(page) == ["username", "password"]


def test_a_closed_section_with_a_named_field_opens(page):
    with smtp_server(security="starttls") as server:
        fill_in(page, server)
        page.check("#id_security input[value=starttls]")
        page.fill("#id_port", str(server.port))
        assert page.is_hidden("#id_ca")
        page.click(TEST)
        expect(page.locator("#id_ca")).to_be_visible()
    assert "Look here" in page.inner_text(".form-row.field-ca")
    assert page.is_hidden("#id_max_retries")


def test_on_a_phone_the_mark_stays_in_its_row(browser, person, unwilling, keep):
    page = browser.window(user=person, width=PHONE)
    refused(page, unwilling)
    assert len(marked(page)) == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        keep(page, f"marked-fields-phone-{scheme}")
