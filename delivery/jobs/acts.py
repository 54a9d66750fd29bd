"""What a job may do with messages, by the state each is in; lists and message pages do the same by hand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from delivery import queue
from delivery.queue import MessageState


class Move(Protocol):
    """Does it to these messages and returns those it was done to."""

    def __call__(
        self, ids: Iterable[int], *, user_id: int | None = None, job_id: int | None = None
    ) -> Iterable[int]:
        """Do it; `user_id` and `job_id` go into the event log."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act. `moves` says per state what is called, other states are skipped.

    `may_repeat`: an uncertain message may be delivered twice by it. `sends`: the messages go out again, so
    there may be a pace.
    """

    name: str
    moves: Mapping[MessageState, Move] = field(repr=False)
    may_repeat: bool = False
    sends: bool = False


_WAITING = (MessageState.QUEUED, MessageState.DEFERRED)

#: By name, in the order of the buttons.
ACTS = {
    act.name: act
    for act in (
        Act(
            "retry",
            {
                MessageState.FAILED: queue.put_back,
                MessageState.EXPIRED: queue.put_back,
                MessageState.DEFERRED: queue.retry_now,
            },
            may_repeat=True,
            sends=True,
        ),
        Act("release", {MessageState.HELD: queue.put_back}, may_repeat=True, sends=True),
        Act("hold", dict.fromkeys(_WAITING, queue.hold)),
        Act("cancel", dict.fromkeys((*_WAITING, MessageState.HELD), queue.cancel)),
    )
}
