"""What the queue knows of each profile."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Sum
from django.utils import timezone

from delivery import assignment
from delivery.models import Breaker, Paused, Pool, ProfileState, QueueEntry, Slot, Stat
from delivery.stats.counts import CAP
from smtp_settings.models import SMTPProfile

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ProfileNumbers:
    """One profile as the queue sees it.

    `waiting` counts the messages for which it is the first choice, at most `CAP`, `pinned` those that only
    it may send. `ms` is the mean time of an attempt in the last day, None without one.
    """

    profile_id: int
    waiting: int = 0
    pinned: int = 0
    sent_24h: int = 0
    deferred_24h: int = 0
    failed_24h: int = 0
    ms: int | None = None
    connections: int = 0
    connections_in_use: int = 0
    breaker: Breaker = Breaker.CLOSED
    open_until: datetime | None = None
    paused: Paused = Paused.NO
    reason: str = ""
    paused_by_id: int | None = None
    changed_at: datetime | None = None  #: of breaker or pause
    sequential_until: datetime | None = None  #: not pipelined to, with the present settings; None: it may be

    @property
    def may_delete(self) -> bool:
        """Whether no message waits for this profile alone."""
        return not self.pinned


def profile_facts(ids: Collection[int]) -> dict[int, ProfileNumbers]:
    """Return the numbers of each profile asked for, in a constant number of statements."""
    if not ids:
        return {}
    sources = (*_waiting(), _last_day(ids), _connections(ids), _states(ids))
    facts: _Numbers = {profile_id: {} for profile_id in ids}
    for source in sources:
        for profile_id in facts.keys() & source.keys():
            facts[profile_id] |= source[profile_id]
    return {profile_id: ProfileNumbers(profile_id, **numbers) for profile_id, numbers in facts.items()}


_Numbers = dict[int, dict[str, Any]]  # Any: a field of ProfileNumbers each

# A count that stops: a pool with a million rows is read as far as the cap.
_PER_POOL = """
SELECT pool.id, counted.rows FROM {pool} pool
CROSS JOIN LATERAL (SELECT count(*) AS rows FROM (
  SELECT 1 FROM {entry} e WHERE e.lease_id IS NULL AND e.pool_id = pool.id LIMIT %(cap)s) capped) counted
WHERE counted.rows > 0
"""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A profile as assignment asks for it."""

    profile_id: int
    is_default: bool
    priority: str
    site_ids: frozenset[int]
    sender_domains: frozenset[str]


def _waiting() -> tuple[_Numbers, _Numbers]:
    """Count waiting messages by the profile that comes first, and the pinned ones by their profile."""
    per_pool = _rows_per_pool()
    pools = Pool.objects.in_bulk(per_pool)
    candidates = [
        _Candidate(
            profile.pk,
            profile.is_default,
            profile.priority,
            frozenset(site.pk for site in profile.sites.all()),
            frozenset(profile.sender_domains),
        )
        for profile in SMTPProfile.objects.filter(enabled=True, is_draft=False).prefetch_related("sites")
    ]
    waiting: Counter[int] = Counter()
    pinned: Counter[int] = Counter()
    for pool_id, rows in per_pool.items():
        pool = pools[pool_id]
        if pool.profile_id is not None:
            pinned[pool.profile_id] += rows
            waiting[pool.profile_id] += rows
        elif chosen := assignment.order(candidates, pool)[:1]:
            waiting[chosen[0]] += rows
    return (
        {profile_id: {"waiting": min(rows, CAP)} for profile_id, rows in waiting.items()},
        {profile_id: {"pinned": min(rows, CAP)} for profile_id, rows in pinned.items()},
    )


def _rows_per_pool() -> dict[int, int]:
    tables = {"pool": Pool._meta.db_table, "entry": QueueEntry._meta.db_table}  # documented
    statement = _PER_POOL.format(**{name: f'"{table}"' for name, table in tables.items()})
    with connection.cursor() as cursor:
        cursor.execute(statement, {"cap": CAP})
        return dict(cursor.fetchall())


def _last_day(ids: Collection[int]) -> _Numbers:
    rows = (
        Stat.objects.filter(minute__gte=timezone.now() - _DAY, profile_id__in=ids)
        .values_list("profile_id")
        .annotate(Sum("sent"), Sum("deferred"), Sum("failed"), Sum("ms"))
    )
    return {
        profile_id: {
            "sent_24h": sent,
            "deferred_24h": deferred,
            "failed_24h": failed,
            "ms": ms // tries if (tries := sent + deferred + failed) else None,
        }
        for profile_id, sent, deferred, failed, ms in rows
    }


def _connections(ids: Collection[int]) -> _Numbers:
    rows = (
        Slot.objects.filter(profile_id__in=ids)
        .values_list("profile_id")
        .annotate(Count("id"), Count("worker_id"))
    )
    return {
        profile_id: {"connections": total, "connections_in_use": used} for profile_id, total, used in rows
    }


def _states(ids: Collection[int]) -> _Numbers:
    now = timezone.now()
    return {
        state.profile_id: {
            "breaker": Breaker(state.breaker),
            "open_until": state.open_until,
            "paused": Paused(state.paused),
            "reason": state.reason,
            "paused_by_id": state.paused_by_id,
            "changed_at": state.changed_at,
            "sequential_until": state.sequential_until if _is_sequential(state, now) else None,
        }
        for state in ProfileState.objects.filter(profile_id__in=ids).select_related("profile")
    }


def _is_sequential(state: ProfileState, now: datetime) -> bool:
    """Whether workers do not pipeline to the profile, as it is now (`dispatcher.server` asks the same)."""
    is_known = state.sequential_until is not None and now < state.sequential_until
    return is_known and state.profile.cleared_fingerprint.startswith(state.sequential_fingerprint)
