"""What a package must tell of its waiting rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from django.core.files.storage import Storage
from django.core.mail import EmailMessage
from django.db.backends.utils import CursorWrapper

from delivery.handover import Outgoing

Row = Mapping[str, Any]  # Any: columns of somebody else's table


class Reason(StrEnum):
    """Why a row stays where it is."""

    EXPIRED = "expired"
    NO_RECIPIENTS = "no_recipients"
    NO_FILE = "attachment_missing"
    TEMPLATE = "template"
    BACKEND = "names_a_backend"
    UNREADABLE = "unreadable"
    REFUSED = "refused"


class NotTaken(Exception):
    """A row stays where it is; str() is one sentence."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller wants of every message.

    `backends` says which profile stands for a backend's alias ("" for any); `files` holds attachments.
    """

    site: str | None = None
    profile: str | None = None
    backends: Mapping[str, str] = field(default_factory=dict)
    files: Storage | None = None


class Package(Protocol):
    """One package's tables. Every method runs in the caller's transaction on that database."""

    @property
    def name(self) -> str:
        """The package, as the command calls it; the tag of its messages."""

    @property
    def table(self) -> str:
        """The table with the waiting rows."""

    def count(self, cursor: CursorWrapper) -> int:
        """Count the waiting rows."""

    def lock(self, cursor: CursorWrapper, *, after: int, limit: int) -> Sequence[Row]:
        """Lock and return the next waiting rows by id; those somebody else holds are left out."""

    def outgoing(self, cursor: CursorWrapper, row: Row, wishes: Wishes) -> Outgoing:
        """Make the message of a locked row. Raises NotTaken, and what `handover` refuses later is its own."""

    def mark(self, cursor: CursorWrapper, row: Row, message_id: int) -> None:
        """Note on a locked row that it is ours now, so that the package does not send it."""


def rows_of(cursor: CursorWrapper) -> list[Row]:
    """Return what a statement brought, by column: versions of a package differ in their columns."""
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def size_of(message: EmailMessage) -> int:
    """Estimate how much memory a message takes, in bytes."""
    parts: list[object] = [message.body]
    parts += [one[0] for one in getattr(message, "alternatives", None) or ()]
    for one in message.attachments:
        parts.append(one[1] if isinstance(one, tuple) else one.get_payload())
    return sum(len(part) for part in parts if isinstance(part, str | bytes))
