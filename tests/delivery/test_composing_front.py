"""What is written in front of a stored message, and the stored form of a field."""

import email
import email.policy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.composing import CannotCompose, content_of, envelope_sender, front, readable
from delivery.composing.words import written
from tests.delivery.mail import ASender, assert_sendable, parsed

OWN = ASender(from_address="relay@example.org", from_name="Grüße, Inc.")


def head(from_header, subject, sender, data=b"\r\n"):
    return parsed(front(from_header, subject, sender, data=data) + data)


def test_the_messages_own_from_is_written_as_it_was():
    for stored in (
        "Ann <ann@example.org>",
        "ann@example.org (Ann)",
        "=?utf-8?q?J=C3=BC?=\r\n <j@example.org>",
        "foo",
    ):
        assert front(stored, "", OWN) == b"From: " + stored.encode() + b"\r\n"


def test_the_profile_supplies_the_from_a_message_lacks():
    assert (
        front(None, "Hi", OWN)
        == b"From: =?utf-8?q?Gr=C3=BC=C3=9Fe=2C_Inc=2E?= <relay@example.org>\r\nSubject: Hi\r\n"
    )
    assert front(None, "Hi", replace(OWN, from_name="")) == b"From: relay@example.org\r\nSubject: Hi\r\n"
    assert front(None, "Hi", replace(OWN, from_name='A "B", C')).startswith(
        rb'From: "A \"B\", C" <relay@example.org>'
    )


def test_without_any_from_nothing_is_written():
    with pytest.raises(CannotCompose, match="From"):
        front(None, "Hi", ASender())
    with pytest.raises(CannotCompose, match="From"):
        front("Ann\r\nBcc: x@example.org", "Hi", ASender())


def test_a_forced_from_keeps_the_original_as_reply_to():
    forced = replace(OWN, from_policy="force", from_name="")
    message = head("Ann <ann@example.net>", "Hi", forced)
    assert (message["From"], message["Reply-To"]) == ("relay@example.org", "Ann <ann@example.net>")
    assert head("Ann <ann@example.net>", "Hi", forced, b"Reply-To: bo@example.com\r\n\r\n").get_all(
        "Reply-To"
    ) == ["bo@example.com"]
    assert head("Relay <Relay@example.org>", "Hi", forced)["Reply-To"] is None
    assert (
        head("Ann <ann@example.net>", "Hi", replace(forced, from_address=""))["From"]
        == "Ann <ann@example.net>"
    )


def test_the_profiles_reply_to_goes_where_a_message_has_none():
    sender = replace(OWN, reply_to="help@example.org")
    assert head("Ann <ann@example.net>", "Hi", sender)["Reply-To"] == "help@example.org"
    own = head(
        "Ann <ann@example.net>",
        "Hi",
        sender,
        b"To: x@example.com\r\nREPLY-TO: bo@example.com\r\n\r\nReply-To:",
    )
    assert own.get_all("Reply-To") == ["bo@example.com"]
    assert head("Ann <ann@example.net>", "Hi", sender, b"To: x@example.com\r\n\r\nReply-To: body\r\n")[
        "Reply-To"
    ]


@pytest.mark.parametrize(
    ("mail_from", "from_header", "changes", "expected"),
    [
        ("ann@example.net", "Ann <ann@example.net>", {}, "ann@example.net"),
        ("ann@example.net", "Ann <ann@example.net>", {"bounce_address": "b@example.org"}, "b@example.org"),
        ("ann@example.net", "Ann <ann@example.net>", {"from_policy": "force"}, "relay@example.org"),
        ("ann@example.net", None, {}, "ann@example.net"),
        ("", None, {}, "relay@example.org"),
        ("", "Postmaster <>", {"bounce_address": "b@example.org", "from_policy": "force"}, ""),
    ],
)
def test_the_reverse_path_is_decided_in_one_order(mail_from, from_header, changes, expected):
    assert envelope_sender(mail_from, from_header, replace(OWN, **changes)) == expected


PREFIXED = [
    ("Report", "[STAGING] ", "[STAGING] Report"),
    ("[STAGING] Report", "[STAGING] ", "[STAGING] Report"),
    ("Re: AW: [STAGING] Report", "[STAGING] ", "Re: AW: [STAGING] Report"),
    ("Not [STAGING] at the start", "[STAGING] ", "[STAGING] Not [STAGING] at the start"),
    ("Grüße", "[STAGING] ", "[STAGING] Grüße"),
    ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "[STAGING] ", "[STAGING] Grüße"),
    ("=?utf-8?q?=5BSTAGING=5D_x?=", "[STAGING] ", "[STAGING] x"),
    ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Ä ", "Ä Grüße"),
    ("Report", "Ä ", "Ä Report"),
    ("folded\r\n here", "[STAGING] ", "[STAGING] folded here"),
    ("folded\r\n here", "Ä ", "Ä folded here"),
    ("", "[STAGING] ", "[STAGING]"),
    (" ", "[STAGING] ", "[STAGING]"),
    ("", "", ""),
    ("Report", "", "Report"),
    ("Report", "  ", "Report"),
    ("x" * 990, "[STAGING] ", "[STAGING] " + "x" * 990),
    ("x" * 985 + "\r\n y", "[STAGING] ", "[STAGING] " + "x" * 985 + " y"),
]


@pytest.mark.parametrize(("subject", "prefix", "expected"), PREFIXED)
def test_the_prefix_is_added_once_and_the_rest_reads_the_same(subject, prefix, expected):
    lines = front("a@example.org", subject, replace(OWN, subject_prefix=prefix))
    assert_sendable(lines)
    message = email.message_from_bytes(lines + b"\r\n", policy=email.policy.default)
    assert str(message["Subject"] or "") == expected
    again = lines.split(b"Subject:", 1)[-1][1:-2].decode() if b"Subject:" in lines else ""
    assert front("a@example.org", again, replace(OWN, subject_prefix=prefix)) == lines


def test_no_subject_and_an_empty_one_are_two_things():
    assert front("a@example.org", "", OWN) == b"From: a@example.org\r\n"
    assert front("a@example.org", " ", OWN) == b"From: a@example.org\r\nSubject: \r\n"


@pytest.mark.parametrize(
    "stored",
    [
        "plain",
        "  two spaces in front",
        "trailing space ",
        "=?utf-8?q?a_=0D=0ABcc=3A_x?=",
        "folded\r\n\twith a tab",
        "\r\n begins with a fold",
        "x" * 980,
        "=?no-such-charset?q?a?=",
        "=?utf-8?b?broken",
    ],
)
def test_ascii_is_written_byte_for_byte(stored):
    gap = b"" if stored.startswith("\r") else b" "
    assert written("Subject", stored) == b"Subject:" + gap + stored.encode() + b"\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "Grüße",
        "日本語" * 40,
        "👛" * 50,
        "mixed " * 40 + "ü",
        "a\u2028b\u2029c\x85d",
        "vertical\x0btab and\x0cfeed",
        "x" * 3000,
        "two  spaces   and ü",
    ],
)
def test_other_text_is_encoded_and_reads_the_same(text):
    lines = written("Subject", text)
    assert_sendable(lines)
    assert max(map(len, lines.split(b"\r\n"))) <= 86
    assert readable(lines[len("Subject: ") : -2].decode()) == text


def test_a_long_line_of_words_is_folded_between_them():
    text = "word " * 300
    lines = written("Subject", text)
    assert_sendable(lines)
    assert lines.replace(b"\r\n", b"") == b"Subject: " + text.encode()


def test_stored_text_can_never_end_the_header():
    for evil in ("a\r\nBcc: evil@example.org", "a\r\n\r\nbody", "a\nBcc: x", "a\rb", "a\r\n \r\n b", "a\0b"):
        lines = front("a@example.org", evil, OWN)
        assert_sendable(lines)
        assert parsed(lines + b"\r\n").keys() == ["From", "Subject"]
        assert parsed(lines + b"\r\n").get_payload() == ""


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.text(st.sampled_from("[]Ää x"), max_size=20),
)
def test_whatever_is_stored_stays_one_field_and_can_be_sent(subject, prefix):
    lines = front("a@example.org", subject, replace(OWN, subject_prefix=prefix))
    assert_sendable(lines)
    found = parsed(lines + b"\r\n")
    assert set(found.keys()) <= {"From", "Subject"}
    assert isinstance(readable(subject), str)


def test_content_keeps_blobs_shared_and_every_segment_at_a_line_start():
    blob = b"x" * 70_000 + b"\r\n"
    content = content_of(b"From: a\r\n", b"To: b\r\n\r\nend\r\n", (9,), (blob,))
    assert content.segments == (b"From: a\r\nTo: b\r\n\r\n", blob, b"end\r\n")
    assert content.segments[1] is blob
    assert content_of(b"From: a\r\n", b"To: b\r\n\r\n", (9,), (blob,)).segments[-1] is blob
