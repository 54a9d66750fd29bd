"""Whether a message is small enough for a server, and by how much it is not. Pure.

Two limits count: the profile's own, for all attachments together as they are sent, and the server's, for the
whole message: what it announces (SIZE, RFC 1870), or what it refused. A refusal is believed for a day, an
announcement until another session says otherwise, a day at most.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

MEGABYTE = 1_000_000
BELIEVED = timedelta(days=1)
#: Every server takes so much (RFC 5321 section 4.5.3.1.7): a smaller message was refused for another reason.
LEAST_BYTES = 65_536


class Known(Protocol):
    """What is written down of a server; `size_limit` None: nothing, 0: it names no limit."""

    @property
    def size_limit(self) -> int | None: ...  # noqa: D102

    @property
    def size_is_refusal(self) -> bool: ...  # noqa: D102

    @property
    def size_until(self) -> datetime | None: ...  # noqa: D102

    @property
    def size_fingerprint(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Size:
    """Octets of all attachments together, and of the whole message, both as sent."""

    attachments_bytes: int
    message_bytes: int


@dataclass(frozen=True, slots=True)
class Room:
    """What one server takes; 0: no limit. `message_bytes` None: not known."""

    name: str
    attachments_bytes: int = 0
    message_bytes: int | None = None

    def takes(self, size: Size) -> bool:
        """Whether nothing is known against this size."""
        return not self._refuses_attachments(size) and not self._refuses_message(size)

    def _refuses_attachments(self, size: Size) -> bool:
        return 0 < self.attachments_bytes < size.attachments_bytes

    def _refuses_message(self, size: Size) -> bool:
        return self.message_bytes is not None and 0 < self.message_bytes < size.message_bytes

    def words(self, size: Size) -> str:
        """Say which limit is in the way."""
        if self._refuses_attachments(size):
            return f"{self.name} takes {_at_most(self.attachments_bytes)}"
        if self._refuses_message(size):
            return f"{self.name} takes messages of {_at_most(self.message_bytes or 0)}"
        return f"{self.name} did not take it"


def limit_of(known: Known, *, fingerprint: str, now: datetime) -> int | None:
    """Return the octets of a message the server is believed to take; 0: no limit, None: not known."""
    is_believed = known.size_until is not None and now < known.size_until
    return known.size_limit if is_believed and known.size_fingerprint == fingerprint else None


def is_news(known: Known, limit: int, *, is_refusal: bool, fingerprint: str, now: datetime) -> bool:
    """Whether a limit seen now is to be written down.

    A refusal stands over what the server announces, unless that is less; what is known for long is renewed.
    """
    before = limit_of(known, fingerprint=fingerprint, now=now)
    is_less = 0 < limit < (before or limit + 1)
    if before is None or is_less:
        return True
    if is_refusal or known.size_is_refusal:
        return False
    is_old = known.size_until is not None and known.size_until - now < BELIEVED / 2
    return limit != before or is_old


def words(size: Size, rooms: Sequence[Room]) -> str:
    """Say how large the message is and what the servers take.

    >>> words(Size(14_200_000, 14_210_000), [Room("EU relay", 10_000_000), Room("Backup", 12_000_000)])
    'attachments 14.2 MB; EU relay takes 10 MB, Backup takes 12 MB'
    """
    by_attachments = any(0 < room.attachments_bytes < size.attachments_bytes for room in rooms)
    by_message = any(room.takes(Size(size.attachments_bytes, 0)) and not room.takes(size) for room in rooms)
    own = [f"attachments {_at_least(size.attachments_bytes)}"] if by_attachments else []
    if by_message or not own:
        own.append(f"whole message {_at_least(size.message_bytes)}")
    return f"{', '.join(own)}; {', '.join(room.words(size) for room in rooms)}"


#: What `words` says before the first name.
_OWN_SIZE = re.compile(
    r"((?:attachments|whole message) [\d.]+ [kM]B(?:, whole message [\d.]+ [kM]B)?); .*", re.DOTALL
)


def without_names(text: str) -> str:
    """Return what `words` said with no name of a profile in it; any other text as it is.

    >>> without_names("attachments 14.2 MB; EU relay takes 10 MB, Backup takes 12 MB")
    'attachments 14.2 MB'
    >>> without_names("552 5.3.4 Message too big; EU")
    '552 5.3.4 Message too big; EU'
    """
    found = _OWN_SIZE.fullmatch(text)
    return found[1] if found else text


def _at_least(size_bytes: int) -> str:
    return _shown(-(-size_bytes // _unit(size_bytes)), size_bytes)


def _at_most(size_bytes: int) -> str:
    return _shown(size_bytes // _unit(size_bytes), size_bytes)


def _unit(size_bytes: int) -> int:
    """Return a tenth of the unit that is shown: sizes are rounded up and limits down, or both look alike."""
    return MEGABYTE // 10 if size_bytes >= MEGABYTE else 100


def _shown(tenths: int, size_bytes: int) -> str:
    return f"{tenths / 10:.1f}".removesuffix(".0") + (" MB" if size_bytes >= MEGABYTE else " kB")
