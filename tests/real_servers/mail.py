"""Messages that a server may spoil, and what a sink must have got of them, byte for byte."""

import os
import random
import re
import time
from collections import Counter
from hashlib import sha256
from itertools import count
from uuid import uuid4

from transports.base import Content, Envelope, MailObject

_RECEIVED = re.compile(rb"(?:Received:[^\n]*\n(?:[ \t][^\n]*\n)*)+")
_NUMBER = re.compile(rb"\bid (\w+)")
#: Lines that dot-stuffing, unstuffing or a mailbox may hurt.
_TRICKY = [b"", b".", b"..", b".hidden", b"...", b" .", b"From here", b"\t", b"x" * 998, b"." * 998]
_numbers = count(1)
_RUN = uuid4().hex


def a_mail(*rcpt_to, mail_from="", fields=b"", lines=20, body=None):
    """Return a message unlike any other, by default with tricky lines and a sender of its own."""
    number = next(_numbers)
    if body is None:
        chance = random.Random(number)
        body = b"".join(chance.choice([*_TRICKY, b"line %d" % n]) + b"\r\n" for n in range(lines))
    head = (
        b"From: shop@example.org\r\nTo: ann@example.com\r\nSubject: Report\r\n"
        b"Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n"
        b"Message-ID: <%d.%s@example.org>\r\n%s\r\n" % (number, _RUN.encode(), fields)
    )
    envelope = Envelope(mail_from or f"shop{number}@example.org", rcpt_to or ("ann@example.com",))
    return MailObject(envelope, Content((head + body,)))


def some_mails(number):
    """Return so many ordinary messages."""
    return [a_mail() for _ in range(number)]


def expected(*mails, rcpt_to=()):
    """What a sink has when each of them arrived once, or for these recipients only."""
    return Counter(
        (
            mail.envelope.mail_from,
            tuple(sorted(rcpt_to or mail.envelope.rcpt_to)),
            sha256(b"".join(mail.content.segments)).hexdigest(),
        )
        for mail in mails
    )


def arrived(sink):
    """What the server before a sink took, without the lines it put on top.

    By the number that server gave each message: ended while it passes one on, it does so again when it is
    back, and that copy is its own.
    """
    taken = set()
    for each in sink.messages:
        trace = _RECEIVED.match(each.content)
        assert trace is not None, "it came past the server"
        digest = sha256(each.content[trace.end() :]).hexdigest()
        taken.add((_NUMBER.search(trace[0])[1], each.mail_from, tuple(sorted(each.rcpt_to)), digest))
    return Counter(tuple(what) for _, *what in taken)


async def carry(session, mails, outcomes=None):
    """Deliver one after another, each with the next in hand, while the session can be used.

    Returns the outcomes, in `outcomes` already while it goes on.
    """
    outcomes = [] if outcomes is None else outcomes
    for mail, following in zip(mails, [*mails[1:], None], strict=True):
        outcomes.append(await session.deliver(*mail, following=following))
        if not session.is_usable:
            break
    return outcomes


async def carry_by(transport, mails):
    """Deliver all by one session after another; the outcomes."""
    outcomes = []
    while len(outcomes) < len(mails):
        session = await transport.open()
        outcomes += await carry(session, mails[len(outcomes) :])
        await session.close()
    return outcomes


def wait_until_empty(*folders, log, is_mail=lambda _name: True, timeout=60.0):
    """Return when a server has passed on all it took: the folders of its queue hold no mail any more."""
    give_up_at = time.monotonic() + timeout
    while any(
        is_mail(name) for folder in folders for _, _, files in os.walk(folder) for name in files
    ):  # what goes meanwhile is no error
        assert time.monotonic() < give_up_at, log()
        time.sleep(0.01)
