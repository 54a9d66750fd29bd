"""Jobs begun and stopped by people."""

from enum import StrEnum
from typing import Any

from django.db import transaction
from psycopg.types.json import Jsonb

from delivery.jobs.acts import Act
from delivery.jobs.choosing import Choice, estimate, newest_id
from delivery.queue import add_event
from delivery.queue.statements import named, run

#: A job nobody has touched for so long has no worker: a chunk takes a moment, and beat calls every five.
IDLE_SECONDS = 20.0

#: A pace of more than this a minute is none.
_FASTEST = 1_000_000


class JobState(StrEnum):
    """Where a job stands, as the table says it."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


class NothingToDo(ValueError):
    """No message that the filter shows stands so that the act is for it."""


_START = named("""
INSERT INTO {bulk_job} (action, filter, user_id, state, lower_id, cursor_id, upper_id, estimate, done,
                        skipped, per_minute, next_at)
VALUES (%(action)s, %(filter)s, %(user_id)s, %(running)s, %(first)s, %(first)s - 1, %(upper)s, %(estimate)s,
        0, %(skipped)s, %(per_minute)s, now())
RETURNING id
""")

_STOP = named("""
UPDATE {bulk_job} SET state = %(stopped)s, ended_at = now() WHERE id = %(id)s AND state = %(running)s
RETURNING action, done, skipped
""")


def start(
    act: Act, choice: Choice, *, user_id: int | None, per_minute: int = 0, with_uncertain: bool = False
) -> int:
    """Begin a job for what the filter shows now and return its number; workers are not rung.

    `per_minute`: at most so many messages a minute, 0 for no limit. `with_uncertain`: messages that may have
    arrived are not skipped. Raises NothingToDo.
    """
    with transaction.atomic():
        upper = newest_id()
        found = estimate(choice, upper=upper)
        fitting = found.fitting(list(act.moves))
        if found.first_id is None or (not fitting and not found.is_capped):
            raise NothingToDo
        values = {
            "action": act.name,
            "filter": Jsonb({**choice.as_json(), "with_uncertain": with_uncertain}),
            "user_id": user_id,
            "running": JobState.RUNNING.value,
            "first": found.first_id,
            "upper": upper,
            "estimate": sum(found.by_state.values()),
            "skipped": Jsonb({}),
            "per_minute": min(max(per_minute, 0), _FASTEST),
        }
        [(job_id,)] = run(_START, values)
        _note("job.started", job_id, user_id, {"act": act.name, "per_minute": per_minute})
        return int(job_id)


def stop(job_id: int, *, user_id: int | None) -> bool:
    """End a job behind the chunk that is being done; what was done stays. False when it was over before."""
    with transaction.atomic():
        values = {"id": job_id, "running": JobState.RUNNING.value, "stopped": JobState.STOPPED.value}
        ended = run(_STOP, values)
        for act, done, skipped in ended:
            _note(
                "job.stopped", job_id, user_id, {"act": act, "done": done, "skipped": sum(skipped.values())}
            )
        return bool(ended)


def _note(kind: str, job_id: int, user_id: int | None, data: dict[str, Any]) -> None:  # Any: JSON
    add_event(kind, job_id=job_id, user_id=user_id, data=data)
