"""The search, the offer of a provider and the advice about DNS in a browser, with and without scripts."""

import pytest
from django.core.cache import cache

from smtp_settings.finding import candidates
from smtp_settings.models import TestRun
from tests.browser.conftest import DESKTOP, PHONE
from tests.nameserver import name_server, txt
from tests.servers import authority, smtp_server
from transports.base import Security

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ADD = "/admin/smtp_settings/smtpprofile/add/"
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
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_without_scripts_the_buttons_do_the_same(browser, person, server):
    page = browser.window(user=person, width=PHONE, javascript=False)
    page.goto(ADD)
    page.fill("#id__search", server.host)
    page.click("#mc-find")
    page.click(".is-recommended button[name=_fix]")
    assert page.input_value("#id_host") == "127.0.0.1"
    page.fill("#id_from_address", "alex@shop.example")
    page.click("#mc-dns summary")
    page.click("#mc-check-dns")
    assert "There is no DMARC record" in page.text_content("#mc-dns-results")
