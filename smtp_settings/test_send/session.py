"""One session of a test: a transport in a thread of its own, heard from this one.

The session runs in a thread with an event loop. The calling thread owns the database connection, takes each
step as it comes, looks twice a second whether the test was stopped, and gives up at the limit, whatever the
other thread is stuck in (a name lookup cannot be cancelled). So no coroutine calls the ORM, and a test in a
view, a command or a task behaves the same.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from transports.base import MailObject, Outcome, Step, TranscriptLine, Transport

#: The other thread ends itself at the limit, and soon after a stop; this long after it, it is left behind.
_GRACE = 1.0
#: How often the caller is asked whether the test goes on.
_LOOK = 0.4
#: How long the session holds the final dot back for that answer; without one, no dot is written.
_PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a session: an outcome, or the error that came instead (TimeoutError at the limit).

    Neither of them: the sign-in was all that was wanted, and the connection was closed politely.
    `is_stopped`: the caller did not want it to go on; `is_handed_over` then says whether the final dot had
    been written.
    """

    outcome: Outcome | None = None
    error: BaseException | None = None
    is_stopped: bool = False
    is_handed_over: bool = False


Heard = Step | TranscriptLine | Ended


class _Stopped(Exception):
    """The final dot is not wanted any more."""


@dataclass
class _Question:
    """What the session's thread asks right before the final dot: whether the test goes on."""

    answered: threading.Event = field(default_factory=threading.Event)
    goes_on: bool = False


def listen(
    transport: Transport,
    mail: MailObject | None,
    *,
    limit: float,
    goes_on: Callable[[], bool] = lambda: True,
) -> Iterator[Heard]:
    """Send one message, or only sign in when `mail` is None; yield steps and lines as they come.

    `Ended` is the last, after `limit` seconds at most, or a second after `goes_on` first said no. It is asked
    in this thread. Closing the iterator ends the session too.
    """
    talk = _Talk(transport, mail, limit)
    talk.start()
    give_up_at, look_at = time.monotonic() + limit + _GRACE, 0.0
    try:
        while True:
            heard = talk.hear(until=min(give_up_at, look_at))
            if isinstance(heard, _Question):
                heard.goes_on = not talk.is_stopped and goes_on()
                heard.answered.set()
            elif heard is not None:
                yield heard
                if isinstance(heard, Ended):
                    return
            now = time.monotonic()
            if now >= give_up_at:
                yield talk.left_behind()
                return
            if now >= look_at:
                look_at = now + _LOOK
                if not talk.is_stopped and not goes_on():
                    talk.stop()
                    give_up_at = min(give_up_at, now + _GRACE)
    finally:
        talk.stop()


class _Talk(threading.Thread):
    """The session's thread; also the observer, called there, which never blocks."""

    def __init__(self, transport: Transport, mail: MailObject | None, limit: float) -> None:
        # One stuck in a lookup must not keep the process from ending.
        super().__init__(name="test-run", daemon=True)
        self._transport, self._mail, self._limit = transport, mail, limit
        self._heard: queue.SimpleQueue[Heard | _Question] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None  # Any: as `current_task` types it
        self.is_stopped = False
        self._is_handed_over = False

    # From the calling thread

    def hear(self, *, until: float) -> Heard | _Question | None:
        """Return what was heard next, None when nothing was by that moment."""
        try:
            return self._heard.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Have the session ended and its connection closed; soon, and without waiting for it."""
        self.is_stopped = True  # first: a thread that has no loop yet looks at it when it has one
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # the loop has been closed: it is over
                self._loop.call_soon_threadsafe(self._task.cancel)

    def left_behind(self) -> Ended:
        """Return the end of a session that does not end."""
        return self._ended(error=TimeoutError())

    # In the session's thread

    def step(self, step: Step) -> None:
        """Pass a step on."""
        self._heard.put(step)

    def line(self, line: TranscriptLine) -> None:
        """Pass a line on."""
        self._heard.put(line)

    def run(self) -> None:
        """Run the session to its end, and say how it ended before anything else is waited for."""
        with suppress(asyncio.CancelledError), asyncio.Runner() as runner:
            runner.run(self._say_how_it_ends())

    async def _say_how_it_ends(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            ended = self._ended(outcome=await self._talk())
        except BaseException as error:  # noqa: BLE001  # a thread's only way to say how it ended; judged by the caller
            ended = self._ended(error=error)
        self._heard.put(ended)

    async def _talk(self) -> Outcome | None:
        if self.is_stopped:
            raise _Stopped
        async with asyncio.timeout(self._limit):
            session = await self._transport.open(self)
            try:
                if self._mail is None:
                    return None
                return await session.deliver(*self._mail, before_dot=self._ask)
            finally:
                await session.close()

    def _ask(self) -> None:
        """Hold the dot back until the caller says that the test goes on."""
        question = _Question()
        self._heard.put(question)
        if not question.answered.wait(_PATIENCE) or not question.goes_on:
            raise _Stopped
        self._is_handed_over = True

    def _ended(self, outcome: Outcome | None = None, error: BaseException | None = None) -> Ended:
        is_stopped = isinstance(error, _Stopped) or (error is not None and self.is_stopped)
        return Ended(outcome, error, is_stopped, is_stopped and self._is_handed_over)
