"""All of the upkeep at once, for a person in a hurry."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import transaction

from delivery.queue.statements import run
from delivery.upkeep.kinds import KINDS, Chunk, Kind
from delivery.upkeep.retention import Retention
from delivery.upkeep.stepping import LOCK

#: What `states` can narrow down; the rest has no state.
_BY_STATE = ("contents", "messages", "failures")


@dataclass(frozen=True, slots=True)
class Progress:
    """One chunk was gone through: how many rows of a kind went, or would go."""

    kind: str
    removed: int


def purge(
    retention: Retention, *, states: Sequence[str] = (), is_rehearsal: bool = False
) -> Iterator[Progress]:
    """Go through every kind, a chunk and a transaction at a time; with `states` only through their messages.

    A worker that is at a chunk is waited for. Stop after any chunk: the next call finds the rest. A rehearsal
    removes and locks nothing; content that goes with its message is not counted apart.
    """
    for kind in KINDS:
        if states and kind.name not in _BY_STATE:
            continue
        cursor, is_last = "", False
        while not is_last:
            chunk = _chunk(kind, retention, cursor, states, is_rehearsal=is_rehearsal)
            cursor, is_last = chunk.cursor, chunk.is_last
            yield Progress(kind.name, chunk.removed)


def _chunk(
    kind: Kind, retention: Retention, cursor: str, states: Sequence[str], *, is_rehearsal: bool
) -> Chunk:
    with transaction.atomic():
        if not is_rehearsal:
            run("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})
        return kind.run(retention, cursor, states=states, is_rehearsal=is_rehearsal)
