"""The periods of the charts, cut into spans by the clock of a time zone; pure.

The clocks may change in between: an hour that is not there has no span, one that comes twice has two, and a
day or a quarter of one is as long as it is.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

_HOUR, _QUARTER, _DAY = timedelta(hours=1), timedelta(hours=6), timedelta(days=1)


class Period(StrEnum):
    """How far back the charts look; the word in the address."""

    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"

    @classmethod
    def of(cls, word: str | None) -> "Period":
        """Return the period an address asks for; for any other word a day."""
        try:
            return cls(word or "")
        except ValueError:
            return cls.DAY


def starts(period: Period, now: datetime) -> list[datetime]:
    """Return when each span begins, in UTC, oldest first; `now`, in a zone, lies in the last one.

    A day has 24 spans of an hour, a week 28 of six hours, a month 30 of a day.
    """
    match period:
        case Period.DAY:
            this_hour = now.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
            return [this_hour - back * _HOUR for back in range(23, -1, -1)]
        case Period.WEEK:
            return _by_the_clock(now, now.hour // 6 * 6, _QUARTER, 28)
        case Period.MONTH:
            return _by_the_clock(now, 0, _DAY, 30)


def _by_the_clock(now: datetime, hour: int, step: timedelta, number: int) -> list[datetime]:
    """Go back from this hour of today by the clock on the wall; of a time that comes twice the first.

    A time that never was, in an hour or a whole day that was left out, is when the next one is.
    """
    last = now.replace(hour=hour, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    found, next_one = [], now.astimezone(UTC)
    for back in range(number):
        next_one = min((last - back * step).replace(tzinfo=now.tzinfo).astimezone(UTC), next_one)
        found.append(next_one)
    return found[::-1]
