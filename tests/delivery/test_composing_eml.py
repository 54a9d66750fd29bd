"""Raw messages: what is kept byte for byte, what is re-encoded, what is refused (WIRE A and C)."""

import base64
import email
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.composing import CannotCompose, compose_eml, readable
from delivery.composing.composed import BLOB_SIZE, MAX_MESSAGE, has_long_line
from tests.delivery.mail import (
    ASender,
    an_eml,
    assert_sendable,
    composed_eml,
    fields,
    on_the_wire,
    parsed,
    parts,
    refusal,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def multipart(*bodies, kind=b"mixed", boundary=b"B"):
    """Content-Type field and body of a multipart with these parts (header and body each)."""
    lines = (
        b"".join(b"--" + boundary + b"\r\n" + body + b"\r\n" for body in bodies)
        + b"--"
        + boundary
        + b"--\r\n"
    )
    return lines, b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"'


REFUSED = [
    ("a01_control_in_a_field", an_eml(b"x", b"X-A: a\x1bb"), "X-A"),
    ("a03_no_name", an_eml(b"x", b": a"), "header"),
    ("a04_space_in_name", an_eml(b"x", b"X A: a"), "header"),
    ("a04_space_before_colon", an_eml(b"x", b"X-A : a"), "header"),
    ("a04_name_77", an_eml(b"x", b"X" * 77 + b": a"), "header"),
    ("a04_name_8bit", an_eml(b"x", "Grüße: a".encode()), "header"),
    ("a05_nul_in_subject", b"From: a@x.example\nTo: b@x.example\nSubject: a\0b\n\nx\n", "Line 3"),
    ("a06_vertical_tab", an_eml(b"x", b"X-A: a\x0bb"), "X-A"),
    ("a07_latin_1_field", an_eml(b"x", b"X-A: \xe4"), "X-A"),
    ("a10_provider_ses", an_eml(b"x", b"X-SES-CONFIGURATION-SET: a"), "X-SES"),
    ("a10_provider_mailgun", an_eml(b"x", b"x-mailgun-tag: a"), "x-mailgun"),
    ("a11_two_from", an_eml(b"x", b"From: c@example.org"), "2 From"),
    ("a11_two_subject", an_eml(b"x", b"subject: again"), "2 Subject"),
    ("a11_two_message_id", an_eml(b"x", b"Message-ID: <a@b>", b"Message-Id: <c@d>"), "2 Message-ID"),
    ("a16_megabyte_field", an_eml(b"x", b"X-A: " + b"a b " * 262_144), "longer|more than"),
    ("a16_many_fields", an_eml(b"x", *[b"X-A: b"] * 10_000), "1,000 fields"),
    (
        "a16_references_64k",
        an_eml(b"x", b"References:" + b"\r\n <0123456789@example.org>" * 2_500),
        "References",
    ),
    ("a16_header_section", an_eml(b"x", *[b"X-A: " + b"a" * 900] * 200), "102,400"),
    ("a16_long_line", an_eml(b"x", b"X-A: " + b"a" * 1_000), "X-A"),
    ("a18_nul_in_body", an_eml(b"a\r\nb\0c\r\n"), "Line 6 holds a NUL"),
    ("c02_bare_cr", an_eml(b"a\r.\rb\r\n"), "Line 5 .*carriage return without"),
    ("c03_bare_lf", an_eml(b"a\n.\r\nMAIL FROM:<x>\r\n"), "line feed without"),
    ("c04_bare_cr_after_dot", an_eml(b"a\r\n.\rb\r\n"), "carriage return without"),
    ("c05_cr_cr_lf", b"From: a@x.example\r\r\nTo: b@x.example\r\n\r\nx\r\n", "Line 1 .*carriage return"),
    (
        "bare_cr_in_a_field_of_a_crlf_file",
        b"From: a@x.example\r\nTo: b@x.example\r\nSubject: a\rb\r\n\r\nx\r\n",
        "Line 3 holds a carriage return without a line feed",
    ),
    (
        "bare_cr_in_a_field_of_an_lf_file",
        b"From: a@x.example\nTo: b@x.example\nSubject: a\rb\n\nx\n",
        "Line 3 holds a carriage return without a line feed",
    ),
    (
        "bare_cr_in_the_body_of_an_lf_file",
        b"From: a@x.example\nTo: b@x.example\n\nx\ny\rz\n",
        "Line 5 holds a carriage return without a line feed",
    ),
    (
        "bare_cr_after_a_byte_order_mark_and_an_mbox_line",
        b"\xef\xbb\xbfFrom ann\nFrom: a@x.example\nSubject: a\rb\n\nx\n",
        "Line 3 holds a carriage return without a line feed",
    ),
    ("only_a_byte_order_mark", b"\xef\xbb\xbf\r\n", "empty"),
    ("two_byte_order_marks", b"\xef\xbb\xbf" * 2 + an_eml(), "not a mail message"),
    ("a19_8bit_preamble", an_eml(b"\xfc\r\n" + multipart(b"\r\nx")[0], multipart()[1]), "outside its parts"),
    ("a19_8bit_in_base64", an_eml(b"\xfc", b"Content-Transfer-Encoding: base64"), "8-bit"),
    ("not_mail", b"Dear Sir,\n\nplease find attached\n", "not a mail message"),
    ("empty", b"", "empty"),
    ("blank", b"\r\n\r\n", "empty"),
    ("no_header", b"\nFrom: a@x.example\n", "no header"),
    ("continuation_first", b" folded\nFrom: a@x.example\n\nx", "not a mail message"),
    ("binary", b"\x89PNG\r\n\x1a\n" + b"\0" * 9, "NUL"),
    ("no_colon_later", b"From: a@x.example\nno colon here\n\nx\n", "Line 2 of the header"),
]


@pytest.mark.parametrize(("raw", "words"), [pytest.param(*case[1:], id=case[0]) for case in REFUSED])
def test_a_file_that_cannot_be_sent_is_refused_naming_the_fault(raw, words):
    with pytest.raises(CannotCompose, match=words) as caught:
        compose_eml(raw, mail_from="ann@example.org", rcpt_to=["bo@example.com"])
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert sentence.endswith((".", "allow it)."))
    assert len(sentence) < 300


def test_a08_an_encoded_word_that_hides_a_line_break_stays_encoded():
    evil = b"Subject: =?utf-8?q?a=0D=0ABcc=3A_c=40x=2Eexample?=\r\n"
    composed = compose_eml(b"From: a@x.example\r\nTo: b@x.example\r\n" + evil + b"\r\nx\r\n")
    assert b"\r\n" + evil in on_the_wire(composed)
    assert readable(composed.subject) == "a\r\nBcc: c@x.example"
    assert composed.rcpt_to == ("b@x.example",)


def test_a09_bcc_and_return_path_are_never_written():
    composed = composed_eml(
        b"x",
        b"Bcc: Secret <cy@example.net>,\r\n dee@example.net",
        b"RETURN-PATH: <ann@example.org>",
        b"X-A: kept",
    )
    sent = on_the_wire(composed)
    assert composed.rcpt_to == ("bo@example.com", "cy@example.net", "dee@example.net")
    assert b"cy@" not in sent
    assert b"dee@" not in sent
    assert b"return-path" not in sent.lower()
    assert b"X-A: kept\r\n" in sent


def test_a10_other_trace_fields_stay():
    kept = [
        b"Received: from a by b; Fri, 20 Nov 2026 12:00:00 +0000",
        b"DKIM-Signature: v=1",
        b"Resent-To: x@example.org",
    ]
    assert all(line + b"\r\n" in on_the_wire(composed_eml(b"x", *kept)) for line in kept)


def test_a12_a_missing_date_is_added_and_a_present_one_kept():
    assert parsed(on_the_wire(composed_eml(now=NOON)))["Date"] == "Fri, 20 Nov 2026 12:00:00 +0000"
    given_date = on_the_wire(composed_eml(b"x", b"Date: Mon, 1 Jan 2001 00:00:00 +0100"))
    assert parsed(given_date).get_all("Date") == ["Mon, 1 Jan 2001 00:00:00 +0100"]


def test_a12_a_missing_message_id_is_left_to_the_queue_and_a_present_one_kept():
    assert composed_eml().message_id is None
    kept = composed_eml(b"x", b"Message-Id: <a.b@[10.0.0.1]>")
    assert kept.message_id == "<a.b@[10.0.0.1]>"
    assert b"Message-Id: <a.b@[10.0.0.1]>\r\n" in kept.data
    empty = composed_eml(b"x", b"Message-ID:")
    assert empty.message_id is None
    assert b"Message-ID" not in empty.data


def test_a12_without_a_from_the_profile_supplies_it():
    composed = compose_eml(b"To: b@x.example\n\nx\n")
    assert (composed.mail_from, composed.from_header) == ("", None)
    assert parsed(on_the_wire(composed))["From"] == "relay@example.org"


def test_a15_an_empty_subject_and_body_are_accepted():
    composed = compose_eml(b"From: a@x.example\nTo: b@x.example\nSubject:\n")
    assert fields(parsed(on_the_wire(composed)))[:2] == [("from", "a@x.example"), ("subject", "")]
    assert parsed(on_the_wire(composed)).get_payload() == ""
    assert "Subject" not in parsed(on_the_wire(compose_eml(b"From: a@x.example\nTo: b@x.example\n\n")))


def test_the_sender_field_goes_before_from():
    raw = b"From: a@x.example, b@x.example\nSender: c@x.example\nTo: d@x.example\n\nx\n"
    assert compose_eml(raw).mail_from == "c@x.example"
    with pytest.raises(CannotCompose, match="Sender"):
        compose_eml(raw.replace(b"Sender: c@x.example\n", b""))


def test_header_fields_keep_their_bytes_order_and_folds():
    lines = [
        b"X-Folded: one\r\n\ttwo\r\n   three",
        b"x-LOWER:no space",
        b"X-Empty:",
        b"X-Twice: 1",
        b"X-Twice: 2",
        b"X-Spaces:   \ta  ",
    ]
    composed = composed_eml(b"x", *lines)
    assert b"\r\n".join(lines) + b"\r\n\r\nx\r\n" in on_the_wire(composed)


def test_utf_8_in_header_fields_is_encoded_and_reads_the_same():
    raw = (
        "From: Jürgen Öl <j@grün.example>\nTo: Team: Ünal <u@x.example>, v@x.example;\nCc: b@x.example\n"
        "Subject: Grüße 👛\nX-Note: ä ö\n"
        'Content-Type: text/plain; charset=us-ascii; name="Übersicht.txt"\n\nx\n'
    ).encode()
    composed = compose_eml(raw)
    sent = on_the_wire(composed)
    assert_sendable(sent)
    message = email.message_from_bytes(sent, policy=email.policy.default)
    assert composed.subject == message["Subject"] == "Grüße 👛"
    assert (composed.mail_from, composed.rcpt_to) == (
        "j@xn--grn-ioa.example",
        ("u@x.example", "v@x.example", "b@x.example"),
    )
    assert message["From"] == "Jürgen Öl <j@xn--grn-ioa.example>"
    assert message["To"] == "Ünal <u@x.example>, v@x.example"  # the group opened
    assert message["X-Note"] == "ä ö"
    assert message.get_param("name") == "Übersicht.txt"


def test_b09_a_header_field_cannot_carry_characters_before_the_at():
    raw = "From: a@x.example\nTo: jürgen@x.example\n\nx\n".encode()
    with pytest.raises(CannotCompose, match=r"To: .*envelope"):
        compose_eml(raw)
    alone = compose_eml(b"From: a@x.example\n\nx\n", rcpt_to=["jürgen@x.example"])
    assert alone.rcpt_to == ("jürgen@x.example",)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b".\r\n",
        b"..\r\n.\r\n",
        b"\r\n\r\n\r\n",
        b"From me\r\n",
        b"a\tb  \r\n \r\n",
        b"=3D =\r\n",
        b"x" * 998 + b"\r\n",
        b".\r\n" * 5_000,
    ],
)
def test_c01_c06_a_clean_body_arrives_byte_for_byte(body):
    for raw in (an_eml(body), an_eml(body).replace(b"\r\n", b"\n")):
        assert on_the_wire(compose_eml(raw)).endswith(b"\r\n\r\n" + body)


def test_c06_a_missing_last_line_end_is_added():
    assert on_the_wire(composed_eml(b"no end")).endswith(b"\r\n\r\nno end\r\n")
    assert on_the_wire(compose_eml(b"From: a@x.example\nTo: b@x.example")).endswith(
        b"To: b@x.example\r\n\r\n"
    )


def test_an_mbox_line_is_dropped():
    sent = on_the_wire(compose_eml(b"From ann Fri Nov 20 12:00:00 2026\n" + an_eml().replace(b"\r\n", b"\n")))
    assert b"Fri Nov" not in sent


@pytest.mark.parametrize(
    "raw", [an_eml(b"x\r\n"), b"From ann Fri Nov 20\n" + an_eml(b"x\n").replace(b"\r\n", b"\n")]
)
def test_a_byte_order_mark_at_the_start_is_dropped(raw):
    with_mark = compose_eml(b"\xef\xbb\xbf" + raw, now=NOON)
    assert with_mark == compose_eml(raw, now=NOON)  # the digest too: it is the same message
    assert b"\xef\xbb\xbf" not in on_the_wire(with_mark)


TEXT = "Größe: 5 €\r\n.\r\n  spaces at the end  \r\nFrom me\r\n\r\n"


@pytest.mark.parametrize("encoding", [None, b"8bit", b"binary", b"7bit", b"8BIT (comment-free)"[:4]])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-15"])
def test_a19_an_8bit_text_is_encoded_with_the_same_content(encoding, charset):
    lines = [b"MIME-Version: 1.0", b"Content-Type: text/plain; charset=" + charset.encode()]
    lines += [b"Content-Transfer-Encoding: " + encoding] if encoding else []
    sent = on_the_wire(composed_eml(TEXT.encode(charset), *lines))
    assert_sendable(sent)
    message = parsed(sent)
    assert message.get_payload(decode=True) == TEXT.encode(charset)
    assert message.get_all("Content-Transfer-Encoding") == ["quoted-printable"]
    assert message.get_all("MIME-Version") == ["1.0"]


def test_a19_8bit_mail_without_mime_becomes_mime():
    sent = on_the_wire(composed_eml(b"caf\xe9\r\n"))
    assert_sendable(sent)
    assert parsed(sent)["MIME-Version"] == "1.0"
    assert parsed(sent).get_payload(decode=True) == b"caf\xe9\r\n"


def test_a17_long_lines_are_encoded_with_the_same_content():
    for line in (b"x" * 999, b"x" * 100_000, b"a b " * 1_000):
        sent = on_the_wire(composed_eml(line + b"\r\nend\r\n"))
        assert_sendable(sent)
        assert parsed(sent).get_payload(decode=True) == line + b"\r\nend\r\n"


def test_a17_base64_and_quoted_printable_on_one_long_line_are_wrapped():
    data = bytes(range(256)) * 40
    for encoding, body in ((b"base64", base64.b64encode(data)), (b"quoted-printable", b"=41" * 2_000)):
        sent = on_the_wire(composed_eml(body, b"Content-Transfer-Encoding: " + encoding))
        assert_sendable(sent)
        expected = data if encoding == b"base64" else b"A" * 2_000
        assert parsed(sent).get_payload(decode=True).rstrip(b"\r\n") == expected.rstrip(b"\r\n")


def test_only_the_part_that_needs_it_is_encoded():
    clean = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain  \r\n"
    dirty = "Content-Type: text/html; charset=utf-8\r\n\r\n<b>ü is a letter</b>\r\n".encode()
    image = b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\xff\xfe\r\n\x1a"
    inner, inner_type = multipart(clean, dirty, kind=b"alternative", boundary=b"INNER")
    body, outer_type = multipart(inner_type + b"\r\n\r\n" + inner, image, boundary=b"OUTER")
    raw = an_eml(
        b"preamble\r\n" + body + b"epilogue\r\n",
        b"MIME-Version: 1.0",
        outer_type,
        b"Content-Transfer-Encoding: 8bit",
    )
    sent = on_the_wire(compose_eml(raw))
    assert_sendable(sent)
    assert parts(parsed(sent)) == parts(parsed(raw))
    assert clean in sent
    assert b"preamble\r\n--OUTER" in sent
    assert sent.endswith(b"--OUTER--\r\nepilogue\r\n")
    assert [part["Content-Transfer-Encoding"] for part in parsed(sent).walk()] == [
        "7bit",
        None,
        "8bit",
        "quoted-printable",
        "base64",
    ]


def test_an_8bit_message_inside_a_message_is_encoded_inside():
    inner = "From: Jörg <j@x.example>\r\nSubject: drin\r\n\r\nüber\r\n".encode()
    for kind in (b"message/rfc822",):
        body, field = multipart(
            b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + inner
        )
        sent = on_the_wire(composed_eml(body, field))
        assert_sendable(sent)
        (attached,) = parsed(sent).get_payload()
        assert attached["Content-Transfer-Encoding"] == "7bit"
        (message,) = attached.get_payload()
        assert message.get_payload(decode=True).strip() == "über".encode()
        assert readable(message["From"]) == "Jörg <j@x.example>"


def test_digests_default_to_messages():
    body, field = multipart("\r\nSubject: eins\r\n\r\nü\r\n".encode(), kind=b"digest")
    sent = on_the_wire(composed_eml(body, field))
    assert_sendable(sent)
    (part,) = parsed(sent).get_payload()
    assert part.get_payload()[0].get_payload(decode=True).strip() == "ü".encode()


def test_a19_a_signed_part_that_is_not_7bit_is_refused_and_a_clean_one_untouched():
    signature = b"Content-Type: application/pgp-signature\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n"
    for text, is_fine in ((b"clean\r\n", True), (b"\xfc\r\n", False), (b"x" * 999, False)):
        body, field = multipart(b"Content-Type: text/plain\r\n\r\n" + text, signature, kind=b"signed")
        if is_fine:
            assert on_the_wire(composed_eml(body, field)).endswith(b"\r\n\r\n" + body)
        else:
            with pytest.raises(CannotCompose, match="signature"):
                composed_eml(body, field)


def test_a19_a_signed_part_deep_inside_is_found():
    signed, field = multipart("X-A: ü\r\n\r\nclean\r\n".encode(), kind=b"signed", boundary=b"S")
    body, outer = multipart(field + b"\r\n\r\n" + signed)
    with pytest.raises(CannotCompose, match="signature"):
        composed_eml(body, outer)


def test_a20_base64_that_is_none_passes_untouched():
    body = b"this is *not* base64\r\n====\r\n"
    assert on_the_wire(composed_eml(body, b"Content-Transfer-Encoding: base64")).endswith(body)


def test_a21_structure_beyond_the_limits_is_sent_untouched_and_never_walked():
    nested = b"\r\n\r\n".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d" % (i, i) for i in range(500)
    )
    body, field = multipart(nested)
    assert on_the_wire(composed_eml(body, field)).endswith(body)
    many, field = multipart(*[b"\r\nx"] * 5_000)
    assert on_the_wire(composed_eml(many, field)).endswith(many)
    deep = b"Content-Type: message/rfc822\r\n\r\n" * 30
    assert on_the_wire(composed_eml(deep + b"x\r\n", deep[:28])).endswith(deep + b"x\r\n")
    with pytest.raises(CannotCompose, match="8-bit"):
        composed_eml(deep + b"\xfc", deep[:28])


def test_a21_misnested_parts_are_sent_as_they_are():
    body = b"--A\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\n\r\nx\r\n--A--\r\n--B--\r\n"
    assert on_the_wire(composed_eml(body, b"Content-Type: multipart/mixed; boundary=A")).endswith(body)


def test_a23_a_message_over_the_limit_is_refused():
    with pytest.raises(CannotCompose, match="25 MB"):
        compose_eml(b"From: a@x.example\nTo: b@x.example\n\n" + b"x\n" * (MAX_MESSAGE // 2))
    grows = b"\xff" * 75 + b"\r\n"
    with pytest.raises(CannotCompose, match="25 MB"):
        composed_eml(grows * (MAX_MESSAGE // 80))


def test_a28_an_unknown_charset_is_opaque():
    sent = on_the_wire(
        composed_eml(b"\xff\xfe\x80\r\n", b'Content-Type: text/plain; charset="x-evil\\"; a=b"')
    )
    assert_sendable(sent)
    assert parsed(sent).get_payload(decode=True) == b"\xff\xfe\x80\r\n"


@pytest.mark.parametrize(
    "kind", [b"text/calendar; method=REQUEST", b"message/feedback-report", b"message/delivery-status"]
)
def test_a29_calendar_and_report_types_pass(kind):
    body, field = multipart(b"Content-Type: " + kind + b"\r\n\r\nA: b\r\n", kind=b"report")
    assert on_the_wire(composed_eml(body, field)).endswith(body)


def test_c08_ten_megabytes_of_dots_take_linear_time():
    begun = time.thread_time()
    composed = composed_eml(b".\r\n" * 3_300_000)
    assert composed.size_bytes > 9_900_000
    assert time.thread_time() - begun < 10


def a_pdf(size=100_000, seed=b"pdf"):
    data = (seed * (size // len(seed) + 1))[:size]
    return b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + (
        base64.encodebytes(data).replace(b"\n", b"\r\n")
    )


def test_a_large_part_is_stored_once_whatever_message_carries_it():
    first, field = multipart(b"\r\nDear Ann", a_pdf(), a_pdf(seed=b"two"), boundary=b"first")
    second, other = multipart(a_pdf(), b"\r\nDear Bo", boundary=b"another")
    one, two = composed_eml(first, field), composed_eml(second, other)
    assert len(one.blobs) == 2
    assert two.blobs == one.blobs[:1]
    assert len(one.data) < 1_500


@pytest.mark.parametrize("size", [1_000, BLOB_SIZE * 3 // 4 - 2_000, BLOB_SIZE * 3 // 4 + 2_000, 400_000])
def test_cutting_blobs_out_and_putting_them_back_gives_the_same_bytes(size):
    inner, inner_type = multipart(a_pdf(size), a_pdf(size, b"x"), boundary=b"INNER")
    body, field = multipart(b"\r\ntext", inner_type + b"\r\n\r\n" + inner, a_pdf(size))
    raw = an_eml(body, field)
    composed = compose_eml(raw, now=NOON)
    assert len(composed.blobs) == (3 if size > BLOB_SIZE * 3 // 4 else 0)
    assert all(blob.endswith(b"\r\n") and len(blob) > BLOB_SIZE for blob in composed.blobs)
    assert all(composed.data[:cut].endswith(b"\r\n") for cut in composed.cuts)
    assert on_the_wire(composed).endswith(b"\r\n\r\n" + body)
    assert composed.size_bytes + len(b"From: ann@example.org\r\nSubject: Report\r\n") == len(
        on_the_wire(composed)
    )


def test_a_large_body_without_parts_is_a_blob_too():
    body = b"line\r\n" * 20_000
    composed = composed_eml(body)
    assert composed.blobs == (body,)
    assert on_the_wire(composed).endswith(b"\r\n\r\n" + body)


def test_the_digest_is_that_of_envelope_and_content_and_not_of_the_clock():
    one = composed_eml(now=NOON).digest
    assert len(one) == 32
    assert composed_eml().digest == one
    assert compose_eml(an_eml().replace(b"\r\n", b"\n")).digest == one
    assert composed_eml(rcpt_to=["cy@example.net"]).digest != one
    assert composed_eml(mail_from="cy@example.net").digest != one
    assert composed_eml(b"other").digest != one


def test_the_callers_bytes_never_show_in_the_representation():
    assert "Hello" not in repr(composed_eml())


LINES = st.lists(st.binary(max_size=1_200).map(lambda b: b.translate(None, b"\r\n\0")), max_size=12)


@given(
    LINES, st.sampled_from([b"text/plain", b"text/html; charset=utf-8", b"application/octet-stream", b"x"])
)
def test_any_body_can_be_sent_and_decodes_to_the_same(lines, kind):
    body = b"".join(line + b"\r\n" for line in lines)
    inside, field = multipart(b"Content-Type: " + kind + b"\r\n\r\n" + body, boundary=b"=_never in a body?")
    for raw, find in (
        (an_eml(body, b"Content-Type: " + kind), lambda message: message),
        (an_eml(inside, field), lambda message: message.get_payload()[0]),
    ):
        sent = on_the_wire(compose_eml(raw))
        assert_sendable(sent)
        assert find(parsed(sent)).get_payload(decode=True) == body


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_at_all_break_composing(noise, as_body):
    raw = an_eml(noise) if as_body else noise
    envelope = {"mail_from": "ann@example.org", "rcpt_to": ["bo@example.com"]}
    sentence = refusal(compose_eml, raw, **envelope)
    if sentence is None:
        assert_sendable(on_the_wire(compose_eml(raw, **envelope)))
    else:
        assert sentence.isprintable()


HEADERS = st.text(st.sampled_from("Content-Type: multipart/mixed; boundary=B\r\n\t \"'*=ü;%--"), max_size=120)


@given(HEADERS, HEADERS)
def test_no_mime_header_breaks_composing(one, two):
    raw = "From: a@x.example\nTo: b@x.example\nContent-Type: multipart/mixed; boundary=B\n{}\n\n"
    raw += "--B\n{}\n\nü\n--B--\n"
    raw = raw.format(one.replace("\r", ""), two.replace("\r", "")).encode()
    if refusal(compose_eml, raw) is None:
        assert_sendable(on_the_wire(compose_eml(raw), ASender(subject_prefix="[X] ")))


@pytest.mark.parametrize("name", ["To", "Content-Type", "Content-Disposition", "Subject", "X-A"])
@pytest.mark.parametrize(
    "unit",
    ["a@b, ", "(", "ü ", ";a=b", ";a*0=b", '"', "<", "=?utf-8?q?", "\\", ":", ";", "[", "ü@ü.example,"],
)
def test_g19_60_kilobytes_of_hostile_header_take_no_time(name, unit):
    text = "ü" + unit * (30_000 // len(unit.encode()))
    folded = "\r\n ".join(text[at : at + 300] for at in range(0, len(text), 300))
    raw = f"{name}: {folded}\r\nFrom: ann@example.org\r\n\r\nx\r\n".encode()
    begun = time.thread_time()
    if refusal(compose_eml, raw, rcpt_to=["bo@example.com"]) is None:
        assert_sendable(on_the_wire(compose_eml(raw, rcpt_to=["bo@example.com"])))
    assert time.thread_time() - begun < 5


@pytest.mark.parametrize(
    ("given_field", "read"),
    [
        ('attachment; filename="Übersicht \\"1\\".pdf"', 'Übersicht "1".pdf'),
        ("attachment; filename=Übersicht.pdf; size=12", "Übersicht.pdf"),
        ('attachment; filename="' + "ü" * 200 + '.pdf"', "ü" * 200 + ".pdf"),
        ('attachment; filename="a;b=ü.pdf"', "a;b=ü.pdf"),
    ],
)
def test_a_raw_file_name_is_encoded_and_reads_the_same(given_field, read):
    sent = on_the_wire(composed_eml(b"x", b"Content-Disposition: " + given_field.encode()))
    assert_sendable(sent)
    assert email.message_from_bytes(sent, policy=email.policy.default).get_filename() == read


LENGTHS = st.sampled_from([0, 1, 70, 500, 996, 997, 998, 999, 1000, 1996])


@given(st.lists(st.tuples(LENGTHS, st.sampled_from([b"\r\n", b"\r", b"\n", b""])), max_size=8))
def test_a_long_line_is_found_wherever_it_stands(lines):
    data = b"".join(b"x" * length + line_end for length, line_end in lines)
    assert has_long_line(data) == (max(map(len, data.split(b"\r\n"))) > 998)


def test_the_date_is_that_of_the_moment_and_not_of_the_message_before(monkeypatch):
    now = datetime(2026, 11, 20, 12, 0, 0, 999_999, tzinfo=UTC)
    for second in range(3):
        monkeypatch.setattr(
            "django.utils.timezone.now", lambda second=second: now + timedelta(seconds=second)
        )
        assert f"Date: Fri, 20 Nov 2026 12:00:0{second} +0000".encode() in composed_eml().data
