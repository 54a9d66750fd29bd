"""WIRE B and R26: envelopes as they are said, and what is settled before MAIL."""

import re

import pytest
from django.core.mail import EmailMessage

from delivery.composing import CannotCompose, compose_eml, compose_message, content_of, front
from delivery.composing.addresses import checked
from tests.delivery.mail import SENDER, an_eml
from tests.wire.clients import a_content, a_transport, an_envelope
from tests.wire.evil import EHLO, evil_server
from tests.wire.receivers import receiver
from transports.base import Content, Envelope, Phase
from transports.errors import NotSendable
from transports.smtp.content import BLOCK_BYTES, ending
from transports.smtp.transaction import GROUP_BYTES

NO_SMTPUTF8 = (*EHLO[:-1], "250 8BITMIME")
PLAIN = ("250 evil.example.org",)


async def deliver(server, envelope=None, content=None):
    """Carry one message on a session of its own; returns the outcome."""
    session = await a_transport(server.port).open()
    outcome = await session.deliver(envelope or an_envelope(), content or a_content())
    await session.close()
    return outcome


def said(server, verb):
    return [line for line in server.heard if line.startswith(verb)]


HOSTILE = [
    ("b01_line_break", "a@x.example\r\nRCPT TO:<evil@x.example>"),
    ("b01_bare_line_feed", "a@x.example\nRCPT TO:<evil@x.example>"),
    ("b01_bare_carriage_return", "a@x.example\rRCPT TO:<evil@x.example>"),
    ("b01_in_quotes", '"a\r\nRCPT TO:<evil@x.example>"@x.example'),
    ("b02_parameter", "a@x.example> AUTH=<b@c.example"),
    ("b02_size", "a@x.example SIZE=1"),
    ("b03_two", "a@x.example, b@x.example"),
    ("b04_name", "Foo <a@x.example>"),
    ("b05_comment", "alice@example.org)bob@evil.example"),
    ("b14_no_local_part", "@x.example"),
    ("b14_no_domain", "a@"),
    ("b21_source_route", "@a.example,@b.example:c@x.example"),
    ("nul", "a\0@x.example"),
    ("half_of_a_character", "a\udc80@x.example"),
]


@pytest.mark.parametrize("address", [pytest.param(text, id=name) for name, text in HOSTILE])
async def test_an_address_that_is_none_is_never_said(address):
    """Composing refuses each; should it come to the wire all the same, the transaction is not begun."""
    with pytest.raises(CannotCompose):
        checked(address)
    async with evil_server() as server:
        for envelope in (an_envelope("good@x.example", address), Envelope(address, ("good@x.example",))):
            outcome = await deliver(server, envelope)
            assert isinstance(outcome.error, NotSendable)
            assert str(outcome.error).isprintable()
        assert set(server.verbs()) == {"EHLO", "QUIT"}


EXACT = [
    ("b06_space", '"a b"@example.org'),
    ("b06_quote", r'"a\"b"@example.org'),
    ("b06_bracket", '"a>b"@example.org'),
    ("b06_backslash", r'"a\\b"@example.org'),
    ("b07_markup", '"<script>.."@example.org'),
    ("b08_sql", "o'hara--@example.org"),
    ("b08_quoted_sql", '"\'; drop table message"@example.org'),
    ("b13_longest_local_part", "a" * 64 + "@example.org"),
    ("b13_longest_label", "a@" + "b" * 63 + ".example"),
    ("b13_longest_address", "a@" + ("b" * 60 + ".") * 4 + "example"),
    ("b19_case", "Ann.BO@example.org"),
    ("b22_hyphen_first", "-rf@example.org"),
    ("specials", "#$&'*+-/=?^_`{|}~@example.org"),
]


@pytest.mark.parametrize("address", [pytest.param(text, id=name) for name, text in EXACT])
async def test_an_address_by_the_grammar_is_said_exactly(address):
    assert checked(address) == address
    async with evil_server(ehlo=PLAIN) as server:
        outcome = await deliver(server, Envelope(address, (address, "bo@example.com")))
    assert outcome.accepted
    assert server.heard[1:4] == [f"MAIL FROM:<{address}>", f"RCPT TO:<{address}>", "RCPT TO:<bo@example.com>"]


@pytest.mark.parametrize(
    "envelope",
    [
        an_envelope("ann@example.org", "jürgen@example.org"),
        an_envelope(mail_from="jürgen@example.org"),
        an_envelope('"ü b"@example.org'),
    ],
    ids=["recipient", "sender", "quoted"],
)
async def test_b09_an_address_that_needs_smtputf8_fails_before_mail_where_it_is_not_offered(envelope):
    async with evil_server(ehlo=NO_SMTPUTF8) as server:
        outcome = await deliver(server, envelope)
    assert isinstance(outcome.error, NotSendable)
    assert str(outcome.error) == "The server does not take addresses with non-ASCII characters."
    assert (outcome.phase, outcome.reply, outcome.uncertain) == (Phase.MAIL, None, False)
    assert server.verbs() == ["EHLO", "QUIT"]


async def test_b09_with_smtputf8_the_address_is_said_as_it_is_and_the_content_stays_7bit():
    composed = compose_message(
        EmailMessage("Grüße", "Größe\n", "ann@example.org", ["bo@example.com"], bcc=["jürgen@grün.example"])
    )
    async with receiver(ehlo=("250-receiver.example.org", "250-8BITMIME", "250 SMTPUTF8")) as server:
        outcome = await deliver(server, Envelope(composed.mail_from, composed.rcpt_to), content(composed))
    assert outcome.accepted
    assert server.heard[1:4] == [
        b"MAIL FROM:<ann@example.org> SMTPUTF8",
        b"RCPT TO:<bo@example.com>",
        "RCPT TO:<jürgen@xn--grn-ioa.example>".encode(),
    ]
    assert server.messages[0].isascii()


async def test_b10_a_domain_of_other_letters_needs_no_extension():
    composed = compose_message(
        EmailMessage("Hi", "Hi\n", "ann@straße.example", ["Bo <bo@日本語.example>"], bcc=["cy@GRÜN.example"])
    )
    async with receiver(ehlo=PLAIN) as server:
        outcome = await deliver(server, Envelope(composed.mail_from, composed.rcpt_to), content(composed))
    assert outcome.accepted
    assert server.heard[1:4] == [
        b"MAIL FROM:<ann@xn--strae-oqa.example>",
        b"RCPT TO:<bo@xn--wgv71a119e.example>",
        b"RCPT TO:<cy@xn--grn-ioa.example>",
    ]
    assert b"To: Bo <bo@xn--wgv71a119e.example>\r\n" in server.messages[0]


async def test_b16_the_null_sender_is_said_as_one():
    async with evil_server(ehlo=PLAIN) as server:
        assert (await deliver(server, an_envelope(mail_from=""))).accepted
    assert said(server, "MAIL") == ["MAIL FROM:<>"]


async def test_b16_a_recipient_is_never_null():
    async with evil_server() as server:
        outcome = await deliver(server, an_envelope("ann@example.org", ""))
    assert isinstance(outcome.error, NotSendable)
    assert outcome.phase is Phase.RCPT
    assert server.verbs() == ["EHLO", "QUIT"]


async def test_b17_a_hundred_long_recipients_each_have_a_verdict_and_no_group_is_large():
    recipients = [f"{'r' * 60}{i:03}@{'d' * 60}.example.org" for i in range(100)]
    async with evil_server() as server:
        outcome = await deliver(server, an_envelope(*recipients))
    assert outcome.accepted
    assert [reply.code for reply in outcome.rcpt_replies] == [250] * 100
    assert said(server, "RCPT") == [f"RCPT TO:<{recipient}>" for recipient in recipients]
    assert sum(map(len, server.heard)) > GROUP_BYTES


async def test_b18_a_message_for_nobody_is_not_begun():
    async with evil_server() as server:
        outcome = await deliver(server, Envelope("shop@example.org", ()))
    assert isinstance(outcome.error, NotSendable)
    assert server.verbs() == ["EHLO", "QUIT"]


def content(composed):
    lines = front(composed.from_header, composed.subject, SENDER, data=composed.data)
    return content_of(lines, composed.data, composed.cuts, composed.blobs)


EIGHT_BIT = [
    "Größe €\r\n".encode(),
    b"caf\xe9\r\n",
    b"\xff\xfe\x80" * 300 + b"\r\n",
    b"x" * 5_000 + b"\r\n",
    ("ü" * 600 + "\r\n").encode() * 200,
]


@pytest.mark.parametrize("body", EIGHT_BIT, ids=["utf-8", "latin-1", "binary", "long", "large"])
@pytest.mark.parametrize("ehlo", [PLAIN, EHLO, ("250-mx.example.org", "250-8BITMIME", "250 BINARYMIME")])
async def test_r26_what_is_8bit_or_long_needs_no_extension(body, ehlo):
    """Composing encodes it: whatever the server offers, no BODY is said and 7-bit lines go out."""
    composed = compose_eml(an_eml(body), mail_from="ann@example.org", rcpt_to=["bo@example.com"])
    async with receiver(ehlo=ehlo) as server:
        assert (await deliver(server, None, content(composed))).accepted
    assert b"BODY=" not in b" ".join(server.heard)
    (arrived,) = server.messages
    assert arrived.isascii()
    assert max(map(len, arrived.split(b"\r\n"))) <= 998


SIZED = {
    "empty": (b"",),
    "no_final_newline": (b"a: b\r\n\r\nno end",),
    "dots": (b"a: b\r\n\r\n" + b".\r\n" * 100,),
    "segments": (b"a: b\r\n\r\n", b"x" * 76 + b"\r\n", b"end"),
    "large": (b"a: b\r\n\r\n", b".xyz\r\n" * BLOCK_BYTES, b".\r\n"),
}


@pytest.mark.parametrize("segments", SIZED.values(), ids=SIZED)
async def test_r26_the_size_said_is_that_of_the_message_without_doubled_dots(segments):
    """RFC 1870 section 3: the octets between DATA and the final dot, before stuffing."""
    async with receiver() as server:
        assert (await deliver(server, None, Content(segments))).accepted
    (mail,) = (line for line in server.heard if line.startswith(b"MAIL"))
    assert int(re.search(rb" SIZE=(\d+)$", mail)[1]) == len(server.messages[0])


@pytest.mark.parametrize("segments", SIZED.values(), ids=SIZED)
async def test_a23_a_message_of_the_servers_limit_is_sent_and_one_byte_more_is_not_begun(segments):
    size_bytes = sum(map(len, segments)) + len(ending(Content(segments)))
    if size_bytes:
        async with evil_server(ehlo=("250-mx.example.org", f"250 SIZE {size_bytes}")) as server:
            assert (await deliver(server, None, Content(segments))).accepted
    if size_bytes > 1:
        async with evil_server(ehlo=("250-mx.example.org", f"250 SIZE {size_bytes - 1}")) as server:
            outcome = await deliver(server, None, Content(segments))
        assert isinstance(outcome.error, NotSendable)
        assert f"{size_bytes} bytes, and the server takes at most {size_bytes - 1}." in str(outcome.error)
        assert outcome.phase is Phase.MAIL
        assert server.verbs() == ["EHLO", "QUIT"]


async def test_a_refusal_of_ours_leaves_the_session_as_it_was():
    async with evil_server(ehlo=("250-mx.example.org", "250 SIZE 1000")) as server:
        session = await a_transport(server.port).open()
        assert (await session.deliver(an_envelope(), a_content())).accepted
        for mail in (
            (an_envelope("jürgen@example.org"), a_content()),
            (an_envelope(), a_content(b"x\r\n" * 500)),
            (an_envelope("a b@example.org"), a_content()),
        ):
            assert isinstance((await session.deliver(*mail)).error, NotSendable)
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()
    assert server.verbs() == ["EHLO", *["MAIL", "RCPT", "DATA"] * 2, "QUIT"]
