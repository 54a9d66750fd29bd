"""One chunk of a job at a time, in a transaction of its own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from psycopg.types.json import Jsonb

from delivery.jobs.acts import Act
from delivery.jobs.choosing import Chosen, standing, walk
from delivery.jobs.life import JobState, act_of, choice_of
from delivery.queue import add_event
from delivery.queue.statements import named, rows, run

#: Messages of a chunk: some fifty milliseconds, and as many rows are locked meanwhile.
CHUNK = 500
#: A paced job does so much of a minute at once; beat calls as often.
_BREATH = timedelta(seconds=5)
#: A worker leaves a job alone that another one has just touched.
_OTHERS = timedelta(seconds=3)

# A job's row is locked while a chunk of it is done: that is all a worker has of a job, and ends with it.
_TAKE = named("""
SELECT id, action, filter, user_id, cursor_id, upper_id, per_minute FROM {bulk_job}
WHERE state = %(running)s AND next_at <= now()
  AND (id = %(mine)s OR began_at IS NULL OR heartbeat_at < now() - %(others)s::interval)
ORDER BY id = %(mine)s DESC, next_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
""")

# Whoever else holds a message is waited for, but not long: the chunk is tried again later.
_LIMITS = "SELECT set_config('lock_timeout', '5s', true), set_config('statement_timeout', '60s', true)"

_NOTE = named("""
UPDATE {bulk_job} SET cursor_id = %(cursor)s, done = done + %(done)s, skipped = %(skipped)s,
       heartbeat_at = now(), began_at = coalesce(began_at, now()), next_at = now() + %(wait)s::interval,
       state = CASE WHEN %(is_last)s THEN %(over)s ELSE state END,
       ended_at = CASE WHEN %(is_last)s THEN now() END
WHERE id = %(id)s RETURNING done
""")

_SKIPPED = named("SELECT skipped FROM {bulk_job} WHERE id = %(id)s")


@dataclass(frozen=True, slots=True)
class Step:
    """What was done. `job_id` None: no job was to be gone on with. `moved` messages may need a worker."""

    job_id: int | None = None
    moved: int = 0


@dataclass(frozen=True, slots=True)
class _Job:
    """A job as it is taken up."""

    id: int
    action: str
    filter: Mapping[str, Any]  # Any: JSON
    user_id: int | None
    cursor_id: int
    upper_id: int
    per_minute: int

    @property
    def chunk(self) -> int:
        """How many messages come next: a breath's worth of the pace, at least one."""
        if not self.per_minute:
            return CHUNK
        return max(1, min(CHUNK, round(self.per_minute * _BREATH / timedelta(minutes=1))))

    @property
    def wait(self) -> timedelta:
        """How long until the next ones."""
        return timedelta(minutes=self.chunk / self.per_minute) if self.per_minute else timedelta()


def step(mine: int | None = None) -> Step:
    """Do the next chunk of a job that is due; `mine` is the one this worker is at.

    Other workers' jobs are left alone as long as they go on with them.
    """
    with transaction.atomic():
        values = {"running": JobState.RUNNING.value, "mine": mine or 0, "others": _OTHERS}
        run(_LIMITS)
        taken = rows(_Job, _TAKE, values)
        if not taken:
            return Step()
        return _chunk(taken[0])


def _chunk(job: _Job) -> Step:
    act = act_of(job.action, job.filter)
    found = (
        walk(choice_of(job.filter), after=job.cursor_id, upper=job.upper_id, limit=job.chunk)
        if act is not None
        else []  # of another version
    )
    with_uncertain = bool(job.filter.get("with_uncertain", False))
    moved, skipped = (
        _act(act, found, job, with_uncertain=with_uncertain) if act is not None else (0, Counter())
    )
    _note(job, found, moved, skipped)
    return Step(job.id, moved)


def _act(act: Act, found: Sequence[Chosen], job: _Job, *, with_uncertain: bool) -> "tuple[int, Counter[str]]":
    """Do it; return how many it was done to, and the others by the word for why."""
    skipped: Counter[str] = Counter()
    wanted: dict[Any, list[int]] = {}  # Any: a move
    for chosen in found:
        move = act.moves.get(chosen.state)
        if move is None:
            skipped[chosen.state.value] += 1
        elif act.may_repeat and chosen.is_uncertain and not with_uncertain:
            skipped["uncertain"] += 1
        else:
            wanted.setdefault(move, []).append(chosen.id)
    moved: set[int] = set()
    for move, ids in wanted.items():
        moved.update(move(ids, user_id=job.user_id, job_id=job.id))
    left = {chosen.id: chosen.state for chosen in found if chosen.id in set().union(*wanted.values()) - moved}
    skipped.update(_why(act, left))
    return len(moved), skipped


def _why(act: Act, left: Mapping[int, Any]) -> list[str]:  # Any: a state
    """Say why it was not done: where the messages stand now, or else what the act says."""
    now = standing(list(left)) if left else {}
    as_before = [at for at, before in left.items() if now.get(at) == before]
    said = act.why_left(as_before) if as_before else {}
    return [said.get(at) or ("removed" if at not in now else now[at].value) for at in left]


def _note(job: _Job, found: Sequence[Chosen], moved: int, skipped: "Counter[str]") -> None:
    is_last = len(found) < job.chunk
    known: dict[str, int] = run(_SKIPPED, {"id": job.id})[0][0]
    total = Counter(known) + skipped
    [(done,)] = run(
        _NOTE,
        {
            "id": job.id,
            "cursor": job.upper_id if is_last else found[-1].id,
            "done": moved,
            "skipped": Jsonb(dict(total)),
            "wait": job.wait,
            "is_last": is_last,
            "over": JobState.DONE.value,
        },
    )
    if is_last:
        data = {"act": job.action, "done": done, "skipped": total.total()}
        add_event("job.done", job_id=job.id, user_id=job.user_id, data=data)
