"""Jobs begun and stopped by people."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from django.db import transaction
from psycopg.types.json import Jsonb

from delivery.jobs.acts import ACTS, Act, Destination, moving_to
from delivery.jobs.choosing import Choice, estimate, newest_id
from delivery.queue import add_event
from delivery.queue.statements import named, run

#: A job nobody has touched for so long has no worker: a chunk takes a moment, and beat calls every five.
IDLE_SECONDS = 20.0

#: What is stored with the filter of a job and is none of it.
_NO_CHOICE = ("with_uncertain", "to")
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
            "filter": Jsonb({**choice.as_json(), "with_uncertain": with_uncertain, **_stored_to(act)}),
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


def _stored_to(act: Act) -> dict[str, int | None]:
    """Return what of a job says where its messages are moved to; nothing for other acts."""
    return {"to": act.to.profile_id} if act.to is not None else {}


def act_of(action: str, stored: Mapping[str, Any]) -> Act | None:  # Any: JSON
    """Return the act of a job; None for one of another version of mailconf."""
    act = ACTS.get(action)
    if act is None or not act.asks_where:
        return act
    to = destination_of(stored)
    return moving_to(to) if to is not None else None


def destination_of(stored: Mapping[str, Any]) -> Destination | None:  # Any: JSON
    """Return where a job moves its messages; None for one that moves none."""
    return Destination(stored["to"]) if "to" in stored else None


def choice_of(stored: Mapping[str, Any]) -> Choice:  # Any: JSON
    """Return which messages a job is for."""
    return Choice.from_json({name: value for name, value in stored.items() if name not in _NO_CHOICE})


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
