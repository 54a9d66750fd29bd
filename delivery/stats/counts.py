"""How many messages stand where, and how long the oldest waits."""

from datetime import datetime, timedelta
from enum import StrEnum

from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Min, Q, Value
from django.db.models.functions import Now
from django.utils import timezone

from delivery.models import Failure, Message, MessagePriority, Pool, QueueEntry, SmallState

#: A count that reaches this means "more than 10,000".
CAP = 10_001
#: Entries looked at for the totals: 51 ms, measured.
_ENTRIES = 1_000_000
#: Newest messages looked at for the ends that are listed nowhere else.
_NEWEST = 100_000


class MessageState(StrEnum):
    """The nine states of a message, as people see them."""

    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    SENT = "sent"
    FAILED = "failed"
    HELD = "held"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"


_LISTED = {
    SmallState.FAILED: MessageState.FAILED,
    SmallState.HELD: MessageState.HELD,
    SmallState.EXPIRED: MessageState.EXPIRED,
}
_ENDED = {
    SmallState.SENT: MessageState.SENT,
    SmallState.CANCELLED: MessageState.CANCELLED,
    SmallState.SUPPRESSED: MessageState.SUPPRESSED,
}


def counts() -> dict[MessageState, int]:
    """Count messages by state, each at most `CAP`.

    Sent, cancelled and suppressed ones are listed nowhere else: they are counted among the newest 100,000.
    """
    open_entries = QueueEntry.objects.values("lease_id", "attempts", "drops")[:_ENTRIES]
    waits, tried = Q(lease_id=None), Q(attempts__gt=0) | Q(drops__gt=0)
    found: dict[str, int] = open_entries.aggregate(
        queued=Count(Value(1), filter=waits & ~tried),
        sending=Count(Value(1), filter=~waits),
        deferred=Count(Value(1), filter=waits & tried),
    )
    ended = (
        Message.objects.order_by("-id")
        .values("state")[:_NEWEST]
        .aggregate(**{name: Count(Value(1), filter=Q(state=state)) for state, name in _ENDED.items()})
    )
    listed = {name: Failure.objects.filter(state=state)[:CAP].count() for state, name in _LISTED.items()}
    together = found | ended | listed
    return {state: min(together[state], CAP) for state in MessageState}


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
    for priority, ready_at in _probe():
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


def _probe() -> list[tuple[int, datetime]]:
    tables = {"pool": Pool._meta.db_table, "entry": QueueEntry._meta.db_table}  # documented
    statement = _OLDEST.format(**{name: f'"{table}"' for name, table in tables.items()})
    with connection.cursor() as cursor:
        cursor.execute(statement, {"priorities": [1, 2, 3, 11, 12, 13]})
        found: list[tuple[int, datetime]] = cursor.fetchall()
        return found
