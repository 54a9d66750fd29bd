"""How long what is over is kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

from delivery.queue import SmallState

#: The states a message ends in; nothing is over before.
ENDS = {
    "sent": SmallState.SENT,
    "cancelled": SmallState.CANCELLED,
    "suppressed": SmallState.SUPPRESSED,
    "failed": SmallState.FAILED,
    "expired": SmallState.EXPIRED,
}
#: Ends that nobody has to look at.
_QUIET = ("sent", "cancelled", "suppressed")


@dataclass(frozen=True, slots=True)
class Retention:
    """Days from the end on, None for ever; of contents, of messages by state, and of what tells of them.

    `content` is of messages that ended well: a failure keeps its own as long as its row, since putting it
    back needs it. `minutes`: then the statistics' minutes become hours.
    """

    content: int | None = 7
    sent: int | None = 90
    cancelled: int | None = 90
    suppressed: int | None = 90
    failed: int | None = 365
    expired: int | None = 365
    attempts: int | None = 365
    events: int | None = 365
    minutes: int | None = 14

    @classmethod
    def configured(cls) -> "Retention":
        """Return what the settings say."""
        return cls(**settings.MAILCONF_KEEP_DAYS)

    def of_messages(self, *states: str) -> dict[SmallState, timedelta]:
        """Return how long messages in these states are kept, without those kept for ever."""
        spans = {ENDS[state]: span(getattr(self, state)) for state in states}
        return {state: kept for state, kept in spans.items() if kept is not None}

    def of_contents(self, *states: str) -> dict[SmallState, timedelta]:
        """Return how long the content of such messages is kept; of a failure it goes with its row."""
        kept = span(self.content)
        return {} if kept is None else {ENDS[state]: kept for state in states if state in _QUIET}

    def outlasting(self) -> Iterator[tuple[str, int]]:
        """Yield the states, with their days, whose messages go before their content would.

        >>> list(Retention(content=30, sent=10).outlasting())
        [('sent', 10)]
        """
        for state in _QUIET:
            days = getattr(self, state)
            if days is not None and (self.content is None or self.content > days):
                yield state, days


def span(days: int | None) -> timedelta | None:
    """Return days as a span; None for ever."""
    return None if days is None else timedelta(days=days)
