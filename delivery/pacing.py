"""How fast a profile may send: the rates its limits imply, and when a token is to be used. Pure.

A rate is GCRA state in one row (`emission` between tokens, `tolerance` for how far ahead they may be
taken), so it holds over all workers without a counter per message. The database grants tokens; here is what
they mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

_SECOND = timedelta(seconds=1)
_WINDOWS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
#: A message is claimed at most this long before its reserved moment.
CLAIM_AHEAD = timedelta(seconds=1)
#: A moment is reserved at most this long before it comes: workers ask every half second.
TAKEN_AHEAD = timedelta(seconds=2)


class Kind(StrEnum):
    """Which limit a rate stands for."""

    SPACING = "spacing"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Rate:
    """One limit as GCRA: a token every `emission`, taken at most `tolerance` ahead."""

    kind: Kind
    emission: timedelta
    tolerance: timedelta


def rates(
    *, spacing: timedelta = timedelta(0), per_minute: int = 0, per_hour: int = 0, per_day: int = 0
) -> tuple[Rate, ...]:
    """Return the rates that a profile's limits imply; 0 means no limit.

    Per minute is a pace: one second's worth may go at once. Per hour and per day are quotas: a tenth may go
    at once and the rest follows at nine tenths of the pace, so no window of that length ever holds more
    than the limit.
    """
    found = []
    if spacing:
        found.append(Rate(Kind.SPACING, spacing, max(spacing, _SECOND)))
    if per_minute:
        emission = max(_WINDOWS["minute"] / per_minute, timedelta.resolution)
        found.append(Rate(Kind.MINUTE, emission, max(emission, _SECOND)))
    found += [_quota(kind, n) for kind, n in ((Kind.HOUR, per_hour), (Kind.DAY, per_day)) if n]
    return tuple(found)


def _quota(kind: Kind, n: int) -> Rate:
    burst = max(1, n // 10)
    emission = max(_WINDOWS[kind] / max(1, n - burst), timedelta.resolution)
    return Rate(kind, emission, burst * emission)


def want(room: int, limits: Sequence[Rate]) -> int:
    """Return how many tokens to ask for: a second's worth, at least one, at most the room.

    >>> want(100, rates(per_minute=600))
    10
    """
    slowest = max((rate.emission for rate in limits), default=timedelta(0))
    return min(room, max(1, _SECOND // slowest)) if slowest else room


def moments(base: datetime, emission: timedelta, granted: int) -> list[datetime]:
    """Return the reserved moments of spaced tokens: the first is the base, an emission lies between two."""
    return [base + i * emission for i in range(granted)]


def grace(spacing: timedelta) -> timedelta:
    """Return by how much a reserved moment may be missed; later, it would narrow the next gap."""
    return max(spacing / 10, timedelta(milliseconds=20))
