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
from delivery.models import Breaker, Incident, Paused, Pool, ProfileState, QueueEntry, Slot, Stat
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
    files_since: datetime | None = None  #: the oldest file that stays in its pickup directory

    @property
    def bears(self) -> Bearable:
        """What the server bears now, as far as it was learned."""
        return bearable(self.learned, most_connections=self.max_connections, now=timezone.now())

    @property
    def may_delete(self) -> bool:
        """Whether no message waits for this profile alone."""
        return not self.pinned


def profile_facts(ids: Collection[int]) -> dict[int, ProfileNumbers]:
    """Return the numbers of each profile asked for, in one statement however many there are."""
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, {"ids": sorted(ids), "now": timezone.now(), "cap": CAP})
        rows = cursor.fetchall()
    waiting, pinned = _waiting(rows[0][0] if rows else {})
    known = {row["profile_id"]: row for row in map(_numbers, rows)}
    return {
        profile_id: ProfileNumbers(
            **known.get(profile_id, {"profile_id": profile_id}),
            waiting=min(waiting[profile_id], CAP),
            pinned=min(pinned[profile_id], CAP),
        )
        for profile_id in ids
    }


# A count that stops: a pool with a million rows is read as far as the cap. Where any message waits, also the
# profiles that may be chosen, as arguments of `_Candidate`.
_WAITING = """
SELECT json_build_object('pools', pools.found, 'candidates', CASE WHEN pools.found IS NOT NULL THEN (
  SELECT json_agg(json_build_object(
           'profile_id', p.id, 'is_default', p.is_default, 'priority', p.priority,
           'site_ids', ARRAY(SELECT site_id FROM {profile_sites} WHERE smtpprofile_id = p.id),
           'sender_domains', lower(p.sender_domains::text)::text[]) ORDER BY p.id)
  FROM {profile} p WHERE p.enabled AND NOT p.is_draft) END) AS found
FROM (
  SELECT json_agg(json_build_array(
           pool.id, pool.site_id, pool.sender_domain, pool.profile_id, counted.rows)) AS found
  FROM {pool} pool
  CROSS JOIN LATERAL (SELECT count(*) AS rows FROM (
    SELECT 1 FROM {entry} e WHERE e.lease_id IS NULL AND e.pool_id = pool.id LIMIT %(cap)s) capped) counted
  WHERE counted.rows > 0) AS pools
"""

# Of profiles that exist; the first row also brings what waits. `sequential_until` only while it binds the
# present settings: `dispatcher.server` asks the same.
_OF_PROFILES = """
SELECT CASE WHEN row_number() OVER () = 1 THEN waiting.found END,
       p.id AS profile_id,
       day.sent AS sent_24h, day.deferred AS deferred_24h, day.failed AS failed_24h, day.ms,
       slots.total AS connections, slots.used AS connections_in_use,
       state.breaker, state.open_until, state.paused, state.reason, state.paused_by_id, state.changed_at,
       CASE WHEN state.sequential_until > %(now)s
             AND starts_with(p.cleared_fingerprint, state.sequential_fingerprint)
            THEN state.sequential_until END AS sequential_until,
       p.max_connections, files.began_at AS files_since,
       known.connections, known.connections_at, known.crowded, known.session_messages,
       known.session_messages_at, known.recipients, known.recipients_at
FROM {profile} p
CROSS JOIN ({waiting}) AS waiting
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
LEFT JOIN {incident} files ON files.kind = 'pickup' AND files.subject = 'profile ' || p.id
  AND files.ended_at IS NULL AND p.transport = 'pickup'
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
    "incident": Incident,
}
_TABLES = {name: f'"{model._meta.db_table}"' for name, model in _MODELS.items()}  # documented
_STATEMENT = _OF_PROFILES.format(**_TABLES, waiting=_WAITING.format(**_TABLES))


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


def _waiting(found: dict[str, Any]) -> tuple[Counter[int], Counter[int]]:  # Any: JSON
    """Count waiting messages by the profile that comes first, and the pinned ones by their profile."""
    waiting: Counter[int] = Counter()
    pinned: Counter[int] = Counter()
    candidates = [_candidate(one) for one in found.get("candidates") or ()]
    for *route, rows in found.get("pools") or ():
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


_LEFT_OUT = ("waiting", "pinned", "learned")
_NAMES = [field.name for field in fields(ProfileNumbers) if field.name not in _LEFT_OUT]


def _numbers(row: tuple[Any, ...]) -> dict[str, Any]:  # Any: a field of ProfileNumbers each
    """Read the last day, the connections and the state of a profile; what is not known is left out."""
    own, learned = row[1 : len(_NAMES) + 1], row[len(_NAMES) + 1 :]
    known = {name: value for name, value in zip(_NAMES, own, strict=True) if value is not None}
    if any(value is not None for value in learned):
        known["learned"] = Learned(*learned)
    if "breaker" in known:
        known |= {"breaker": Breaker(known["breaker"]), "paused": Paused(known["paused"])}
    return known
