"""One session of a test: a transport in a thread of its own, heard from this one.

The session runs in a thread with an event loop. The calling thread owns the database connection, takes each
step as it comes and gives up at the limit, whatever the other thread is stuck in (a name lookup cannot be
cancelled). So no coroutine calls the ORM, and a test in a view, a command or a task behaves the same.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from transports.base import Content, Envelope, Outcome, Step, TranscriptLine, Transport

#: The other thread ends itself at the limit; this long after it, it is left behind.
_GRACE = 1.0


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a session: an outcome, or the error that came instead (TimeoutError at the limit)."""

    outcome: Outcome | None = None
    error: BaseException | None = None


Heard = Step | TranscriptLine | Ended


@dataclass
class _Ears:
    """The observer: passes on what the session does. Called in the session's thread; never blocks."""

    heard: "queue.SimpleQueue[Heard]" = field(default_factory=queue.SimpleQueue)

    def step(self, step: Step) -> None:
        self.heard.put(step)

    def line(self, line: TranscriptLine) -> None:
        self.heard.put(line)


def listen(transport: Transport, envelope: Envelope, content: Content, *, limit: float) -> Iterator[Heard]:
    """Send one message; yield steps and lines as they come, and `Ended` after `limit` seconds at most."""
    ears = _Ears()
    threading.Thread(
        target=_talk,
        args=(transport, envelope, content, ears, limit),
        name="test-run",
        daemon=True,  # one stuck in a lookup must not keep the process from ending
    ).start()
    deadline = time.monotonic() + limit + _GRACE
    while True:
        try:
            heard = ears.heard.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            heard = Ended(error=TimeoutError())
        yield heard
        if isinstance(heard, Ended):
            return


def _talk(transport: Transport, envelope: Envelope, content: Content, ears: _Ears, limit: float) -> None:
    try:
        ended = Ended(outcome=asyncio.run(_deliver(transport, envelope, content, ears, limit)))
    except BaseException as error:  # noqa: BLE001  # a thread's only way to say how it ended; judged by the caller
        ended = Ended(error=error)
    ears.heard.put(ended)


async def _deliver(
    transport: Transport, envelope: Envelope, content: Content, ears: _Ears, limit: float
) -> Outcome:
    async with asyncio.timeout(limit):
        session = await transport.open(ears)
        try:
            return await session.deliver(envelope, content)
        finally:
            await session.close()
