"""What is wrong, as it is stored: an incident is open once, told once, ended once, however many look.

Every move is one statement guarded by the row's state: who comes second gets nothing back and tells nobody.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from delivery.incidents import Condition, Incident, Kind
from delivery.models import Breaker, Paused, SmallState
from delivery.queue.statements import named, rows, run

#: Rows of failures that are looked at; beyond, one more changes nothing.
_MOST_FAILURES = 1000
#: Attachments too large are news for so long.
TOO_LARGE_SPAN = timedelta(hours=1)
#: Held for a person by one: nobody has to be told.
_BY_A_PERSON = "person"
_TOO_LARGE = ("too_large", "size")

# A pause for a fault ends for one try now and then; until that try succeeds the fault is the same.
_SERVERS = named("""
SELECT p.id, p.name, s.paused = %(fault)s OR s.fault_version <> '' AS is_fault, s.reason, s.changed_at
FROM {profile_state} s JOIN {profile} p ON p.id = s.profile_id
WHERE p.enabled AND NOT p.is_draft AND s.paused <> %(person)s
  AND (s.paused = %(fault)s OR s.fault_version <> '' OR s.breaker <> %(closed)s)
ORDER BY p.id
""")

_FAILURES = named("""
SELECT
  (SELECT count(*) FROM (SELECT cause FROM {failure} WHERE state = %(held)s ORDER BY at DESC LIMIT %(most)s) f
   WHERE f.cause <> %(person)s),
  (SELECT count(*) FROM (SELECT cause FROM {failure}
     WHERE state = %(failed)s AND at > now() - %(span)s::interval ORDER BY at DESC LIMIT %(most)s) f
   WHERE f.cause = ANY(%(too_large)s::text[]))
""")

_HEARD = named("""
SELECT (SELECT max(heartbeat_at) FROM (SELECT heartbeat_at FROM {worker}
          WHERE NOT at_once ORDER BY id DESC LIMIT 100) w),
       statement_timestamp()
""")

_IN_USE = named("""
SELECT p.id FROM {profile} p LEFT JOIN {profile_state} s ON s.profile_id = p.id
WHERE p.enabled AND NOT p.is_draft AND coalesce(s.paused, 0) <> %(person)s
""")

_OPEN = named("""
SELECT id, kind, subject, name, words, profile_id, began_at, told_at, stage, due_at AS ends_at
FROM {incident} WHERE ended_at IS NULL AND kind = ANY(%(kinds)s::text[]) ORDER BY id
""")

_BEGIN = named("""
INSERT INTO {incident} (kind, subject, name, words, profile_id, began_at, stage, due_at)
VALUES (%(kind)s, %(subject)s, %(name)s, %(words)s, %(profile)s, coalesce(%(since)s::timestamptz, now()),
        %(stage)s::smallint, %(ends_at)s::timestamptz)
ON CONFLICT (kind, subject) WHERE ended_at IS NULL DO NOTHING RETURNING id
""")

_TELL = named("""
UPDATE {incident} SET told_at = now(), stage = %(stage)s::smallint, due_at = %(ends_at)s::timestamptz,
       words = %(words)s
WHERE kind = %(kind)s AND subject = %(subject)s AND ended_at IS NULL AND told_at IS NULL
RETURNING id
""")

# Without is_nearer: the stage alone, told of already.
_STAGE = named("""
UPDATE {incident} SET stage = %(stage)s::smallint, due_at = %(ends_at)s::timestamptz,
       told_at = CASE WHEN %(is_nearer)s THEN now() ELSE told_at END
WHERE kind = %(kind)s AND subject = %(subject)s AND ended_at IS NULL
  AND (NOT %(is_nearer)s OR stage IS NULL OR stage > %(stage)s::smallint)
RETURNING id
""")

_END = named("UPDATE {incident} SET ended_at = now() WHERE id = %(id)s AND ended_at IS NULL RETURNING id")

# Once a span for all who look, by a row of the upkeep's.
_TURN = named("""
INSERT INTO {upkeep} AS u (kind, due_at, done_at) VALUES (%(kind)s, now() + %(every)s::interval, now())
ON CONFLICT (kind) DO UPDATE SET due_at = excluded.due_at, done_at = now() WHERE u.due_at <= now()
RETURNING kind
""")


@dataclass(frozen=True, slots=True)
class FaultyServer:
    """A server that is not used although it should be. `is_fault`: paused for one, else its breaker."""

    profile_id: int
    name: str
    is_fault: bool
    reason: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class NeedyMessages:
    """How many messages are held by no person, and failed as too large lately; at most a thousand each."""

    held: int
    too_large: int


def faulty_servers() -> list[FaultyServer]:
    """Return the enabled servers that are paused for a fault or do not answer."""
    values = {"fault": Paused.FAULT.value, "person": Paused.PERSON.value, "closed": Breaker.CLOSED.value}
    return [FaultyServer(*row) for row in run(_SERVERS, values)]


def needy_messages() -> NeedyMessages:
    """Count the messages somebody has to look at."""
    values = {
        "held": SmallState.HELD.value,
        "failed": SmallState.FAILED.value,
        "person": _BY_A_PERSON,
        "too_large": list(_TOO_LARGE),
        "span": TOO_LARGE_SPAN,
        "most": _MOST_FAILURES,
    }
    [counted] = run(_FAILURES, values)
    return NeedyMessages(*counted)


def heard_of_workers() -> tuple[datetime | None, datetime]:
    """Return when a worker last reported, None for never, and what the database's clock says now."""
    [(heard_at, now)] = run(_HEARD)
    return heard_at, now


def profiles_meant_to_send() -> set[int]:
    """Return the profiles that are in use, or would be but for a fault."""
    return {profile_id for (profile_id,) in run(_IN_USE, {"person": Paused.PERSON.value})}


def open_incidents(kinds: Collection[Kind]) -> list[Incident]:
    """Return what is known to be wrong, of these kinds."""
    found = rows(Incident, _OPEN, {"kinds": [kind.value for kind in kinds]})
    known = set(Kind)
    return [_typed(one) for one in found if one.kind in known]


def begin_incident(condition: Condition, stage: int | None) -> bool:
    """Store what began; False when it is stored already."""
    return bool(run(_BEGIN, _values(condition, stage) | {"since": condition.since}))


def told_of_incident(condition: Condition, stage: int | None) -> int | None:
    """Take the right to tell of it, until the caller's commit; its id, None when somebody else has told."""
    return _id(run(_TELL, _values(condition, stage)))


def incident_comes_nearer(condition: Condition, stage: int | None, *, is_nearer: bool) -> int | None:
    """Note the stage an end has come to; with `is_nearer` as `told_of_incident`."""
    return _id(run(_STAGE, _values(condition, stage) | {"is_nearer": is_nearer}))


def end_incident(incident_id: int) -> int | None:
    """End it; its id, None when it had ended."""
    return _id(run(_END, {"id": incident_id}))


def take_turn(kind: str, *, every: timedelta) -> bool:
    """Whether it is this caller's turn to do something that all together do once in a span."""
    return bool(run(_TURN, {"kind": kind, "every": every}))


def _values(condition: Condition, stage: int | None) -> dict[str, object]:
    return {
        "kind": condition.kind.value,
        "subject": condition.subject,
        "name": condition.name,
        "words": condition.words,
        "profile": condition.profile_id,
        "stage": stage,
        "ends_at": condition.ends_at,
    }


def _id(found: Iterable[tuple[int]]) -> int | None:
    return next((incident_id for (incident_id,) in found), None)


def _typed(one: Incident) -> Incident:
    return replace(one, kind=Kind(one.kind))
