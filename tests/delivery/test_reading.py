"""Taking mail apart for pages: whatever the bytes are, plain facts or a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery import reading

MIXED = b"""\
From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r
To: bo@example.com\r
Subject: =?utf-8?b?UmVwb3J0IOKCrA==?=\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary="b"\r
\r
--b\r
Content-Type: multipart/alternative; boundary="c"\r
\r
--c\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: quoted-printable\r
\r
Gr=C3=BC=C3=9Fe\r
--c\r
Content-Type: text/html\r
\r
<p>Hello</p>\r
--c--\r
--b\r
Content-Type: application/pdf; name="x"\r
Content-Disposition: attachment; filename="report.pdf"\r
Content-Transfer-Encoding: base64\r
\r
JVBERi0=\r
--b\r
Content-Type: message/rfc822\r
\r
Subject: inner\r
\r
Inside.\r
--b--\r
"""


def nested(levels):
    """A message of multiparts in multiparts."""
    head = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(levels)
    )
    return head + b"Content-Type: text/plain\r\n\r\nx\r\n"


def test_a_message_is_shown_as_headers_bodies_and_attachments():
    found = reading.read(MIXED)

    assert found.headers[0] == ("From", "Jürgen <j@example.org>")
    assert ("Subject", "Report €") in found.headers
    assert found.text.strip() == "Grüße"
    assert found.html.strip() == "<p>Hello</p>"
    assert [(a.name, a.content_type) for a in found.attachments] == [
        ("report.pdf", "application/pdf"),
        ("part-2.eml", "message/rfc822"),
    ]
    assert not found.is_cut


def test_an_attachment_comes_with_its_bytes_and_no_other_number_exists():
    found = reading.attachment(MIXED, 0)
    assert found is not None
    assert found[1] == b"%PDF-"
    inner = reading.attachment(MIXED, 1)
    assert inner is not None
    assert b"Inside." in inner[1]
    assert reading.attachment(MIXED, 2) is None
    assert reading.attachment(MIXED, -1) is None


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(nested(reading.MAX_BOUNDARIES + 1), id="nesting"),
        pytest.param(b"Content-Type: message/rfc822\r\n\r\n" * (reading.MAX_BOUNDARIES + 1), id="messages"),
        pytest.param(
            b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
            + b"--b\r\n\r\nx\r\n" * (reading.MAX_PARTS + 1),
            id="parts",
        ),
        pytest.param(b"x" * (reading.MAX_SIZE_BYTES + 1), id="size"),
    ],
)
def test_a_mime_bomb_is_refused_with_a_sentence(bomb):
    with pytest.raises(reading.CannotShow, match=r"Download it instead\.$"):
        reading.read(bomb)


def test_nesting_within_the_limit_is_read():
    assert reading.read(nested(reading.MAX_BOUNDARIES - 1)).text.strip() == "x"


def test_a_long_body_is_cut_and_said_to_be():
    found = reading.read(b"Subject: x\r\n\r\n" + b"y" * (reading.MAX_BODY_CHARACTERS + 1))
    assert len(found.text) == reading.MAX_BODY_CHARACTERS
    assert found.is_cut


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "rot13", "hex", "undefined", "no-such", "utf-16", "unicode_escape"]
)
def test_no_charset_breaks_the_page(charset):
    content = f"Content-Type: text/plain; charset={charset}\r\n\r\nabc\r\n".encode()
    assert isinstance(reading.read(content).text, str)


def test_hidden_characters_are_shown_and_spelling_is_kept():
    assert reading.visible("a\u202eb\u2066\x1b[31m\x00\u2028") == "a\\u202eb\\u2066\\x1b[31m\\x00\\u2028"
    assert reading.visible("क्\u200dष 👩\u200d💻\n\tx") == "क्\u200dष 👩\u200d💻\n\tx"
    assert reading.one_line("a\r\nb   c" + "d" * 10, 6) == "a b c…"


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\boot.ini", "boot.ini"),
        ("..", "part"),
        ("", "part"),
        ("CON", "part"),
        ("lpt1.txt", "part"),
        ("a\x00b\r\nc.txt", "abc.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("ä" * 300 + ".pdf", "ä" * 73 + ".pdf"),
        ("." + "x" * 300, "x" * 150),
    ],
)
def test_a_file_name_of_a_stranger_is_made_safe(given_name, expected):
    assert reading.safe_name(given_name, "part") == expected


@given(st.binary(max_size=2000))
def test_whatever_the_bytes_are_there_is_a_reading_or_a_sentence(noise):
    for content in (noise, MIXED[:200] + noise + MIXED[200:]):
        try:
            found = reading.read(content)
        except reading.CannotShow:
            continue
        shown = "".join(name + value for name, value in found.headers) + found.text
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        for part in found.attachments:
            assert "/" not in part.name
            assert reading.attachment(content, part.number) is not None
