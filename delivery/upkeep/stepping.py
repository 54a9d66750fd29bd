"""One chunk of upkeep at a time, for all workers together: whoever comes first does the next one."""

from datetime import timedelta
from typing import Any

from django.db import transaction

from delivery.queue.statements import named, run
from delivery.upkeep.kinds import KINDS, Chunk, Kind
from delivery.upkeep.retention import Retention

#: Between two chunks of a kind, however many workers there are; mail needs the disk more.
PAUSE_SECONDS = 1.0
#: A worker looks so often whether something is due.
LOOK_SECONDS = 15.0
#: Any number nobody else uses for an advisory lock of this database.
LOCK = 7_262_002

# What is removed again after a crash was no loss: the commit need not wait for the disk. A chunk that takes
# longer than this is tried again later.
_BEGIN = """
SELECT pg_try_advisory_xact_lock(%(lock)s), set_config('synchronous_commit', 'off', true),
       set_config('statement_timeout', '10s', true), set_config('lock_timeout', '2s', true)
"""

_NEXT = named("""
SELECT wanted.kind, coalesce(u.cursor, ''), coalesce(extract(epoch FROM u.due_at - now()), 0)::float8
FROM unnest(%(kinds)s::text[]) WITH ORDINALITY AS wanted (kind, place) LEFT JOIN {upkeep} u USING (kind)
ORDER BY u.due_at NULLS FIRST, wanted.place LIMIT 1
""")

_NOTE = named("""
INSERT INTO {upkeep} AS u (kind, due_at, done_at, cursor, removed)
VALUES (%(kind)s, now() + %(wait)s::interval, CASE WHEN %(is_last)s THEN now() END, %(cursor)s, %(removed)s)
ON CONFLICT (kind) DO UPDATE SET due_at = excluded.due_at, cursor = excluded.cursor,
  done_at = coalesce(excluded.done_at, u.done_at), removed = u.removed + excluded.removed
""")

_BY_NAME = {kind.name: kind for kind in KINDS}


def step(retention: Retention) -> float:
    """Do the next chunk that is due, in a transaction of its own; return in how many seconds to come again.

    One worker at a time: another one that is at it is left alone. Killed in the middle, it was not begun.
    """
    with transaction.atomic():
        if not run(_BEGIN, {"lock": LOCK})[0][0]:
            return LOOK_SECONDS
        [(name, cursor, due_in)] = run(_NEXT, {"kinds": list(_BY_NAME)})
        if due_in > 0:
            return max(PAUSE_SECONDS, min(float(due_in), LOOK_SECONDS))
        kind = _BY_NAME[name]
        run(_NOTE, _noted(kind, kind.run(retention, cursor)))
        return PAUSE_SECONDS


def _noted(kind: Kind, chunk: Chunk) -> dict[str, Any]:  # Any: statement parameters
    return {
        "kind": kind.name,
        "wait": kind.every if chunk.is_last else timedelta(seconds=PAUSE_SECONDS),
        "is_last": chunk.is_last,
        "cursor": "" if chunk.is_last and not kind.stays else chunk.cursor,
        "removed": chunk.removed,
    }
