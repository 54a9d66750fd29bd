"""How many messages stand where, and how long the oldest waits."""

from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.models import Min, Q
from django.db.models.functions import Now
from django.utils import timezone

from delivery.models import Failure, Message, MessagePriority, MessageState, Pool, QueueEntry, SmallState

#: A count that reaches this means "more than 10,000".
CAP = 10_001
#: Entries looked at for the totals: 51 ms, measured.
_ENTRIES = 1_000_000
#: Newest messages looked at for the ends that are listed nowhere else.
_NEWEST = 100_000


_LISTED = (SmallState.FAILED, SmallState.HELD, SmallState.EXPIRED)

# One statement for every page's navigation: what is open, the newest ends, and what is listed as a failure.
_COUNTS = """
SELECT waiting.queued, waiting.sending, waiting.deferred, ended.sent,
       (SELECT count(*) FROM (SELECT FROM {failure} WHERE state = %(failed)s LIMIT %(cap)s) AS listed),
       (SELECT count(*) FROM (SELECT FROM {failure} WHERE state = %(held)s LIMIT %(cap)s) AS listed),
       ended.cancelled,
       (SELECT count(*) FROM (SELECT FROM {failure} WHERE state = %(expired)s LIMIT %(cap)s) AS listed),
       ended.suppressed
FROM (SELECT count(*) FILTER (WHERE lease_id IS NULL AND NOT tried) AS queued,
             count(*) FILTER (WHERE lease_id IS NOT NULL) AS sending,
             count(*) FILTER (WHERE lease_id IS NULL AND tried) AS deferred
      FROM (SELECT lease_id, attempts > 0 OR drops > 0 AS tried FROM {entry} LIMIT %(entries)s) AS entry
     ) AS waiting,
     (SELECT count(*) FILTER (WHERE state = %(sent)s) AS sent,
             count(*) FILTER (WHERE state = %(cancelled)s) AS cancelled,
             count(*) FILTER (WHERE state = %(suppressed)s) AS suppressed
      FROM (SELECT state FROM {message} ORDER BY id DESC LIMIT %(newest)s) AS newest) AS ended
"""


def counts() -> dict[MessageState, int]:
    """Count messages by state, each at most `CAP`.

    Sent, cancelled and suppressed ones are listed nowhere else: they are counted among the newest 100,000.
    """
    limits = {"entries": _ENTRIES, "newest": _NEWEST, "cap": CAP}
    [found] = _ask(_COUNTS, {**limits, **{state.name.lower(): int(state) for state in SmallState}})
    return {state: min(count, CAP) for state, count in zip(MessageState, found, strict=True)}


def cached_counts() -> dict[MessageState, int]:
    """Count as `counts` does, at most every ten seconds in this process."""
    known: dict[MessageState, int] | None = cache.get("delivery.counts")
    if known is None:
        known = counts()
        cache.set("delivery.counts", known, 10)
    return known


def uncertain_count() -> int:
    """Count the messages that a server may have accepted without our knowing, at most `CAP`."""
    waiting = QueueEntry.objects.filter(uncertain=True)[:_ENTRIES]
    held = Failure.objects.filter(uncertain=True, state__in=_LISTED)[:CAP]
    return min(waiting.count() + held.count(), CAP)


# One probe per lane: a minimum over all entries would read them all.
_OLDEST = """
SELECT lane.priority, min(found.ready_at) FROM {pool} pool
CROSS JOIN unnest(%(priorities)s::smallint[]) AS lane (priority)
CROSS JOIN LATERAL (
  SELECT e.ready_at FROM {entry} e
  WHERE e.lease_id IS NULL AND e.pool_id = pool.id AND e.priority = lane.priority AND e.ready_at <= now()
  ORDER BY e.ready_at, e.message_id LIMIT 1) AS found
GROUP BY lane.priority
"""


def oldest_ready_at() -> dict[MessagePriority, datetime]:
    """Return since when the oldest due message of each priority waits; a suspect counts for its priority."""
    found: dict[MessagePriority, datetime] = {}
    for priority, ready_at in _ask(_OLDEST, {"priorities": [1, 2, 3, 11, 12, 13]}):
        urgency = MessagePriority(priority % 10)
        found[urgency] = min(ready_at, found.get(urgency, ready_at))
    return found


def oldest_ready_age() -> timedelta | None:
    """Return how long the oldest due message has waited; None when none is due. The alert that matters."""
    oldest = min(oldest_ready_at().values(), default=None)
    return None if oldest is None else max(timezone.now() - oldest, timedelta())


def next_try_at() -> datetime | None:
    """Return when the next deferred message becomes due; scheduled ones were not tried and do not count.

    Reads every entry, as `counts` does: no index tells a deferred message from a scheduled one.
    """
    tried, later = Q(attempts__gt=0) | Q(drops__gt=0), Q(lease_id=None, ready_at__gt=Now())
    open_entries = QueueEntry.objects.values("lease_id", "attempts", "drops", "ready_at")[:_ENTRIES]
    at: datetime | None = open_entries.aggregate(at=Min("ready_at", filter=tried & later))["at"]
    return at


def _ask(statement: str, values: dict[str, Any]) -> list[Any]:  # Any: rows of any shape
    """Run a question; `{name}` in it stands for a table."""
    tables = {"pool": Pool, "entry": QueueEntry, "message": Message, "failure": Failure}
    named = {name: f'"{model._meta.db_table}"' for name, model in tables.items()}  # documented
    with connection.cursor() as cursor:
        cursor.execute(statement.format(**named), values)
        found: list[Any] = cursor.fetchall()
        return found
