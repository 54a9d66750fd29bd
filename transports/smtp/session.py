"""An open, signed-in SMTP session: one transaction after another, each answered with an `Outcome`."""

import asyncio
import math
from collections.abc import Callable, Mapping

from transports.base import Content, Envelope, MailObject, Outcome, Phase, Reply
from transports.errors import ConnectionLost, ProtocolError, TransportError
from transports.smtp.content import BLOCK_BYTES, DOT, blocks, whole
from transports.smtp.protocol import SMTPProtocol
from transports.smtp.report import report_transaction
from transports.smtp.settings import Timeouts
from transports.smtp.transaction import LOST_STEP, Verdict, check, groups, judge
from transports.smtp.transcript import Trace

#: The slowest upload that is waited for, in bytes per second.
SLOWEST = 500


class SMTPSession:
    """See `transports.base.Session`."""

    def __init__(
        self,
        protocol: SMTPProtocol,
        capabilities: Mapping[str, str],
        *,
        pipelined: bool,
        timeouts: Timeouts,
        trace: Trace | None,
    ) -> None:
        self.capabilities = capabilities
        self._protocol = protocol
        self._pipelined = pipelined
        self._timeouts = timeouts
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        # A transaction that did not end in an acceptance may still be open on the server's side.
        self._needs_reset = False
        self._started = 0.0
        self._read_at: list[float] = []

    @property
    def is_usable(self) -> bool:
        """Whether another message may be given to it."""
        return not self._is_closed and self._protocol.is_open

    @property
    def streams(self) -> bool:
        """Whether a following message's envelope travels with the dot."""
        return False

    async def deliver(
        self,
        envelope: Envelope,
        content: Content,
        *,
        following: MailObject | None = None,
        before_dot: Callable[[], None] | None = None,
        after_dot: Callable[[Reply], None] | None = None,
    ) -> Outcome:
        """Carry one message; see `transports.base.Session.deliver`."""
        self._started = self._loop.time()
        since = self._trace.now_ms() if self._trace is not None else 0.0
        try:
            outcome = await self._deliver(envelope, content, before_dot)
        except BaseException:
            self.abort()
            raise
        if after_dot is not None and outcome.phase is Phase.DOT and outcome.reply is not None:
            after_dot(outcome.reply)
        if self._trace is not None:
            report_transaction(self._trace, since, self._read_at, envelope, content, outcome)
        return outcome

    async def _deliver(
        self, envelope: Envelope, content: Content, before_dot: Callable[[], None] | None
    ) -> Outcome:
        refusal = check(envelope, content, self.capabilities)
        nobody = (None,) * len(envelope.rcpt_to)
        if refusal is not None:
            return self._outcome(refusal.phase, error=refusal, rcpt_replies=nobody)
        if not self.is_usable:
            lost = ConnectionLost("The connection had ended before the message was begun.", phase=Phase.MAIL)
            return self._outcome(Phase.MAIL, error=lost, rcpt_replies=nobody)
        verdict = await self._begin(envelope, content)
        refused = self._refused(verdict)
        if refused is not None:
            return refused
        outcome = await self._hand_over(content, verdict.rcpt_replies, before_dot)
        if verdict.is_desync:
            self.abort()
        return outcome

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

    async def _begin(self, envelope: Envelope, content: Content) -> Verdict:
        """Say RSET where needed, MAIL, RCPT and DATA, until something is decided."""
        protocol, recipients = self._protocol, len(envelope.rcpt_to)
        limits = self._timeouts
        upload = limits.block + content.size_bytes / SLOWEST
        protocol.latest = self._started + limits.mail + limits.rcpt + limits.data + upload
        has_lead, self._needs_reset = self._needs_reset, True
        replies: list[Reply] = []
        self._read_at = []
        verdict = judge(replies, recipients)
        for group in groups(envelope, content, self.capabilities, pipelined=self._pipelined, reset=has_lead):
            replies += await protocol.exchange(group.data, group.phases)
            self._read_at += protocol.read_at
            if has_lead and replies and replies[0].code != 421:  # whatever else RSET is answered with
                del replies[0], self._read_at[:1]
            has_lead = False
            verdict = judge(replies, recipients)
            if verdict.phase is not None or not protocol.is_open:
                break
        return verdict

    async def _hand_over(
        self,
        content: Content,
        rcpt_replies: tuple[Reply | None, ...],
        before_dot: Callable[[], None] | None,
    ) -> Outcome:
        """Write the content and the dot. From the dot on, no readable reply means uncertain (RFC 1047)."""
        protocol = self._protocol
        if self._trace is not None:
            self._trace.note(f"The message: {content.size_bytes} bytes")
        if content.size_bytes <= BLOCK_BYTES:
            last = whole(content)
        else:
            last = DOT
            stopped = await self._upload(content, rcpt_replies)
            if stopped is not None:
                return stopped
        protocol.latest = math.inf
        protocol.expect((Phase.DOT,))
        if before_dot is not None:
            before_dot()
        protocol.write(last)
        replies = await protocol.settle()
        self._read_at += protocol.read_at
        if not replies or isinstance(protocol.error, ProtocolError):
            return self._outcome(Phase.DOT, error=protocol.error, rcpt_replies=rcpt_replies, uncertain=True)
        reply = replies[0]
        self._needs_reset = not reply.is_success
        if protocol.farewell is not None or reply.code in LOST_STEP:
            self.abort()
        return self._outcome(Phase.DOT, reply, rcpt_replies=rcpt_replies)

    async def _upload(self, content: Content, rcpt_replies: tuple[Reply | None, ...]) -> Outcome | None:
        """Write large content in blocks; an outcome when the server answered or went before the end."""
        protocol = self._protocol
        protocol.expect((Phase.BODY,))
        for block in blocks(content):
            protocol.write(block)
            await protocol.drain()
            if protocol.is_settled:
                break
        else:
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
        ms = (self._loop.time() - self._started) * 1000
        return Outcome(phase, reply, error, rcpt_replies, uncertain, ms)

    async def close(self) -> None:
        """Say QUIT and wait for its answer at most 5 s; then, or at once where it is of no use, drop it."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._protocol.is_open:
                self._protocol.latest = math.inf
                await self._protocol.exchange(b"QUIT\r\n", (Phase.QUIT,))
        finally:
            self._protocol.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._is_closed = True
        self._protocol.abort()
