"""Writing outcomes down in groups: what came in while the last one was written goes into the next.

An outcome waits at most 25 ms, and not at all when nothing else is on the wire: an idle worker commits every
message by itself, a busy one a statement per group. What is not committed when the process is killed is sent
again, so the number of such outcomes has a bound, and no connection completes a message beyond it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count

from django.db import DataError, IntegrityError, connection, transaction
from django.utils import timezone

from delivery import notices, queue
from delivery.dispatcher.database import Database
from delivery.dispatcher.recording import logbook
from delivery.dispatcher.recording.journal import Journal
from delivery.dispatcher.recording.outcomes import Logged, Result
from delivery.dispatcher.recording.plainly import in_plain_words
from delivery.dispatcher.recording.telling import Teller
from delivery.queue.events import RecipientEvents, add_recipient_events
from smtp_settings import email_log

logger = logging.getLogger(__name__)

#: A group of this size is written at once.
GROUP = 50
#: How long an outcome may wait for others while messages are on the wire.
WAIT_SECONDS = 0.025
#: With so many outcomes not yet committed no connection completes another message: the next process would not
#: know of them. A journal tells it; there a group waits for the claim before it, and others come together
#: meanwhile: at 100 all connections stood still for a fourteenth of the time.
MOST_UNACKNOWLEDGED, MOST_IN_JOURNAL = 50, 200

_GIVEN_UP = frozenset({queue.SmallState.FAILED, queue.SmallState.EXPIRED})
#: A message chosen for a profile that was deleted meanwhile waits until the drain has heard of it.
DELETED_DELAY = timedelta(minutes=1)


class Recorder:
    """Collects results and writes them under the lease; `acknowledged` hears of those that are committed.

    What is given back is due again no sooner than after `kept`.
    """

    def __init__(
        self,
        database: Database,
        lease: int,
        *,
        on_the_wire: Callable[[], int],
        acknowledged: Callable[[Sequence[Result]], None],
        journal: Journal,
        teller: Teller,
        keeps_log: Callable[[], bool],
        kept: timedelta = timedelta(0),
    ) -> None:
        self._database = database
        self._lease = lease
        self._on_the_wire = on_the_wire
        self._acknowledged = acknowledged
        self._journal = journal
        self._teller = teller
        self._keeps_log = keeps_log
        self._kept = kept
        self._waiting: list[Result] = []
        self._writing: list[Result] = []
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._committed = asyncio.Event()

    @property
    def unacknowledged(self) -> int:
        """How many results are not committed yet."""
        return len(self._waiting) + len(self._writing)

    def add(self, result: Result) -> None:
        """Take a result; it is committed soon."""
        if result.settled is not None and (result.settled.delay or timedelta(0)) < self._kept:
            result = replace(result, settled=replace(result.settled, delay=self._kept))
        self._waiting.append(result)
        if self.unacknowledged >= self._most():
            self._room.clear()
        self._changed.set()

    async def has_room(self) -> None:
        """Wait until another message may be completed."""
        if not self._room.is_set():
            await self._room.wait()

    async def drained(self) -> None:
        """Wait until everything is committed."""
        while self.unacknowledged:
            self._committed.clear()
            await self._committed.wait()

    async def run(self) -> None:
        """Write groups until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._waiting:
                await self._gather()
                await self.flush()

    async def flush(self) -> None:
        """Write all that waits now."""
        if self._writing or not self._waiting:
            return
        self._writing, self._waiting = self._waiting, []
        group = self._writing
        runs = count()
        written = await self._database.call(lambda: write_apart(self._lease, group, is_repeat=next(runs) > 0))
        ended = (result.finished for result in group if result.finished is not None)
        self._teller.tell(one for one in ended if one.message_id in written)
        self._journal.acknowledged(result.work.claimed.message_id for result in group)
        self._writing = []
        self._acknowledged(group)
        self._committed.set()
        if self.unacknowledged < self._most():
            self._room.set()
        if self._waiting:
            self._changed.set()
        if self._keeps_log():
            await asyncio.to_thread(_log, [one for one in group if _id_of(one) in written])

    def _most(self) -> int:
        return MOST_IN_JOURNAL if self._journal.is_kept else MOST_UNACKNOWLEDGED

    async def _gather(self) -> None:
        """Let a group come together."""
        loop = asyncio.get_running_loop()
        until = loop.time() + WAIT_SECONDS
        while len(self._waiting) < GROUP and self._on_the_wire() and (left := until - loop.time()) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return


def write(lease: int, group: Sequence[Result], *, is_repeat: bool) -> set[int]:
    """Write one group, attempts in one transaction with what they belong to; return the ids written.

    In a repeat, a message that is not in hand any more was written by the run before, its attempt with it:
    only the answer to that commit was lost. What ended so is among the ids: nobody has been told of it yet.
    """
    finished = [result.finished for result in group if result.finished is not None]
    tried = [result.tried for result in group if result.tried is not None]
    logged = [result for result in group if result.logged is not None]
    if len(finished) == len(group) and not (tried or logged) and not any(map(_is_given_up, finished)):
        return queue.finish(lease, finished)
    with transaction.atomic():
        ended = queue.finish(lease, finished)
        written = ended | queue.settle(lease, _settled(group))
        given_up = [one for one in finished if one.message_id in ended and _is_given_up(one)]
        notices.message_given_up({one.message_id: one.profile_id for one in given_up})
        queue.record([one for one in tried if one.message_id in written or not is_repeat])
        add_recipient_events(lease, (_logged(one) for one in logged if _id_of(one) in written))
        if is_repeat:
            written |= queue.ended_by(lease, [one for one in finished if one.message_id not in ended])
    return written


def write_apart(lease: int, group: Sequence[Result], *, is_repeat: bool) -> set[int]:
    """Write one group; where the database refuses it one by one, so that none suffers for another's words."""
    try:
        return _write_whole(lease, group, is_repeat=is_repeat)
    except (DataError, IntegrityError):
        written = [_write_one(lease, result, is_repeat=is_repeat) for result in group]
        return set().union(*written)


def _write_one(lease: int, result: Result, *, is_repeat: bool) -> set[int]:
    """Write one result. One that the database does not take is written in plain words: a person looks."""
    try:
        return _write_whole(lease, [result], is_repeat=is_repeat)
    except (DataError, IntegrityError):
        logger.exception("What became of message %s could not be recorded.", _id_of(result))
    instead = list(in_plain_words(result))
    result.settled, result.tried, result.elsewhere = None, None, None
    for result.finished in instead[:-1]:
        with suppress(DataError, IntegrityError):
            return _write_whole(lease, [result], is_repeat=is_repeat)
    result.finished = instead[-1]
    return _write_whole(lease, [result], is_repeat=is_repeat)


def _write_whole(lease: int, group: Sequence[Result], *, is_repeat: bool) -> set[int]:
    """Write one group, or nothing of it: a caller's own transaction goes on after an error."""
    with transaction.atomic() if connection.in_atomic_block else nullcontext():
        return write(lease, group, is_repeat=is_repeat)


def _log(results: Sequence[Result]) -> None:
    try:
        email_log.write(logbook.entries(results, timezone.now()))
    except Exception:  # a message that cannot be described must not stop those that can be sent
        logger.exception("Messages could not be written to the email log.")


def _id_of(result: Result) -> int:
    return result.work.claimed.message_id


def _logged(result: Result) -> RecipientEvents:
    return RecipientEvents(
        str(result.logged), _id_of(result), result.work.recipients, is_error=result.logged is Logged.SIMULATED
    )


def _is_given_up(finished: queue.Finished) -> bool:
    """Whether the message ended unsent, and nobody wanted it to."""
    return finished.state in _GIVEN_UP


def _settled(group: Sequence[Result]) -> list[queue.Settled]:
    """Return what goes back to the queue, with the pools of the messages that go elsewhere."""
    routes = {
        result.work.claimed.message_id: queue.Route(result.work.pool.site_id, None, result.elsewhere)
        for result in group
        if result.elsewhere is not None
    }
    pools = queue.pools_for(routes.values()) if routes else {}
    settled = [result.settled for result in group if result.settled is not None]
    return [
        _moved(one, pools[routes[one.message_id]]) if one.message_id in routes else one for one in settled
    ]


def _moved(settled: queue.Settled, pool_id: int | None) -> queue.Settled:
    """Let the message go elsewhere; when that profile was deleted just now, back to where it was."""
    if pool_id is None:
        return replace(settled, delay=DELETED_DELAY)
    return replace(settled, pool_id=pool_id)
