"""Why one message is not sent yet. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from delivery.waiting.facts import STALE, SUSPECT, Lease, MessageFacts, Snapshot
from delivery.waiting.reasons import (
    Held,
    InHand,
    IsNext,
    NobodyDrains,
    OnlyLogged,
    Reason,
    RetryAt,
    Scheduled,
    Stranded,
    Suspect,
    SwitchedOff,
    Unconfirmed,
    WaitsFor,
)
from delivery.waiting.routing import Answer, Ask, Routing, route
from smtp_settings.policy.deciding import Course

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a message waits: the reasons, the most important first, and what each server says.

    `routing` None: no server is asked, the message is held or in a worker's hands.
    """

    reasons: tuple[Reason, ...]
    routing: Routing | None = None

    @property
    def first(self) -> Reason:
        """The reason to name when there is room for one."""
        return self.reasons[0]

    @property
    def needs_a_person(self) -> bool:
        """Whether it goes on waiting until somebody does something."""
        return any(_needs_a_person(reason) for reason in self.reasons)


def _needs_a_person(reason: Reason) -> bool:
    return _needs_a_person(reason.reason) if isinstance(reason, WaitsFor) else reason.needs_a_person


def explain(snapshot: Snapshot) -> Explanation | None:
    """Say why the snapshot's message waits; None when it does not."""
    message = snapshot.message
    if message is None:
        return None
    if message.held is not None:
        return Explanation((Held(message.held),))
    if message.lease is not None:
        return Explanation((_in_hand(message.lease, snapshot),))
    ask = Ask(message.route, place=message.ahead + 1, size=message.size)
    routing = route(snapshot.servers, ask, snapshot.now)
    time_to_wait = list(_time_to_wait(message, snapshot))
    is_due = not any(reason.until for reason in time_to_wait)
    obstacle = _obstacle(message, routing, is_due=is_due)
    nobody = [] if snapshot.is_drained else [NobodyDrains(snapshot.heard_at)]
    if said := _policy_says(message, snapshot):
        needs_a_person = _needs_a_person(said)
        first = (said, *nobody) if needs_a_person else (*nobody, said)
        return Explanation((*first, *time_to_wait))
    if not is_due:
        return Explanation((*time_to_wait, *nobody, *obstacle), routing)
    # What lasts until a person does something stands before what passes by itself.
    lasting_first = sorted((*time_to_wait, *obstacle), key=lambda reason: not _needs_a_person(reason))
    return Explanation((*nobody, *lasting_first), routing)


def _policy_says(message: MessageFacts, snapshot: Snapshot) -> Reason | None:
    """Return why no server is asked at all."""
    policy = snapshot.policies.of(message.route.site_id)
    match policy.course:
        case Course.UNCONFIRMED:
            return Unconfirmed()
        case Course.OFF:
            return SwitchedOff(policy.off_by, policy.off_at)
        case Course.LOG:
            return OnlyLogged()
        case Course.SEND:
            return None


def _in_hand(lease: Lease, snapshot: Snapshot) -> InHand:
    is_silent = lease.heard_at is None or snapshot.now - lease.heard_at >= STALE
    return InHand(lease.worker_id, lease.host, lease.profile_id, lease.heard_at, is_silent)


def _time_to_wait(message: MessageFacts, snapshot: Snapshot) -> Iterator[Reason]:
    at = message.ready_at if message.ready_at is not None and message.ready_at > snapshot.now else None
    if message.priority > SUSPECT:
        yield Suspect(message.crashes, at)
    elif at is not None and (message.attempts or message.drops or message.last is not None):
        yield RetryAt(at, message.attempts, message.last)
    elif at is not None:
        yield Scheduled(at)


def _obstacle(message: MessageFacts, routing: Routing, *, is_due: bool) -> list[Reason]:
    """Return what its servers are to it: one takes it, one is waited for, or there is none.

    Of a message that is not due yet only what will still hold then is worth a word.
    """
    is_pinned = message.route.profile_id is not None
    serving = routing.serving
    if not any(answer.is_live for answer in serving) and not (is_pinned and serving):
        return [Stranded(message.route.site_id, message.route.sender_domain, len(serving))]
    if routing.chosen is not None:
        return [IsNext(routing.chosen, message.ahead)] if is_due else []
    answer = min((one for one in serving if one.is_live or is_pinned), key=_rank)
    waits_for = WaitsFor(answer.profile_id, is_pinned, answer.reasons[0])
    return [waits_for] if is_due or _needs_a_person(waits_for) else []


def _rank(answer: Answer) -> tuple[bool, bool, datetime]:
    """Put the server first that is free soonest; one that waits for a person is the last to name."""
    ends = [reason.until for reason in answer.reasons if reason.until is not None]
    needs_a_person = any(reason.needs_a_person for reason in answer.reasons)
    is_soon = not needs_a_person and len(ends) < len(answer.reasons)  # busy: over any moment
    return needs_a_person, not is_soon, max(ends, default=_NEVER)
