"""A transport that keeps what it is given: the test double of programs that use transports.

    transport = MemoryTransport(refuse={"bob@example.org": Reply(550, "No such user", "5.1.1")})
    session = await transport.open()
    outcome = await session.deliver(envelope, content)
    assert transport.messages[0].content == b"..."

It answers as a server would: a refused sender ends at MAIL, a refused recipient keeps its own verdict.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from transports.base import (
    Content,
    Envelope,
    MailObject,
    Observer,
    Outcome,
    Phase,
    Reply,
    Step,
    StepVerdict,
    deliverable,
)
from transports.errors import ConnectionLost, TransportError

_OK = Reply(250, "Ok", "2.0.0")


@dataclass(frozen=True)
class Kept:
    """One message as it was accepted; `rcpt_to` are the accepted recipients only."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes


@dataclass
class MemoryTransport:
    """A way out into a list. Change its attributes at any time; they hold from the next call on."""

    #: Raised by open(), to play an unreachable server or a refused sign-in.
    open_error: TransportError | None = None
    #: Refusals by address: of the sender at MAIL, of a recipient at RCPT.
    refuse: Mapping[str, Reply] = field(default_factory=dict)
    #: The reply to the content.
    dot_reply: Reply = _OK
    #: Lose the connection in this phase; in phase DOT the outcome is uncertain.
    lose: Phase | None = None
    capabilities: Mapping[str, str] = field(default_factory=lambda: {"PIPELINING": "", "SMTPUTF8": ""})
    #: What was accepted, in order, over all sessions.
    messages: list[Kept] = field(default_factory=list)
    #: Sessions opened so far.
    sessions: int = 0

    async def open(
        self,
        observer: Observer | None = None,
        *,
        sequential: bool = False,  # noqa: ARG002 - nothing travels here
    ) -> "MemorySession":
        """Open a session. Raises `open_error`."""
        self.sessions += 1
        if self.open_error is not None:
            raise self.open_error
        if observer is not None:
            observer.step(Step(Phase.CONNECT, StepVerdict.DONE, 0.0, 0.0))
        return MemorySession(self)


class MemorySession:
    """See `transports.base.Session`."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.capabilities = transport.capabilities
        self._transport = transport
        self._is_open = True

    @property
    def is_usable(self) -> bool:
        """Whether another message may be given to it."""
        return self._is_open

    @property
    def streams(self) -> bool:
        """Never: there is no round trip to save."""
        return False

    async def deliver(
        self,
        envelope: Envelope,
        content: Content,
        *,
        following: MailObject | None = None,  # noqa: ARG002 - its own call comes
        before_dot: Callable[[], None] | None = None,
        after_dot: Callable[[Reply, Sequence[Reply | None]], None] | None = None,
    ) -> Outcome:
        """Keep one message, or refuse it as told; see `transports.base.Session.deliver`."""
        transport = self._transport
        nobody = (None,) * len(envelope.rcpt_to)
        if not self._is_open or transport.lose is Phase.MAIL:
            return self._lost(Phase.MAIL, nobody)
        refusal = transport.refuse.get(envelope.mail_from)
        if refusal is not None:
            return Outcome(Phase.MAIL, refusal, rcpt_replies=nobody)
        if transport.lose is Phase.RCPT:
            return self._lost(Phase.RCPT, nobody)
        replies = tuple(transport.refuse.get(recipient, _OK) for recipient in envelope.rcpt_to)
        if not deliverable(replies):
            return Outcome(Phase.RCPT, replies[0], rcpt_replies=replies)
        if transport.lose in (Phase.DATA, Phase.BODY):
            return self._lost(transport.lose, replies)
        outcome = self._finish(envelope, content, replies, before_dot)
        if after_dot is not None and outcome.reply is not None:
            after_dot(outcome.reply, outcome.rcpt_replies)
        return outcome

    def _finish(
        self,
        envelope: Envelope,
        content: Content,
        replies: tuple[Reply, ...],
        before_dot: Callable[[], None] | None,
    ) -> Outcome:
        transport = self._transport
        try:
            if before_dot is not None:
                before_dot()
        except BaseException:
            self.abort()
            raise
        if transport.lose is Phase.DOT:
            return self._lost(Phase.DOT, replies)
        if transport.dot_reply.is_success:
            pairs = zip(envelope.rcpt_to, replies, strict=True)
            accepted = tuple(recipient for recipient, reply in pairs if reply.is_success)
            transport.messages.append(Kept(envelope.mail_from, accepted, b"".join(content.segments)))
        return Outcome(Phase.DOT, transport.dot_reply, rcpt_replies=replies)

    def _lost(self, phase: Phase, replies: tuple[Reply | None, ...]) -> Outcome:
        self._is_open = False
        error = ConnectionLost("The connection was lost.", phase=phase)
        return Outcome(phase, error=error, rcpt_replies=replies, uncertain=phase is Phase.DOT)

    async def close(self) -> None:
        """End the session."""
        self._is_open = False

    def abort(self) -> None:
        """End the session at once."""
        self._is_open = False
