"""Every text of ours can be translated: seen in a language that puts each of them in brackets (B43)."""

import json
import re
from html.parser import HTMLParser

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from tests.builders import a_profile, a_user
from tests.house import every_address, furnish
from tests.pseudo import pseudo_language
from tests.servers import smtp_server
from tests.smtp_settings.form_filling import ADD, change_url, entries_for, press
from tests.submitting import form_of

pytestmark = pytest.mark.django_db

#: Names nobody translates: protocols, replies' words, ours, other people's.
_NAMES = """
    mailconf SMTP TLS STARTTLS SSL EHLO HELO AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2 OAuth MAIL FROM RCPT TO DATA
    SIZE PIPELINING SMTPUTF8 ENHANCEDSTATUSCODES EIGHTBITMIME PEM DNS MX SPF DKIM DMARC UTC IPv4 IPv6
    SHA-256 MB ms Mailgun Amazon SES Microsoft Google SendGrid localhost Message-ID
"""
NAMES = set(_NAMES.split())
#: Pages that end the session, hold somebody's mail, or whose words are Django's.
NOT_OURS = {"logout", "sandbox_preview", "delivery_message_preview", "app_list"}
#: Data, as the house makes it: what begins with zz, holds a digit, an @, a dot between letters or a slash.
DATA = re.compile(r"zz|\d|@|\w\.\w|/|^\$|_")
SIGNS = ".,:;()\"'|!?\u201c\u201d\u2018\u2019\u2026\u00b7\u203a\u00bb"
WORD = re.compile(r"[^\W\d_]{2,}")
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
#: Where data and the words of machines stand.
QUIET = {"code", "pre", "script", "style", "textarea", "samp", "kbd", "svg", "option"}
BLOCKS = {
    "p",
    "div",
    "section",
    "td",
    "th",
    "li",
    "h1",
    "h2",
    "h3",
    "label",
    "button",
    "summary",
    "dt",
    "dd",
    "title",
}
SHOWN = ("placeholder", "aria-label", "title", "alt", "aria-description", "data-busy", "aria-valuetext")


class _Texts(HTMLParser):
    """Collects what stands outside of the brackets, with the element it stands in."""

    def __init__(self):
        super().__init__()
        self.stack = []
        self.depth = 0
        self.bare = []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag in BLOCKS:
            self.depth = 0
        if not self.is_quiet():
            for name in SHOWN:
                self.judge(named.get(name) or "", f"{name} of <{tag}>")
            if tag == "input" and named.get("type") in ("submit", "button", "reset"):
                self.judge(named.get("value") or "", "a button")
        if tag not in VOID:
            classes = (named.get("class") or "").split()
            quiet = tag in QUIET or bool({"mc-mono", "mc-headers"} & set(classes)) or "translate" in named
            self.stack.append((tag, quiet))

    def handle_endtag(self, tag):
        if any(tag == one for one, _quiet in self.stack):
            while self.stack and self.stack.pop()[0] != tag:
                pass

    def is_quiet(self):
        return any(quiet for _tag, quiet in self.stack)

    def handle_data(self, data):
        if self.is_quiet():
            return
        outside = []
        for sign in data:
            if sign == "⟦":
                self.depth += 1
            elif sign == "⟧":
                self.depth = max(0, self.depth - 1)
            elif not self.depth:
                outside.append(sign)
        self.collect("".join(outside), self.stack[-1][0] if self.stack else "")

    def judge(self, text, where):
        while "⟦" in text and (shorter := re.sub(r"⟦[^⟦⟧]*⟧", " ", text)) != text:
            text = shorter
        self.collect(text, where)

    def collect(self, text, where):
        words = [word for word in text.split() if WORD.search(word) and not DATA.search(word)]
        words = [word for word in words if word.strip(SIGNS) not in NAMES]
        if words:
            self.bare.append(f"{where}: {' '.join(text.split())[:150]}")


def bare_texts(html):
    """The texts of a page that were not looked up in a translation."""
    texts = _Texts()
    texts.feed(html)
    texts.close()
    return list(dict.fromkeys(texts.bare))


@pytest.fixture
def person():
    return a_user("superuser", username="zzalex", email="alex@example.com", password="correct horse")


@pytest.fixture
def client(client, person):
    client.force_login(person)
    return client


@pytest.fixture
def brackets():
    cache.clear()  # what filters offer is kept for seconds, with the names other tests gave
    with pseudo_language():
        yield


def assert_translated(pages):
    """No page has a text that was not looked up."""
    found = {name: bare for name, page in pages.items() if (bare := bare_texts(page.content.decode()))}
    assert not found, json.dumps(found, indent=1, ensure_ascii=False)


def is_page(answer):
    return answer.status_code != 302 and answer.headers["Content-Type"].startswith("text/html")


def test_the_brackets_are_seen_and_a_bare_text_too(brackets, client):
    page = client.get(ADD).content.decode()
    assert "⟦Test these settings⟧" in page
    assert bare_texts("<p>⟦Fine ⟦x⟧ fine⟧ zzdata 3</p><p>Bare words <b>there</b></p>") == [
        "p: Bare words",
        "b: there",
    ]
    assert bare_texts('<input placeholder="Bare"><input type="submit" value="⟦x⟧">') == [
        "placeholder of <input>: Bare"
    ]


def test_every_page_of_the_admin_can_be_translated(client, person, brackets):
    house = furnish(person)
    pages = {}
    for address in every_address(house):
        if address.name in NOT_OURS or address.name.startswith(("auth_", "sites_")):
            continue
        answer = client.get(address.url)
        if is_page(answer):
            pages[address.name] = answer

    assert len(pages) > 20
    assert_translated(pages)


def test_every_state_of_the_form_can_be_translated(client, person, brackets):
    with smtp_server(security="none") as server:
        values = entries_for(client, server, name="zzOne")
        pages = {
            "refused": press(client, ADD, values, "_save"),
            "wrong": press(client, ADD, values | {"port": "x", "host": "", "name": ""}, "_send_test"),
            "passed": press(client, ADD, values, "_send_test"),
            "unencrypted": press(client, ADD, values | {"auth": "password"}, "_save"),
        }
        pages["changed"] = press(client, ADD, form_of(pages["passed"]) | {"port": "2526"}, "_save")
        profile = a_profile(name="zzTwo", host=server.host, port=server.port, user=person)
        held = form_of(client.get(change_url(profile)))
        pages["draft"] = press(client, change_url(profile), held | {"host": "zz.example"}, "_draft")
        press(client, change_url(profile), held | {"notes": "zz"}, "_save")
        pages["conflict"] = press(client, change_url(profile), held | {"notes": "zzz"}, "_save")
        pages["anyway"] = press(client, ADD, values | {"anyway_reason": "zz"}, "_save_anyway")
    for name, answers in {
        "refused recipient": {"RCPT": "550 5.1.1 No such user"},
        "refused sender": {"MAIL": "550 5.7.1 Not yours"},
        "refused content": {"DOT": "554 5.6.0 No"},
        "later": {"RCPT": "450 4.2.0 Later"},
        "greeting": {"BANNER": "554 5.7.1 Go away"},
    }.items():
        with smtp_server(security="none", answers=answers) as server:
            pages[name] = press(client, ADD, entries_for(client, server, name="zzOne"), "_send_test")
    with smtp_server(security="none") as server:
        values = entries_for(client, server, name="zzOne")
    for name, changes in {
        "nobody listens": {},
        "no such port": {"port": "22"},
        "no such name": {"host": "zz.invalid"},
    }.items():
        pages[name] = press(client, ADD, values | changes, "_send_test")

    assert_translated(pages)


def test_every_page_of_those_who_look_can_be_translated(person, brackets):
    house = furnish(person)
    pages = {}
    for role in ("operator", "viewer", "staff"):
        client = Client()
        client.force_login(a_user(role, username=f"zz{role}"))
        for address in every_address(house):
            if address.name not in NOT_OURS and is_page(answer := client.get(address.url)):
                pages[f"{role} {address.name}"] = answer

    assert_translated(pages)


def test_the_empty_rooms_can_be_translated(client, brackets):
    from delivery import models

    assert not models.Message.objects.exists()
    urls = [reverse("admin:index"), "/admin/login/"]
    urls += [
        f"/admin/{path}/"
        for path in (
            "smtp_settings/smtpprofile",
            "smtp_settings/testrun",
            "smtp_settings/event",
            "delivery/message",
        )
    ]
    assert_translated({url: client.get(url) for url in urls})


def test_the_pages_of_errors_can_be_translated(client, brackets):
    viewer = Client()
    viewer.force_login(a_user("viewer", username="zzviewer"))
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(a_user("superuser", username="zzstrict"))
    pages = {
        "403": viewer.get(ADD),
        "404": client.get("/nowhere/"),
        "404 in the admin": client.get("/admin/smtp_settings/smtpprofile/999/change/", follow=True),
        "csrf": strict.post(ADD),
    }
    assert_translated(pages)
