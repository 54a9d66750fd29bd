"""Calls of the webhook still to be made: stored with what they tell, taken by one caller at a time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from delivery.queue.statements import named, rows, run

#: A caller that died: somebody else calls after so long. Twice what a call may take.
_TAKEN = timedelta(seconds=60)

_ADD = named("INSERT INTO {webhook_call} (body) VALUES (%(body)s) RETURNING id")

_TAKE = named("""
WITH next AS MATERIALIZED (
  SELECT id FROM {webhook_call} WHERE due_at <= statement_timestamp() ORDER BY due_at, id LIMIT 1
  FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE {webhook_call} c SET due_at = statement_timestamp() + %(taken)s::interval, attempts = attempts + 1
FROM next WHERE c.id = next.id RETURNING c.id, c.created_at, c.attempts, c.body
""")

# Fenced by the count: who was so slow that another one called writes nothing.
_NOTE = named("""
UPDATE {webhook_call} SET due_at = statement_timestamp() + %(again)s::interval, status = %(status)s::smallint,
       done_at = CASE WHEN %(is_taken)s THEN statement_timestamp() END, error = %(error)s
WHERE id = %(id)s AND attempts = %(attempts)s AND due_at IS NOT NULL
""")

_DROP = named("""
UPDATE {webhook_call} SET due_at = NULL
WHERE due_at IS NOT NULL AND (%(but)s::text IS NULL OR body::jsonb ->> 'kind' IS DISTINCT FROM %(but)s)
RETURNING id
""")

_GIVEN_UP = named("""
SELECT count(*) FROM {webhook_call}
WHERE due_at IS NULL AND done_at IS NULL AND error <> ''
  AND id > coalesce((SELECT max(id) FROM {webhook_call} WHERE done_at IS NOT NULL), 0)
""")


@dataclass(frozen=True, slots=True)
class DueCall:
    """One call to make now; `attempts` counts this one."""

    id: int
    created_at: datetime
    attempts: int
    body: str


def add_call(body: str) -> int:
    """Store a call, in the caller's transaction; return its id."""
    [(call_id,)] = run(_ADD, {"body": body})
    return int(call_id)


def take_call() -> DueCall | None:
    """Take the next call that is due, for a minute; None: there is none. Commits with the caller's."""
    return next(iter(rows(DueCall, _TAKE, {"taken": _TAKEN})), None)


def call_was_taken(call: DueCall, status: int) -> None:
    """Note that the receiver took it."""
    _note(call, is_taken=True, status=status)


def call_failed(call: DueCall, *, status: int | None, error: str, again_in: timedelta | None) -> None:
    """Note that it did not, and when it is called again; None: never."""
    _note(call, is_taken=False, status=status, error=error, again_in=again_in)


def drop_calls(*, but: str | None = None) -> int:
    """Give up all calls, `but` those that tell of this kind; return how many there were."""
    return len(run(_DROP, {"but": but}))


def calls_given_up() -> int:
    """Count the calls given up since the last one that was taken."""
    [(count,)] = run(_GIVEN_UP)
    return int(count)


def _note(
    call: DueCall, *, is_taken: bool, status: int | None, error: str = "", again_in: timedelta | None = None
) -> None:
    values = {"id": call.id, "attempts": call.attempts, "is_taken": is_taken, "status": status}
    run(_NOTE, values | {"error": error, "again": again_in})
