"""What a job may do with messages, by the state each is in; lists and message pages do the same by hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn, Protocol

from delivery import queue
from delivery.queue import MessageState


class Move(Protocol):
    """Does it to these messages and returns those it was done to."""

    def __call__(
        self, ids: Iterable[int], *, user_id: int | None = None, job_id: int | None = None
    ) -> Iterable[int]:
        """Do it; `user_id` and `job_id` go into the event log."""


class WhyLeft(Protocol):
    """Says why messages were left that stand as they did, by the word for it; it may not know of each."""

    def __call__(self, ids: Sequence[int]) -> Mapping[int, str]:
        """Say it."""


def _without_content(ids: Sequence[int]) -> dict[int, str]:
    return dict.fromkeys(ids, "content")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where messages are moved to: one profile alone, or with None any that serves them."""

    profile_id: int | None


@dataclass(frozen=True, slots=True)
class Act:
    """One act. `moves` says per state what is called, other states are skipped.

    `may_repeat`: an uncertain message may be delivered twice by it. `sends`: the messages go out again, so
    there may be a pace. `asks_where`: it is done with a destination only (`moving_to`), which is `to` then.
    """

    name: str
    moves: Mapping[MessageState, Move] = field(repr=False)
    may_repeat: bool = False
    sends: bool = False
    asks_where: bool = False
    to: Destination | None = None
    why_left: WhyLeft = field(default=_without_content, repr=False)


_WAITING = (MessageState.QUEUED, MessageState.DEFERRED)
_MOVED = (*_WAITING, MessageState.FAILED, MessageState.HELD, MessageState.EXPIRED)


def moving_to(to: Destination) -> Act:
    """Return the act that moves messages there."""
    move = partial(queue.move, to=to.profile_id)
    why_left = partial(queue.why_not_moved, to=to.profile_id)
    return Act("move", dict.fromkeys(_MOVED, move), asks_where=True, to=to, why_left=why_left)


def _nowhere(ids: Iterable[int], **_who: int | None) -> NoReturn:
    raise TypeError(f"It was not said where to the messages {list(ids)} are moved.")


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
        Act("move", dict.fromkeys(_MOVED, _nowhere), asks_where=True),
    )
}
