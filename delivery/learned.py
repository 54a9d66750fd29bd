"""What a server bears, as far as it was learned from its refusals, and how long that is believed. Pure.

A crowded server gets seven tenths of the connections it had, and one more after each clean minute. The wait
doubles with each time it was crowded, so that a limit that stands is rarely tried; a refused connection
delays mail. What holds for sessions and recipients is believed for a week, then tried again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

#: So long a limit of sessions or recipients is believed.
BELIEVED = timedelta(days=7)
_CLEAN = timedelta(minutes=1)
#: Crowded so often, the wait for one connection more is 17 hours and grows no more.
_MOST_CROWDED = 11


class Known(Protocol):
    """What is written down of a server; `crowded` counts how often it was, and an `_at` says when last."""

    @property
    def connections(self) -> int | None:
        """Connections at that time."""

    @property
    def connections_at(self) -> datetime | None:
        """When it refused one more."""

    @property
    def crowded(self) -> int:
        """How often it did."""

    @property
    def session_messages(self) -> int | None:
        """Messages after which it ends a session."""

    @property
    def session_messages_at(self) -> datetime | None:
        """When that was seen."""

    @property
    def recipients(self) -> int | None:
        """Recipients it takes in one message."""

    @property
    def recipients_at(self) -> datetime | None:
        """When it refused one more."""


@dataclass(frozen=True, slots=True)
class Bearable:
    """What a server bears now; None: nothing is known, or not believed any more."""

    connections: int | None = None
    session_messages: int | None = None
    recipients: int | None = None


def bearable(known: Known, *, most_connections: int, now: datetime) -> Bearable:
    """Return what a server with these settings bears now, by what is written down of it."""
    return Bearable(
        connections=_connections(known, most_connections, now),
        session_messages=known.session_messages if _is_believed(known.session_messages_at, now) else None,
        recipients=known.recipients if _is_believed(known.recipients_at, now) else None,
    )


def _connections(known: Known, most: int, now: datetime) -> int | None:
    if known.connections is None or known.connections_at is None:
        return None
    more = max(0, (now - known.connections_at) // clean_wait(known.crowded))
    connections = known.connections + more
    return connections if connections < most else None


def clean_wait(crowded: int) -> timedelta:
    """Return how long a server must not have been crowded for one connection more.

    >>> [clean_wait(crowded) / timedelta(minutes=1) for crowded in (1, 2, 3)]
    [1.0, 2.0, 4.0]
    """
    times: int = 2 ** (min(max(crowded, 1), _MOST_CROWDED) - 1)
    return _CLEAN * times


def fewer(connections: int) -> int:
    """Return how many connections a server gets that found so many too many.

    >>> [fewer(connections) for connections in (10, 7, 4, 2, 1)]
    [7, 4, 2, 1, 1]
    """
    return max(1, connections * 7 // 10)


def _is_believed(at: datetime | None, now: datetime) -> bool:
    return at is not None and now - at < BELIEVED
