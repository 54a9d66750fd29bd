"""What goes into the queue and what comes out: values, no rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from delivery.composing import Composed
from delivery.models import Breaker, MessagePriority, Paused, SmallState
from delivery.pacing import Rate


class IdempotencyConflict(ValueError):  # the documented name
    """The idempotency key was used before, for other content."""

    def __init__(self, key: str, message_id: int) -> None:
        self.key = key
        self.message_id = message_id
        super().__init__(
            f"The idempotency key {key!r} was already used for message {message_id}, which has other content."
        )


@dataclass(frozen=True, slots=True)
class Handover:
    """One composed message and what its caller wants of the queue.

    `send_at` None means now. `expires_at`: never sent later. `profile_id` pins the message to one profile.
    `copy_of` is the message this one repeats. `caller_waits`: its caller sends it when the queue is off.
    """

    composed: Composed
    priority: int = MessagePriority.NORMAL
    send_at: datetime | None = None
    expires_at: datetime | None = None
    site_id: int | None = None
    profile_id: int | None = None
    tag: str = ""
    sensitive: bool = False
    idempotency_key: str | None = None
    copy_of: int | None = None
    caller_waits: bool = False


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The message that stands for a handover; `created` is False when its key was known.

    `is_at_once`: the queue is off for it, and its caller is to send it; no worker does for some minutes.
    """

    id: int
    message_id: str  #: the header's value, with its angle brackets
    created: bool
    is_at_once: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class PoolKey:
    """A message's route: pinned to a profile, or open to those that serve the site and the From domain."""

    id: int
    site_id: int | None
    sender_domain: str | None
    profile_id: int | None


@dataclass(frozen=True, slots=True)
class ReadyLane:
    """A lane with due rows. `priority` above 10 is a suspect's: claim it alone, with empty hands.

    `policy_mark` changes with what may leave, so that who claims hears of it before.
    """

    pool: PoolKey
    priority: int
    oldest_ready_at: datetime
    policy_mark: int = 0


@dataclass(frozen=True, slots=True)
class Lane:
    """What a claim reads: one pool at one priority, from the low-water mark on if one is given."""

    pool_id: int
    priority: int
    mark_at: datetime | None = None
    mark_id: int = 0


@dataclass(slots=True)  # one for each message: see `transports.base.Outcome`
class Claimed:
    """A leased message with all that sending it needs, but for its blobs (`load_blobs`)."""

    message_id: int
    seat: int  #: counted from 1, in the order of the claim's `seats`
    profile_id: int
    last_profile_id: int | None
    pool_id: int
    priority: int
    attempts: int
    drops: int
    crashes: int
    uncertain: bool
    ready_at: datetime
    db_now: datetime
    due_at: datetime
    expires_at: datetime | None
    mail_from: str
    rcpt_to: Sequence[str]
    verdicts: Mapping[str, Any] | None  #: recipient -> final verdict; Any: JSON
    from_header: str | None
    subject: str
    message_id_header: str
    sensitive: bool
    size: int
    data: bytes = field(repr=False)
    cuts: Sequence[int]
    blob_ids: Sequence[int]
    attachments_bytes: int = 0  #: all together, as sent
    pinned_profile_id: int | None = None  #: by its caller or a person; a message that was passed on has none


@dataclass(slots=True)  # one for each message: see `transports.base.Outcome`
class Finished:
    """How a message ended, or that it is held. `counted` is 1 when this attempt counts, else 0.

    `done_at` None means now. `cause` is for the lists of failures, `verdicts` (recipient -> final verdict)
    for a partial refusal; they are added to those known.
    """

    message_id: int
    state: SmallState
    counted: int = 0
    profile_id: int | None = None
    code: int | None = None
    enhanced: str | None = None
    reply: str | None = None
    cause: str = ""
    done_at: datetime | None = None
    verdicts: Mapping[str, Any] | None = None  # Any: JSON
    uncertain: bool = False  #: this attempt may have arrived, whatever the cause


@dataclass(frozen=True, slots=True)
class Settled:
    """A message given back: a retry (`counted`), a lost connection (`dropped`) or a release (neither).

    `crashed` 1: a worker died with it, and it comes back as a suspect. `delay` counts from the database's
    now; with None the message keeps its place in the line. `pool_id` moves the message to another route.
    """

    message_id: int
    profile_id: int | None
    delay: timedelta | None = timedelta()
    counted: int = 0
    dropped: int = 0
    uncertain: bool = False
    crashed: int = 0
    pool_id: int | None = None
    verdicts: Mapping[str, Any] | None = None  # Any: JSON


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt that did not end in *sent*. `outcome` is a value of `AttemptResult`.

    `cause` is the judgement's short word ("recipient", "override"), "" when it has none. `transcript` is the
    conversation with the server, a line each, "" when there was none.
    """

    message_id: int
    worker_id: int | None
    profile_id: int | None
    n: int
    phase: str
    outcome: str
    code: int | None = None
    enhanced: str | None = None
    reply: str = ""
    ms: int | None = None
    cause: str = ""
    transcript: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ProfileStateRow:
    """What workers know of one profile.

    `connections`, `session_messages` and `recipients` were learned, each at its `_at`; `delivery.learned`
    says what of it holds now. `ramp`: connections of a slow start, over all workers; None when there is none.
    """

    profile_id: int
    breaker: Breaker = Breaker.CLOSED
    penalty: int = 0
    open_until: datetime | None = None
    probe_worker_id: int | None = None
    connections: int | None = None
    paused: Paused = Paused.NO
    reason: str = ""
    paused_by_id: int | None = None
    changed_at: datetime | None = None
    fault_version: str = ""  #: the settings that were paused for a fault
    sequential_until: datetime | None = None  #: one command at a time, no pipelining
    sequential_fingerprint: str = ""  #: the settings that holds for
    connections_at: datetime | None = None
    crowded: int = 0  #: how often it refused a connection as one too many
    session_messages: int | None = None
    session_messages_at: datetime | None = None
    recipients: int | None = None
    recipients_at: datetime | None = None
    learned_fingerprint: str = ""  #: the settings these hold for
    ramp: int | None = None
    size_limit: int | None = None  #: octets of a message it takes, 0: it names no limit
    size_is_refusal: bool = False  #: known from a refusal, not from what it announces
    size_until: datetime | None = None
    size_fingerprint: str = ""  #: the settings that holds for

    def __post_init__(self) -> None:
        object.__setattr__(self, "breaker", Breaker(self.breaker))
        object.__setattr__(self, "paused", Paused(self.paused))


@dataclass(frozen=True, slots=True)
class Peer:
    """A live worker session and the profiles it could use now."""

    id: int
    wants: Sequence[int]


@dataclass(frozen=True, slots=True)
class WorkerSession:
    """A worker session as its row says. `is_stale`: silent for so long that anybody may bury it."""

    started_at: datetime
    boot_id: str
    is_dead: bool
    is_stale: bool


@dataclass(frozen=True, slots=True)
class SlotCount:
    """The connections of one profile: all slot rows and those nobody holds."""

    profile_id: int
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker learns with each beat. `versions`: profile id -> (version, cleared fingerprint).

    Below 1 they are of what is no profile: the sending policy, and where the database was confirmed to be.
    `silence`: since the session's last beat, by the database's clock; negative when that went back.
    """

    db_now: datetime
    peers: tuple[Peer, ...]
    states: Mapping[int, ProfileStateRow]
    versions: Mapping[int, tuple[int, str]]
    slots: Mapping[int, SlotCount]
    silence: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What was taken from dead sessions: ids, number of messages, slots freed, messages now held."""

    worker_ids: tuple[int, ...] = ()
    messages: int = 0
    slots: int = 0
    held: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """A profile's limits over all workers: connections at once, and rates (`pacing.rates` makes them)."""

    connections: int
    rates: Sequence[Rate] = ()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Leave to send `granted` messages; with spacing, the i-th (from 0) not before base + i · emission."""

    granted: int
    spacing_base: datetime | None = None
    spacing_emission: timedelta | None = None
    db_now: datetime | None = None


@dataclass(frozen=True, slots=True)
class StatRow:
    """What one worker did through one profile since it last said so, for one minute."""

    minute: datetime
    profile_id: int
    worker_id: int
    sent: int = 0
    deferred: int = 0
    failed: int = 0
    uncertain: int = 0
    connects: int = 0
    bytes: int = 0  # named like the column
    ms: int = 0
