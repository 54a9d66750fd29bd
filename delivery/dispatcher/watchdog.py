"""Ends a process whose event loop is wedged: nothing else would, and the work it took would be late.

A loop that blocks stops the heartbeat after half a minute (`database.SILENCE_SECONDS`), so that others take
back what it holds. The process itself would stay, with its connections open at the servers: after a minute it
leaves a note of where each of its threads stood, and ends. Its journal says what was sent.
"""

import asyncio
import faulthandler
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

#: A loop that was silent so long is wedged.
WEDGED_SECONDS = 60.0
_TICK_SECONDS = 1.0
#: The stacks may go to a pipe that nobody reads, and then that is what wedged the loop.
_DUMP_SECONDS = 5.0
_STDERR = 2  # the descriptor: Celery puts a logger in the place of sys.stderr
#: EX_SOFTWARE of sysexits.h.
EXIT_STATUS = 70


@contextmanager
def watching() -> Iterator[None]:
    """Watch the running loop while the block runs."""
    watchdog = _Watchdog(asyncio.get_running_loop())
    watchdog.start()
    try:
        yield
    finally:
        watchdog.is_over.set()


class _Watchdog(threading.Thread):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name="drain-watchdog", daemon=True)
        self.is_over = threading.Event()
        self._loop = loop
        self._answered_at = time.monotonic()

    def run(self) -> None:
        """Ask the loop for an answer again and again; end the process when none comes."""
        looked_at = time.monotonic()
        while not self.is_over.wait(_TICK_SECONDS):
            now = time.monotonic()
            if now - looked_at > 2 * _TICK_SECONDS:
                self._answered_at = now  # this thread did not run either: the process was frozen
            looked_at = now
            if now - self._answered_at > WEDGED_SECONDS:
                _end()
            if not self._ask():
                return

    def _ask(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # it was closed
            return False
        return True

    def _answer(self) -> None:
        self._answered_at = time.monotonic()


def _end() -> None:
    telling = threading.Thread(target=_tell, name="drain-stacks", daemon=True)
    telling.start()
    telling.join(_DUMP_SECONDS)
    os._exit(EXIT_STATUS)


def _tell() -> None:
    faulthandler.dump_traceback(_STDERR, all_threads=True)
    logger.critical("The event loop has not answered for %d seconds: this worker ends.", WEDGED_SECONDS)
