"""An open, signed-in SMTP session: one transaction after another, each answered with an `Outcome`.

A transaction goes in two writes: the envelope (MAIL, RCPT.., DATA), then, when the server asked for it, the
content with the final dot. Three modes tell what travels together: *sequential*, a command at a time;
*grouped*, the envelope in one write (RFC 2920); *streamed*, the next message's envelope in the write that
holds the dot, so that a message costs one round trip.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from transports.base import Content, Envelope, MailObject, Outcome, Phase, Reply
from transports.errors import ConnectionLost, ProtocolError, ReplyTimeout, TransportError
from transports.smtp.content import BLOCK_BYTES, DOT, blocks, whole
from transports.smtp.protocol import SMTPProtocol
from transports.smtp.report import report_end, report_envelope
from transports.smtp.settings import Timeouts
from transports.smtp.transaction import LOST_STEP, Group, Verdict, check, groups, judge, read_dot
from transports.smtp.transcript import Trace
from transports.smtp.underway import SIZE_NOTE, Transaction

#: The slowest upload that is waited for, in bytes per second.
SLOWEST = 500

#: So many accepted messages in a row show that a server's replies keep in step; then its sessions stream.
CLEAN_BEFORE_STREAMING = 10

_OUT_OF_STEP = "The server's answers do not fit the commands they would answer."


class SMTPSession:
    """See `transports.base.Session`."""

    def __init__(
        self,
        protocol: SMTPProtocol,
        capabilities: Mapping[str, str],
        *,
        pipelined: bool,
        may_stream: bool,
        timeouts: Timeouts,
        trace: Trace | None,
    ) -> None:
        self.capabilities = capabilities
        self._protocol = protocol
        self._pipelined = pipelined
        self._may_stream = pipelined and may_stream
        self._is_in_step = False
        self._timeouts = timeouts
        self._trace = trace
        self._is_closed = False
        # A transaction that did not end in an acceptance may still be open on the server's side.
        self._needs_reset = False
        self._clean = 0
        # The message whose envelope travelled with the last dot.
        self._ahead: Transaction | None = None
        self._started = self._dot_at = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether another message may be given to it."""
        return not self._is_closed and self._protocol.is_open

    @property
    def streams(self) -> bool:
        """Whether a following message's envelope travels with the dot."""
        return self._is_in_step and self.is_usable

    async def deliver(
        self,
        envelope: Envelope,
        content: Content,
        *,
        following: MailObject | None = None,
        before_dot: Callable[[], None] | None = None,
        after_dot: Callable[[Reply, Sequence[Reply | None]], None] | None = None,
    ) -> Outcome:
        """Carry one message; see `transports.base.Session.deliver`."""
        self._started = time.monotonic()
        try:
            current = self._current(envelope, content)
            current.following, current.before_dot, current.after_dot = following, before_dot, after_dot
            outcome = await self._deliver(current)
        except BaseException:
            self.abort()
            raise
        if self._trace is not None:
            known = (self._trace, current.since, current.read_at, envelope)
            report_end(*known, content, outcome, told=current.is_told)
        reply, verdict = outcome.reply, current.verdict
        if reply is None or reply.code >= 400 or (verdict is not None and verdict.is_partial):
            return replace(outcome, transcript=current.conversation(outcome, self._protocol.heard))
        return outcome

    def _current(self, envelope: Envelope, content: Content) -> Transaction:
        """Return the transaction of this message: begun with the last dot, or new."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return Transaction(MailObject(envelope, content), since=self._now_ms())
        if ahead.mail.content is not content or ahead.mail.envelope != envelope:
            raise ValueError("Another message was announced to the server.")
        return ahead

    async def _deliver(self, current: Transaction) -> Outcome:
        if current.verdict is None:
            obstacle = self._obstacle(current.mail)
            if obstacle is not None:
                nobody = (None,) * len(current.mail.envelope.rcpt_to)
                return self._outcome(obstacle.phase, error=obstacle, rcpt_replies=nobody)
            current.verdict = await self._begin(current)
        verdict = current.verdict
        refused = self._refused(verdict)
        if refused is not None:
            return refused
        if self._trace is not None:  # before the content: it may take minutes, and a person is watching
            known = (self._trace, current.since, current.read_at, current.mail.envelope)
            report_envelope(*known, verdict.rcpt_replies)
            current.is_told = True
        outcome = await self._hand_over(current, verdict.rcpt_replies)
        if verdict.is_desync:
            self.abort()
        return outcome

    # The envelope

    def _obstacle(self, mail: MailObject) -> TransportError | None:
        """Return why nothing can be said about this message to this server."""
        if (refusal := check(mail.envelope, mail.content, self.capabilities)) is not None:
            return refusal
        if not self.is_usable:
            return ConnectionLost("The connection had ended before the message was begun.", phase=Phase.MAIL)
        return None

    async def _begin(self, current: Transaction) -> Verdict:
        """Say RSET where needed, MAIL, RCPT and DATA, until something is decided."""
        (envelope, content), protocol, limits = current.mail, self._protocol, self._timeouts
        upload = limits.block + content.size_bytes / SLOWEST
        protocol.latest = self._started + limits.mail + limits.rcpt + limits.data + upload
        recipients = len(envelope.rcpt_to)
        has_lead, self._needs_reset = self._needs_reset, True
        replies: list[Reply] = []
        read_at: list[float] = []
        current.said = said = []
        verdict = judge(replies, recipients)
        for group in groups(envelope, content, self.capabilities, pipelined=self._pipelined, reset=has_lead):
            at = time.monotonic()
            replies += await protocol.exchange(group.data, group.phases)
            said.append((at, group.data, protocol.heard, 0))
            read_at += self._read_at()
            if has_lead and replies and replies[0].code != 421:  # whatever else RSET is answered with
                del replies[0], read_at[:1]
            has_lead = False
            verdict = judge(replies, recipients)
            if verdict.phase is not None or not protocol.is_open:
                break
        current.read_at = read_at
        return verdict

    def _refused(self, verdict: Verdict) -> Outcome | None:
        """Return how it ended before the content, None when the content may go."""
        error, farewell = self._protocol.error, self._protocol.farewell
        replies = verdict.rcpt_replies
        if isinstance(error, ProtocolError):  # then no verdict can be attributed
            return self._outcome(error.phase, error=error, rcpt_replies=(None,) * len(replies))
        if farewell is not None or (verdict.is_desync and not verdict.may_send):
            self.abort()
        if verdict.phase is not None:
            return self._outcome(verdict.phase, verdict.reply, rcpt_replies=replies)
        if error is not None:
            return self._outcome(error.phase, error=error, rcpt_replies=replies)
        if farewell is not None:  # it came right behind the 354
            return self._outcome(Phase.DATA, farewell, rcpt_replies=replies)
        return None

    # The content

    async def _hand_over(self, current: Transaction, rcpt_replies: tuple[Reply | None, ...]) -> Outcome:
        """Write the content and the dot. From the dot on, no readable reply means uncertain (RFC 1047)."""
        content = current.mail.content
        if self._trace is not None:
            self._trace.note(SIZE_NOTE.format(content.size_bytes))
        is_large = content.size_bytes > BLOCK_BYTES
        if is_large and (stopped := await self._upload(current, rcpt_replies)) is not None:
            return stopped
        announced = self._announcement(current.following)
        last = DOT if announced is None else DOT + announced.data
        if not is_large:
            last = whole(content, last)
        dot, replies = await self._write_dot(current, last, announced, rcpt_replies)
        if self._trace is not None:
            current.read_at = (*current.read_at, *self._read_at()[:1])
        if dot is None:
            error = self._protocol.error or ProtocolError(_OUT_OF_STEP, phase=Phase.DOT)
            self.abort()
            return self._outcome(Phase.DOT, error=error, rcpt_replies=rcpt_replies, uncertain=True)
        self._learn(dot)
        if current.following is not None and announced is not None:
            self._needs_reset = True
            self._ahead = self._begun_ahead(current.following, announced, replies)
        if self._protocol.farewell is not None or dot.code in LOST_STEP:
            self.abort()
        return self._outcome(Phase.DOT, dot, rcpt_replies=rcpt_replies)

    def _learn(self, dot: Reply) -> None:
        """Take in what the reply to a dot says about the next transaction and about the server."""
        self._needs_reset = not dot.is_success
        if not self._is_in_step and dot.is_success:
            self._clean += 1
            self._is_in_step = self._may_stream and self._clean >= CLEAN_BEFORE_STREAMING

    async def _write_dot(
        self,
        current: Transaction,
        last: bytes,
        announced: Group | None,
        rcpt_replies: tuple[Reply | None, ...],
    ) -> tuple[Reply | None, Sequence[Reply]]:
        """Write `last`, which holds the dot; return the reply to it, None without a certain one, and all."""
        protocol, limits = self._protocol, self._timeouts
        dot: Reply | None = None

        def told(replies: Sequence[Reply]) -> None:
            nonlocal dot
            if not isinstance(protocol.error, ProtocolError):
                dot = read_dot(replies, is_silent=isinstance(protocol.error, ReplyTimeout))
            if dot is not None and current.after_dot is not None:
                current.after_dot(dot, rcpt_replies)

        self._dot_at = now = time.monotonic()
        if current.content_at is None:
            current.content_at = now
        protocol.latest = math.inf
        phases: tuple[Phase, ...] = (Phase.DOT,)
        if announced is not None:
            current.has_announced = True
            protocol.latest = now + limits.dot + limits.mail + limits.rcpt + limits.data
            phases += announced.phases
        protocol.expect(phases)
        if current.before_dot is not None:
            current.before_dot()
        if announced is not None and self._trace is not None:
            self._trace.client(announced.data)
        protocol.write(last)
        replies = await protocol.settle(told)
        return dot, replies

    def _announcement(self, following: MailObject | None) -> Group | None:
        """Return the commands of the next message that travel with this one's dot.

        RSET leads: the dot may be refused and leave its transaction open, and then the next message would go
        out under this one's sender (measured with Postfix 3.7).
        """
        if following is None or not self._is_in_step:
            return None
        envelope, content = following
        if check(envelope, content, self.capabilities) is not None:
            return None
        found = groups(envelope, content, self.capabilities, pipelined=True, reset=True)
        return found[0] if len(found) == 1 else None

    def _begun_ahead(self, mail: MailObject, announced: Group, replies: Sequence[Reply]) -> Transaction:
        """Return the transaction whose envelope travelled, judged by the replies behind the dot's."""
        has_reset = len(replies) > 1 and replies[1].code != 421
        verdict = judge(replies[2 if has_reset else 1 :], len(mail.envelope.rcpt_to))
        said = ((self._dot_at, announced.data, self._protocol.heard, 1),)
        if self._trace is None:
            return Transaction(mail, verdict, said=said)
        return Transaction(mail, verdict, self._now_ms(), self._read_at()[2:], said=said)

    async def _upload(self, current: Transaction, rcpt_replies: tuple[Reply | None, ...]) -> Outcome | None:
        """Write large content in blocks; an outcome when the server answered or went before the end."""
        protocol, content = self._protocol, current.mail.content
        current.content_at = now = time.monotonic()
        # An upload has its own time: its envelope may have travelled with the dot before it.
        protocol.latest = now + self._timeouts.block + content.size_bytes / SLOWEST
        protocol.expect((Phase.BODY,))
        for block in blocks(content):
            protocol.write(block)
            await protocol.drain()
            if protocol.is_settled:
                break
        else:
            # The last block may have run into a reset that is not told yet; and the rest of a premature reply
            # would be read as the answer to the dot.
            if protocol.is_open and not protocol.is_within_reply:
                return None
        replies = await protocol.settle()
        error = protocol.error
        self.abort()
        if isinstance(error, ProtocolError):
            return self._outcome(Phase.BODY, error=error, rcpt_replies=(None,) * len(rcpt_replies))
        if replies:
            return self._outcome(Phase.BODY, replies[0], rcpt_replies=rcpt_replies)
        return self._outcome(Phase.BODY, error=error, rcpt_replies=rcpt_replies)

    def _outcome(
        self,
        phase: Phase,
        reply: Reply | None = None,
        *,
        error: TransportError | None = None,
        rcpt_replies: tuple[Reply | None, ...],
        uncertain: bool = False,
    ) -> Outcome:
        # RSET leads a group, and the message begins with MAIL.
        if phase is Phase.RSET:
            phase = Phase.MAIL
        if error is not None and error.phase is Phase.RSET:
            error.phase = Phase.MAIL
        ms = (time.monotonic() - self._started) * 1000
        return Outcome(phase, reply, error, rcpt_replies, uncertain, ms)

    # For an observer

    def _now_ms(self) -> float:
        return self._trace.now_ms() if self._trace is not None else 0.0

    def _read_at(self) -> list[float]:
        """Return when each reply of the present exchange came, for an observer."""
        if self._trace is None:
            return []
        return [self._trace.at_ms(at) for at, read in self._protocol.heard for _ in read]

    async def close(self) -> None:
        """Say QUIT and wait for its answer at most 5 s; then, or at once where it is of no use, drop it."""
        if self._is_closed:
            return
        self._is_closed = True
        waits_for_content = self._ahead is not None  # QUIT would be taken for its first line
        try:
            if self._protocol.is_open and not waits_for_content:
                self._protocol.latest = math.inf
                await self._protocol.exchange(b"QUIT\r\n", (Phase.QUIT,))
        finally:
            self._protocol.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._is_closed = True
        self._protocol.abort()
