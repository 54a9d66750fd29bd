"""WIRE C: whatever composing lets through is one message, whatever a server takes for the end of a line.

Three receivers read the same conversation: strictly, with a bare LF as line end, with a bare CR. Each must
see one message, the same bytes, and no command but ours.
"""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from django.core.mail import EmailMessage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delivery.composing import CannotCompose, compose_eml, compose_message, content_of, front
from tests.delivery.mail import SENDER, ASender, an_eml, assert_sendable
from tests.wire.clients import a_content, a_transport, an_envelope
from tests.wire.evil import evil_server
from tests.wire.receivers import BARE_CR, BARE_LF, LINE_ENDS, STRICT, receiver
from transports.base import Content
from transports.errors import NotSendable, TransportError

ENVELOPE = {"mail_from": "shop@example.org", "rcpt_to": ["ann@example.org"]}
SMUGGLED = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@x.example>\r\nDATA\r\nSubject: forged\r\n\r\nx\r\n"
VERBS = {b"EHLO", b"MAIL", b"RCPT", b"DATA", b"RSET"}


class Trio:
    """A session with each of the three receivers."""

    def __init__(self, servers, sessions):
        self.servers = servers
        self.sessions = sessions

    async def carry(self, content):
        """Send content to each receiver; returns the one message that all of them saw."""
        seen = set()
        for name, session in self.sessions.items():
            server = self.servers[name]
            server.forget()
            outcome = await session.deliver(an_envelope(), content)
            assert outcome.accepted, (name, outcome)
            assert len(server.messages) == 1, name
            assert {line[:4] for line in server.heard} <= VERBS, name
            seen.update(server.messages)
        (message,) = seen
        return message


@asynccontextmanager
async def three_receivers():
    async with AsyncExitStack() as stack:
        servers = {name: await stack.enter_async_context(receiver(end)) for name, end in LINE_ENDS.items()}
        sessions = {name: await a_transport(server.port).open() for name, server in servers.items()}
        yield Trio(servers, sessions)
        for session in sessions.values():
            await session.close()


def content(composed, sender=SENDER):
    lines = front(composed.from_header, composed.subject, sender, data=composed.data)
    return content_of(lines, composed.data, composed.cuts, composed.blobs)


def on_the_wire(made):
    return b"".join(made.segments)


def test_the_receivers_can_be_fooled():
    """Each sees a second message in something that is never sent: else this module proves nothing."""

    async def what_they_see(line_end, smuggled):
        async with receiver(line_end) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n")
            writer.write(b"hello" + smuggled + SMUGGLED + b".\r\nQUIT\r\n")
            while b"221" not in await reader.readline():
                pass
            writer.close()
            return len(server.messages)

    for smuggled, seen in {
        b"\n.\n": (1, 2, 1),
        b"\n.\r\n": (1, 2, 1),
        b"\r.\r": (1, 1, 2),
        b"\r\n.\r": (1, 1, 2),
        b"\r\n.\r\n": (2, 2, 2),
    }.items():
        for line_end, count in zip((STRICT, BARE_LF, BARE_CR), seen, strict=True):
            assert asyncio.run(what_they_see(line_end, smuggled)) == count, (smuggled, line_end)


#: Ends of content as some server sees them, each followed by a message that would be forged.
ENDS = {
    "c01_lf_dot_lf": b"x\n.\n",
    "c02_cr_dot_cr": b"x\r.\r",
    "c03_lf_dot_crlf": b"x\n.\r\n",
    "c04_crlf_dot_cr": b"x\r\n.\r",
    "c05_cr_crlf_dot": b"x\r\r\n.\r\r\n",
    "crlf_dot_lf": b"x\r\n.\n",
    "lf_cr_dot": b"x\n\r.\n\r",
    "crlf_dot_crlf": b"x\r\n.\r\n",
    "c07_nul": b"x\r\n.\0\r\n",
}


@pytest.mark.parametrize("end", [pytest.param(end, id=name) for name, end in ENDS.items()])
async def test_a_raw_message_with_a_hidden_end_is_refused_or_one_message(end):
    """Mixed and half line ends and NUL are refused; of those here only CRLF throughout is not."""
    raw = an_eml(end + SMUGGLED)
    if end != ENDS["crlf_dot_crlf"]:
        with pytest.raises(CannotCompose, match=r"without a (carriage return|line feed)|NUL"):
            compose_eml(raw, **ENVELOPE)
        return
    async with three_receivers() as trio:
        assert (await trio.carry(content(compose_eml(raw, **ENVELOPE)))).endswith(
            b"\r\n\r\n" + end + SMUGGLED
        )


@pytest.mark.parametrize("end", [pytest.param(end, id=name) for name, end in ENDS.items()])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
async def test_a_django_message_with_a_hidden_end_is_refused_or_one_message(end, line_end):
    """Its text is characters: every kind of line end becomes CRLF, and a dot stays a dot."""
    body = (b"first" + line_end + end + SMUGGLED).decode()
    message = EmailMessage("Report", body, "ann@example.org", ["bo@example.com"])
    message.attach("a.txt", body, "text/plain")
    if b"\0" in end:
        with pytest.raises(CannotCompose, match="NUL"):
            compose_message(message)
        return
    made = content(compose_message(message))
    async with three_receivers() as trio:
        assert await trio.carry(made) == on_the_wire(made)
    assert_sendable(on_the_wire(made))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="c06_empty"),
        pytest.param(b".", id="c06_dot_alone"),
        pytest.param(b".\r\n", id="c06_dot_first"),
        pytest.param(b"..\r\n.", id="c06_dot_last"),
        pytest.param(b"no final newline", id="c06_no_final_newline"),
        pytest.param(b"\r\n\r\n.\r\n.\r\n", id="c06_dots_and_nothing"),
        pytest.param(b"x" * 998 + b"\r\n." + b"y" * 997, id="c06_longest_lines"),
    ],
)
async def test_c06_edges_of_a_message_arrive_exactly(body):
    made = content(compose_eml(an_eml(body), **ENVELOPE))
    async with three_receivers() as trio:
        arrived = await trio.carry(made)
        bare = await trio.carry(Content((body,)))  # with no header in front of it
    added = b"" if not body or body.endswith(b"\r\n") else b"\r\n"
    assert arrived == on_the_wire(made)
    assert arrived.endswith(b"\r\n\r\n" + body + added)
    assert bare == body + added


async def test_c08_ten_megabytes_of_dots_are_one_message():
    """Time and memory of the stuffing: tests/transports/test_content.py."""
    made = content(compose_eml(an_eml(b".\r\n" * 3_300_000), **ENVELOPE))
    async with receiver() as server:
        session = await a_transport(server.port).open()
        assert (await session.deliver(an_envelope(), made)).accepted
        await session.close()
        assert server.messages == [on_the_wire(made)]


@pytest.mark.parametrize("name", ["mail example.org", "x\r\nMAIL FROM:<evil@x.example>", "x\0y", "x\n"])
async def test_c09_an_introduction_that_holds_a_command_is_never_said(name):
    async with evil_server() as server:
        with pytest.raises(TransportError):
            await a_transport(server.port, ehlo_name=name).open()
        assert server.heard == []


async def test_c10_no_option_but_size_is_ever_said():
    offered = ["8BITMIME", "BINARYMIME", "CHUNKING", "DSN", "AUTH PLAIN", "MT-PRIORITY", "SMTPUTF8"]
    ehlo = ("250-evil.example.org", *(f"250-{keyword}" for keyword in offered), "250 SIZE 1000000")
    async with evil_server(ehlo=ehlo) as server:
        session = await a_transport(server.port).open()
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()
    size_bytes = a_content().size_bytes
    assert server.heard[1:4] == [
        f"MAIL FROM:<shop@example.org> SIZE={size_bytes}",
        "RCPT TO:<ann@example.org>",
        "DATA",
    ]


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        ("SIZE 1000", True),
        ("SIZE 0", True),
        ("SIZE", True),
        ("size 1000", True),
        ("SIZE " + "9" * 20, True),
        ("X-NOTHING", False),
        ("SIZE abc", False),
        ("SIZE -1", False),
        ("SIZE +5", False),
        ("SIZE 1 2", False),
        ("SIZE 1e3", False),
        ("SIZE 0x10", False),
        ("SIZE ٣", False),
        ("SIZE=1", False),
        ("SIZE " + "9" * 21, False),
        ("SIZE " + "9" * 5_000, False),
    ],
)
async def test_c11_a_size_that_is_no_number_is_no_limit(offered, said):
    async with evil_server(ehlo=("250-evil.example.org", f"250 {offered}")) as server:
        session = await a_transport(server.port).open()
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()
    assert server.heard[1].endswith(f" SIZE={a_content().size_bytes}" if said else "<shop@example.org>")


BROKEN = {
    "cr_dot_cr": (b"a: b\r\n\r\nx\r.\r" + SMUGGLED,),
    "lf_cr_dot": (b"a: b\r\n\r\nx\n\r.\n\r" + SMUGGLED,),
    "nul": (b"a: b\r\n\r\nx\0\r\n",),
    "8bit": ("a: b\r\n\r\nGröße\r\n".encode(),),
    "line_of_999": (b"a: b\r\n\r\n" + b"x" * 999 + b"\r\n",),
    "line_of_999_without_an_end": (b"a: b\r\n\r\n" + b"x" * 999,),
    "line_of_999_in_a_large_part": (b"a: b\r\n\r\n", b"x\r\n" * 50_000 + b"y" * 999 + b"\r\n", b"z\r\n"),
    "cut_inside_a_line": content_of(b"", b"a: b\r\n\r\nxyz\r\n", (9,), (b"blob\r\n" * 20_000,)).segments,
    "cut_inside_a_line_end": content_of(b"", b"a: b\r\n\r\n.\r\n", (7,), (b"blob\r\n" * 20_000,)).segments,
    "blob_without_an_end": content_of(b"", b"a: b\r\n\r\nx\r\n", (8,), (b"blob" * 200,)).segments,
}


@pytest.mark.parametrize("segments", [pytest.param(one, id=name) for name, one in BROKEN.items()])
async def test_content_that_breaks_its_promise_is_refused_before_mail(segments):
    """Composing made none of these: the second look of the side that writes."""
    async with three_receivers() as trio:
        for name, session in trio.sessions.items():
            outcome = await session.deliver(an_envelope(), Content(segments))
            assert isinstance(outcome.error, NotSendable)
            assert str(outcome.error).endswith(".")
            assert not outcome.uncertain
            assert [line[:4] for line in trio.servers[name].heard] == [b"EHLO"]
        await trio.carry(a_content())  # the session is as good as before


@pytest.mark.parametrize("smuggled", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r"])
async def test_a_dot_behind_any_line_feed_is_doubled_and_ends_nothing(smuggled):
    """Composing refuses these; should they come to the wire all the same, no server sees two messages."""
    async with three_receivers() as trio:
        for name, session in trio.sessions.items():
            outcome = await session.deliver(an_envelope(), Content((b"a: b\r\n\r\nx" + smuggled + SMUGGLED,)))
            assert outcome.accepted
            assert len(trio.servers[name].messages) == 1
            assert {line[:4] for line in trio.servers[name].heard} == {b"EHLO", b"MAIL", b"RCPT", b"DATA"}


PIECES = ["\r", "\n", "\r\n", ".", "\0", "\x0b", "\x85", "\u2028", "ü", "x" * 600, "a: b", " "]
PIECES += ["=?utf-8?q?=0D=0A.?=", "Bcc: evil@x.example", SMUGGLED.decode()]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


def test_r23_nothing_hostile_that_can_be_handed_over_smuggles():
    """Bodies, fields and what a profile adds, of line ends, dots and commands: refused, or one message."""
    counts = {"carried": 0, "refused": 0}
    with asyncio.Runner() as runner:
        context = three_receivers()
        trio = runner.run(context.__aenter__())

        def carry(compose, sender=SENDER):
            try:
                made = content(compose(), sender)
            except CannotCompose:
                counts["refused"] += 1
                return
            assert_sendable(on_the_wire(made))
            assert runner.run(trio.carry(made)) == on_the_wire(made)
            counts["carried"] += 1

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(HOSTILE, HOSTILE, st.booleans())
        def hostile_file(body, value, as_lf):
            raw = f"From: a@x.example\r\nTo: b@x.example\r\nX-A: {value}\r\n\r\n{body}"
            raw = raw.replace("\r\n", "\n") if as_lf else raw
            carry(lambda: compose_eml(raw.encode(), **ENVELOPE))

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(HOSTILE, HOSTILE, HOSTILE)
        def hostile_message(body, subject, attached):
            message = EmailMessage(subject, body, "ann@example.org", ["bo@example.com"])
            message.attach("a.bin", attached.encode() * 50, "application/octet-stream")
            carry(lambda: compose_message(message))

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
        def hostile_profile(address, name, prefix, reply_to):
            sender = ASender(f"{address}@x.example", name, "force", reply_to, subject_prefix=prefix)
            carry(lambda: compose_eml(an_eml(), **ENVELOPE), sender)

        try:
            hostile_file()
            hostile_message()
            hostile_profile()
        finally:
            runner.run(context.__aexit__(None, None, None))
    assert min(counts.values()) > 30, counts
