"""The lines of a journal, written and read back. No address is in them.

    mailconf-journal 1 lease=812 since=2026-11-21T08:00:00+00:00 boot=5f0c... sync=0
    B 4711                          begun: it is being put together or is on the wire
    S 4711 7 2.0.0                  about to write the final dot: profile, state of the row
    D 4711 250 2.0.0 + Ok: queued   the reply to the dot, and those to RCPT ("+": all accepted)
    A 4711 4712                     the database has it

The state of the row (counted attempts, drops, recipients with a final verdict) tells this claim of a message
from another by the same session: every outcome that gives it back changes one of them, or changes nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from delivery.dispatcher.work import Work
from transports.base import Reply

_MAGIC = b"mailconf-journal 1 "
_HEADER = re.compile(rb"lease=(\d+) since=(\S+) boot=(\S*) sync=([01])")
_REPLIES = rb"\+|(?:-|\d{3}(?::[0-9.]+)?)(?:,(?:-|\d{3}(?::[0-9.]+)?))*"
_BEGUN = re.compile(rb"B (\d+)")
_SENDING = re.compile(rb"S (\d+) (\d+) (\d+\.\d+\.\d+)")
_REPLIED = re.compile(rb"D (\d+) (\d{3}) (-|[0-9.]+) (" + _REPLIES + rb") (.*)")
_DONE = re.compile(rb"A((?: \d+)+)")
#: As much of the reply's text is kept as people need to find the message in the server's log.
_MOST_TEXT = 200


class NotAJournal(ValueError):
    """The file does not begin as a journal does: it was given up, or is something else."""


@dataclass(frozen=True, slots=True)
class Header:
    """Whose journal it is.

    `since` is the start of the session by the database's clock, so that the same number in another database
    is not taken for it. `is_synced`: every line was on the disk before the session went on.
    """

    lease: int
    since: str
    boot_id: str
    is_synced: bool

    def __bytes__(self) -> bytes:
        text = f"lease={self.lease} since={self.since} boot={self.boot_id} sync={int(self.is_synced)}\n"
        return _MAGIC + text.encode("ascii")


@dataclass(frozen=True, slots=True)
class Note:
    """What the journal knows of one message: begun; with `state` handed over; with `reply` answered.

    `rcpt_replies` None: every recipient of the attempt was accepted.
    """

    profile_id: int | None = None
    state: str | None = None
    reply: Reply | None = None
    rcpt_replies: tuple[Reply | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class Journalled:
    """A journal as it was found. `is_whole` is false when a line in the middle cannot be read."""

    header: Header
    notes: dict[int, Note]
    is_whole: bool


def state_of(attempts: int, drops: int, verdicts: int) -> str:
    """Name the state of a message's row."""
    return f"{attempts}.{drops}.{verdicts}"


def begun(work: Work) -> bytes:
    """Return the line of a message that is begun."""
    return b"B %d\n" % work.claimed.message_id


def sending(work: Work) -> bytes:
    """Return the line of a message whose final dot comes next."""
    claimed = work.claimed
    return b"S %d %d %d.%d.%d\n" % (
        claimed.message_id,
        work.way.profile_id,
        claimed.attempts,
        claimed.drops,
        len(claimed.verdicts or ()),
    )


def replied(work: Work, reply: Reply, rcpt_replies: Sequence[Reply | None]) -> bytes:
    """Return the line of a message whose dot was answered."""
    text = reply.text[:_MOST_TEXT]
    if "@" in text or not text.isascii():
        text = " ".join("…" if "@" in word else word for word in text.split(" "))
    return b"D %d %d %b %b %b\n" % (
        work.claimed.message_id,
        reply.code,
        (reply.enhanced or "-").encode(),
        _brief(rcpt_replies),
        text.encode("utf-8", "replace"),
    )


def _brief(replies: Sequence[Reply | None]) -> bytes:
    if len(replies) == 1 or all(reply is not None and reply.is_success for reply in replies):
        return b"+"  # without an accepted recipient there is no dot
    return ",".join(_code(reply) for reply in replies).encode()


def _code(reply: Reply | None) -> str:
    if reply is None:
        return "-"
    return f"{reply.code}:{reply.enhanced}" if reply.enhanced else str(reply.code)


def done(message_ids: Sequence[int]) -> bytes:
    """Return the line of messages that the database knows about."""
    return b"A " + b" ".join(b"%d" % message_id for message_id in message_ids) + b"\n"


def read(data: bytes) -> Journalled:
    """Read a journal; a torn last line is left out. Raises NotAJournal."""
    first, *lines = data.split(b"\n")
    found = _HEADER.fullmatch(first.removeprefix(_MAGIC))
    if found is None or not lines or not first.startswith(_MAGIC):
        raise NotAJournal
    header = Header(int(found[1]), found[2].decode("ascii"), found[3].decode("ascii"), found[4] == b"1")
    notes: dict[int, Note] = {}
    for line in lines[:-1]:
        if not _take(line, notes):
            return Journalled(header, notes, is_whole=False)
    return Journalled(header, notes, is_whole=True)


def _take(line: bytes, notes: dict[int, Note]) -> bool:
    """Let one line change the notes; False when it cannot be read."""
    if found := _BEGUN.fullmatch(line):
        notes[int(found[1])] = Note()
    elif found := _SENDING.fullmatch(line):
        notes[int(found[1])] = Note(int(found[2]), found[3].decode())
    elif found := _REPLIED.fullmatch(line):
        before = notes.get(int(found[1]))
        if before is None or before.state is None:
            return False
        enhanced = None if found[3] == b"-" else found[3].decode()
        reply = Reply(int(found[2]), found[5].decode("utf-8", "replace"), enhanced)
        notes[int(found[1])] = Note(before.profile_id, before.state, reply, _replies(found[4]))
    elif found := _DONE.fullmatch(line):
        for message_id in found[1].split():
            notes.pop(int(message_id), None)
    else:
        return False
    return True


def _replies(brief: bytes) -> tuple[Reply | None, ...] | None:
    return None if brief == b"+" else tuple(_reply(code) for code in brief.decode().split(","))


def _reply(code: str) -> Reply | None:
    if code == "-":
        return None
    number, _, enhanced = code.partition(":")
    return Reply(int(number), "", enhanced or None)
