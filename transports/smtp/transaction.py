"""One mail transaction before its content: the commands, in groups, and what their replies come to.

Pure: bytes out, replies in. RFC 2920 lets MAIL, RCPT and DATA travel in one write; without PIPELINING each is
a group of its own, so one loop serves both.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from transports.base import Content, Envelope, Phase, Reply
from transports.errors import NotSendable
from transports.smtp.content import ending, flaw

#: A larger group is split: two full TCP buffers would wait for each other.
GROUP_BYTES = 4096

#: The server does not follow: no second message on this connection.
LOST_STEP = frozenset({500, 502, 503, 504})

#: C1 controls, line separators, halves of characters.
_UNFIT = r"\x7f-\x9f\u2028\u2029\ud800-\udfff"
_PATH = re.compile(
    rf'(?:[^\x00-\x20{_UNFIT}<>()\[\]\\,;:@"]+|"(?:[^"\\\x00-\x1f{_UNFIT}]|\\[ -~])*")'  # local part
    rf"(?:@(?:[^\x00-\x20{_UNFIT}<>()\[\]\\,;:@\"]+|\[[0-9A-Za-z.:-]+\]))?"
)


class Group(NamedTuple):
    """Commands that travel in one write, and the phase of the reply to each."""

    data: bytes
    phases: tuple[Phase, ...]


def check(envelope: Envelope, content: Content, capabilities: Mapping[str, str]) -> NotSendable | None:
    """Return why this server cannot carry this message, None when nothing is known against it."""
    if envelope.mail_from and not _is_sender(envelope.mail_from):
        return _no_address(envelope.mail_from, Phase.MAIL)
    for recipient in envelope.rcpt_to:
        if _PATH.fullmatch(recipient) is None:
            return _no_address(recipient, Phase.RCPT)
    if not envelope.rcpt_to:
        return NotSendable("The message has no recipient.", phase=Phase.RCPT)
    if envelope.needs_smtputf8 and "SMTPUTF8" not in capabilities:
        sentence = "The server does not take addresses with non-ASCII characters."
        return NotSendable(sentence, phase=Phase.MAIL, reason="smtputf8")
    limit, size_bytes = int(capabilities.get("SIZE") or 0), content.size_bytes + len(ending(content))
    if 0 < limit < size_bytes:
        sentence = f"The message has {size_bytes} bytes, and the server takes at most {limit}."
        return NotSendable(sentence, phase=Phase.MAIL, reason="size")
    unsound = flaw(content)
    return None if unsound is None else NotSendable(unsound, phase=Phase.MAIL)


@lru_cache(maxsize=256)
def _is_sender(mail_from: str) -> bool:
    """Whether it is a reverse-path: the same few are most mail's."""
    return _PATH.fullmatch(mail_from) is not None


def _no_address(text: str, phase: Phase) -> NotSendable:
    sentence = f"An address of the envelope is not one: {text!a}."
    return NotSendable(sentence, phase=phase, reason="addresses")


def groups(
    envelope: Envelope, content: Content, capabilities: Mapping[str, str], *, pipelined: bool, reset: bool
) -> list[Group]:
    """Return the commands up to DATA in the groups they are written in; RSET leads when wanted."""
    options = f" SIZE={content.size_bytes + len(ending(content))}" if "SIZE" in capabilities else ""
    if envelope.needs_smtputf8:
        options += " SMTPUTF8"
    recipients = ">\r\nRCPT TO:<".join(envelope.rcpt_to)
    lead = "RSET\r\n" if reset else ""
    commands = f"{lead}MAIL FROM:<{envelope.mail_from}>{options}\r\nRCPT TO:<{recipients}>\r\nDATA\r\n"
    data, phases = commands.encode(), _phases(len(envelope.rcpt_to), reset=reset)
    if pipelined and len(data) <= GROUP_BYTES:
        return [Group(data, phases)]
    return _split(data.splitlines(keepends=True), phases, GROUP_BYTES if pipelined else 0)


@lru_cache(maxsize=256)
def _phases(recipients: int, *, reset: bool) -> tuple[Phase, ...]:
    return (*[Phase.RSET] * reset, Phase.MAIL, *[Phase.RCPT] * recipients, Phase.DATA)


def _split(commands: Sequence[bytes], phases: Sequence[Phase], most_bytes: int) -> list[Group]:
    """Return groups of at most `most_bytes`, unless a single command is longer."""
    found: list[Group] = []
    for command, phase in zip(commands, phases, strict=True):
        if found and len(found[-1].data) + len(command) <= most_bytes:
            last = found.pop()
            found.append(Group(last.data + command, (*last.phases, phase)))
        else:
            found.append(Group(command, (phase,)))
    return found


class Verdict(NamedTuple):
    """What the replies so far come to.

    `phase` and `reply` are None while nothing is decided; `rcpt_replies` has one entry for each recipient.
    """

    phase: Phase | None
    reply: Reply | None
    rcpt_replies: tuple[Reply | None, ...]
    #: DATA was answered with 354 and somebody was accepted: the content may go.
    may_send: bool = False
    #: The replies do not fit together, or the server is lost: end the connection.
    is_desync: bool = False
    #: Somebody was refused among others who were not.
    is_partial: bool = False


_code = attrgetter("code")


def judge(replies: Sequence[Reply], recipients: int) -> Verdict:
    """Read the replies to MAIL, RCPT and DATA in order; fewer than all when not all came yet.

    A refusal of MAIL or of everybody decides; what follows in the same group is its echo. A 354 then is never
    answered with a dot: that would deliver an empty message (measured with Postfix).
    """
    if len(replies) == recipients + 2 and replies[-1].code == 354 and max(replies[:-1], key=_code).code < 300:
        return Verdict(None, None, tuple(replies[1:-1]), may_send=True)  # nearly always
    nobody = (None,) * recipients
    if not replies:
        return Verdict(None, None, nobody)
    mail, verdicts, data = replies[0], tuple(replies[1 : recipients + 1]), replies[recipients + 1 :]
    opened = bool(data) and data[0].code == 354
    if not mail.is_success:
        desync = mail.code in LOST_STEP or opened or any(reply.is_success for reply in verdicts)
        return Verdict(Phase.MAIL, mail, nobody, is_desync=desync)
    by_recipient = verdicts + nobody[len(verdicts) :]
    if verdicts and verdicts[-1].code == 421:
        return Verdict(Phase.RCPT, verdicts[-1], by_recipient)
    accepted = any(reply.is_success for reply in verdicts)
    lost = any(reply.code in LOST_STEP for reply in verdicts)
    if len(verdicts) == recipients and not accepted:
        return Verdict(Phase.RCPT, verdicts[0], by_recipient, is_desync=opened or lost)
    if not data:
        return Verdict(None, None, by_recipient)
    if not opened:
        return Verdict(Phase.DATA, data[0], by_recipient, is_desync=lost or data[0].code in LOST_STEP)
    return Verdict(None, None, by_recipient, may_send=True, is_desync=lost, is_partial=True)


def read_dot(replies: Sequence[Reply], *, is_silent: bool = False) -> Reply | None:
    """Return the reply to the final dot, or None when it may be another command's.

    `replies` begin with the dot's; those to RSET, MAIL, RCPT.. and DATA of the next message follow when its
    envelope travelled with the dot. A reply too many before the dot's own shifts all of them by one, and then
    RSET, which cannot be refused (RFC 5321 section 4.1.1.5), seems to be; a shift by two lets MAIL seem to be
    refused and a recipient behind it accepted.

    `is_silent`: the connection is there, and no more came in time. When the dot's own reply was left out, all
    move up by one, and the last of them is DATA's: a refusal, for a 354 would have been out of place.
    """
    if len(replies) < 2:
        return replies[0] if replies else None
    dot, reset, *group = replies
    if not reset.is_success and reset.code != 421:
        return None
    if group and not group[0].is_success and any(reply.is_success for reply in group[1:]):
        return None
    if is_silent and dot.is_success and not replies[-1].is_success:
        return None
    return dot
