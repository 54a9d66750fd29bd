"""Addresses by the strict grammar (WIRE B), and the address lists of header fields."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.composing import CannotCompose, compose_eml
from delivery.composing.addresses import _listed, checked, mailbox, mailboxes
from tests.delivery.mail import an_eml, composed_eml, refusal

REFUSED = [
    ("b01_line_break", "a@x.example\r\nRCPT TO:<evil@x.example>"),
    ("b02_parameter", "a@x.example> AUTH=<b@c.example"),
    ("b02_size", "a@x.example SIZE=1"),
    ("b03_two", "a@x.example, b@x.example"),
    ("b04_name", "Foo <a@x.example>"),
    ("b05_comment", "alice@example.org)bob@evil.example"),
    ("b13_local_65", "a" * 65 + "@x.example"),
    ("b13_domain_254", "a@" + "a." * 124 + "example"),
    ("b13_label_64", "a@" + "a" * 64 + ".example"),
    ("b14_literal", "a@[127.0.0.1]"),
    ("b14_number", "a@127.0.0.1"),
    ("b14_localhost", "a@localhost"),
    ("b14_no_at", "a"),
    ("b14_no_domain", "a@"),
    ("b14_no_local", "@x.example"),
    ("b15_trailing_dot", "a.@x.example"),
    ("b15_double_dot", "a..b@x.example"),
    ("b15_leading_dot", ".a@x.example"),
    ("b15_domain_dots", "a@x..example"),
    ("b15_root_dot", "a@x.example."),
    ("b15_hyphen", "a@-x.example"),
    ("b15_hyphen_end", "a@x-.example"),
    ("b15_underscore", "a@x_y.example"),
    ("b21_percent", "a%b.example@x.example"),
    ("b21_bang", "host!a@x.example"),
    ("b21_route", "@a.example,@b.example:c@x.example"),
    ("empty", ""),
    ("space", "a b@x.example"),
    ("nul", "a\0@x.example"),
    ("tab", "a\t@x.example"),
    ("surrogate", "a\udc80@x.example"),
    ("b11_zero_width", "a\u200bb@x.example"),
    ("b11_bidi", "a\u202eb@x.example"),
    ("b11_bidi_domain", "a@x\u202e.example"),
    ("b10_mixed_script", "a@p\u0430ypal.example"),
    ("b10_mixed_a_label", "a@xn--pypal-4ve.example"),
    ("b10_not_idna", "a@\u2665.example"),
    ("bad_a_label", "a@xn--a.example"),
    ("two_at", "a@b@x.example"),
    ("unfinished_quote", '"a@x.example'),
    ("quote_inside", 'a"b"@x.example'),
    ("control_in_quotes", '"a\x07b"@x.example'),
]


@pytest.mark.parametrize("address", [pytest.param(text, id=name) for name, text in REFUSED])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(CannotCompose) as caught:
        checked(address)
    assert str(caught.value).isprintable()
    with pytest.raises(CannotCompose):
        compose_eml(an_eml(), mail_from="ann@example.org", rcpt_to=["good@example.com", address])
    if address:  # "" is the null sender
        with pytest.raises(CannotCompose):
            compose_eml(an_eml(), mail_from=address, rcpt_to=["good@example.com"])


ALLOWED = [
    ("plain", "ann@example.org", "ann@example.org"),
    ("b19_case", "Ann.Bo+tag@Example.ORG", "Ann.Bo+tag@example.org"),
    ("specials", "#$&'*+-/=?^_`{|}~@example.org", "#$&'*+-/=?^_`{|}~@example.org"),
    ("b06_space", '"a b"@example.org', '"a b"@example.org'),
    ("b06_quote", r'"a\"b"@example.org', r'"a\"b"@example.org'),
    ("b06_bracket", '"a>b"@example.org', '"a>b"@example.org'),
    ("b07_markup", '"<script>.."@example.org', '"<script>.."@example.org'),
    ("b08_quote", "o'hara@example.org", "o'hara@example.org"),
    ("b22_hyphen_first", "-rf@example.org", "-rf@example.org"),
    ("b10_idn", "ann@grüße.example", "ann@xn--gre-6ka8l.example"),
    ("b10_upper_case", "ann@STRASSE.example", "ann@strasse.example"),
    ("b10_idna_2008", "ann@straße.example", "ann@xn--strae-oqa.example"),
    ("b10_other_script", "ann@日本語.example", "ann@xn--wgv71a119e.example"),
    ("b10_a_label", "ann@xn--gre-6ka8l.example", "ann@xn--gre-6ka8l.example"),
    ("b09_non_ascii", "jürgen@example.org", "jürgen@example.org"),
    ("b13_local_64", "a" * 64 + "@example.org", "a" * 64 + "@example.org"),
    ("b13_label_63", "a@" + "b" * 63 + ".example", "a@" + "b" * 63 + ".example"),
    ("digit_first", "a@3com.example", "a@3com.example"),
]


@pytest.mark.parametrize(("address", "expected"), [pytest.param(*case[1:], id=case[0]) for case in ALLOWED])
def test_an_address_by_the_grammar_stays_exact_but_for_its_domain(address, expected):
    assert checked(address) == expected
    assert checked(expected) == expected


def test_b16_the_null_sender_stays_empty():
    for text in ("", "<>"):
        assert composed_eml(mail_from=text, rcpt_to=["bo@example.com"]).mail_from == ""
    bounce = compose_eml(b"From: MAILER-DAEMON <>\nTo: bo@example.com\n\nLost.\n")
    assert (bounce.mail_from, bounce.from_header) == ("", "MAILER-DAEMON <>")


def test_b17_ten_thousand_recipients_are_taken_and_one_more_is_not():
    many = [f"r{i}@example.com" for i in range(10_000)]
    assert composed_eml(rcpt_to=many).rcpt_to == tuple(many)
    with pytest.raises(CannotCompose, match="10,001 recipients"):
        composed_eml(rcpt_to=[*many, "one.more@example.com"])


def test_b18_a_message_without_recipients_is_refused():
    for raw in (b"From: a@example.org\n\nHi.\n", b"From: a@example.org\nTo: nobody:;\n\nHi.\n"):
        with pytest.raises(CannotCompose, match="no recipients"):
            compose_eml(raw)
    with pytest.raises(CannotCompose, match="no recipients"):
        composed_eml(rcpt_to=[])


def test_b19_exact_duplicates_go_and_the_case_of_the_local_part_stays():
    found = composed_eml(rcpt_to=["Bo@Example.com", "Bo@example.com", "bo@example.com"]).rcpt_to
    assert found == ("Bo@example.com", "bo@example.com")


def test_b20_a_megabyte_of_recipient_is_refused_before_it_is_parsed():
    begun = time.thread_time()
    for text in (
        "a" * 1_000_000,
        "(" * 1_000_000,
        '"' + "\\" * 999_998 + '"',
        "a@" * 500_000,
        "<" * 1_000_000,
    ):
        with pytest.raises(CannotCompose):
            checked(text)
        with pytest.raises(CannotCompose):
            mailbox(text, "To")
    assert time.thread_time() - begun < 1


def test_one_text_is_not_a_list_of_recipients():
    with pytest.raises(CannotCompose, match="list"):
        composed_eml(rcpt_to="bo@example.com")


LISTS = [
    ("ann@example.org", ["ann@example.org"]),
    ("Ann <ann@example.org>", ["ann@example.org"]),
    ('"Doe, Ann" <ann@example.org>, bo@example.com', ["ann@example.org", "bo@example.com"]),
    ("bbb@ddd.com (John X. Doe)", ["bbb@ddd.com"]),
    ("(a (nested) \\) comment) ann@example.org", ["ann@example.org"]),
    ("undisclosed-recipients:;", []),
    (
        "Team: ann@example.org, Bo <bo@example.com>; cy@example.net",
        ["ann@example.org", "bo@example.com", "cy@example.net"],
    ),
    (", ann@example.org,,", ["ann@example.org"]),
    ("", []),
    ("MAILER DAEMON <>", [""]),
    ('"ceo@bank.example" <f@example.org>', ["f@example.org"]),  # WIRE B12
    ("[ACME] Support <help@example.org>", ["help@example.org"]),
    ('Q <"a, b"@example.org>', ['"a, b"@example.org']),
    ("=?utf-8?q?J=C3=BCrgen?= <j@example.org>", ["j@example.org"]),
]


@pytest.mark.parametrize(("value", "expected"), LISTS)
def test_an_address_list_is_read(value, expected):
    assert [box.address for box in mailboxes(value, "To")] == expected


@pytest.mark.parametrize(
    "value",
    [
        "a@x.example b@x.example",
        "a@x.example; b@x.example",
        "Team: a@x.example",
        "A: B: a@x.example;;",
        "Ann <a@x.example",
        "Ann a@x.example>",
        "Ann <a@x.example> <b@x.example>",
        "Ann <a@x.example> later",
        "a@x.example (open",
        "a@x.example)",
        '"open <a@x.example>',
        "ceo@bank.example <f@x.example>",
        "<@relay.example:a@x.example>",
        "Ann <<a@x.example>>",
        "a@x.example\nBcc: b@x.example",
    ],
)
def test_an_address_list_that_is_unclear_is_refused_naming_the_field(value):
    with pytest.raises(CannotCompose, match="Reply-To"):
        mailboxes(value, "Reply-To")


@given(st.text(max_size=60))
def test_whatever_is_no_address_is_refused_in_words(text):
    sentence = refusal(checked, text)
    if sentence is not None:
        assert sentence.isprintable()
        return
    address = checked(text)
    assert checked(address) == address
    assert not set(address) & set("\r\n\0<>, ") or address.startswith('"')


@given(st.text(st.sampled_from('ab@.,;:<>()"\\[] \t'), max_size=40))
def test_no_list_of_addresses_gives_an_address_the_grammar_would_not(text):
    try:
        found = mailboxes(text, "To")
    except CannotCompose:
        return
    assert all(checked(box.address) == box.address for box in found if box.address)


def read_by(reader, value):
    try:
        return reader(value, "To")
    except CannotCompose as error:
        return str(error)


@given(
    st.text(alphabet='ab.@<>,;:"() \\ü\xa0\t-1', max_size=20)
    | st.from_regex(r" ?(?:Ann )?<?[ab.]+@x[.]example>? ?", fullmatch=True)
)
def test_one_plain_mailbox_is_read_as_any_list_is(value):
    assert read_by(mailboxes, value) == read_by(_listed, value)
