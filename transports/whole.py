"""Sessions that hand a message over as a whole: what sendmail, pickup, Mailgun and SES share.

They have no verdict per recipient and nothing to pipeline. One moment counts in each: before it the message
has certainly not been taken, after it only an answer tells. `Handing.complete` is that moment.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from transports.base import (
    Content,
    Direction,
    Envelope,
    MailObject,
    Outcome,
    Phase,
    Reply,
    TranscriptLine,
)
from transports.errors import ConnectionLost, NotSendable, TransportError
from transports.smtp.transcript import Trace, escape, stage


@dataclass
class Handing:
    """One message on its way out.

    `recipients` are those that are offered; a way out with a limit offers the first of them and leaves the
    rest for a follow-up.
    """

    envelope: Envelope
    content: Content
    before_dot: Callable[[], None] | None = None
    is_handed_over: bool = False
    offered: int = field(init=False)
    _lines: list[TranscriptLine] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.offered = len(self.envelope.rcpt_to)

    @property
    def recipients(self) -> tuple[str, ...]:
        """Those that are offered."""
        return self.envelope.rcpt_to[: self.offered]

    def complete(self) -> None:
        """Ask the caller for the last time; from now on the message may be taken."""
        if self.before_dot is not None:
            self.before_dot()
        self.is_handed_over = True

    def taken_back(self) -> None:
        """Say that it was not handed over after all, for certain."""
        self.is_handed_over = False

    def said(self, text: str) -> None:
        """Keep a line of what we did."""
        self._line(Direction.CLIENT, text)

    def heard(self, text: str) -> None:
        """Keep a line of what came back, secrets removed already."""
        self._line(Direction.SERVER, text)

    def _line(self, direction: Direction, text: str) -> None:
        at_ms = (time.monotonic() - self._started) * 1000
        self._lines.append(TranscriptLine(direction, escape(text.encode("utf-8", "replace")), at_ms))

    @property
    def ms(self) -> float:
        """Milliseconds since it began."""
        return (time.monotonic() - self._started) * 1000

    @property
    def lines(self) -> tuple[TranscriptLine, ...]:
        """What was kept so far."""
        return tuple(self._lines)


class WholeSession:
    """See `transports.base.Session`. A subclass says in `_hand_over` how."""

    def __init__(self, trace: Trace | None = None) -> None:
        #: None of SMTP's.
        self.capabilities: Mapping[str, str] = {}
        self._trace = trace
        self._is_open = True

    @property
    def is_usable(self) -> bool:
        """Whether another message may be given to it."""
        return self._is_open

    @property
    def streams(self) -> bool:
        """Never: there is nothing to announce."""
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
        """Carry one message; see `transports.base.Session.deliver`."""
        handing = Handing(envelope, content, before_dot)
        if not self._is_open:
            error = ConnectionLost("The session had ended before the message was begun.", phase=Phase.MAIL)
            return Outcome(Phase.MAIL, error=error, rcpt_replies=(None,) * len(envelope.rcpt_to))
        try:
            reply = await self._told(handing)
        except TransportError as error:
            return self._failed(error, handing)
        except BaseException:
            self.abort()
            raise
        rest = (None,) * (len(envelope.rcpt_to) - handing.offered)
        replies = (*(reply for _one in handing.recipients), *rest)
        if after_dot is not None:
            after_dot(reply, replies)
        return Outcome(Phase.DOT, reply, rcpt_replies=replies, ms=handing.ms)

    async def _told(self, handing: Handing) -> Reply:
        """Hand it over and tell the observer."""
        try:
            with stage(self._trace, Phase.DOT) as step:
                step.evidence = {
                    "mail_from": handing.envelope.mail_from,
                    "rcpt_to": ", ".join(handing.recipients),
                    "size_bytes": str(handing.content.size_bytes),
                }
                step.reply = await self._hand_over(handing)
                return step.reply
        finally:
            if self._trace is not None:
                for line in handing.lines:
                    self._trace.observer.line(line)

    async def _hand_over(self, handing: Handing) -> Reply:
        """Hand it over and return the answer of acceptance; call `handing.complete()` right before.

        Raises TransportError for anything else: with a reply a refusal, without one uncertain when the
        message was complete.
        """
        raise NotImplementedError

    def _failed(self, error: TransportError, handing: Handing) -> Outcome:
        nobody = (None,) * len(handing.envelope.rcpt_to)
        more = {"rcpt_replies": nobody, "ms": handing.ms, "transcript": handing.lines}
        if error.reply is not None:
            return Outcome(error.phase, error.reply, error=error, **more)  # type: ignore[arg-type]  # as named
        is_uncertain = handing.is_handed_over and not isinstance(error, NotSendable)
        if is_uncertain or not isinstance(error, NotSendable):
            self.abort()
        phase = Phase.DOT if is_uncertain else error.phase
        return Outcome(phase, error=error, uncertain=is_uncertain, **more)  # type: ignore[arg-type]  # as named

    async def close(self) -> None:
        """End the session."""
        self.abort()

    def abort(self) -> None:
        """End the session at once."""
        self._is_open = False
