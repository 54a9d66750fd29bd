"""Django's EmailMessage: each feature arrives as Django itself writes it, or is refused in words."""

import copy
import email
import email.policy
import time
from datetime import UTC, datetime
from email.message import EmailMessage as StandardMessage
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage

import django
import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from delivery.composing import CannotCompose, compose_message
from delivery.composing.message import safe_file_name
from tests.delivery.mail import (
    ASender,
    assert_sendable,
    fields,
    on_the_wire,
    parsed,
    parts,
    refusal,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
#: What differs between any two writings of one message, or is ours to write.
NOT_COMPARED = {"date", "message-id", "content-type", "content-transfer-encoding", "mime-version"}


def a_message(**changes):
    """A valid message."""
    cls = changes.pop("cls", EmailMessage)
    valid = {
        "subject": "Report",
        "body": "Hello.\n",
        "from_email": "ann@example.org",
        "to": ["bo@example.com"],
    }
    return cls(**valid | changes)


def with_alternatives(*alternatives, **changes):
    message = a_message(cls=EmailMultiAlternatives, **changes)
    for content, kind in alternatives:
        message.attach_alternative(content, kind)
    return message


def with_attachments(*attachments, message=None, **changes):
    message = message or a_message(**changes)
    for attachment in attachments:
        message.attach(*attachment) if isinstance(attachment, tuple) else message.attach(attachment)
    return message


def html_only():
    message = a_message(body="<p>Größe</p>")
    message.content_subtype = "html"
    return message


def in_latin_1():
    message = a_message(subject="Größe", body="Größe\n")
    message.encoding = "iso-8859-1"
    return message


def inline_image():
    image = MIMEImage(PNG, "png")
    image.add_header("Content-ID", "<logo@example.org>")
    image.add_header("Content-Disposition", "inline", filename="logo.png")
    return with_attachments(
        image, message=with_alternatives(('<img src="cid:logo@example.org">', "text/html"))
    )


def a_forwarded(content):
    return with_attachments(("forwarded.eml", content, "message/rfc822"))


FORWARDED = "From: x@example.org\nSubject: inner\nDate: Mon, 1 Jan 2001 00:00:00 +0000\n\nInner.\n"

FEATURES = {
    "plain": lambda: a_message(),
    "empty": lambda: a_message(subject="", body=""),
    "unicode": lambda: a_message(subject="Grüße 👛", body="Größe: 5 €\n.\nFrom me\n  end  \n"),
    "long_lines": lambda: a_message(body="ä" * 2_000 + "\n" + "x" * 3_000 + "\n"),
    "v23_templates": lambda: a_message(subject="{{ 7|add:1 }}", body="{{ 7|add:1 }} {% load x %} {{{ }}}\n"),
    "v24_html_only": html_only,
    "alternatives": lambda: with_alternatives(("<b>ü</b>", "text/html"), ("*ü*", "text/markdown")),
    "alternative_without_text": lambda: with_alternatives(("<b>ü</b>", "text/html"), body=""),
    "v24_calendar": lambda: with_alternatives(
        ("BEGIN:VCALENDAR\nEND:VCALENDAR\n", "text/calendar; method=REQUEST")
    ),
    "v24_same_name_twice": lambda: with_attachments(
        ("a.pdf", b"one", "application/pdf"), ("a.pdf", b"two", "application/pdf")
    ),
    "v24_text_that_is_base64": lambda: with_attachments(("a.txt", "abcd", "text/plain"), body="YWJjZA==\n"),
    "attachment_kinds": lambda: with_attachments(
        ("a.bin", PNG, "application/octet-stream"),
        ("b.csv", "a;ä\n", "text/csv"),
        ("c.html", "<b>ü</b>", "text/html"),
        (None, b"no name", "application/x-thing"),
        ("Übersicht 2026.pdf", b"%PDF", "application/pdf"),
    ),
    "attachment_only": lambda: with_attachments(("a.bin", PNG, None), body=""),
    "inline_image": inline_image,
    "forwarded_text": lambda: a_forwarded(FORWARDED),
    "forwarded_message": lambda: a_forwarded(email.message_from_string(FORWARDED)),
    "forwarded_unicode": lambda: a_forwarded(FORWARDED.replace("Inner.", "Größe").encode()),
    "latin_1": in_latin_1,
    "lazy": lambda: a_message(subject=gettext_lazy("Yes"), body=gettext_lazy("Größe")),
    "addresses": lambda: a_message(
        from_email="Jürgen Öl <j@grün.example>",
        to=["Ann <ann@example.org>", '"Doe, Bo" <bo@example.com>', "Ünal <u@straße.example>"],
        cc=["cy@example.net"],
        reply_to=["Hilfe <help@example.org>", "two@example.org"],
    ),
    "headers": lambda: a_message(
        headers={
            "X-Tag": "a",
            "X-Unicode": "Größe " * 30,
            "List-Unsubscribe": "<https://example.org/u?a=b>, <mailto:u@example.org>",
            "Auto-Submitted": "auto-generated",
        }
    ),
    "header_to": lambda: a_message(
        headers={"To": "undisclosed-recipients:;", "From": "Team <team@example.org>"}
    ),
    "own_date_and_id": lambda: a_message(
        headers={"Date": "Mon, 01 Jan 2001 00:00:00 +0000", "message-id": "<own@example.org>"}
    ),
}


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.filterwarnings("ignore:MIMEBase attachments are deprecated")
def test_v24_every_feature_arrives_as_django_writes_it(feature):
    message = FEATURES[feature]()
    as_django = parsed(message.message().as_bytes())
    sent = on_the_wire(compose_message(message))
    assert_sendable(sent)
    assert parts(parsed(sent)) == parts(as_django)
    before = {
        k: str(email.policy.default.header_factory(k, v.replace("\n", "")))
        for k, v in fields(as_django)
        if k not in NOT_COMPARED
    }
    after = {
        k: str(email.policy.default.header_factory(k, v.replace("\n", "")))
        for k, v in fields(parsed(sent))
        if k not in NOT_COMPARED
    }
    if feature == "addresses":  # Django 5.2 writes IDNA 2003
        before["to"] = before["to"].replace("strasse.example", "xn--strae-oqa.example")
    assert after == before
    assert [part.get("Content-Disposition") for part in parsed(sent).walk()] == [
        part.get("Content-Disposition") for part in as_django.walk()
    ]


def test_a_header_value_may_be_a_number():
    assert parsed(on_the_wire(compose_message(a_message(headers={"X-Number": 7}))))["X-Number"] == "7"


def test_the_callers_message_is_not_changed():
    message = with_attachments(("../a.pdf", b"x", "application/pdf"), subject="Größe", headers={"X-A": "b"})
    before = copy.deepcopy(message.__dict__)
    compose_message(message)
    assert message.__dict__ == before


def test_a_subclass_keeps_its_own_way_of_writing():
    class Stamped(EmailMessage):
        def message(self, **options):
            tree = super().message(**options)
            tree["X-Stamp"] = "own"
            del tree["Subject"]
            tree["Subject"] = "Stamped"
            return tree

    composed = compose_message(a_message(cls=Stamped))
    assert parsed(on_the_wire(composed))["X-Stamp"] == "own"
    assert composed.subject == "Stamped"


def test_bcc_is_in_the_envelope_and_nowhere_else():
    message = a_message(cc=["Cy <cy@example.net>"], bcc=["Dee <dee@example.net>", "jürgen@example.net"])
    message.extra_headers = {"Bcc": "evil@example.net", "Return-Path": "<x@example.org>"}
    composed = compose_message(message)
    assert composed.rcpt_to == ("bo@example.com", "cy@example.net", "dee@example.net", "jürgen@example.net")
    sent = on_the_wire(composed).lower()
    assert b"bcc" not in sent
    assert b"dee@" not in sent
    assert b"return-path" not in sent


def test_the_envelope_sender_is_from_email_though_the_header_says_another():
    composed = compose_message(
        a_message(from_email="bounce@example.org", headers={"From": "Team <team@example.org>"})
    )
    assert (composed.mail_from, composed.from_header) == ("bounce@example.org", "Team <team@example.org>")


def test_a_given_envelope_replaces_that_of_the_message():
    composed = compose_message(a_message(), mail_from="<>", rcpt_to=["cy@example.net"])
    assert (composed.mail_from, composed.rcpt_to) == ("", ("cy@example.net",))
    assert composed.digest != compose_message(a_message()).digest


def test_without_a_chosen_from_the_profile_supplies_it():
    composed = compose_message(a_message(from_email=None))  # Django's default: webmaster@localhost
    assert (composed.mail_from, composed.from_header) == ("", None)
    sent = parsed(on_the_wire(composed, ASender(from_address="relay@example.org", from_name="Relay")))
    assert sent["From"] == "Relay <relay@example.org>"
    header_only = compose_message(a_message(from_email=None, headers={"From": "Team <team@example.org>"}))
    assert (header_only.mail_from, header_only.from_header) == ("team@example.org", "Team <team@example.org>")


def test_a12_date_is_fixed_and_message_id_left_to_the_queue():
    composed = compose_message(a_message(), now=datetime(2026, 11, 20, 12, tzinfo=UTC))
    assert parsed(on_the_wire(composed)).get_all("Date") == ["Fri, 20 Nov 2026 12:00:00 +0000"]
    assert composed.message_id is None
    assert b"stand-in" not in composed.data
    own = compose_message(
        a_message(headers={"Message-ID": "<own@example.org>", "DATE": "Mon, 01 Jan 2001 00:00:00 +0000"})
    )
    assert own.message_id == "<own@example.org>"
    assert parsed(on_the_wire(own)).get_all("Date") == ["Mon, 01 Jan 2001 00:00:00 +0000"]


def test_a_body_that_quotes_our_stand_ins_is_left_alone():
    body = (
        "Message-ID: <stand-in@mailconf.invalid>\nDate: Thu, 01 Jan 1970 00:00:00 +0000\nmailconf-subject\n"
    )
    sent = parsed(on_the_wire(compose_message(a_message(body=body, subject="mailconf-subject"))))
    assert sent.get_payload().replace("\r\n", "\n") == body
    assert sent["Subject"] == "mailconf-subject"


def test_the_same_message_has_the_same_digest_whenever_it_is_made():
    def build(last="end"):
        return with_attachments(
            ("a.pdf", b"pdf", "application/pdf"),
            message=with_alternatives(("<b>x</b>", "text/html"), ("y" + last, "text/x-y")),
        )

    first = compose_message(build(), now=datetime(2026, 1, 1, tzinfo=UTC))
    assert compose_message(build()).digest == first.digest
    assert compose_message(build("other")).digest != first.digest


def test_the_same_attachment_is_the_same_blob_in_every_message():
    pdf = bytes(range(256)) * 500
    one = compose_message(with_attachments(("a.pdf", pdf, "application/pdf")))
    two = compose_message(
        with_attachments(
            ("first.txt", "x", "text/plain"),
            ("other name.pdf", pdf, "application/pdf"),
            message=with_alternatives(("<b>x</b>", "text/html"), to=["cy@example.net"]),
        )
    )
    assert len(one.blobs) == 1
    assert one.blobs == two.blobs
    for composed in (one, two):
        assert pdf in [content for *_, content in parts_raw(on_the_wire(composed))]


def parts_raw(raw):
    return [(part.get_filename(), part.get_payload(decode=True)) for part in parsed(raw).walk()]


BAD = [
    ("a01_subject", {"subject": "a\r\nBcc: e@x.example"}, "subject"),
    ("a02_subject_cr", {"subject": "a\rb"}, "subject"),
    ("a02_subject_lf", {"subject": "a\nb"}, "subject"),
    ("a01_header_value", {"headers": {"X-A": "a\r\nBcc: e@x.example"}}, "X-A"),
    ("a02_header_cr", {"headers": {"X-A": "a\rb"}}, "X-A"),
    ("a02_header_folded", {"headers": {"X-A": "a\r\n b"}}, "X-A"),
    ("a03_header_name", {"headers": {"X-A: b\r\nBcc": "e@x.example"}}, "header name"),
    ("a04_space", {"headers": {"X A": "b"}}, "header name"),
    ("a04_colon", {"headers": {"X:A": "b"}}, "header name"),
    ("a04_unicode", {"headers": {"Größe": "b"}}, "header name"),
    ("a04_empty", {"headers": {"": "b"}}, "header name"),
    ("a04_long", {"headers": {"X" * 77: "b"}}, "header name"),
    ("a05_nul", {"subject": "a\0b"}, "subject"),
    ("a05_nul_header", {"headers": {"X-A": "a\0b"}}, "X-A"),
    ("a06_vertical_tab", {"headers": {"X-A": "a\x0bb"}}, "X-A"),
    ("a06_next_line", {"headers": {"X-A": "a\x85b"}}, "X-A"),
    ("a06_line_separator", {"headers": {"X-A": "a\u2028b"}}, "X-A"),
    ("a07_subject", {"subject": "a\udc80"}, "surrogate"),
    ("a07_body", {"body": "a\udc80"}, "surrogate"),
    ("a07_header", {"headers": {"X-A": "a\ud800"}}, "X-A"),
    ("a07_to", {"to": ["\udc80 <a@x.example>"]}, "recipient"),
    ("a10_provider", {"headers": {"X-SES-SOURCE-ARN": "a"}}, "X-SES-SOURCE-ARN"),
    ("a11_subject", {"headers": {"Subject": "again"}}, "Subject"),
    ("a16_megabyte", {"headers": {"X-A": "a " * 500_000}}, "X-A"),
    ("a16_subject", {"subject": "a" * 100_000}, "subject"),
    ("a16_many", {"headers": {f"X-{i}": "a" for i in range(2_000)}}, "fields"),
    ("a18_nul_in_body", {"body": "a\0b"}, "body"),
    ("b03_two_recipients", {"to": ["a@x.example, b@x.example"]}, "2 addresses"),
    ("b01_to", {"to": ["a@x.example\r\nBcc: e@x.example"]}, "recipient"),
    ("b01_from", {"from_email": "a@x.example\nBcc: e@x.example"}, "From"),
    ("b01_cc", {"cc": ["A\r\nBcc: e@x.example <a@x.example>"]}, "recipient"),
    ("b01_reply_to", {"reply_to": ["a@x.example\nBcc: e@x.example"]}, "Reply-To"),
    ("b01_header_from", {"headers": {"From": "a@x.example\nBcc: e@x.example"}}, "From"),
    ("b09_to", {"to": ["jürgen@example.org"]}, "To: .*Bcc only"),
    ("b09_from", {"from_email": "jürgen@example.org"}, "From"),
    ("b14_to", {"to": ["root@localhost"]}, "recipient"),
    ("b14_from", {"from_email": "root"}, "From"),
    ("b18_nobody", {"to": []}, "no recipients"),
    ("b20_megabyte", {"to": ["a" * 1_000_000 + "@x.example"]}, "recipient"),
    ("a23_size", {"body": "x" * 70 + "\n" + ("y" * 70 + "\n") * 400_000}, "25 MB"),
]


@pytest.mark.parametrize(("changes", "words"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
def test_bad_input_is_refused_with_a_sentence(changes, words):
    begun = time.thread_time()
    with pytest.raises(CannotCompose, match=words) as caught:
        compose_message(a_message(**changes))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
    assert time.thread_time() - begun < 10


@pytest.mark.parametrize(
    ("attachment", "words"),
    [
        (("a.txt", "a\0b", "text/plain"), "NUL"),
        (("a.txt", "a\udc80", "text/plain"), "surrogate"),
        (("a.bin", b"x", "application/x\r\nBcc: e@x.example"), "MIME type"),
        (("a.bin", b"x", "nonsense/"), "MIME type"),
    ],
)
def test_a25_bad_attachments_are_refused(attachment, words):
    message = a_message()
    message.attachments = [attachment]
    with pytest.raises(CannotCompose, match=words):
        compose_message(message)


def test_a25_bad_alternatives_are_refused():
    for content, kind in (
        ("a\0b", "text/html"),
        ("x", "text/html\r\nBcc: e@x.example"),
        ("\udc80", "text/html"),
    ):
        with pytest.raises(CannotCompose):
            compose_message(with_alternatives((content, kind)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report.pdf", "report.pdf"),
        ("../../x", "x"),
        ("C:\\x", "x"),
        ("/etc/passwd", "passwd"),
        ("a\0b\r\nc.pdf", "abc.pdf"),
        ("\u202efdp.exe", "fdp.exe"),
        ("CON", "_CON"),
        ("com1.txt", "_com1.txt"),
        ("..", "attachment"),
        ("dir/", "attachment"),
        ("x" * 300 + ".pdf", "x" * 146 + ".pdf"),
        ("ü" * 300, "ü" * 75),
        ("👩\u200d👩 family.png", "👩\u200d👩 family.png"),
        (".htaccess", ".htaccess"),
    ],
)
def test_a24_a_file_name_names_a_file_and_no_folder(name, expected):
    assert safe_file_name(name) == expected
    sent = on_the_wire(compose_message(with_attachments((name, b"x", "application/octet-stream"))))
    assert_sendable(sent)
    assert [
        part.get_filename()
        for part in email.message_from_bytes(sent, policy=email.policy.default).iter_attachments()
    ] == [expected]


def test_a_mime_part_given_by_the_caller_is_sent_as_it_is():
    if django.VERSION >= (6,):
        part = StandardMessage()
        part.set_content(
            b"x", maintype="application", subtype="x-thing", disposition="attachment", filename="a.bin"
        )
    else:
        part = MIMEBase("application", "x-thing")
        part.set_payload("plain")
        part.add_header("X-Own", "kept")
    sent = parsed(on_the_wire(compose_message(with_attachments(part))))
    assert sent.get_payload()[1].get_content_type() == "application/x-thing"


def test_the_machines_name_is_not_looked_up(monkeypatch):
    def no_lookup(*args):
        raise AssertionError("composing asked for the machine's name")

    monkeypatch.setattr("socket.getfqdn", no_lookup)
    monkeypatch.delattr("django.core.mail.utils.DNS_NAME._fqdn", raising=False)
    assert compose_message(a_message()).data


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=1_500)


@given(TEXT, TEXT.map(lambda text: text.replace("\n", " ")))
def test_any_text_arrives_as_it_was(body, subject):
    composed = compose_message(a_message(body=body, subject=subject))
    sent = on_the_wire(composed)
    assert_sendable(sent)
    message = parsed(sent)
    arrived = message.get_payload(decode=True).decode().replace("\r\n", "\n")
    # SMTP ends the last line of what is sent as it is; so does Django 6 of every text.
    assert arrived in ({body, body + "\n"} if body.isascii() or django.VERSION >= (6,) else {body})
    assert composed.subject == (subject or " ")


@given(st.text(max_size=30), st.text(max_size=60))
def test_no_header_of_a_message_makes_another(name, value):
    message = a_message(headers={name: value})
    if refusal(compose_message, message) is None:
        sent = on_the_wire(compose_message(message))
        assert_sendable(sent)
        known = {
            "from",
            "subject",
            "to",
            "date",
            "content-type",
            "content-transfer-encoding",
            "mime-version",
            "message-id",
        }
        assert {key.lower() for key in parsed(sent)} <= known | {name.lower()}
