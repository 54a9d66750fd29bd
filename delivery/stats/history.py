"""What was sent when, what fails most, and who works."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Count, Max, QuerySet, Sum
from django.utils import timezone

from delivery.models import Failure, QueueEntry, SmallState, Stat, Worker

#: A session silent for longer counts as gone, as when its messages are taken back.
_STALE = timedelta(seconds=45)
#: Newest failures that are grouped.
_FAILURES = 10_000
_WORKERS = 50


@dataclass(frozen=True, slots=True)
class Totals:
    """What all workers did in a span of time."""

    sent: int = 0
    deferred: int = 0
    failed: int = 0
    uncertain: int = 0


def totals(since: timedelta) -> Totals:
    """Sum the minutes' counts of the last hour, day or other span."""
    names = ("sent", "deferred", "failed", "uncertain")
    found = Stat.objects.filter(minute__gte=timezone.now() - since).aggregate(
        **{f"{name}_sum": Sum(name) for name in names}
    )
    return Totals(*(found[f"{name}_sum"] or 0 for name in names))


@dataclass(frozen=True, slots=True)
class FrequentFailure:
    """Messages that ended alike: the same cause, code and profile."""

    state: SmallState
    cause: str
    code: int | None
    profile_id: int | None
    count: int
    last_at: datetime


def frequent_failures(since: timedelta, limit: int = 10) -> list[FrequentFailure]:
    """Group the newest 10,000 failures of a span by how they ended, most frequent first."""
    newest = Failure.objects.filter(at__gte=timezone.now() - since).order_by("-message_id")[:_FAILURES]
    rows = (
        Failure.objects.filter(pk__in=newest.values("pk"))
        .values_list("state", "cause", "code", "profile_id")
        .annotate(number=Count("pk"), last_at=Max("at"))
        .order_by("-number", "cause")[:limit]
    )
    return [FrequentFailure(SmallState(row[0]), *row[1:]) for row in rows]


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Messages that need a person for the same cause after the same profile."""

    cause: str
    profile_id: int | None
    count: int
    last_at: datetime


# With IN the planner may rather read every failure there is.
_GROUPS = """
SELECT cause, profile_id, count(*), max(at)
FROM (SELECT cause, profile_id, at FROM {failure} WHERE state = %(state)s ORDER BY at DESC LIMIT %(newest)s)
  AS newest
GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT %(limit)s
"""


def failure_groups(state: SmallState, limit: int = 8) -> list[FailureGroup]:
    """Group the newest 10,000 messages that ended so by cause and profile, the largest group first."""
    with connection.cursor() as cursor:
        cursor.execute(
            _GROUPS.format(failure=f'"{Failure._meta.db_table}"'),  # documented
            {"state": int(state), "newest": _FAILURES, "limit": limit},
        )
        return [FailureGroup(*row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class WorkerNumbers:
    """One worker session: `is_live` when it beat of late, `holds` the messages it has leased."""

    id: int
    host: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime
    is_live: bool
    is_stopping: bool
    holds: int


def workers() -> list[WorkerNumbers]:
    """Return the newest sessions that have not ended, a silent one too: it is news until it is buried."""
    holds = dict(
        QueueEntry.objects.filter(lease_id__isnull=False)
        .values_list("lease_id")
        .annotate(number=Count("pk"))
        .values_list("lease_id", "number")
    )
    now = timezone.now()
    return [
        WorkerNumbers(
            id=worker.pk,
            host=worker.host,
            pid=worker.pid,
            started_at=worker.started_at,
            heartbeat_at=worker.heartbeat_at,
            is_live=now - worker.heartbeat_at < _STALE,
            is_stopping=worker.state == Worker.State.STOPPING,
            holds=holds.get(worker.pk, 0),
        )
        for worker in _sessions().exclude(state=Worker.State.DEAD)[:_WORKERS]
    ]


def last_heartbeat_at() -> datetime | None:
    """Return when a worker was last heard of, whether it lives or not."""
    return max((worker.heartbeat_at for worker in _sessions()[:_WORKERS]), default=None)


def _sessions() -> QuerySet[Worker]:
    """Return the sessions of workers, the newest first: a program that sends its own mail is none."""
    return Worker.objects.filter(at_once=False).order_by("-id")
