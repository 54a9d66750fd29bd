"""The search, the offer and the advice over HTTP: who may, what is said, with and without scripts."""

import pytest
from django.core.cache import cache
from django.test.html import parse_html
from django.urls import reverse

from smtp_settings import test_send
from smtp_settings.admin.discovery import dns_limits
from smtp_settings.correction import decode
from smtp_settings.finding import candidates
from smtp_settings.models import SMTPProfile, TestRun
from tests.builders import a_profile
from tests.nameserver import name_server, txt
from tests.pages import assert_strict, client_of, inline_in, text_of
from tests.servers import authority, smtp_server
from tests.submitting import form_of
from transports.base import Security

pytestmark = pytest.mark.django_db

ADD = "/admin/smtp_settings/smtpprofile/add/"
FIND, DNS, OFFER = (
    "/admin/smtp_settings/smtpprofile/find/",
    "/admin/smtp_settings/smtpprofile/dns/",
    ("/admin/smtp_settings/smtpprofile/offer/"),
)
RECORDS = {
    ("shop.example", "MX"): ["10 aspmx.l.google.com."],
    ("shop.example", "TXT"): [txt("v=spf1 mx -all")],
}


@pytest.fixture(autouse=True)
def world(settings, tmp_path, monkeypatch):
    """A name server with the records of shop.example, and the tests' authority among the system's."""
    path = tmp_path / "ca.pem"
    path.write_bytes(authority().cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    cache.clear()
    with name_server(RECORDS) as server:
        settings.MAILCONF_DNS_SERVERS = [server.address]
        yield server


@pytest.fixture
def client():
    return client_of("superuser")


@pytest.fixture
def server(monkeypatch):
    with smtp_server(security="starttls", auth=("a", "b")) as running:
        monkeypatch.setattr(candidates, "USUAL", ((running.port, Security.STARTTLS),))
        yield running


# Without scripts


def test_the_button_searches_and_shows_what_answered_without_saving(client, server):
    values = form_of(client.get(ADD)) | {"_search": server.host, "_find": "1", "username": "me"}
    response = client.post(ADD, values)
    assert_strict(response)
    assert "Recommended: 127.0.0.1" in text_of(response)
    assert "Look at:" not in text_of(response)
    assert not SMTPProfile.objects.exists()
    (fix,) = fixes_in(response)
    assert fix == {"host": "127.0.0.1", "port": str(server.port), "security": "starttls", "auth": "password"}


def fixes_in(response):
    """The corrections of the buttons in the table of a search."""
    found = []

    def walk(element):
        attributes = dict(getattr(element, "attributes", ()))
        if attributes.get("name") == "_fix" and "Use these" in attributes.get("aria-label", ""):
            found.append(decode(attributes["value"]))
        for child in getattr(element, "children", ()):
            if not isinstance(child, str):
                walk(child)

    walk(parse_html(response.content.decode()))
    return found


def test_use_these_settings_fills_the_form_and_saves_nothing(client, server):
    values = form_of(client.get(ADD)) | {"_search": server.host, "_find": "1"}
    (fix,) = fixes_in(client.post(ADD, values))
    filled = client.post(ADD, values | {"_fix": "&".join(f"{k}={v}" for k, v in fix.items())})
    form = form_of(filled)
    assert (form["host"], form["port"], form["security"]) == ("127.0.0.1", str(server.port), "starttls")
    assert not SMTPProfile.objects.exists()


@pytest.mark.parametrize("text", ["", "a b", "http://example.com/", "<script>alert(1)</script>", "x" * 400])
def test_what_cannot_be_searched_gets_its_sentence_and_no_run(client, text):
    response = client.post(ADD, form_of(client.get(ADD)) | {"_search": text, "_find": "1"})
    assert_strict(response)
    assert "email address" in text_of(response)
    assert not TestRun.objects.exists()


def test_advice_is_shown_by_its_button_and_never_blocks(client):
    values = form_of(client.get(ADD)) | {"from_address": "a@shop.example", "host": "smtp.sendgrid.net"}
    response = client.post(ADD, values | {"_check_dns": "1"})
    assert_strict(response)
    text = text_of(response)
    assert "DNS for shop.example" in text
    assert "Add include:sendgrid.net before “all”." in text
    assert "v=spf1 mx include:sendgrid.net -all" in text
    assert "There is no DMARC record. Start with v=DMARC1; p=none ." in text
    assert "Look at:" not in text


# With scripts


def test_a_search_is_started_followed_and_found(client, server):
    told = client.post(FIND, {"_search": server.host}).json()
    assert client.get(told["poll"]).json()["announce"] == "The search begins…"
    test_send.run(TestRun.objects.get(kind="search"))
    found = client.get(told["poll"]).json()
    assert (found["status"], found["is_final"]) == ("passed", True)
    assert found["announce"].startswith("Recommended: 127.0.0.1")
    assert "Use these settings" in found["html"]
    assert inline_in(found["html"]) == []


def test_a_second_search_has_to_wait(client, server):
    first = client.post(FIND, {"_search": server.host}).json()
    assert client.post(FIND, {"_search": server.host}).json() == {
        "error": "Another of your tests is still running."
    }
    stopped = client.post(first["stop"]).json()
    assert stopped["status"] == "stopped"
    assert "poll" in client.post(FIND, {"_search": server.host}).json()


def test_a_search_is_shown_to_whoever_started_it_only(client, server):
    told = client.post(FIND, {"_search": server.host}).json()
    other = client_of("superuser")
    assert other.get(told["poll"]).status_code == 404
    assert other.post(told["stop"]).status_code == 404


@pytest.mark.parametrize("role", ["operator", "viewer", "staff"])
def test_who_may_not_save_may_not_search_or_ask(role):
    client = client_of(role)
    for url in (FIND, DNS, OFFER):
        assert client.post(url, {"_search": "127.0.0.1", "from_address": "a@shop.example"}).status_code == 403
    profile = a_profile()
    change = reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])
    for button in ("_find", "_check_dns"):
        assert client.post(change, {button: "1", "_search": "127.0.0.1"}).status_code == 403
    assert not TestRun.objects.filter(kind="search").exists()


@pytest.mark.parametrize("role", ["nobody", "anonymous"])
def test_strangers_are_sent_to_the_sign_in(role):
    for url in (FIND, DNS, OFFER):
        assert client_of(role).post(url).status_code == 302


def test_nothing_is_started_by_looking(client):
    for url in (FIND, DNS, OFFER):
        assert client.get(url).status_code == 405


def test_advice_comes_as_html(client):
    told = client.post(DNS, {"from_address": "a@shop.example", "preset": "workspace"}).json()
    assert told["domain"] == "shop.example"
    assert "include:_spf.google.com" in told["html"]
    assert inline_in(told["html"]) == []
    assert "Enter the From address first." in client.post(DNS, {"from_address": "x"}).json()["html"]


@pytest.mark.parametrize(
    ("values", "is_offered"),
    [
        ({}, True),
        ({"host": "smtp.sendgrid.net"}, True),
        ({"host": "mail.mine.example"}, False),
        ({"host": "smtp.gmail.com"}, False),
        ({"preset": "workspace"}, False),
        ({"from_address": "a@unknown.example"}, False),
        ({"from_address": "shop.example"}, False),
        ({"from_address": "<script>@shop.example\r\n"}, True),
    ],
)
def test_a_provider_is_offered_by_the_mx_of_the_from_address(client, values, is_offered):
    html = client.post(OFFER, {"from_address": "a@shop.example", **values}).json()["html"]
    assert ("shop.example uses Google Workspace for mail. Fill in?" in html) is is_offered
    assert inline_in(html) == []


def test_hostile_records_and_names_are_escaped(client, world):
    evil = '<img src=x onerror="alert(1)">'
    world.table["shop.example", "TXT"] = [txt(f"v=spf1 {evil} ~all")]
    html = client.post(DNS, {"from_address": "a@shop.example", "preset": "sendgrid"}).json()["html"]
    assert "<img" not in html
    assert inline_in(html) == []


def test_hints_know_who_receives_once_it_was_asked(client, world):
    hints = "/admin/smtp_settings/smtpprofile/hints/"
    values = {"from_address": "a@nomail.example", "host": "smtp.example.com", "transport": "smtp"}
    world.table["nomail.example", "TXT"] = [txt("x")]
    before = client.post(hints, values).content.decode()
    assert "eplies and bounces cannot arrive" not in before
    client.post(OFFER, {"from_address": "a@nomail.example"})
    assert "eplies and bounces cannot arrive" in client.post(hints, values).content.decode()
    assert world.asked == [("nomail.example", "MX")]


def test_the_test_panel_is_not_sent_to_a_search_that_goes_on(client, server):
    client.post(FIND, {"_search": server.host})
    values = form_of(client.get(ADD)) | {"host": server.host, "port": str(server.port), "name": "EU relay"}
    values |= {"from_address": "a@shop.example", "auth": "none", "test_to": "a@shop.example"}
    told = client.post(reverse("admin:smtp_settings_testrun_start"), values | {"_kind": "send"}).json()
    assert told == {"limited": "Another of your tests is still running.", "run": ""}


def test_who_asks_dns_too_often_is_told_to_wait_and_others_are_not(client, world, monkeypatch):
    monkeypatch.setattr(dns_limits, "SPAN_SECONDS", 10**9)  # no new span begins meanwhile
    values = {"from_address": "a@shop.example"}
    for _ in range(dns_limits.Ask.ADVICE.value):
        assert "<table" in client.post(DNS, values).json()["html"]
    asked = len(world.asked)

    refused = client.post(DNS, values).json()

    assert "DNS was asked 30 times in ten minutes. Wait " in refused["html"]
    assert len(world.asked) == asked
    assert "Wait " in text_of(client.post(ADD, form_of(client.get(ADD)) | values | {"_check_dns": "1"}))
    assert "<table" in client_of("superuser").post(DNS, values).json()["html"]


def test_over_the_limit_no_provider_is_offered_and_what_is_remembered_still_is(client, world, monkeypatch):
    monkeypatch.setattr(dns_limits, "SPAN_SECONDS", 10**9)
    assert "Fill in" in client.post(OFFER, {"from_address": "a@shop.example"}).json()["html"]
    for number in range(dns_limits.Ask.OFFER.value - 1):
        client.post(OFFER, {"from_address": f"a@n{number}.example"})
    asked = len(world.asked)

    assert client.post(OFFER, {"from_address": "a@one-more.example"}).json() == {"html": ""}
    assert len(world.asked) == asked
    assert "Fill in" in client.post(OFFER, {"from_address": "a@shop.example"}).json()["html"]
