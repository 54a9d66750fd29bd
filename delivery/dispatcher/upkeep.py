"""Retention beside the mail, and how much waits: now and then, in a thread and on a connection of its own.

The drain's own connection would make claims and heartbeats wait for it.
"""

import asyncio
import logging
import time
from dataclasses import replace

from django.db import DatabaseError, InterfaceError, connection

from delivery import queue, upkeep
from smtp_settings.policy import policies

logger = logging.getLogger(__name__)

#: A drain that is over sooner has better things to do.
FIRST_SECONDS = 10.0
#: After a chunk that failed; what is over is not urgent.
_AGAIN_SECONDS = 60.0


class Upkeep:
    """At most one chunk at a time; mail neither waits for it nor fails with it."""

    def __init__(self) -> None:
        self._at = time.monotonic() + FIRST_SECONDS
        self._chunk: asyncio.Task[float] | None = None

    def go_on(self) -> None:
        """Begin the next chunk when it is time, and the last one is done."""
        if self._chunk is None and time.monotonic() >= self._at:
            self._chunk = asyncio.create_task(asyncio.to_thread(_step))
            self._chunk.add_done_callback(self._done)

    async def close(self) -> None:
        """Wait for the chunk that was begun: ten seconds at most, the limit of its statement."""
        if self._chunk is not None:
            await asyncio.wait({self._chunk})

    def _done(self, chunk: "asyncio.Task[float]") -> None:
        self._chunk = None
        wait = _AGAIN_SECONDS
        if chunk.cancelled():
            pass
        elif (error := chunk.exception()) is not None:
            logger.error("Upkeep failed, for a reason of our own: %s", error, exc_info=error)
        else:
            wait = chunk.result()
        self._at = time.monotonic() + wait


def _step() -> float:
    """Note how much waits and do one chunk; return in how many seconds to come again."""
    try:
        queue.note_backlog()
        retention = upkeep.Retention.configured()
        if not policies().keeps_sent:
            retention = replace(retention, sent=0)
        return upkeep.step(retention)
    except (DatabaseError, InterfaceError) as error:
        what = str(error).strip().partition("\n")[0]
        logger.warning("Upkeep is put off, the database did not do it: %s", what)
        return _AGAIN_SECONDS
    finally:
        connection.close()
