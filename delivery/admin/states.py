"""The nine states as people see them, and where the rows of each are found.

`Message.state` stores seven; *sending* and *deferred* are read off the queue entry, so a list asks the table
that is small: open states the entries, failed, held and expired the failures, the rest the messages.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, F, Func, Q, QuerySet, TextChoices, Value
from django.utils.translation import gettext_lazy as _

from delivery.models import Failure, Message, QueueEntry, SmallState


class State(TextChoices):
    """The states of a message, in the order of the tabs."""

    QUEUED = "queued", _("Queued")
    SENDING = "sending", _("Sending")
    DEFERRED = "deferred", _("Deferred")
    SENT = "sent", _("Sent")
    FAILED = "failed", _("Failed")
    HELD = "held", _("Held")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")
    SUPPRESSED = "suppressed", _("Suppressed")


#: The tone of a state's badge (see components.css).
TONES = {
    State.QUEUED: "is-info",
    State.SENDING: "is-info",
    State.DEFERRED: "is-warn",
    State.SENT: "is-ok",
    State.FAILED: "is-bad",
    State.HELD: "is-mark",
    State.CANCELLED: "is-quiet",
    State.EXPIRED: "is-bad",
    State.SUPPRESSED: "is-quiet",
}

# As `delivery.stats` counts them.
_TRIED = Q(attempts__gt=0) | Q(drops__gt=0)
_OPEN = {
    State.QUEUED: Q(lease_id=None) & ~_TRIED,
    State.SENDING: Q(lease_id__isnull=False),
    State.DEFERRED: Q(lease_id=None) & _TRIED,
}
#: The states of a message that waits or is being sent.
OPEN = frozenset(_OPEN)
_ENDED = {
    State.SENT: SmallState.SENT,
    State.CANCELLED: SmallState.CANCELLED,
    State.SUPPRESSED: SmallState.SUPPRESSED,
}
#: The states that no table but the messages' knows: their lists are bounded by age.
ENDED = frozenset(_ENDED)
_FAILURES = {
    State.FAILED: SmallState.FAILED,
    State.HELD: SmallState.HELD,
    State.EXPIRED: SmallState.EXPIRED,
}
#: The states of what needs a person: a cause and a profile belong to each.
FAILURES = frozenset(_FAILURES)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one message stands: its state, the mark, and what belongs to it.

    `cause` is of what needs a person, `profile_id` who has it in hand or had it last.
    """

    state: State
    is_uncertain: bool = False
    next_try_at: datetime | None = None
    attempts: int = 0
    cause: str = ""
    profile_id: int | None = None

    @property
    def tone(self) -> str:
        """The badge's tone."""
        return TONES[self.state]


def messages_in(
    state: State,
    messages: "QuerySet[Message]",
    *,
    newest: int | None = None,
    before: int | None = None,
    narrowed: Q | None = None,
    floor: int | None = None,
    also: int | None = None,
) -> "QuerySet[Message]":
    """Narrow a query to one state; `narrowed` further, by columns of the failures.

    `newest`: to so many of those in a table of their own, counted down from `before`. Without it a count of a
    few among many reads as many messages as it takes to find them.
    `floor`: only newer ones, older than `before`, of those in a table of their own; else a site's few among a
    million that wait would cost reading them all. `also`: this one, however old.
    """
    listed: QuerySet[QueueEntry] | QuerySet[Failure]
    if state in _OPEN:
        listed = QueueEntry.objects.filter(_OPEN[state])
    elif state in _FAILURES:
        listed = Failure.objects.filter(narrowed or Q(), state=_FAILURES[state])
    else:
        return messages.filter(state=_ENDED[state])
    if floor is not None:
        newer = Q(pk__gt=floor) if before is None else Q(pk__gt=floor, pk__lt=before)
        listed = listed.filter(newer if also is None else newer | Q(pk=also))
    ids = listed.values_list("pk", flat=True)
    if newest is not None:
        older = ids if before is None else ids.filter(pk__lt=before)
        return messages.filter(any_of(older.order_by("-pk")[:newest]))
    return messages.filter(pk__in=ids)


def any_of(ids: "QuerySet[Any, int]", *, also: int | None = None) -> Func:
    """Let the key be one of these, or `also`, looked up one by one.

    With IN the planner may rather walk over all messages in order, to find a few.
    """
    looked_up: Func | ArraySubquery = ArraySubquery(ids)
    if also is not None:
        looked_up = Func(looked_up, Value(also), function="array_append")
    return Func(
        F("pk"),
        looked_up,
        template="%(expressions)s)",
        arg_joiner=" = ANY(",
        output_field=BooleanField(),
    )


def standings(messages: Iterable[Message]) -> dict[int, Standing]:
    """Say where each message stands, in two queries at most however many there are."""
    rows = {message.pk: message for message in messages}
    entries = {entry.message_id: entry for entry in QueueEntry.objects.filter(pk__in=rows)}
    over = rows.keys() - entries.keys()  # for none Django asks nothing
    failures = {failure.message_id: failure for failure in Failure.objects.filter(pk__in=over)}
    return {pk: _standing(row, entries.get(pk), failures.get(pk)) for pk, row in rows.items()}


def _standing(message: Message, entry: QueueEntry | None, failure: Failure | None) -> Standing:
    if entry is not None:
        return Standing(
            _open_state(entry),
            is_uncertain=entry.uncertain,
            next_try_at=entry.ready_at if entry.lease_id is None else None,
            attempts=entry.attempts,
            profile_id=entry.profile_id or entry.last_profile_id,
        )
    state = State[SmallState(message.state).name]
    return Standing(
        state,
        is_uncertain=failure is not None and failure.uncertain,
        attempts=message.attempts,
        profile_id=message.profile_id,
        cause=failure.cause if failure is not None else "",
    )


def _open_state(entry: QueueEntry) -> State:
    if entry.lease_id is not None:
        return State.SENDING
    return State.DEFERRED if entry.attempts or entry.drops else State.QUEUED
