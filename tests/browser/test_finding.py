"""The search, the offer of a provider and the advice about DNS in a browser, with and without scripts."""

import pytest
from django.core.cache import cache
from playwright.sync_api import expect

from smtp_settings.finding import candidates
from smtp_settings.models import SMTPProfile, TestRun
from tests.browser.conftest import DESKTOP, PHONE
from tests.nameserver import name_server, txt
from tests.servers import authority, smtp_server
from transports.base import Security

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ADD = "/admin/smtp_settings/smtpprofile/add/"
SAVE = ".mc-savebar button[name=_save]"
LOOKS = [(DESKTOP, "light"), (PHONE, "dark")]


@pytest.fixture(autouse=True)
def world(settings, tmp_path, monkeypatch):
    """A name server with the records of shop.example, and the tests' authority among the system's."""
    path = tmp_path / "ca.pem"
    path.write_bytes(authority().cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    cache.clear()
    table = {
        ("shop.example", "MX"): ["10 aspmx.l.google.com."],
        ("shop.example", "TXT"): [txt("v=spf1 mx -all")],
    }
    with name_server(table) as server:
        settings.MAILCONF_DNS_SERVERS = [server.address]
        yield


@pytest.fixture
def server(monkeypatch):
    with smtp_server(security="starttls", auth=("a", "b")) as running:
        monkeypatch.setattr(candidates, "USUAL", ((running.port, Security.STARTTLS),))
        yield running


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_a_search_leads_to_a_filled_form(browser, person, server, keep, width, scheme):
    page = browser.window(user=person, width=width, scheme=scheme)
    page.goto(ADD)
    page.fill("#id_username", "my-own")
    page.fill("#id__search", server.host)
    page.press("#id__search", "Enter")  # searches, and saves nothing
    page.wait_for_selector("#mc-find-results .mc-button")
    assert "Recommended: 127.0.0.1" in page.text_content("#mc-find-status")
    keep(page, f"finding-{width}-{scheme}")
    page.click("#mc-find-results .is-recommended button[name=_fix]")
    assert (page.input_value("#id_host"), page.input_value("#id_port")) == ("127.0.0.1", str(server.port))
    assert page.is_checked("#id_security input[value=starttls]")
    assert page.input_value("#id_username") == "my-own"
    told = page.inner_text(".field-host .mc-filled")
    assert told.startswith("Server: \N{EN DASH} → 127.0.0.1, Port: 587 → ")
    assert "Security" not in told  # it was right before
    assert page.evaluate("document.activeElement.name") == "password"  # the next thing to enter, in sight
    assert 0 <= page.locator("#id_password").bounding_box()["y"] < 900
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert set(server.verbs()) <= {"EHLO", "STARTTLS", "QUIT"}
    assert TestRun.objects.get().kind == TestRun.Kind.SEARCH


def test_what_is_no_address_is_said_beside_the_field(browser, person):
    page = browser.window(user=person)
    page.goto(ADD)
    page.fill("#id__search", "a b")
    page.click("#mc-find")
    page.wait_for_selector("#id__search[aria-invalid]")
    assert "no email address and no name of a server" in page.text_content("#mc-find-status")


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_a_from_address_offers_its_provider_and_shows_its_dns(browser, person, keep, width, scheme):
    page = browser.window(user=person, width=width, scheme=scheme)
    page.goto(ADD)
    page.fill("#id_from_address", "alex@shop.example")
    page.press("#id_from_address", "Tab")
    page.click("#mc-offer [data-preset]")
    page.wait_for_selector("#mc-filled button")
    assert page.input_value("#id_host") == "smtp.gmail.com"
    assert page.input_value("#id_from_address") == "alex@shop.example"
    page.click("#mc-dns summary")
    page.click("#mc-check-dns")
    page.wait_for_selector("#mc-dns-results table")
    keep(page, f"dns-{width}-{scheme}")
    assert page.text_content("#mc-dns-title") == "DNS for shop.example"
    assert page.is_visible("#mc-dns-results [data-copy]")
    assert page.inner_text("#mc-dns-word") == "Look at SPF, DKIM, DMARC"
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_without_scripts_the_buttons_do_the_same(browser, person, server):
    page = browser.window(user=person, width=PHONE, javascript=False)
    page.goto(ADD)
    page.fill("#id__search", server.host)
    page.click("#mc-find")
    page.click(".is-recommended button[name=_fix]")
    expect(page.locator("#id_host")).to_have_value("127.0.0.1")
    page.fill("#id_from_address", "alex@shop.example")
    page.click("#mc-dns summary")
    page.click("#mc-check-dns")
    expect(page.locator("#mc-dns-results")).to_contain_text("There is no DMARC record")


def test_a_pass_starts_the_check_of_the_from_domain_and_save_does_not_wait_for_it(browser, person, settings):
    """The name service is silent: the check is still asking while the profile is saved."""
    silent = {(name, "TXT"): "silence" for name in ("shop.example", "_dmarc.shop.example")}
    with name_server({("shop.example", "MX"): "silence"} | silent) as dead, smtp_server() as server:
        settings.MAILCONF_DNS_SERVERS = [dead.address]
        page = browser.window(user=person)
        page.goto(ADD)
        fill_in(page, server)
        page.click("#mc-test button[name=_send_test]")
        page.wait_for_selector("#mc-check-dns.is-busy", state="attached")  # no click of anybody
        assert page.get_attribute(SAVE, "aria-disabled") is None
        page.click(SAVE)
        page.wait_for_url("**/smtpprofile/")
    assert SMTPProfile.objects.get().name == "EU relay"
    assert dead.asked


def test_after_a_pass_the_closed_section_says_what_to_look_at(browser, person):
    with smtp_server() as server:
        page = browser.window(user=person)
        page.goto(ADD)
        fill_in(page, server)
        page.click("#mc-test button[name=_send_test]")
        page.wait_for_selector("#mc-dns-word:not([hidden])")
        assert page.inner_text("#mc-dns summary").split("\n")[0].startswith("DNS for shop.example")
        assert page.inner_text("#mc-dns-word") == "Look at DMARC"
        assert not page.is_visible("#mc-dns-results")
        assert page.text_content("#mc-say") == "DNS for shop.example: Look at DMARC"
        assert page.get_attribute(SAVE, "aria-disabled") is None


def test_a_dead_name_service_is_one_sentence(browser, person, settings):
    with name_server({("shop.example", kind): "SERVFAIL" for kind in ("MX", "TXT")}) as dead:
        dead.table["_dmarc.shop.example", "TXT"] = "SERVFAIL"
        settings.MAILCONF_DNS_SERVERS = [dead.address]
        page = browser.window(user=person)
        page.goto(ADD)
        page.fill("#id_from_address", "alex@shop.example")
        page.focus("#mc-dns summary")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#mc-dns-results .mc-notice")
    sentence = "Not checked: the name service gave no answer. Try again later."
    assert page.text_content("#mc-dns-results").strip() == sentence
    assert page.text_content("#mc-say").strip() == sentence
    assert not page.is_visible("#mc-dns-word")
    assert page.text_content("#mc-check-dns") == "Check DNS"


def fill_in(page, server):
    """A whole profile for a server on this machine, by hand."""
    page.fill("#id_name", "EU relay")
    page.fill("#id_host", server.host)
    page.check("#id_auth input[value=none]")
    page.check("#id_security input[value=none]")  # last: its hint moves what is below it
    page.fill("#id_port", str(server.port))
    page.fill("#id_from_address", "alex@shop.example")
