"""Why a message is not sent yet: one, or each of many. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
from delivery.waiting.routing import Answer, Ask, InOrder, Routing, route
from smtp_settings.policy.deciding import Course

_NEVER = datetime.max.replace(tzinfo=UTC)
_Rank = tuple[bool, bool, datetime]


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


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What the servers say to one question, and what that is to the message."""

    routing: Routing
    obstacle: Reason


def explain(snapshot: Snapshot) -> Explanation | None:
    """Say why the snapshot's message waits; None when it does not."""
    message = snapshot.message
    if message is None:
        return None
    ask = Ask(message.route, place=message.ahead + 1, size=message.size)

    def outlook_of(_message: MessageFacts) -> _Outlook:
        routing = route(snapshot.servers, ask, snapshot.now)
        return _Outlook(routing, _obstacle(ask, routing, _rank))

    return _explain(message, snapshot, outlook_of)


def explain_each(snapshot: Snapshot) -> dict[int, Explanation]:
    """Say why each of the snapshot's many messages waits, by their ids.

    Like ones ask the servers once, and only until one takes them: a routing holds no more answers.
    """
    in_order = InOrder(snapshot.servers, snapshot.now)
    known: dict[Ask, _Outlook] = {}
    ranks: dict[int, _Rank] = {}

    def rank_of(answer: Answer) -> _Rank:
        key = id(answer)  # one object for like questions, kept by `in_order`
        if key not in ranks:
            ranks[key] = _rank(answer)
        return ranks[key]

    def outlook_of(message: MessageFacts) -> _Outlook:
        ask = in_order.question_of(message)
        if ask not in known:
            routing = in_order.route(ask)
            known[ask] = _Outlook(routing, _obstacle(ask, routing, rank_of))
        outlook, way = known[ask], message.route
        if isinstance(outlook.obstacle, Stranded):  # the one word about whose mail it is
            named = replace(outlook.obstacle, site_id=way.site_id, sender_domain=way.sender_domain)
            return _Outlook(outlook.routing, named)
        return outlook

    return {message.id: _explain(message, snapshot, outlook_of) for message in snapshot.messages}


def _explain(
    message: MessageFacts, snapshot: Snapshot, outlook_of: Callable[[MessageFacts], _Outlook]
) -> Explanation:
    if message.held is not None:
        return Explanation((Held(message.held),))
    if message.lease is not None:
        return Explanation((_in_hand(message.lease, snapshot),))
    time_to_wait = list(_time_to_wait(message, snapshot))
    is_due = not any(reason.until for reason in time_to_wait)
    nobody = [] if snapshot.is_drained else [NobodyDrains(snapshot.heard_at)]
    if said := _policy_says(message, snapshot):
        needs_a_person = _needs_a_person(said)
        first = (said, *nobody) if needs_a_person else (*nobody, said)
        return Explanation((*first, *time_to_wait))
    outlook = outlook_of(message)
    # Of a message that is not due yet only what will still hold then is worth a word.
    obstacle = [outlook.obstacle] if is_due or _needs_a_person(outlook.obstacle) else []
    if not is_due:
        return Explanation((*time_to_wait, *nobody, *obstacle), outlook.routing)
    # What lasts until a person does something stands before what passes by itself.
    lasting_first = sorted((*time_to_wait, *obstacle), key=lambda reason: not _needs_a_person(reason))
    return Explanation((*nobody, *lasting_first), outlook.routing)


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


def _obstacle(ask: Ask, routing: Routing, rank_of: Callable[[Answer], _Rank]) -> Reason:
    """Return what its servers are to a message: one takes it, one is waited for, or there is none."""
    is_pinned = ask.route.profile_id is not None
    serving = routing.serving
    if not any(answer.is_live for answer in serving) and not (is_pinned and serving):
        return Stranded(ask.route.site_id, ask.route.sender_domain, len(serving))
    if routing.chosen is not None:
        return IsNext(routing.chosen, ask.place - 1)
    answer = min((one for one in serving if one.is_live or is_pinned), key=rank_of)
    return WaitsFor(answer.profile_id, is_pinned, answer.reasons[0])


def _rank(answer: Answer) -> _Rank:
    """Put the server first that is free soonest; one that waits for a person is the last to name."""
    ends = [reason.until for reason in answer.reasons if reason.until is not None]
    needs_a_person = any(reason.needs_a_person for reason in answer.reasons)
    is_soon = not needs_a_person and len(ends) < len(answer.reasons)  # busy: over any moment
    return needs_a_person, not is_soon, max(ends, default=_NEVER)
