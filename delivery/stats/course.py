"""How mail went over time: what was sent and failed, and how much waited, span by span.

The caller cuts the time: hours and days are those of a zone, and one of them may be missing or there twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from delivery.models import Backlog, Stat


@dataclass(frozen=True, slots=True)
class Traffic:
    """What all workers did in one span."""

    sent: int = 0
    failed: int = 0


# The minutes' rows are sorted into the spans by a search among their beginnings.
_TRAFFIC = """
SELECT width_bucket(minute, %(starts)s::timestamptz[]), sum(sent), sum(failed)
FROM {stat} WHERE minute >= %(first)s GROUP BY 1
"""
_WAITING = """
SELECT width_bucket(minute, %(starts)s::timestamptz[]), max(waiting)
FROM {backlog} WHERE minute >= %(first)s GROUP BY 1
"""


def traffic(starts: Sequence[datetime]) -> list[Traffic]:
    """Sum the minutes' counts by spans: each goes to the next beginning, the last one up to now."""
    found = {place: Traffic(int(sent), int(failed)) for place, sent, failed in _asked(_TRAFFIC, starts)}
    return [found.get(place, Traffic()) for place in range(1, len(starts) + 1)]


def waiting(starts: Sequence[datetime]) -> list[int | None]:
    """Return the most that waited in each span, as `traffic` has them; None where nobody noted it."""
    found = {place: most for place, most in _asked(_WAITING, starts)}  # noqa: C416  # dict() needs pairs
    return [found.get(place) for place in range(1, len(starts) + 1)]


def _asked(statement: str, starts: Sequence[datetime]) -> list[tuple[int, ...]]:
    tables = {"stat": f'"{Stat._meta.db_table}"', "backlog": f'"{Backlog._meta.db_table}"'}  # documented
    with connection.cursor() as cursor:
        cursor.execute(statement.format(**tables), {"starts": list(starts), "first": starts[0]})
        found: list[tuple[int, ...]] = cursor.fetchall()
        return found
