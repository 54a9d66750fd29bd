"""The workers' engine: claims messages, gives each to a server, sends, and records what became of it."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from django.conf import settings

from delivery import notices, queue
from delivery.dispatcher import clock, watchdog
from delivery.dispatcher.database import Database
from delivery.dispatcher.drain import Drain, Terms
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.recording.journal import Journal
from delivery.dispatcher.recording.records import Header
from delivery.dispatcher.recording.replay import replay_all
from delivery.dispatcher.recording.report import Report
from delivery.dispatcher.recording.telling import Teller
from delivery.dispatcher.stopping import Stop, Stopping, on_signals
from delivery.queue import Finished

__all__ = ["Report", "Stopping", "on_signals", "run", "tell"]

logger = logging.getLogger(__name__)

#: What was said about journals that cannot be kept.
_told: set[str] = set()


def run(
    *,
    until_empty: bool = False,
    deadline: float = 300.0,
    linger: float = 20.0,
    stop: Stop | None = None,
    hurry: Stop | None = None,
    batch_size: int | None = None,
    ring: Callable[[], None] | None = None,
    progress: Callable[[Report], None] | None = None,
    only: frozenset[int] | None = None,
) -> Report:
    """Drain the queue in the calling thread; return when there is nothing left to do, or `stop` is set.

    With `until_empty` it ends when no due message can be sent any more; else when none came for `linger`
    seconds. In any case after `deadline` seconds, at a quiet point. What is on the wire when `stop` is set
    has a minute to finish; what was not begun goes back. With `hurry` set as well nothing is waited for.
    `ring` is called when another worker would help, `progress` now and then.

    `only`: these messages, due or not, each offered to a server once and never retried; it ends when no
    server is left for them, and does nothing of what workers do besides.

    `batch_size`: messages claimed at once, 1 to 1000; None is the sending policy's, else the installation's.

    The caller's thread runs the event loop and makes no query; the database work has a thread and a
    connection of its own. Raises what a broken database raises after a minute of trying.
    """
    terms = Terms(
        until_empty=until_empty,
        deadline=deadline,
        linger=linger,
        batch_size=batch_size,
        stop=stop or threading.Event(),
        hurry=hurry or threading.Event(),
        ring=ring or _nothing,
        progress=progress or _nothing,
        only=only,
    )
    began = time.monotonic()
    with Database() as database:
        report = asyncio.run(_session(database, terms))
    return replace(report, statements=database.statements, seconds=time.monotonic() - began)


async def _session(database: Database, terms: Terms) -> Report:
    """Hold one worker session: register, drain under its lease and heartbeat, retire."""
    began_at = clock.now()
    if terms.only is None:
        await database.call(replay_all)
        await database.call(notices.send_due)
    register = partial(queue.register_worker, at_once=terms.only is not None)
    lease = Lease(await database.call(register), begun_at=began_at)
    journal = await database.call(lambda: _journal_of(lease))
    drain = Drain(database, lease, journal, terms)
    loop = asyncio.get_running_loop()

    def beat() -> None:
        at = clock.now()
        heard = queue.heartbeat(lease.id, wants=drain.park.wants())
        loop.call_soon_threadsafe(drain.park.heard, heard, at)

    database.beat_with(beat)
    try:
        with watchdog.watching():
            await drain.run()
    finally:
        database.beat_with(None)
        # What a broken drain has sent stands in its journal: retired, other machines would send it again.
        if not journal.close():
            await database.call(lambda: queue.retire_worker(lease.id))
        await asyncio.to_thread(drain.teller.close)
    return replace(drain.chores.tally.total, is_work_left=drain.is_work_left, was_fenced=lease.is_dead)


def _journal_of(lease: Lease) -> Journal:
    """Begin the session's journal; where none can be kept, say so once in this process."""
    session = queue.session_of(lease.id)
    since = "" if session is None else session.started_at.isoformat()
    header = Header(lease.id, since, queue.boot_id(), is_synced=settings.MAILCONF_JOURNAL_SYNC)
    journal = Journal(lease, header, settings.MAILCONF_STATE_DIR)
    if not journal.is_kept and journal.failure not in _told:
        _told.add(journal.failure)
        logger.warning("No journal is kept, so a killed worker may send more mail twice. %s", journal.failure)
    return journal


def tell(finished: Sequence[Finished]) -> None:
    """Have applications told of messages that ended unsent outside a drain; waits a moment for them."""
    teller = Teller()
    teller.tell(finished)
    teller.close()


def _nothing(*_: object) -> None:
    """Do nothing: for callers who do not want to hear."""
