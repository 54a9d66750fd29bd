"""R22: the bytes a server gets are those that were stored. Generated contents, SHA-256 at both ends.

A few hundred in `make test`; `make test-long` carries 100,000, or as many as BODIES says.
"""

import asyncio
import os
from contextlib import contextmanager
from hashlib import sha256
from itertools import pairwise

import pytest
from django.core.mail import EmailMultiAlternatives
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delivery.composing import compose_message, content_of, front
from tests.delivery.mail import ASender, assert_sendable, on_the_wire, parsed, parts
from tests.wire.clients import a_transport, an_envelope
from tests.wire.receivers import receiver
from transports.base import Content, MailObject
from transports.smtp.content import BLOCK_BYTES, ending

#: Examples of one run of Hypothesis: its memory of what was tried grows with each.
ROUND = 5_000

LINES = [b"", b".", b"..", b"...", b".a", b"a.", b". .", b" .", b"QUIT", b"RSET", b".\t", b"From me", b"=2E"]
LINES += [b"MAIL FROM:<evil@example.org>", b"x" * 998, b"." * 998, b"." + b"y" * 997, b"z" * 76]
PLAIN = [bytes([octet]) for octet in range(1, 128) if octet not in b"\r\n"]
#: What an octet of a drawn text stands for: itself, a dot or a line. One draw of octets is much faster than
#: a draw for each line.
WORDS = [*PLAIN, *[b"."] * 30, *[b"\r\n"] * 30]
WORDS += [b"\r\n" + LINES[i % len(LINES)] + b"\r\n" for i in range(256 - len(WORDS))]
FILLERS = [b".\r\n", b"y" * 76 + b"\r\n", b"." + b"y" * 75 + b"\r\n"]


@st.composite
def contents(draw):
    """What may be stored: CRLF lines of 7-bit octets, in segments that begin at line starts."""
    written = b"".join(WORDS[octet] for octet in draw(st.binary(max_size=40)))
    if draw(st.integers(0, 15)) == 0:  # the end near the border of two blocks
        filler = draw(st.sampled_from(FILLERS))
        room = BLOCK_BYTES * draw(st.integers(1, 2)) + draw(st.integers(-5, 5)) - len(written)
        written = filler * (room // len(filler)) + b"p" * (room % len(filler)) + b"\r\n" + written
    near = draw(st.lists(st.floats(0, 1), max_size=2))
    starts = sorted(written.rfind(b"\r\n", 0, round(len(written) * part)) + 2 for part in near)
    edges = [0, *(start for start in starts if start > 1), len(written)]
    return Content(tuple(written[a:b] for a, b in pairwise(edges)))


def stored(content):
    """The bytes a server must end up with."""
    return b"".join(content.segments) + ending(content)


class Carrier:
    """One session for all contents of a test. Counts what it carried and what arrived otherwise."""

    def __init__(self, runner, server):
        self.runner = runner
        self.server = server
        self.session = runner.run(a_transport(server.port).open())
        self.carried = 0
        self.mismatches = 0

    def carry(self, several):
        """Send contents, each announced with the dot of the one before where the session streams."""
        self.server.forget()
        self.runner.run(self._deliver([MailObject(an_envelope(), content) for content in several]))
        sent = [sha256(stored(content)).digest() for content in several]
        arrived = [sha256(message).digest() for message in self.server.messages]
        self.carried += len(sent)
        self.mismatches += sent != arrived
        assert arrived == sent

    async def _deliver(self, mails):
        for mail, following in zip(mails, [*mails[1:], None], strict=True):
            outcome = await self.session.deliver(*mail, following=following)
            assert outcome.accepted, outcome


@contextmanager
def running(context):
    """Give a runner of coroutines and what the context gives, open as long as the block."""
    with asyncio.Runner() as runner:
        value = runner.run(context.__aenter__())
        try:
            yield runner, value
        finally:
            runner.run(context.__aexit__(None, None, None))


@contextmanager
def a_carrier():
    with running(receiver()) as (runner, server):
        carrier = Carrier(runner, server)
        yield carrier
        runner.run(carrier.session.close())


def carry_generated(carrier, examples):
    @settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(contents(), min_size=1, max_size=8))
    def arrives(several):
        carrier.carry(several)

    arrives()


def test_r22_what_is_stored_arrives():
    with a_carrier() as carrier:
        carry_generated(carrier, 200)
        assert carrier.carried >= 200
        assert carrier.session.streams


@pytest.mark.long
def test_r22_a_hundred_thousand_contents_arrive(capsys):
    wanted = int(os.environ.get("BODIES", "100000"))
    with a_carrier() as carrier:
        try:
            while carrier.carried < wanted:
                carry_generated(carrier, ROUND)
        finally:
            with capsys.disabled():
                report = f"{carrier.carried:,} contents, {carrier.mismatches} mismatches"
                print(f"\nR22: {report}")  # noqa: T201 - a zero says little without its N


PROSE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=200)
LARGE = st.builds(lambda seed: (seed + b"\0") * (90_000 // (len(seed) + 1)), st.binary(max_size=9))
ATTACHED = st.lists(
    st.tuples(
        st.sampled_from(["a.bin", "Übersicht.pdf", "a.b.c", "b.txt"]),
        st.one_of(st.binary(max_size=300), LARGE),
        st.sampled_from(["application/octet-stream", "application/pdf", "image/png"]),
    ),
    max_size=3,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(PROSE, PROSE, PROSE.map(lambda text: text.replace("\n", " ")), ATTACHED)
def carry_composed(carrier, body, html, subject, attached):
    message = EmailMultiAlternatives(subject, body, "Ann <ann@example.org>", ["bo@example.com"])
    message.attach_alternative(f"<p>{html}</p>", "text/html")
    for name, data, kind in attached:
        message.attach(name, data, kind)
    composed = compose_message(message)
    lines = front(composed.from_header, composed.subject, ASender(), data=composed.data)
    carrier.carry([content_of(lines, composed.data, composed.cuts, composed.blobs)])
    (arrived,) = carrier.server.messages
    assert_sendable(arrived)
    assert arrived == on_the_wire(composed)
    assert parts(parsed(arrived)) == parts(parsed(message.message().as_bytes()))
    assert [one[4] for one in parts(parsed(arrived)) if one[1]] == [
        data.replace(b"\r\n", b"\n") for _, data, _ in attached
    ]


def test_r22_a_django_message_is_composed_carried_and_read_back_the_same():
    with a_carrier() as carrier:
        carry_composed(carrier)
        assert carrier.carried >= 60
