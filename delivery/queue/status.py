"""How messages stand, for the application that handed them over."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from delivery.models import MessageState, SmallState
from delivery.queue.statements import named, run


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """One message: `cause` is a short word ("too_large", "recipient"), "" when there is none.

    `done_at` None: it has not ended.
    """

    id: int
    state: MessageState
    cause: str = ""
    attempts: int = 0
    done_at: datetime | None = None


_STATUS = named("""
SELECT m.id, m.state, e.lease_id IS NOT NULL, coalesce(e.attempts + e.drops, 0) > 0,
       coalesce(f.cause, ''), coalesce(e.attempts, m.attempts), m.done_at
FROM {message} m LEFT JOIN {entry} e ON e.message_id = m.id LEFT JOIN {failure} f ON f.message_id = m.id
WHERE m.id = ANY(%(ids)s::bigint[])
""")


def status_of(ids: Iterable[int]) -> dict[int, MessageStatus]:
    """Return how these messages stand; an unknown id, or one past retention, is left out."""
    found = run(_STATUS, {"ids": sorted(set(ids))})
    return {
        row_id: MessageStatus(
            row_id, _state(state, is_leased=is_leased, was_tried=was_tried), cause, attempts, done_at
        )
        for row_id, state, is_leased, was_tried, cause, attempts, done_at in found
    }


def _state(state: int, *, is_leased: bool, was_tried: bool) -> MessageState:
    if state != SmallState.QUEUED:
        return MessageState(SmallState(state).name.lower())
    if is_leased:
        return MessageState.SENDING
    return MessageState.DEFERRED if was_tried else MessageState.QUEUED
