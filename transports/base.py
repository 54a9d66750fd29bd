"""The seam of the wire: what every way out takes and gives back.

Values only: nothing here opens a connection, reads a clock or knows a provider. A `Transport` opens a
`Session`; a `Session` carries one message after another and answers each with an `Outcome`. What becomes of
the message is not decided here (see `delivery.classification`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol

if TYPE_CHECKING:
    from transports.errors import TransportError


class Phase(StrEnum):
    """Where in a session something happened. Every error and outcome carries one.

    The last seven are of ways out that are no SMTP. At LOCAL the code of a reply is the exit status of a
    program, at API that of HTTP; what was accepted or is uncertain ended at DOT with every way.
    """

    TOKEN = "token"  # noqa: S105  # a step before a session that signs in with one
    DNS = "dns"
    CONNECT = "connect"
    BANNER = "banner"
    TLS = "tls"
    EHLO = "ehlo"
    AUTH = "auth"
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"
    QUIT = "quit"
    FIND = "find"  # a program, a directory
    PERMISSION = "permission"
    SPACE = "space"
    LOCAL = "local"  # the hand-over to a program or directory
    KEY = "key"  # of an HTTP interface
    IDENTITY = "identity"  # the domain or address to send as
    API = "api"  # the request that sends


class Security(StrEnum):
    """When TLS begins. `STARTTLS` never falls back to plain text (RFC 8314)."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class Secret:
    """A password or token that does not show itself; `reveal()` is the only way to the value.

    Its repr, str and format are redacted; pickling and copying raise TypeError, so that it cannot travel by
    accident (task arguments, caches, deep copies).
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the value itself. Call it where it is used, and drop the result there."""
        return self.__value

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<secret>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A secret is neither pickled nor copied.")


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply, already cleaned: no control, bidi or undecodable characters, at most 500 of text.

    `enhanced` is the enhanced status code ("5.1.1") when its class equals the reply's first digit, else None
    (RFC 3463, RFC 2034).
    """

    code: int
    text: str = ""
    enhanced: str | None = None

    @property
    def is_success(self) -> bool:
        """Any 2xx."""
        return 200 <= self.code <= 299

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.code, self.enhanced, self.text) if part)


@dataclass(frozen=True, slots=True)
class Envelope:
    """RFC 5321 reverse-path and forward-paths. `mail_from` is "" for the null sender."""

    mail_from: str
    rcpt_to: tuple[str, ...]

    @property
    def needs_smtputf8(self) -> bool:
        """Whether an address holds non-ASCII characters (RFC 6531); domains are A-labels already."""
        return not (self.mail_from.isascii() and "".join(self.rcpt_to).isascii())


@dataclass(frozen=True, slots=True)
class Content:
    """An RFC 5322 message in segments: CRLF line ends, 7-bit clean, not dot-stuffed.

    Each segment starts at a line start and each but the last ends in CRLF, so stuffing by segment is exact.
    Large segments are shared by all messages that carry the same attachment.
    """

    segments: tuple[bytes, ...]
    #: Octets before dot-stuffing: what RFC 1870 calls the message size. Five ask for it for each message.
    size_bytes: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_bytes", sum(map(len, self.segments)))


class MailObject(NamedTuple):
    """What SMTP carries (RFC 5321 section 2.3.1)."""

    envelope: Envelope
    content: Content


@dataclass(slots=True)
class Outcome:
    """What happened to one message in one transaction: facts, no judgement.

    `phase` is where it was decided, `reply` the deciding reply (None after a loss, a time-out or a local
    refusal, and then `error` says which). `rcpt_replies` has one entry per recipient in the order of
    `rcpt_to`, None where none was read. `uncertain` is true when the final dot was written and no readable
    answer came (RFC 1047). `transcript` is what was said of this message, never its content, at most 200
    lines, times from its first line; only where not every recipient was accepted, and empty when nothing was
    said.

    A value, and nobody changes it. It is not frozen, like the others that every message makes one of: a
    frozen one of twelve fields costs 3.5 us to make and this one 0.9, five times a message.
    """

    phase: Phase
    reply: Reply | None = None
    error: "TransportError | None" = None
    rcpt_replies: tuple[Reply | None, ...] = ()
    uncertain: bool = False
    ms: float = 0.0
    transcript: "tuple[TranscriptLine, ...]" = ()

    @property
    def accepted(self) -> bool:
        """Whether the server took the message for every recipient it accepted at RCPT."""
        return self.phase is Phase.DOT and self.reply is not None and self.reply.is_success


class StepVerdict(StrEnum):
    """How one stage of a session went."""

    DONE = "done"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a session with its time.

    `started_ms` counts from the start of the session on the monotonic clock; `evidence` is for people
    (addresses, TLS version, certificate, capabilities), cleaned, without secrets.
    """

    phase: Phase
    verdict: StepVerdict
    started_ms: float
    ms: float
    detail: str = ""
    reply: Reply | None = None
    evidence: Mapping[str, str] = field(default_factory=dict)


class Direction(StrEnum):
    """Who said a line of the transcript."""

    CLIENT = "client"
    SERVER = "server"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """One line of a session's record, secrets removed. `at_ms` counts from the start of the session."""

    direction: Direction
    text: str
    at_ms: float


class Observer(Protocol):
    """Hears what a session does while it does it. Called from the session's own task; must not block."""

    def step(self, step: Step) -> None:
        """Take one finished stage."""

    def line(self, line: TranscriptLine) -> None:
        """Take one line of the transcript, already redacted."""


class Session(Protocol):
    """One open, signed-in connection (or its like), used for one message after another."""

    #: EHLO keywords with their parameters, in upper case: {"SIZE": "10240000", "PIPELINING": ""}.
    capabilities: Mapping[str, str]

    @property
    def is_usable(self) -> bool:
        """Whether another message may be given to it."""

    @property
    def streams(self) -> bool:
        """Whether a `following` message given to `deliver` saves a round trip now."""

    async def deliver(
        self,
        envelope: Envelope,
        content: Content,
        *,
        following: MailObject | None = None,
        before_dot: Callable[[], None] | None = None,
        after_dot: Callable[[Reply, Sequence[Reply | None]], None] | None = None,
    ) -> Outcome:
        """Carry one message. Never raises for what the server does: the outcome says it.

        `before_dot` is called right before the write that holds the final dot: the place for the fence and
        the journal. If it raises, the connection is aborted and the exception goes on. `after_dot` hears the
        reply to the dot as soon as it is read and cannot be mistaken for another, and with it the replies to
        RCPT, as in `Outcome.rcpt_replies`; it must not raise. Ways out that are no SMTP tell it of
        acceptances only: no other code of theirs means the same in SMTP.

        `following` is the message that comes next: its envelope may travel with this one's dot. Then the next
        call must be for that very message, or the session must be closed: the server waits for its content.
        Nothing of a message is accepted before its own call.
        """

    async def close(self) -> None:
        """End politely within 5 s, else abort. A second call does nothing."""

    def abort(self) -> None:
        """Drop the connection at once."""


class Transport(Protocol):
    """One way out with fixed settings."""

    async def open(self, observer: Observer | None = None, *, sequential: bool = False) -> Session:
        """Reach the server and sign in.

        `sequential`: say one command at a time, whatever the server offers: it has garbled its replies.
        Raises TransportError, which knows the phase and the reply.
        """


def deliverable(replies: Sequence[Reply | None]) -> bool:
    """Whether at least one recipient was accepted."""
    return any(reply is not None and reply.is_success for reply in replies)
