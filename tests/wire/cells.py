"""The cells of the matrix: what a server does in one, what a client sends, what is held against what."""

import asyncio
from dataclasses import dataclass, field

from delivery.classification import Action as Becomes
from delivery.classification import Judgement, Sign, judge, judge_error
from tests.wire.clients import PATIENT, a_content, an_envelope, short
from tests.wire.evil import (
    BANNER,
    EHLO,
    Action,
    EvilServer,
    Peer,
    drip,
    fin,
    flood,
    hang,
    raw,
    rst,
    say,
    say_and_go,
    stop_reading,
)
from transports import errors
from transports.base import MailObject, Outcome, Phase, Session, Transport

ACTIONS = (
    "fin", "rst", "hang", "421", "4xx", "5xx", "malformed", "32k", "drip", "extra", "bytes",
)  # fmt: skip

RECIPIENTS = ("ann@example.org", "bo@example.org", "cy@example.org")


@dataclass(frozen=True)
class Cell:
    """One row of the table."""

    stage: str
    action: str
    phases: str
    decided_by: str
    becomes: str
    sign: str
    session: str

    def __str__(self) -> str:
        return f"{self.stage} {self.action}"

    def phase(self, *, pipelined: bool) -> Phase:
        """Where the message's fate is decided."""
        first, _, second = self.phases.partition("|")
        return Phase(first if pipelined or not second else second)


def verdicts_in(words: str) -> list[Becomes]:
    """Read "sent" or "sent,retry,sent": one for all recipients, or each."""
    split = words.split(",")
    return [Becomes(word) for word in (split if len(split) > 1 else split * len(RECIPIENTS))]


def cells_in(table: str) -> list[Cell]:
    """Read a table; its first line names the columns."""
    return [Cell(*line.split()) for line in table.splitlines()[2:] if line.strip()]


# What the server does in a cell

HOSTILE = b"\x00\xff\x1b[2J"
WORDS_AT = {"tcp": BANNER, "handshake": b"\x16\x03\x03\x40\x00" + bytes(50)}


def action_of(cell: Cell) -> Action:
    """Return what the server does; where an honest one is silent, it says these words out of turn."""
    made = SPECIAL.get((cell.stage, cell.action), _ACTIONS[cell.action])

    async def act(peer: Peer, honest: bytes) -> None:
        if cell.stage == "handshake":  # the client's first bytes: what comes before them is in the clear
            await peer.reader.read(1)
        if cell.stage == "body":  # read on, and it might be through before it sees our words
            peer.writer.transport.pause_reading()
        await made(peer, honest or WORDS_AT.get(cell.stage, b"250 2.0.0 Ok\r\n"))
        if cell.stage == "body":
            await stop_reading(peer, honest)

    return act


async def more(peer: Peer, honest: bytes) -> None:
    await peer.write(honest + b"250 2.0.0 And more\r\n")


async def hostile_words(peer: Peer, honest: bytes) -> None:
    await peer.write(honest.replace(b"\r\n", b" " + HOSTILE + b"\r\n", 1))


def after(event: asyncio.Event, action: Action) -> Action:
    """Wait for the test's word, then act."""

    async def act(peer: Peer, honest: bytes) -> None:
        await event.wait()
        await action(peer, honest)

    return act


async def silence(peer: Peer, honest: bytes) -> None:
    """Say nothing: it was said already."""


_ACTIONS: dict[str, Action] = {
    "fin": fin,
    "rst": rst,
    "hang": hang,
    "421": say_and_go("421 4.3.2 Closing"),
    "4xx": say("451 4.3.0 Try again later"),
    "5xx": say("550 5.1.1 No"),
    "malformed": say("2_0 Ok"),
    "32k": flood,
    "drip": drip,
    "extra": more,
    "bytes": hostile_words,
}

SPECIAL: dict[tuple[str, str], Action] = {
    ("tcp", "extra"): raw(b"220 evil.example.org\r\n" + BANNER),
    ("tcp", "bytes"): raw(HOSTILE + b"\r\n"),
    ("handshake", "malformed"): raw(b"\x16\x03\x03\x00\x04junk"),
    ("handshake", "32k"): raw((b"\x16\x03\x03\x40\x00" + b"\x02\xff\xff\xff" + bytes(0x3FFC)) * 3),
    ("handshake", "extra"): raw(b"250 2.0.0 And more\r\n"),
    ("handshake", "bytes"): raw(HOSTILE + b"\r\n"),
    ("body", "hang"): stop_reading,
    # Closing at once would reset the connection, with our words perhaps unread.
    ("body", "421"): say("421 4.3.2 Closing"),
    ("body", "bytes"): raw(HOSTILE + b"\r\n"),
    ("after_250", "bytes"): raw(HOSTILE + b"\r\n"),
}

#: The wait that is cut short where the server hangs or drips.
LIMITS = {
    "tcp": "banner", "starttls": "tls", "handshake": "tls", "ehlo2": "ehlo", "auth_step": "auth",
    "body": "block", "after_250": "mail",
}  # fmt: skip


def timeouts_of(cell: Cell, seconds: float):
    """Cut short the wait of the cell's own stage; no other, so that a busy machine fails nothing."""
    if cell.action not in {"hang", "drip"}:
        return PATIENT
    return short(LIMITS.get(cell.stage, cell.stage), seconds=seconds)


# The client

#: What the server offers when it takes large messages.
OFFERS = tuple(line.replace("SIZE 1000000", "SIZE 50000000") for line in EHLO)


def content_of(name: str, *, is_large: bool = False):
    """Return a message that is known again."""
    lines = 250_000 if is_large else 1
    return a_content(f"Message-ID: <{name}@example.org>\r\n\r\n".encode() + (b"x" * 78 + b"\r\n") * lines)


@dataclass
class Run:
    """A client that sends messages to a server one after another, and what it was told of each.

    `large` is the message that goes out in blocks, `is_fresh` as in `classification.judge`.
    """

    server: EvilServer
    transport: Transport
    large: str = ""
    is_fresh: bool = True
    mails: dict[str, MailObject] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    refusals: dict[str, errors.TransportError] = field(default_factory=dict)

    def mail(self, name: str) -> MailObject:
        """Return a message, made once."""
        if name not in self.mails:
            content = content_of(name, is_large=name == self.large)
            self.mails[name] = MailObject(an_envelope(*RECIPIENTS), content)
        return self.mails[name]

    async def send(self, name: str, session: Session | None = None, *, following: str = "") -> Session | None:
        """Send a message, on a new session unless one is given; returns the session, None without one."""
        async with asyncio.timeout(10):
            try:
                session = session or await self.transport.open()
            except errors.TransportError as error:
                self.refusals[name] = error
                return None
            ahead = self.mail(following) if following else None
            self.outcomes[name] = await session.deliver(*self.mail(name), following=ahead)
            return session

    async def send_afresh(self, transport: Transport) -> None:
        """Send one more message: whatever happened before, it goes out on a connection of its own."""
        self.transport = transport
        connections = self.server.connections
        session = await self.send("on a fresh session")
        assert self.server.connections == connections + 1
        assert self.judgement("on a fresh session").action is Becomes.SENT
        await session.close()

    def judgement(self, name: str) -> Judgement:
        if name in self.refusals:
            return judge_error(self.refusals[name])
        return judge(self.outcomes[name], recipients=len(RECIPIENTS), is_fresh=self.is_fresh)

    def check(self, name: str, *, phase: Phase, decided_by: str, becomes: str, sign: str) -> None:
        """Hold a message's fate against what it should be: where, by which reply or error, and what of it."""
        judgement = self.judgement(name)
        found = self.refusals.get(name) or self.outcomes[name]
        assert found.phase is phase, found
        assert judgement.phase is phase
        if decided_by.isdigit():
            assert type(found) in {Outcome, errors.ReplyRefused}, found
            assert found.reply is not None, found
            assert found.reply.code == int(decided_by)
        else:
            assert type(getattr(found, "error", found)) is getattr(errors, decided_by), found
            assert found.reply is None
        assert judgement.sign is Sign(sign)
        if isinstance(found, Outcome):
            assert [verdict.ruling.action for verdict in judgement.recipients] == verdicts_in(becomes)
            assert found.uncertain is (becomes == "uncertain")
            assert found.accepted is ("sent" in becomes)
        else:
            assert judgement.action is Becomes(becomes)

    def check_ledger(self) -> None:
        """Sent is what was accepted, once, for just these recipients; only the uncertain may be either."""
        for name in {*self.outcomes, *self.refusals}:
            entries = [
                entry for entry in self.server.ledger if entry.content == self.mail(name).content.segments[0]
            ]
            judged = self.judgement(name)
            sent_to = tuple(
                recipient
                for recipient, verdict in zip(RECIPIENTS, judged.recipients, strict=False)
                if verdict.ruling.action is Becomes.SENT
            )
            if judged.action is Becomes.UNCERTAIN:
                assert len(entries) <= 1
            else:
                assert [entry.rcpt_to for entry in entries] == ([sent_to] if sent_to else [])

    def check_words(self) -> None:
        """What a server said can be stored as it is: no NUL, no control, no lone surrogate."""
        replies = [refusal.reply for refusal in self.refusals.values()]
        for outcome in self.outcomes.values():
            replies += [outcome.reply, *outcome.rcpt_replies]
        for text in [reply.text for reply in replies if reply] + [str(e) for e in self.refusals.values()]:
            assert text.isprintable()
            assert text.encode()
