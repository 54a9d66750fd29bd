"""The way out by a program, with the real one of Debian's Postfix."""

import pytest

from tests.wire.clients import a_content
from transports.base import Envelope, Phase
from transports.sendmail import SendmailSettings, SendmailTransport

PROGRAM = "/usr/sbin/sendmail"


def to_program(postfix, **settings):
    """Return a transport by Postfix's program; only tests may say where its configuration is."""
    arguments = ("-C", str(postfix.folder / "config"))
    return SendmailTransport(SendmailSettings(PROGRAM, arguments, **settings))


async def test_what_the_program_takes_arrives_with_its_envelope(postfix):
    session = await to_program(postfix).open()
    envelope = Envelope("shop@example.org", ("ann@example.com", "bob@example.com"))
    content = a_content(
        b"Subject: by a program\r\nFrom: shop@example.org\r\n\r\n", b".\r\n..two\r\nFrom here\r\n"
    )
    outcome = await session.deliver(envelope, content)
    await session.close()
    assert outcome.accepted, outcome
    arrived = postfix.passed_on()
    assert len(arrived) == 1
    assert b".\r\n..two\r\nFrom here\r\n" in next(iter(postfix.sink.messages)).content
    assert {one for message in postfix.sink.messages for one in message.rcpt_to} == set(envelope.rcpt_to)
    assert postfix.sink.messages[0].mail_from == "shop@example.org"


async def test_a_program_without_its_configuration_is_not_set_up(postfix, tmp_path):
    session = await SendmailTransport(SendmailSettings(PROGRAM, ("-C", str(tmp_path)))).open()
    outcome = await session.deliver(Envelope("shop@example.org", ("ann@example.com",)), a_content())
    assert (outcome.phase, outcome.accepted, outcome.uncertain) == (Phase.LOCAL, False, False)
    assert outcome.reply.code in (69, 75, 78)
    assert outcome.reply.text


@pytest.mark.parametrize("sender", ["", "-Xlog@example.org"])
async def test_the_null_sender_and_one_that_looks_like_an_option_are_taken(postfix, sender):
    session = await to_program(postfix).open()
    outcome = await session.deliver(Envelope(sender, ("ann@example.com",)), a_content())
    assert outcome.accepted, outcome
    postfix.passed_on()
    assert postfix.sink.messages[0].mail_from == sender
