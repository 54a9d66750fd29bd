"""What is written in front of a stored message when it is sent: From, Subject, and what a profile adds.

The only bytes of a message that depend on the profile (see `delivery.composing.composed`).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

from delivery.composing.addresses import mailboxes
from delivery.composing.composed import CannotCompose
from delivery.composing.words import begins_with_word, encoded, fits, is_as_is, readable, unfolded, written
from transports.base import Content

_ATEXT = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_REPLY_MARKS = re.compile(r"(?:\s*(?:re|aw|sv|fwd?|wg)\s*:)+\s*", re.IGNORECASE)
#: The same few lines stand in most of a profile's mail, and in all of a mailing.
_line = lru_cache(maxsize=256)(written)
_REPLY_TO = re.compile(rb"^reply-to:", re.IGNORECASE | re.MULTILINE)


class Sender(Protocol):
    """The sender's part of a profile."""

    @property
    def from_address(self) -> str:
        """The profile's From address, "" for none."""

    @property
    def from_name(self) -> str:
        """The display name that goes with it."""

    @property
    def from_policy(self) -> str:
        """`message` (the message's own From) or `force` (always this one)."""

    @property
    def reply_to(self) -> str:
        """The Reply-To for messages that bring none."""

    @property
    def bounce_address(self) -> str:
        """The envelope sender, "" for the From address."""

    @property
    def subject_prefix(self) -> str:
        """What every subject begins with."""


def front(from_header: str | None, subject: str, sender: Sender, *, data: bytes = b"") -> bytes:
    """Give the lines written in front of the stored `data`: From, Subject, and Reply-To where one is added.

    Raises CannotCompose when neither the message nor the profile has a From address.
    """
    lines = [_line("From", _from(from_header, sender))]
    text = _prefixed(subject, sender.subject_prefix)
    if text:
        lines.append(_line("Subject", text))
    reply_to = _reply_to(from_header, sender)
    if reply_to and not _has_reply_to(data):
        lines.append(_line("Reply-To", reply_to))
    return b"".join(lines)


def original_to(recipients: Sequence[str]) -> bytes:
    r"""Give the line that names whom a redirected message was for.

    >>> original_to(["a@example.org", "b@example.org"])
    b'X-Mailconf-Original-To: a@example.org,\r\n b@example.org\r\n'
    """
    body = ",\r\n ".join(one if is_as_is(one) else encoded(one) for one in recipients)
    return f"X-Mailconf-Original-To: {body}\r\n".encode("ascii")


def content_of(front: bytes, data: bytes, cuts: tuple[int, ...], blobs: tuple[bytes, ...]) -> Content:
    """Put a message together as segments; blobs stay shared, not copied."""
    if not (cuts or blobs):
        return Content((front + data,))
    edges = [0, *cuts, len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    segments = [front + pieces[0]]
    for blob, piece in zip(blobs, pieces[1:], strict=True):
        segments += [blob, piece]
    return Content(tuple(segment for segment in segments if segment))


def envelope_sender(mail_from: str, from_header: str | None, sender: Sender) -> str:
    """Decide the reverse-path: the null sender stays, else the profile's bounce address, else the message's.

    A forced From takes the envelope along, or the message would claim two senders.
    """
    if mail_from == "" and from_header is not None:
        return ""
    if sender.bounce_address:
        return sender.bounce_address
    is_forced = sender.from_policy == "force" and bool(sender.from_address)
    return sender.from_address if is_forced or not mail_from else mail_from


def from_field(address: str, name: str = "") -> str:
    """Give the body of a From field.

    >>> from_field("a@example.org", "Doe, Ann"), from_field("a@example.org", "Grüße")
    ('"Doe, Ann" <a@example.org>', '=?utf-8?q?Gr=C3=BC=C3=9Fe?= <a@example.org>')
    """
    if not name:
        return address
    return f"{phrase(name)} <{address}>"


def phrase(name: str) -> str:
    """Give a display name as it stands in an address field: as it is, quoted, or encoded."""
    if _ATEXT.fullmatch(name) and name == name.strip():
        return name
    if name.isascii() and name.isprintable():
        return '"' + name.replace("\\", r"\\").replace('"', r"\"") + '"'
    return encoded(name)


def _is_forced(from_header: str | None, sender: Sender) -> bool:
    return from_header is None or (sender.from_policy == "force" and bool(sender.from_address))


def _from(from_header: str | None, sender: Sender) -> str:
    if from_header is not None and not _is_forced(from_header, sender):
        if not is_as_is(from_header):
            raise CannotCompose("The stored From field is not plain ASCII.")
        return from_header
    if not sender.from_address:
        raise CannotCompose("Neither the message nor the profile has a From address.")
    return from_field(sender.from_address, sender.from_name)


def _reply_to(from_header: str | None, sender: Sender) -> str:
    """Give the Reply-To of a message that has none: the profile's, else the From that was replaced."""
    if sender.reply_to or from_header is None or not _is_forced(from_header, sender):
        return sender.reply_to
    return "" if _addresses(from_header) in ([], [sender.from_address.lower()]) else from_header


def _addresses(from_header: str) -> list[str]:
    try:
        return [box.address.lower() for box in mailboxes(unfolded(from_header), "From")]
    except CannotCompose:
        return []


def _has_reply_to(data: bytes) -> bool:
    return _REPLY_TO.search(data[: data.find(b"\r\n\r\n") + 2 or None]) is not None


def _prefixed(subject: str, prefix: str) -> str:
    """Put the prefix in front unless it is there, behind reply marks too; what follows stays as it is."""
    if not prefix.strip() or _REPLY_MARKS.sub("", readable(subject), count=1).startswith(prefix.strip()):
        return subject
    if not subject.strip():
        return prefix.strip()
    if not is_as_is(subject) or (is_as_is(prefix) and "=?" not in subject and "\r\n" not in subject):
        return prefix + subject
    if is_as_is(prefix):
        joined = f"{prefix.rstrip(' ')} {subject.lstrip()}"
        return (
            joined
            if fits(f"Subject: {joined}".encode("ascii"))
            else f"{prefix.rstrip(' ')}\r\n {subject.lstrip()}"
        )
    # White space between two encoded-words is not shown, so it belongs into the first.
    word = encoded(prefix if begins_with_word(subject) else prefix.rstrip(" "))
    return f"{word}\r\n {subject.lstrip()}"
