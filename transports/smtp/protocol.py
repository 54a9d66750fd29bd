"""Our side of the connection after the takeover: strict accounting of replies (RFC 2920 section 3.1).

Every reply is expected before its command is written; what was not expected ends the connection, because from
there on no reply can be attributed. Nothing here raises for what the server does: `exchange` returns the
replies that came, and `error` says why no more did.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence

from transports.base import Phase, Reply
from transports.errors import ConnectionLost, ProtocolError, ReplyTimeout, TransportError
from transports.smtp.conversation import Reading
from transports.smtp.redaction import Redactor
from transports.smtp.reply import SHOWN_BYTES, UnreadableError, read_next
from transports.smtp.transcript import Trace

#: What we were doing, for sentences.
WORDS = {
    Phase.AUTH: "during the sign-in",
    Phase.RSET: "after RSET",
    Phase.MAIL: "after MAIL FROM",
    Phase.RCPT: "after RCPT TO",
    Phase.DATA: "after DATA",
    Phase.BODY: "while the message was being sent",
    Phase.DOT: "after the message was sent",
    Phase.QUIT: "after QUIT",
}

#: The codes below 400 that can answer a command of a phase.
_SUCCESSES = {phase: range(200, 300) for phase in Phase} | {
    Phase.AUTH: (235, 334),
    Phase.DATA: (354,),
    Phase.BODY: (),
}

_SURPLUS = "The server said more than it was asked."


class SMTPProtocol(asyncio.Protocol):
    """One connection, one exchange at a time.

    `limit` gives the seconds to wait for one reply in a phase. One timer serves the whole connection: it is
    moved only when a deadline comes nearer, so that a message costs none.
    """

    def __init__(
        self, transport: asyncio.Transport, limit: Callable[[Phase], float], *, trace: Trace | None = None
    ) -> None:
        #: Why the connection is of no use any more.
        self.error: TransportError | None = None
        #: The 421 with which the server said that it is closing.
        self.farewell: Reply | None = None
        #: No deadline of the present exchange lies beyond this: the cap on a server that drips replies.
        self.latest = math.inf
        #: The replies of the present exchange, with their bytes and moments, for a conversation.
        self.heard: list[Reading] = []
        self.trace = trace
        self.redactor: Redactor | None = None
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._buffer = b""
        self._phases: Sequence[Phase] = ()
        self._replies: list[Reply] = []
        self._missing = 0
        self._waiter: asyncio.Future[None] | None = None
        self._told: Callable[[Sequence[Reply]], None] | None = None
        self._paused = False
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether something may still be written."""
        return self.error is None and self.farewell is None and not self._transport.is_closing()

    async def exchange(
        self, data: bytes, phases: Sequence[Phase], *, shown: bytes | None = None
    ) -> list[Reply]:
        """Write commands and read one reply for each of `phases`, in order.

        Returns fewer when the connection ended (then `error` is set) or the server said 421. `shown` is what
        an observer sees instead of `data`.
        """
        self.expect(phases)
        if self.trace is not None:
            self.trace.client(data if shown is None else shown)
        self.write(data)
        return await self.settle()

    def expect(self, phases: Sequence[Phase]) -> None:
        """Begin an exchange: what is written next is answered by these replies."""
        self._phases, self._missing = phases, len(phases)
        self._replies = []
        self.heard = []
        if self.error is None and self.farewell is None:
            self._await_next()

    def write(self, data: bytes | memoryview) -> None:
        """Hand bytes to the connection, if it still is one."""
        if self.is_open:
            self._transport.write(data)
        else:
            self._fail(ConnectionLost("The server has closed the connection.", phase=self._phase))

    async def settle(self, told: Callable[[Sequence[Reply]], None] | None = None) -> list[Reply]:
        """Wait until the exchange is complete or cannot be completed; returns what was read and ends it.

        `told` gets the same from within the read that completed it, before anything else runs.
        """
        if self.is_settled:
            if told is not None:
                told(self._replies)
        else:
            self._told = told
            try:
                while not self.is_settled:
                    await self._change()
            finally:
                self._told = None
        self._phases, self._missing, self._deadline = (), 0, None
        return self._replies

    async def drain(self) -> None:
        """Wait until the connection takes more, or a reply or an end came instead."""
        while self._paused and not self.is_settled:
            await self._change()
        self._await_next()

    @property
    def is_settled(self) -> bool:
        """Whether every reply of the exchange came, or no more will."""
        return not self._missing or self.error is not None or self.farewell is not None

    @property
    def is_within_reply(self) -> bool:
        """Whether the beginning of a reply came, and not yet its end."""
        return bool(self._buffer)

    def _change(self) -> asyncio.Future[None]:
        """Return what is done as soon as something has changed."""
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        if self._told is not None and (not self._missing or self.is_settled):
            told, self._told = self._told, None
            told(self._replies)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def _phase(self) -> Phase:
        """Where we are: the phase of the reply that is awaited, or of the last; MAIL between two messages."""
        return self._phases[-(self._missing or 1)] if self._phases else Phase.MAIL

    # Replies

    def data_received(self, data: bytes) -> None:
        """Read the replies that are complete, each as the answer to the oldest open command."""
        if self.error is not None or self.farewell is not None:
            return
        self._buffer = self._buffer + data if self._buffer else data
        try:
            self._read_replies()
        except UnreadableError as error:
            self._fail_unreadable(str(error), error.raw)
        if not self._missing or self.is_settled:
            self._wake()

    def _read_replies(self) -> None:
        buffer = self._buffer if self.redactor is None else self.redactor.redact(self._buffer)
        read = read_next(buffer)
        if read.replies:
            self.heard.append((time.monotonic(), read.replies))
        self._take(read.replies)
        self._buffer = buffer[read.end :]
        if self.farewell is not None:
            return
        if read.unreadable is not None:
            raise UnreadableError(str(read.unreadable), read.unreadable.raw)
        if self._missing:
            if read.replies:  # else a server that drips would never be late
                self._await_next()
        elif self._buffer and not b"421".startswith(self._buffer[:3]):
            raise UnreadableError(_SURPLUS, self._buffer)

    def _take(self, read: Sequence[tuple[bytes, Reply]]) -> None:
        """Take each reply as the answer to the oldest open command, up to a 421."""
        for raw, reply in read:
            code = reply.code
            if self.trace is not None:
                self.trace.server(raw)
            if code == 421:
                self.farewell = reply
            elif not self._missing:
                raise UnreadableError(_SURPLUS, raw)
            elif code < 400 and code not in _SUCCESSES[self._phases[-self._missing]]:
                raise UnreadableError(
                    f"The server's answer {code} is out of place {WORDS[self._phase]}.", raw
                )
            if self._missing:
                self._replies.append(reply)
                self._missing -= 1
            if self.farewell is not None:
                return

    # Ends

    def _fail_unreadable(self, sentence: str, raw: bytes) -> None:
        if self.redactor is not None:
            raw = self.redactor.redact_torn(raw)  # cut only then: half a secret would not be found
        shown = f"{sentence} (hex: {raw[:SHOWN_BYTES].hex()})"
        if self.trace is not None:
            self.trace.note(shown)
        self._fail(ProtocolError(shown, phase=self._phase))

    def _fail(self, error: TransportError) -> None:
        if self.error is None:
            self.error = error
        self.abort()
        self._wake()

    def abort(self) -> None:
        """Drop the connection: `close()` would wait for a peer that does not read."""
        if self.error is None:
            self.error = ConnectionLost("The connection was dropped.", phase=self._phase)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._deadline = None
        self._transport.abort()

    def eof_received(self) -> None:
        """Do not wait for our own unsent bytes when the server has ended."""
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end; what was read before stands."""
        lost = ConnectionLost(f"The server closed the connection {WORDS[self._phase]}.", phase=self._phase)
        lost.__cause__ = error
        self._fail(lost)

    def pause_writing(self) -> None:
        """Be told that the server reads slower than we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """Be told that there is room again."""
        self._paused = False
        self._wake()

    # Deadlines

    def _await_next(self) -> None:
        """Give the reply that is awaited now its own limit."""
        self._deadline = deadline = min(time.monotonic() + self._limit(self._phase), self.latest)
        if self._timer is None or self._timer.when() > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if time.monotonic() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
            return
        phase = self._phase
        self._fail(ReplyTimeout(f"The server did not answer in time {WORDS[phase]}.", phase=phase))
