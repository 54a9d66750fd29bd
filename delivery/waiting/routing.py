"""Which server takes a message now, and why each other does not. Pure.

`assignment` decides: `serves` says who may, `order` who comes first, `seats` who has room. Here is only what
the database says of each server in place of what a worker would see.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from delivery import assignment, pacing
from delivery.fitting import Room, Size
from delivery.pacing import Kind
from delivery.waiting.facts import Breaker, LimitFacts, MessageFacts, PausedBy, Route, ServerFacts, Use
from delivery.waiting.reasons import (
    AllBusy,
    AtRate,
    BreakerOpen,
    ComesLater,
    Disabled,
    Draft,
    NotLive,
    OtherSenders,
    OtherSites,
    PausedByFault,
    PausedByPerson,
    PinnedElsewhere,
    Probing,
    Reason,
    Spacing,
    Takes,
    TooLarge,
    Untested,
)


@dataclass(frozen=True, slots=True)
class Ask:
    """The message in question: its way, its place in the line (from 1), its size where that is known."""

    route: Route
    place: int = 1
    size: Size | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One server's answer: every reason that holds, the strongest first; `may_serve`: on its route at all."""

    profile_id: int
    reasons: tuple[Reason, ...]
    may_serve: bool

    @property
    def is_live(self) -> bool:
        """Whether it is one that sends, if perhaps not now."""
        return self.may_serve and not isinstance(self.reasons[0], _NEVER_LIVE)


_NEVER_LIVE = (Draft, Disabled, Untested, NotLive)


@dataclass(frozen=True, slots=True)
class Routing:
    """Who takes it now, None for nobody; `answers` in the order of use, those that may not at the end."""

    chosen: int | None
    answers: tuple[Answer, ...]

    @property
    def serving(self) -> tuple[Answer, ...]:
        """The answers of those that may take it."""
        return tuple(answer for answer in self.answers if answer.may_serve)


def route(servers: Sequence[ServerFacts], ask: Ask, now: datetime) -> Routing:
    """Ask every server."""
    free = {server.profile_id: server.free for server in servers}
    usable = [server for server in servers if not any(_out_of_use(server, ask, now))]
    room = {server.profile_id: int(not any(_no_room(server, ask, now))) for server in usable}
    seats = assignment.seats(assignment.order(usable, ask.route, free), room, limit=1)
    chosen = seats[0] if seats else None
    by_id = {server.profile_id: server for server in servers}
    serving = assignment.order(servers, ask.route, free)
    others = sorted(by_id.keys() - set(serving), key=lambda id_: (by_id[id_].name, id_))
    answers = [Answer(id_, _reasons(by_id[id_], ask, now, chosen), may_serve=True) for id_ in serving]
    answers += [Answer(id_, (_not_on_the_way(by_id[id_], ask.route),), may_serve=False) for id_ in others]
    return Routing(chosen, tuple(answers))


class InOrder:
    """The servers in their order of use, for many questions: each is asked until a server takes the message.

    Who takes it is as `route` says, and when nobody does so are the answers of all that serve it.
    """

    def __init__(self, servers: Sequence[ServerFacts], now: datetime) -> None:
        self._servers = assignment.ranked(servers, {server.profile_id: server.free for server in servers})
        self._now = now
        self._said: dict[tuple[int, Size | None], dict[int, Answer]] = {}
        self._sites = frozenset[int]().union(*(server.site_ids for server in servers))
        self._domains = frozenset[str]().union(*(server.sender_domains for server in servers))
        rooms = [server.room for server in servers]
        self._tightest = Room(
            "",
            min((room.attachments_bytes for room in rooms if room.attachments_bytes), default=0),
            min((room.message_bytes for room in rooms if room.message_bytes), default=None),
        )

    def question_of(self, message: MessageFacts) -> Ask:
        """Return what is to be asked; the same for messages that are told the same.

        A site or a domain that no server names makes no difference, and beside a pin none does.
        """
        is_small = message.size is not None and self._tightest.takes(message.size)
        size = None if is_small else message.size
        return Ask(self._telling_part(message.route), place=message.ahead + 1, size=size)

    def _telling_part(self, way: Route) -> Route:
        if way.profile_id is not None:
            return Route(profile_id=way.profile_id)
        site_id = way.site_id if way.site_id in self._sites else None
        return Route(0, site_id, way.sender_domain if way.sender_domain in self._domains else None)

    def route(self, ask: Ask) -> Routing:
        """Ask until one takes it."""
        said = self._said.setdefault((ask.place, ask.size), {})
        answers = []
        for server in self._servers:
            if not assignment.serves(server, ask.route):
                continue
            answer = said.get(server.profile_id)
            if answer is None:  # whatever the route, a server that serves it says the same
                reasons = _reasons(server, ask, self._now, chosen=None)
                answer = said[server.profile_id] = Answer(server.profile_id, reasons, may_serve=True)
            answers.append(answer)
            if isinstance(answer.reasons[0], Takes):
                return Routing(answer.profile_id, tuple(answers))
        return Routing(None, tuple(answers))


def _reasons(server: ServerFacts, ask: Ask, now: datetime, chosen: int | None) -> tuple[Reason, ...]:
    if against := (*_out_of_use(server, ask, now), *_no_room(server, ask, now)):
        return against
    if chosen is not None and chosen != server.profile_id:
        return (ComesLater(chosen),)
    return (Takes(is_probe=server.breaker is Breaker.OPEN),)


def _not_on_the_way(server: ServerFacts, way: Route) -> Reason:
    """Say which part of the route keeps it away, as `assignment.serves` looks at them."""
    if way.profile_id is not None:
        return PinnedElsewhere(way.profile_id)
    if server.site_ids and way.site_id not in server.site_ids:
        return OtherSites(way.site_id)
    return OtherSenders(way.sender_domain)


def _out_of_use(server: ServerFacts, ask: Ask, now: datetime) -> Iterator[Reason]:
    if server.use is not Use.LIVE:
        yield _NOT_LIVE.get(server.use) or NotLive(server.cause)
    if ask.size is not None and not server.room.takes(ask.size):
        yield _too_large(ask.size, server.room)
    if server.paused is PausedBy.PERSON:
        yield PausedByPerson(server.paused_by, server.changed_at)
    elif server.paused is PausedBy.FAULT:
        yield PausedByFault(server.words, server.changed_at)
    elif server.breaker is Breaker.HALF_OPEN:
        yield Probing()
    elif server.breaker is Breaker.OPEN and not (server.open_until and server.open_until <= now):
        yield BreakerOpen(server.open_until, server.words)


def _too_large(size: Size, room: Room) -> TooLarge:
    if room.takes(replace(size, attachments_bytes=0)):
        return TooLarge(size.attachments_bytes, room.attachments_bytes)
    return TooLarge(size.message_bytes, room.message_bytes or 0)


_NOT_LIVE: dict[Use, Reason] = {Use.DRAFT: Draft(), Use.DISABLED: Disabled(), Use.UNTESTED: Untested()}


def _no_room(server: ServerFacts, ask: Ask, now: datetime) -> Iterator[Reason]:
    if server.free == 0:
        yield AllBusy(server.taken, server.allowed, server.allowed < server.max_connections)
    waits = [(limit.moment_of(ask.place, now), limit) for limit in server.limits]
    for at, limit in sorted(waits, key=lambda wait: wait[0], reverse=True):
        if (reason := _wait(limit, at, ask.place, now)) is not None:
            yield reason


def _wait(limit: LimitFacts, at: datetime, place: int, now: datetime) -> Reason | None:
    if limit.kind is Kind.SPACING:
        return Spacing(at, place) if at > now + pacing.CLAIM_AHEAD else None
    return AtRate(limit.kind, limit.number, place, at, at - now) if at > now else None
