"""What the queue knows of each profile."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from delivery import assignment
from delivery.learned import Bearable, bearable
from delivery.models import Breaker, Paused, Pool, ProfileState, QueueEntry, Slot, Stat
from delivery.stats.counts import CAP
from smtp_settings.models import SMTPProfile


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned of a server with its present settings, as the row has it."""

    connections: int | None = None
    connections_at: datetime | None = None
    crowded: int = 0
    session_messages: int | None = None
    session_messages_at: datetime | None = None
    recipients: int | None = None
    recipients_at: datetime | None = None


NOTHING_LEARNED = Learned()


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
    learned: Learned = NOTHING_LEARNED
    max_connections: int = 1

    @property
    def bears(self) -> Bearable:
        """What the server bears now, as far as it was learned."""
        return bearable(self.learned, most_connections=self.max_connections, now=timezone.now())

    @property
    def may_delete(self) -> bool:
        """Whether no message waits for this profile alone."""
        return not self.pinned


def profile_facts(ids: Collection[int]) -> dict[int, ProfileNumbers]:
    """Return the numbers of each profile asked for, in two statements however many there are."""
    if not ids:
        return {}
    waiting, pinned = _waiting()
    known = {row["profile_id"]: row for row in _numbers(ids)}
    return {
        profile_id: ProfileNumbers(
            **known.get(profile_id, {"profile_id": profile_id}),
            waiting=min(waiting[profile_id], CAP),
            pinned=min(pinned[profile_id], CAP),
        )
        for profile_id in ids
    }


# A count that stops: a pool with a million rows is read as far as the cap. The first row also brings the
# profiles that may be chosen, as arguments of `_Candidate`: a statement less for every page with a number.
_PER_POOL = """
SELECT pool.id, pool.site_id, pool.sender_domain, pool.profile_id, counted.rows,
       CASE WHEN row_number() OVER () = 1 THEN candidates.found END
FROM {pool} pool
CROSS JOIN LATERAL (SELECT count(*) AS rows FROM (
  SELECT 1 FROM {entry} e WHERE e.lease_id IS NULL AND e.pool_id = pool.id LIMIT %(cap)s) capped) counted
CROSS JOIN (
  SELECT json_agg(json_build_object(
           'profile_id', p.id, 'is_default', p.is_default, 'priority', p.priority,
           'site_ids', ARRAY(SELECT site_id FROM {profile_sites} WHERE smtpprofile_id = p.id),
           'sender_domains', p.sender_domains) ORDER BY p.id) AS found
  FROM {profile} p WHERE p.enabled AND NOT p.is_draft) AS candidates
WHERE counted.rows > 0
"""

# Of profiles that exist. `sequential_until` only while it binds the present settings: `dispatcher.server`
# asks the same.
_OF_PROFILES = """
SELECT p.id AS profile_id,
       day.sent AS sent_24h, day.deferred AS deferred_24h, day.failed AS failed_24h, day.ms,
       slots.total AS connections, slots.used AS connections_in_use,
       state.breaker, state.open_until, state.paused, state.reason, state.paused_by_id, state.changed_at,
       CASE WHEN state.sequential_until > %(now)s
             AND starts_with(p.cleared_fingerprint, state.sequential_fingerprint)
            THEN state.sequential_until END AS sequential_until,
       p.max_connections,
       known.connections, known.connections_at, known.crowded, known.session_messages,
       known.session_messages_at, known.recipients, known.recipients_at
FROM {profile} p
LEFT JOIN (
  SELECT profile_id, sum(sent)::int AS sent, sum(deferred)::int AS deferred, sum(failed)::int AS failed,
         (sum(ms) / nullif(sum(sent) + sum(deferred) + sum(failed), 0))::int AS ms
  FROM {stat} WHERE minute >= %(now)s - interval '1 day' AND profile_id = ANY(%(ids)s) GROUP BY profile_id
) day ON day.profile_id = p.id
LEFT JOIN (
  SELECT profile_id, count(*)::int AS total, count(worker_id)::int AS used
  FROM {slot} WHERE profile_id = ANY(%(ids)s) GROUP BY profile_id
) slots ON slots.profile_id = p.id
LEFT JOIN {profile_state} state ON state.profile_id = p.id
LEFT JOIN {profile_state} known ON known.profile_id = p.id AND known.learned_fingerprint <> ''
  AND starts_with(p.cleared_fingerprint, known.learned_fingerprint)
WHERE p.id = ANY(%(ids)s)
"""
_MODELS: dict[str, Any] = {  # Any: models
    "pool": Pool,
    "entry": QueueEntry,
    "profile": SMTPProfile,
    "profile_sites": SMTPProfile.sites.through,
    "stat": Stat,
    "slot": Slot,
    "profile_state": ProfileState,
}
_TABLES = {name: f'"{model._meta.db_table}"' for name, model in _MODELS.items()}  # documented


@dataclass(frozen=True, slots=True)
class _Pool:
    """A route with messages, as assignment asks for it."""

    id: int
    site_id: int | None
    sender_domain: str | None
    profile_id: int | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A profile as assignment asks for it."""

    profile_id: int
    is_default: bool
    priority: str
    site_ids: frozenset[int]
    sender_domains: frozenset[str]


def _waiting() -> tuple[Counter[int], Counter[int]]:
    """Count waiting messages by the profile that comes first, and the pinned ones by their profile."""
    waiting: Counter[int] = Counter()
    pinned: Counter[int] = Counter()
    counted = _rows(_PER_POOL, {"cap": CAP})
    candidates = [_candidate(one) for one in (counted[0][-1] or ())] if counted else []
    for *route, rows, _found in counted:
        pool = _Pool(*route)
        if pool.profile_id is not None:
            pinned[pool.profile_id] += rows
            waiting[pool.profile_id] += rows
        elif chosen := assignment.order(candidates, pool)[:1]:
            waiting[chosen[0]] += rows
    return waiting, pinned


def _candidate(found: dict[str, Any]) -> _Candidate:  # Any: a field each
    sets = {name: frozenset(found[name]) for name in ("site_ids", "sender_domains")}
    return _Candidate(**{**found, **sets})


def _numbers(ids: Collection[int]) -> list[dict[str, Any]]:  # Any: a field of ProfileNumbers each
    """Read the last day, the connections and the state of these profiles; what is not known is left out."""
    left_out = ("waiting", "pinned", "learned")
    names = [field.name for field in fields(ProfileNumbers) if field.name not in left_out]
    found = []
    for row in _rows(_OF_PROFILES, {"ids": sorted(ids), "now": timezone.now()}):
        own, others = row[: len(names)], row[len(names) :]
        known = {name: value for name, value in zip(names, own, strict=True) if value is not None}
        if any(value is not None for value in others):
            known["learned"] = Learned(*others)
        if "breaker" in known:
            known |= {"breaker": Breaker(known["breaker"]), "paused": Paused(known["paused"])}
        found.append(known)
    return found


def _rows(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:  # Any: a column each
    with connection.cursor() as cursor:
        cursor.execute(statement.format(**_TABLES), values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
