import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from transports.smtp.redaction import LONGEST_REMEMBERED, MOST_REMEMBERED, Redactor, aligned_base64

SECRET = b"correct horse"
BOTH = b"\0ann\0" + SECRET


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        SECRET.hex().encode(),
        SECRET.hex().upper().encode(),
        base64.b64encode(SECRET),
        base64.b64encode(SECRET).rstrip(b"="),
        base64.b64encode(BOTH),
        BOTH.hex().encode(),
        base64.b64encode(BOTH).hex().encode(),
    ],
)
def test_a_secret_is_taken_out_in_every_coding(form):
    redacted = Redactor(SECRET, BOTH).redact(b"535 you said " + form + b"!\r\n")
    assert form not in redacted
    assert redacted == b"535 you said <secret>!\r\n"


def test_ordinary_words_stay():
    assert Redactor(b"abc", b"").redact(b"250 abc\r\n") == b"250 abc\r\n"


def test_the_codes_of_a_reply_stay_when_its_text_goes():
    redacted = Redactor(SECRET).redact(b"535-5.7.8 correct\r\n535 5.7.8 horse\r\n")
    assert redacted == b"535-5.7.8 <secret>\r\n535 5.7.8 <secret>\r\n"


def test_a_secret_that_looks_like_a_code_takes_no_code_away():
    assert Redactor(b"5505").redact(b"550 5.1.1 No\r\n").startswith(b"550 5.1.1 ")
    assert Redactor(b"250-").redact(b"250-a\r\n250 b\r\n").startswith(b"250-")


def test_the_run_around_a_coded_secret_goes_and_the_words_beside_it_stay():
    coded = base64.b64encode(b"user=ann pass=" + SECRET + b" ok")
    assert Redactor(SECRET).redact(b"535 You said " + coded + b", no\r\n") == b"535 You said <secret>, no\r\n"


def test_the_end_of_an_unfinished_line_may_be_half_a_secret():
    redactor = Redactor(SECRET)
    assert b"correct" not in redactor.redact_torn(b"250 Ok\r\nzzz correct ho")
    assert redactor.redact_torn(b"250 Ok\r\n") == b"250 Ok\r\n"


def test_of_harmless_replies_not_more_than_a_few_are_remembered():
    redactor = Redactor(SECRET)
    for number in range(3 * MOST_REMEMBERED):
        redactor.redact(b"250 2.0.0 Ok: queued as %d\r\n" % number)
    assert 0 < len(redactor._harmless) <= MOST_REMEMBERED


def test_long_replies_are_not_remembered():
    redactor = Redactor(SECRET)
    for number in range(MOST_REMEMBERED):
        redactor.redact(b"250 %d " % number + b"x" * 30_000)
    assert sum(map(len, redactor._harmless)) <= MOST_REMEMBERED * LONGEST_REMEMBERED


@given(st.binary(min_size=4, max_size=60), st.binary(max_size=20), st.binary(max_size=20))
def test_base64_of_anything_around_a_secret_holds_one_of_its_three_forms(secret, before, after):
    coded = base64.b64encode(before + secret + after)
    assert any(core in coded for core in aligned_base64(secret))


@given(st.binary(min_size=8, max_size=40), st.text(max_size=30), st.text(max_size=30))
def test_no_secret_is_left_whatever_stands_around_it(secret, before, after):
    assume(len(secret.translate(None, b" \t\r\n")) >= 4 and b"\n" not in secret)
    raw = b"535 " + before.encode() + secret + after.encode() + b"\r\n"
    assume(secret not in b"535 <secret>\r\n")
    redacted = Redactor(secret).redact(raw)
    assert secret not in redacted.replace(b"<secret>", b"\xff")


@given(st.binary(max_size=300))
def test_what_holds_no_secret_is_returned_as_it_is(raw):
    assert Redactor(b"a secret of which nothing is in there").redact(raw) == raw
