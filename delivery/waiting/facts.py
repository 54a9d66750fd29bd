"""What is known of servers, workers and one message at one moment. Values only."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from delivery import pacing
from delivery.fitting import Room, Size
from delivery.pacing import Kind, Rate
from smtp_settings.policy.deciding import Policies

#: Beat wakes an idle worker every fifteen seconds: nothing heard for so long, nobody drains, as the
#: dashboard says.
SILENCE = timedelta(seconds=90)
#: Silence after which a session that holds messages counts as dead.
STALE = timedelta(seconds=45)
#: A count of messages ahead that reaches this means "more than 10,000".
CAP = 10_001
#: Priorities above this are a suspect's after a crash: claimed alone.
SUSPECT = 10
#: Room for every message.
ANY_SIZE = Room("")


class Use(StrEnum):
    """Whether a profile may send at all."""

    LIVE = "live"
    DRAFT = "draft"
    DISABLED = "disabled"
    UNTESTED = "untested"
    NOT_LIVE = "not_live"


class PausedBy(StrEnum):
    """Who took a server out of use."""

    NOBODY = "nobody"
    PERSON = "person"
    FAULT = "fault"


class Breaker(StrEnum):
    """Whether a server is used after what it did of late."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Route:
    """The way of a message, fixed at enqueue; `id` 0 while no message has gone it."""

    id: int = 0
    site_id: int | None = None
    sender_domain: str | None = None
    profile_id: int | None = None


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """One limit of a profile and how far it is used up: `tat` as the row has it, None while unused.

    `number` is the limit as people set it: messages per window, or for SPACING seconds between two.
    """

    rate: Rate
    number: int
    tat: datetime | None = None

    @property
    def kind(self) -> Kind:
        """Which limit it is."""
        return self.rate.kind

    def moment_of(self, place: int, now: datetime) -> datetime:
        """Return when the message in this place of the line (from 1) may go, `now` if it may.

        A rate lets it go when it has a token to give. Spaced messages have a moment each: the next free one
        is `tat`, and after a while without mail an offset passes before the first.
        """
        base = max(self.tat, now) if self.tat is not None else now
        if self.rate.kind is not Kind.SPACING:
            return max(now, base + place * self.rate.emission - self.rate.tolerance)
        is_idle = self.tat is None or self.tat < now - pacing.grace(self.rate.emission)
        return base + (place - 1 + is_idle) * self.rate.emission


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One profile as the engine sees it now; the first five fields are those `assignment` asks for.

    `cause` says why a NOT_LIVE one is not (a word of `clearance.standing`). `learned` is the number of
    connections its server bears now, None as configured; `taken` those that are open, of the allowed ones,
    and `in_hand` the messages workers hold for it. `room` is how large a message may be. `words` are the
    server's own, of a pause or an open breaker.
    """

    profile_id: int
    is_default: bool = False
    priority: str = "normal"
    site_ids: frozenset[int] = frozenset()
    sender_domains: frozenset[str] = frozenset()
    name: str = ""
    use: Use = Use.LIVE
    cause: str = ""
    paused: PausedBy = PausedBy.NOBODY
    paused_by: str = ""
    breaker: Breaker = Breaker.CLOSED
    open_until: datetime | None = None
    words: str = ""
    changed_at: datetime | None = None
    max_connections: int = 1
    learned: int | None = None
    taken: int = 0
    in_hand: int = 0
    limits: tuple[LimitFacts, ...] = ()
    room: Room = ANY_SIZE

    @property
    def allowed(self) -> int:
        """How many connections it may have now."""
        return min(self.max_connections, self.learned or self.max_connections)

    @property
    def free(self) -> int:
        """Connections that are not busy with a message: one that is open and idle is free."""
        return max(0, self.allowed - min(self.taken, self.in_hand))


@dataclass(frozen=True, slots=True)
class Lease:
    """Who has a message in hand. `heard_at` None: of the session nothing is known any more."""

    worker_id: int
    profile_id: int | None = None
    host: str = ""
    heard_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the last attempt was answered; `code` None: no server said anything, `words` say what happened."""

    code: int | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """One message that waits. `held` is why a held one is, None for one in the queue.

    `priority` above 10 marks a suspect. `ahead` counts the due messages of its route that go before it, up to
    `CAP`; of one among many it is 0 or 1, 1 for any that is not the first. `size` None: its content is gone.
    """

    id: int
    route: Route = Route()
    ready_at: datetime | None = None
    priority: int = 2
    attempts: int = 0
    drops: int = 0
    crashes: int = 0
    held: str | None = None
    lease: Lease | None = None
    last: Reply | None = None
    ahead: int = 0
    size: Size | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything an answer needs, read at one moment. `now` is the database's clock.

    `heard_at`: when a worker was last heard of, None for never. `message` None: it does not wait; `state` is
    the word for how it stands, None where there is no such message. `messages`: many at once, those that
    wait. `policies`: what may leave at all.
    """

    now: datetime
    heard_at: datetime | None = None
    servers: tuple[ServerFacts, ...] = ()
    message: MessageFacts | None = None
    state: str | None = None
    policies: Policies = field(default_factory=Policies)
    messages: tuple[MessageFacts, ...] = ()

    @property
    def is_drained(self) -> bool:
        """Whether a worker was heard of just now."""
        return self.heard_at is not None and self.now - self.heard_at < SILENCE

    def server(self, profile_id: int | None) -> ServerFacts | None:
        """Return a profile by its id, None for one that is gone."""
        return next((one for one in self.servers if one.profile_id == profile_id), None)
