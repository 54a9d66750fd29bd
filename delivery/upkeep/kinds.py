"""The kinds of upkeep, a statement each: it looks at one chunk of rows and removes those that are over.

The walk reads `limit` rows behind the cursor and stops where all are younger than anything is kept: ids grow
with time. What a person may still act on is looked for in the entries and the failures, whatever a state
says; a row that another transaction holds is left for the next pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from delivery.queue import SmallState, WorkerState
from delivery.queue.statements import named, run
from delivery.upkeep.retention import Retention, span

#: How long a worker session that ended is remembered: its journal is looked for so long at most.
_WORKERS = timedelta(days=7)
#: Daily checks of servers are kept so long, each profile's last ones for ever.
_CHECKS = timedelta(days=30)
#: Bytes of large parts removed at once.
_BYTES = 64 * 1024 * 1024

Terms = dict[str, Any]  # Any: statement parameters

_KEPT = "unnest(%(states)s::smallint[], %(spans)s::interval[]) AS kept (state, span)"
_LONG_AGO = "now() - %(least)s::interval"
_IS_WAITING = "EXISTS (SELECT FROM {entry} e WHERE e.message_id = m.id)"
_IS_LISTED = "EXISTS (SELECT FROM {failure} f WHERE f.message_id = m.id)"

_CONTENTS = """
seen AS MATERIALIZED (
  SELECT c.message_id AS key, m.created_at >= now() - %(least)s::interval AS is_young,
         coalesce(m.done_at < now() - kept.span, false) AND NOT <waiting> AND NOT <listed> AS is_over
  FROM (SELECT message_id FROM {content} WHERE message_id > %(after)s::bigint
        ORDER BY message_id LIMIT %(limit)s) c
    LEFT JOIN {message} m ON m.id = c.message_id LEFT JOIN <kept> ON kept.state = m.state
), gone AS (
  DELETE FROM {content} c USING seen WHERE c.message_id = seen.key AND seen.is_over RETURNING c.message_id
)"""

_MESSAGES = """
seen AS MATERIALIZED (
  SELECT m.id AS key, m.created_at >= now() - %(least)s::interval AS is_young,
         coalesce(m.done_at < now() - kept.span, false) AND NOT <waiting> AND NOT <listed> AS is_over
  FROM (SELECT id, state, created_at, done_at FROM {message} WHERE id > %(after)s::bigint
        ORDER BY id LIMIT %(limit)s) m
    LEFT JOIN <kept> ON kept.state = m.state
), gone AS (
  DELETE FROM {message} m USING seen
  WHERE m.id = seen.key AND seen.is_over AND m.state = ANY(%(states)s::smallint[]) RETURNING m.id
), emptied AS (DELETE FROM {content} c USING gone WHERE c.message_id = gone.id
)"""

# Put back by a person meanwhile: then the row is gone or locked, and everything of it stays.
_FAILURES = """
seen AS MATERIALIZED (
  SELECT f.message_id AS key, m.created_at >= now() - %(least)s::interval AS is_young,
         coalesce(f.at < now() - kept.span, false) AS is_over
  FROM (SELECT message_id, state, at FROM {failure} WHERE message_id > %(after)s::bigint
        ORDER BY message_id LIMIT %(limit)s) f
    LEFT JOIN {message} m ON m.id = f.message_id LEFT JOIN <kept> ON kept.state = f.state
), over AS (
  SELECT f.message_id FROM {failure} f JOIN seen ON seen.key = f.message_id AND seen.is_over
  WHERE f.state = ANY(%(states)s::smallint[]) AND f.at < now() - %(least)s::interval
  ORDER BY f.message_id FOR UPDATE OF f SKIP LOCKED
), gone AS (
  DELETE FROM {failure} f USING over WHERE f.message_id = over.message_id RETURNING f.message_id
), emptied AS (DELETE FROM {content} c USING gone WHERE c.message_id = gone.message_id
), ended AS (DELETE FROM {message} m USING gone WHERE m.id = gone.message_id
)"""

# Rows that tell by themselves whether they are over; <born> grows with the ids.
_ROWS = """
seen AS MATERIALIZED (
  SELECT r.id AS key, r.<born> >= <long ago> AS is_young, coalesce(<over>, false) AS is_over
  FROM (SELECT * FROM <table> WHERE id > %(after)s::bigint ORDER BY id LIMIT %(limit)s) r
), gone AS (
  DELETE FROM <table> r USING seen WHERE r.id = seen.key AND seen.is_over RETURNING r.id
)"""

_OF_NO_OPEN_MESSAGE = """r.at < <long ago>
    AND NOT EXISTS (SELECT FROM {entry} e WHERE e.message_id = r.message_id)
    AND NOT EXISTS (SELECT FROM {failure} f WHERE f.message_id = r.message_id)"""

_DEAD_AND_BARE = """r.state = %(dead)s AND r.heartbeat_at < <long ago>
    AND NOT EXISTS (SELECT FROM {entry} e WHERE e.lease_id = r.id)
    AND NOT EXISTS (SELECT FROM {slot} s WHERE s.worker_id = r.id)
    AND NOT EXISTS (SELECT FROM {profile_state} p WHERE p.probe_worker_id = r.id)"""

# The last run that went so is what the pages say of a profile; a run nobody asked for is a daily check.
_NOT_THE_LAST_SUCH = """r.state NOT IN ('waiting', 'running')
    AND (coalesce(r.created_at < now() - %(kept)s::interval, false)
      OR r.kind = 'connect' AND r.user_id IS NULL AND r.created_at < <long ago>)
    AND (r.profile_id IS NULL OR EXISTS (
      SELECT FROM {test_run} n WHERE n.profile_uuid = r.profile_uuid AND n.id > r.id
        AND n.kind = r.kind AND n.state = r.state))"""

# An hour's row belongs to no worker (0): readers add rows up, whatever span they stand for. The walk takes
# whole minutes, so that none is cut in two.
_STATISTICS = """
upto AS MATERIALIZED (
  SELECT max(minute) AS minute FROM (
    SELECT minute FROM {stat}
    WHERE minute > %(after)s::timestamptz AND minute < date_trunc('hour', now() - %(least)s::interval, 'UTC')
    ORDER BY minute LIMIT %(limit)s) walk
), seen AS MATERIALIZED (
  SELECT s.minute AS key, false AS is_young, s.worker_id <> 0 AS is_over, s.profile_id, s.worker_id
  FROM {stat} s, upto WHERE s.minute > %(after)s::timestamptz AND s.minute <= upto.minute
), gone AS (
  DELETE FROM {stat} s USING seen
  WHERE seen.is_over AND (s.minute, s.profile_id, s.worker_id) = (seen.key, seen.profile_id, seen.worker_id)
  RETURNING s.*
), folded AS (
  INSERT INTO {stat} AS s
    (minute, profile_id, worker_id, sent, deferred, failed, uncertain, connects, bytes, ms)
  SELECT date_trunc('hour', minute, 'UTC'), profile_id, 0, sum(sent), sum(deferred), sum(failed),
         sum(uncertain), sum(connects), sum(bytes), sum(ms)
  FROM gone GROUP BY 1, 2
  ON CONFLICT (minute, profile_id, worker_id) DO UPDATE SET
    sent = s.sent + excluded.sent, deferred = s.deferred + excluded.deferred,
    failed = s.failed + excluded.failed, uncertain = s.uncertain + excluded.uncertain,
    connects = s.connects + excluded.connects, bytes = s.bytes + excluded.bytes, ms = s.ms + excluded.ms
)"""

# As the statistics, but an hour keeps its fullest minute: sums of what waits mean nothing.
_BACKLOG = """
upto AS MATERIALIZED (
  SELECT max(minute) AS minute FROM (
    SELECT minute FROM {backlog}
    WHERE minute > %(after)s::timestamptz AND minute < date_trunc('hour', now() - %(least)s::interval, 'UTC')
    ORDER BY minute LIMIT %(limit)s) walk
), seen AS MATERIALIZED (
  SELECT b.minute AS key, false AS is_young, b.minute <> date_trunc('hour', b.minute, 'UTC') AS is_over
  FROM {backlog} b, upto WHERE b.minute > %(after)s::timestamptz AND b.minute <= upto.minute
), gone AS (
  DELETE FROM {backlog} b USING seen WHERE seen.is_over AND b.minute = seen.key RETURNING b.*
), folded AS (
  INSERT INTO {backlog} AS b (minute, waiting)
  SELECT date_trunc('hour', minute, 'UTC'), max(waiting) FROM gone GROUP BY 1
  ON CONFLICT (minute) DO UPDATE SET waiting = greatest(b.waiting, excluded.waiting)
)"""

# Who asks for a key locks it, to read it afterwards: such a one is left alone.
_KEYS = """
seen AS MATERIALIZED (
  SELECT key, false AS is_young, true AS is_over FROM {idempotency} WHERE expires_at < now()
  ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {idempotency} i USING seen WHERE i.key = seen.key RETURNING i.key
)"""

# Two days, since a blob of today is not locked by whoever is about to name it (`queue.blobs`); one that is
# being taken into use is locked or of today, and the condition is asked again under the lock.
_BLOBS = """
walk AS MATERIALIZED (
  SELECT b.id AS key, b.size, b.last_used_on < current_date - 2 AND NOT EXISTS (
           SELECT FROM {content} c WHERE c.blob_ids @> ARRAY[b.id] AND NOT (c.blob_ids = '{{}}')) AS is_over
  FROM (SELECT id, size, last_used_on FROM {blob} WHERE id > %(after)s::bigint
        ORDER BY id LIMIT %(limit)s) b
), summed AS (
  SELECT key, is_over, sum(CASE WHEN is_over THEN size ELSE 0 END) OVER (ORDER BY key) AS bytes,
         CASE WHEN is_over THEN size ELSE 0 END AS own
  FROM walk
), seen AS MATERIALIZED (
  SELECT key, false AS is_young, is_over FROM summed WHERE bytes - own < %(bytes)s
), over AS (
  SELECT b.id FROM {blob} b JOIN seen ON seen.key = b.id AND seen.is_over
  WHERE b.last_used_on < current_date - 2 FOR UPDATE OF b SKIP LOCKED
), gone AS (
  DELETE FROM {blob} b USING over WHERE b.id = over.id RETURNING b.id
)"""

_ANSWER = """
SELECT count(*), max(key)::text, coalesce(bool_and(is_young), false), (SELECT count(*) FROM gone) FROM seen
"""


def _rows(table: str, *, born: str = "created_at", over: str) -> str:
    """Return the parts for rows of a table that are over by what they say themselves."""
    return _ROWS.replace("<table>", f"{{{table}}}").replace("<born>", born).replace("<over>", over)


def _statement(parts: str, *, is_rehearsal: bool) -> str:
    """Make the whole statement; a rehearsal counts what is over instead of removing it."""
    if is_rehearsal:  # everything behind what is seen changes something
        head = parts[: parts.index("\n)", parts.index("seen AS")) + 2]
        parts = head.replace(" FOR UPDATE SKIP LOCKED", "") + ", gone AS (SELECT FROM seen WHERE is_over)"
    words = {"<kept>": _KEPT, "<waiting>": _IS_WAITING, "<listed>": _IS_LISTED, "<long ago>": _LONG_AGO}
    for word, meaning in words.items():
        parts = parts.replace(word, meaning)
    return named("WITH " + parts + _ANSWER)


@dataclass(frozen=True, slots=True)
class Chunk:
    """What became of one chunk. `cursor` is the last key looked at; `is_last`: behind it nothing is over."""

    removed: int
    cursor: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of upkeep.

    `first` is a cursor before every key, `limit` the rows of a chunk. `walks`: it looks at rows that stay,
    too, not only at those that are over. `stays`: the next pass goes on behind the last one. `every` is the
    time between passes.
    """

    name: str
    removing: str
    counting: str
    limit: int = 1000
    first: str = "0"
    walks: bool = True
    stays: bool = False
    every: timedelta = timedelta(hours=1)

    def run(
        self,
        retention: Retention,
        cursor: str = "",
        *,
        states: Sequence[str] = (),
        is_rehearsal: bool = False,
    ) -> Chunk:
        """Go through one chunk, in the caller's transaction; `states` narrows down to ends of messages.

        What is kept for ever takes no statement.
        """
        terms = _terms(self.name, retention, states)
        if terms is None:
            return Chunk(0, "", is_last=True)
        is_all = is_rehearsal and not self.walks  # nothing goes, so the same rows would come again
        values = {**terms, "after": cursor or self.first, "limit": None if is_all else self.limit}
        [(seen, last, is_young, removed)] = run(self.counting if is_rehearsal else self.removing, values)
        return Chunk(removed, last or cursor, is_last=is_all or not seen or is_young)


def _terms(name: str, retention: Retention, states: Sequence[str]) -> Terms | None:
    """Return how long rows of a kind are kept; None for ever."""
    if name in ("contents", "messages", "failures"):
        return _of_states(name, retention, states)
    if name == "test runs":
        kept = span(retention.events)
        return {"least": min(_CHECKS, kept or _CHECKS), "kept": kept}
    least = {
        "attempts": span(retention.attempts),
        "events": span(retention.events),
        "incidents": span(retention.events),
        "webhook calls": span(retention.events),
        "jobs": span(retention.events),
        "statistics": span(retention.minutes),
        "backlog": span(retention.minutes),
        "sessions": _WORKERS,
    }.get(name, timedelta())
    return None if least is None else {"least": least, "dead": WorkerState.DEAD.value, "bytes": _BYTES}


def _of_states(name: str, retention: Retention, states: Sequence[str]) -> Terms | None:
    of_kind = ("failed", "expired") if name == "failures" else ("sent", "cancelled", "suppressed")
    wanted = [state for state in of_kind if not states or state in states]
    kept: dict[SmallState, timedelta] = (
        retention.of_contents(*wanted) if name == "contents" else retention.of_messages(*wanted)
    )
    if not kept:
        return None
    spans = list(kept.values())
    return {"states": [state.value for state in kept], "spans": spans, "least": min(spans)}


def _kind(name: str, parts: str, **options: object) -> Kind:
    removing = _statement(parts, is_rehearsal=False)
    counting = _statement(parts, is_rehearsal=True)
    return Kind(name, removing, counting, **options)  # type: ignore[arg-type]  # as Kind's fields


#: In the order in which they are gone through: contents before the messages, failures before what tells of
#: them, and the large parts at the end, when nothing names them any more.
KINDS = (
    _kind("contents", _CONTENTS),
    _kind("messages", _MESSAGES),
    _kind("failures", _FAILURES),
    _kind("attempts", _rows("attempt", born="at", over=_OF_NO_OPEN_MESSAGE)),
    _kind("events", _rows("event", born="at", over=_OF_NO_OPEN_MESSAGE)),
    _kind("incidents", _rows("incident", born="began_at", over="r.ended_at < <long ago>")),
    _kind("webhook calls", _rows("webhook_call", over="r.due_at IS NULL AND r.created_at < <long ago>")),
    _kind("test runs", _rows("test_run", over=_NOT_THE_LAST_SUCH)),
    _kind("jobs", _rows("bulk_job", over="r.ended_at < <long ago>")),
    _kind("statistics", _STATISTICS, first="-infinity", stays=True),
    _kind("backlog", _BACKLOG, first="-infinity", stays=True),
    _kind("sessions", _rows("worker", born="started_at", over=_DEAD_AND_BARE)),
    _kind("keys", _KEYS, walks=False),
    _kind("blobs", _BLOBS, limit=200, every=timedelta(hours=6)),
)
