"""Take back what dead worker sessions hold."""

from datetime import timedelta
from typing import Any

from django.db import transaction

from delivery.models import Attempt, Breaker, SmallState, Worker
from delivery.queue.events import add_event
from delivery.queue.finish import finish
from delivery.queue.statements import named, run
from delivery.queue.values import Finished, Reclaimed
from delivery.queue.workers import HEARD, STALE

#: So many crashes with one message make it the culprit.
CRASHES = 3
#: Any number nobody else uses for an advisory lock of this database.
_LOCK = 7_262_001

# While the database was away, or when its clock steps, nobody was heard of: that is not the others' death.
_BEGIN = named("""
SELECT pg_try_advisory_xact_lock(%(lock)s),
       %(lease)s::bigint IS NULL OR EXISTS (SELECT FROM {worker} WHERE id = %(lease)s::bigint
         AND heartbeat_at BETWEEN now() - %(heard)s::interval AND now() + %(heard)s::interval)
""")

# Two ways to be dead: silent for too long, or named by rows and without a live session (its row was
# deleted, or it retired with work in hand). A beat of the future is of before the clock went back.
_SILENT = """
  SELECT id FROM {worker} WHERE state <> %(dead)s
    AND (heartbeat_at < now() - %(stale)s::interval OR heartbeat_at > now() + %(stale)s::interval)
  ORDER BY id LIMIT 20 FOR UPDATE SKIP LOCKED
"""
_NAMELESS = """
  SELECT held.id FROM (
    SELECT lease_id AS id FROM {entry} WHERE lease_id IS NOT NULL
    UNION SELECT worker_id FROM {slot} WHERE worker_id IS NOT NULL
    UNION SELECT probe_worker_id FROM {profile_state} WHERE probe_worker_id IS NOT NULL) held
  WHERE NOT EXISTS (SELECT 1 FROM {worker} w WHERE w.id = held.id AND w.state <> %(dead)s)
"""

_RECLAIM = """
WITH dead AS MATERIALIZED (<who>
), buried AS (UPDATE {worker} w SET state = %(dead)s FROM dead WHERE w.id = dead.id
), freed AS (UPDATE {slot} s SET worker_id = NULL, taken_at = NULL
             FROM dead WHERE s.worker_id = dead.id RETURNING s.n
), unprobed AS (UPDATE {profile_state} p SET breaker = %(open)s, probe_worker_id = NULL,
                       open_until = now() + interval '15 s'
                FROM dead WHERE p.probe_worker_id = dead.id
), back AS (
  UPDATE {entry} e SET lease_id = NULL, profile_id = NULL, last_profile_id = e.profile_id,
         crashes = e.crashes + 1, priority = e.priority %% 10 + 10,
         ready_at = now() + least(e.crashes, 5) * interval '1 min'
  FROM dead WHERE e.lease_id = dead.id
  RETURNING e.message_id, e.last_profile_id, e.attempts, e.crashes, dead.id AS worker_id
), noted AS (
  INSERT INTO {attempt} (message_id, at, worker_id, profile_id, n, outcome)
  SELECT message_id, now(), worker_id, last_profile_id, attempts + 1, %(lost)s FROM back
)
SELECT (SELECT coalesce(array_agg(id ORDER BY id), array[]::bigint[]) FROM dead),
       (SELECT count(*) FROM freed), count(*),
       coalesce(array_agg(message_id) FILTER (WHERE crashes >= %(crashes)s), array[]::bigint[]),
       coalesce(array_agg(message_id) FILTER (WHERE crashes < %(crashes)s AND last_profile_id IN (
         SELECT id FROM {profile} WHERE on_uncertain = 'hold')), array[]::bigint[])
FROM back
"""
_FROM_SILENT = named(_RECLAIM.replace("<who>", _SILENT))
_FROM_NAMELESS = named(_RECLAIM.replace("<who>", _NAMELESS))


def reclaim(stale: timedelta = STALE, *, lease: int | None = None) -> Reclaimed | None:
    """Bury silent sessions, free what they hold, suspect their messages; None when another process is at it.

    Messages come back as suspects (priority above 10), since one of them may be why the session died; with
    three crashes, or after a server whose policy is to hold, they are held. One event says what was taken
    back. `lease` is the session that does it: None, too, when that was not heard of lately itself.
    """
    with transaction.atomic():
        if not all(run(_BEGIN, {"lock": _LOCK, "lease": lease, "heard": HEARD})[0]):
            return None
        values = {
            "stale": stale,
            "dead": Worker.State.DEAD.value,
            "open": Breaker.OPEN.value,
            "lost": Attempt.Result.LOST.value,
            "crashes": CRASHES,
        }
        parts = [_record(*run(statement, values)[0]) for statement in (_FROM_SILENT, _FROM_NAMELESS)]
        return Reclaimed(
            worker_ids=tuple(worker_id for part in parts for worker_id in part.worker_ids),
            messages=sum(part.messages for part in parts),
            slots=sum(part.slots for part in parts),
            held=tuple(message_id for part in parts for message_id in part.held),
        )


def _record(
    workers: list[int], slots: int, messages: int, culprits: list[int], unsure: list[int]
) -> Reclaimed:
    """Hold what is to be held and write the event."""
    why = dict.fromkeys(unsure, "worker_lost") | dict.fromkeys(culprits, "crashes")
    held = finish(
        None, [Finished(message_id, SmallState.HELD, cause=cause) for message_id, cause in why.items()]
    )
    if workers:
        data: dict[str, Any] = {
            "workers": workers,
            "messages": messages,
            "slots": slots,
            "held": sorted(held),
        }
        add_event("worker.lost", level="warning", worker_id=workers[0], data=data)
    return Reclaimed(tuple(workers), messages, slots, tuple(sorted(held)))
