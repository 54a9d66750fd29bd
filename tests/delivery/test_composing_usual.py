"""The short way of composing gives what the long way gives, byte for byte, or leaves it to that."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import django
import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from delivery.composing import CannotCompose, compose_message, usual

pytestmark = pytest.mark.skipif(django.VERSION >= (6,), reason="Django 6 writes every message itself")

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def a_message(*, html=None, kind="plain", mailconf_encoding=None, **changes):
    """A usual message."""
    valid = {
        "subject": "Report",
        "body": "Hello.\n",
        "from_email": "ann@example.org",
        "to": ["bo@example.com"],
    }
    message = (EmailMessage if html is None else EmailMultiAlternatives)(**valid | changes)
    message.content_subtype, message.encoding = kind, mailconf_encoding
    if html is not None:
        message.attach_alternative(html, "text/html")
    return message


def comparable(composed):
    """Boundaries are drawn by lot."""
    return replace(composed, data=re.sub(rb"={15}\d{19}==", b"boundary", composed.data))


def long_way(message):
    """Compose it as Django writes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usual, "_IS_KNOWN", False)
        return result(message)


def result(message):
    """What composing gives, or the sentence."""
    try:
        return comparable(compose_message(message, now=NOW))
    except CannotCompose as error:
        return str(error)


def went_the_short_way(message):
    """Whether Django was not asked."""
    took = []
    compose = usual.compose_usual
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "delivery.composing.message.compose_usual",
            lambda *args, **options: took.append(compose(*args, **options)) or took[-1],
        )
        compose_message(message, now=NOW)
    return took[-1] is not None


def assert_same(message):
    assert result(message) == long_way(message)


ODD = ["", ".", "From me", "a", "ä", "€ 5", "👛", "trailing  ", "=3D", "--", "--===============1=="]
CONTROLS = ["\t", "\x0b", "\x0c\x1c", "\x85", "\u2028", "\x7f"]
LONG = ["x" * 998, "x" * 999, "ä" * 499, "ä" * 500]
LINES = st.lists(st.sampled_from(ODD + CONTROLS) | st.sampled_from(LONG), max_size=8)
BODIES = st.one_of(
    st.builds(lambda lines, end: end.join(lines), LINES, st.sampled_from(["\n", "\r\n", "\r", "\n\n"])),
    st.builds(
        lambda lines, end: "".join(line + end for line in lines), LINES, st.sampled_from(["\n", "\r\n"])
    ),
    st.text(max_size=60),
)
NAMES = st.one_of(
    st.sampled_from(["", "Ann", "Doe, Ann", "Jürgen Öl", "=?utf-8?q?x?=", "A" * 90]), st.text(max_size=20)
)
ADDRESSES = st.sampled_from(
    ["ann@example.org", "u@straße.example", "j@grün.example", '"a b"@example.org', "a" * 60 + "@example.org"]
)
BOXES = st.one_of(
    ADDRESSES,
    st.builds("{} <{}>".format, NAMES, ADDRESSES),
    st.builds('"{}" <{}>'.format, NAMES, ADDRESSES),
    st.sampled_from(["webmaster@localhost", "a@x", "jürgen@example.org", ""]),
)
VALUES = st.one_of(
    st.sampled_from(
        [
            "a",
            " a",
            "a ",
            "a  b",
            "",
            " ",
            "a\tb",
            "ä",
            "x" * 100,
            "word " * 40,
            "<a>, <b>" * 20,
            "=?utf-8?q?x?=",
        ]
    ),
    st.integers(),
    st.text(max_size=40),
)
OURS = "Content-Type MIME-Version Date Message-ID From To cc Bcc Sender Subject Return-Path X-SES-A Resent-To"
HEADERS = st.dictionaries(
    st.sampled_from(["X-A", "X-B", "List-Unsubscribe", "References"])
    | st.sampled_from(OURS.split())
    | st.text(alphabet="AZaz-_.!", min_size=1, max_size=80),
    VALUES,
    max_size=3,
)


@given(
    body=BODIES,
    html=st.none() | BODIES,
    kind=st.sampled_from(["plain", "html", "x"]),
    subject=st.text(max_size=40),
    from_email=BOXES,
    to=st.lists(BOXES, max_size=3),
    cc=st.lists(BOXES, max_size=1),
    reply_to=st.lists(BOXES, max_size=2),
    headers=HEADERS,
)
def test_both_ways_give_the_same_or_say_the_same(**given_fields):
    assert_same(a_message(**given_fields))


@given(body=BODIES, html=st.none() | BODIES)
def test_both_ways_give_the_same_texts(body, html):
    assert_same(a_message(body=body, html=html))


@given(headers=HEADERS, from_email=BOXES, to=st.lists(BOXES, min_size=1, max_size=3))
def test_both_ways_give_the_same_fields(headers, from_email, to):
    assert_same(a_message(headers=headers, from_email=from_email, to=to))


USUAL = {
    "text": lambda: a_message(),
    "text_not_ascii": lambda: a_message(body="Größe: 5 €\n"),
    "mostly_not_ascii": lambda: a_message(body="Привет\n" * 20),
    "no_line_end": lambda: a_message(body="Größe"),
    "empty": lambda: a_message(body="", subject=""),
    "html": lambda: a_message(body="<p>ü</p>", kind="html"),
    "both": lambda: a_message(html="<p>ü</p>"),
    "html_alone_as_alternative": lambda: a_message(body="", html="<p>x</p>"),
    "safe_text": lambda: a_message(html=mark_safe("<p>x</p>")),
    "utf_8": lambda: a_message(mailconf_encoding="utf-8"),
    "names": lambda: a_message(from_email="Jürgen Öl <j@grün.example>", to=["Ünal <u@straße.example>"] * 3),
    "many_people": lambda: a_message(to=[f"recipient{i}@example.com" for i in range(50)]),
    "fields": lambda: a_message(
        headers={"X-A": "Größe " * 30, "List-Unsubscribe": "<https://example.org/?a>, " * 9}
    ),
    "stripped_fields": lambda: a_message(headers={"Bcc": "x@example.org", "Return-Path": "<x@example.org>"}),
    "just_no_blob": lambda: a_message(body="x" * 62 + "\n" * 2 + ("y" * 62 + "\n") * 1_020),
}


@pytest.mark.parametrize("case", USUAL)
def test_a_usual_message_goes_the_short_way_and_is_the_same(case):
    assert went_the_short_way(USUAL[case]())
    assert_same(USUAL[case]())


def patched():
    message = a_message()
    message.message = lambda **options: EmailMessage.message(message)
    return message


def with_a_file():
    message = a_message()
    message.attach("a.txt", "x", "text/plain")
    return message


def with_other_alternatives(*kinds):
    message = a_message(html="<p>x</p>")
    for kind in kinds:
        message.attach_alternative("x", kind)
    return message


def in_related_form():
    message = a_message(html="<p>x</p>")
    message.alternative_subtype = "related"
    return message


UNUSUAL = {
    "a_subclass": lambda: type("Own", (EmailMessage,), {})("a", "b", "ann@example.org", ["bo@example.com"]),
    "a_message_method_of_its_own": patched,
    "a_file": with_a_file,
    "more_alternatives": lambda: with_other_alternatives("text/markdown"),
    "html_twice": lambda: with_other_alternatives("text/html"),
    "a_calendar": lambda: with_other_alternatives("text/calendar; method=REQUEST"),
    "related": in_related_form,
    "latin_1": lambda: a_message(mailconf_encoding="iso-8859-1"),
    "lazy": lambda: a_message(body=gettext_lazy("Yes")),
    "a_long_line": lambda: a_message(body="x" * 999 + "\n"),
    "a_long_line_of_octets": lambda: a_message(body="ä" * 500 + "\n"),
    "a_blob": lambda: a_message(body=("y" * 62 + "\n") * 1_100),
    "a_blob_once_encoded": lambda: a_message(body=("ю" * 40 + "\n") * 750),
    "from_the_profile": lambda: a_message(from_email=None),
    "own_date": lambda: a_message(headers={"Date": "Mon, 01 Jan 2001 00:00:00 +0000"}),
    "own_id": lambda: a_message(headers={"message-id": "<own@example.org>"}),
    "own_type": lambda: a_message(headers={"content-TYPE": "text/x; charset=utf-8"}),
    "from_field": lambda: a_message(headers={"From": "Team <team@example.org>"}),
    "sender_field": lambda: a_message(headers={"Sender": "team@example.org"}),
    "large_fields": lambda: a_message(headers={f"X-{n}": "a" * 900 for n in range(20)}),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_any_other_message_is_left_to_django(case):
    assert not went_the_short_way(UNUSUAL[case]())
