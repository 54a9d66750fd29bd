"""The workers' engine: claims messages, gives each to a server, sends, and records what became of it."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from delivery import queue
from delivery.dispatcher.database import Database
from delivery.dispatcher.drain import Drain, Stop, Terms
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.report import Report

__all__ = ["Report", "run"]


def run(
    *,
    until_empty: bool = False,
    deadline: float = 300.0,
    linger: float = 20.0,
    stop: Stop | None = None,
    batch_size: int = 100,
    ring: Callable[[], None] | None = None,
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """Drain the queue in the calling thread; return when there is nothing left to do, or `stop` is set.

    With `until_empty` it ends when no due message can be sent any more; else when none came for `linger`
    seconds. In any case after `deadline` seconds, at a quiet point. What is on the wire when `stop` is set
    has a minute to finish; what was not begun goes back. `ring` is called when another worker would help,
    `progress` now and then.

    The caller's thread runs the event loop and makes no query; the database work has a thread and a
    connection of its own. Raises what a broken database raises after a minute of trying.
    """
    terms = Terms(
        until_empty=until_empty,
        deadline=deadline,
        linger=linger,
        batch_size=batch_size,
        stop=stop or threading.Event(),
        ring=ring or _nothing,
        progress=progress or _nothing,
    )
    began = time.monotonic()
    with Database() as database:
        report = asyncio.run(_session(database, terms))
    return replace(report, statements=database.statements, seconds=time.monotonic() - began)


async def _session(database: Database, terms: Terms) -> Report:
    """Hold one worker session: register, drain under its lease and heartbeat, retire."""
    began_at = time.monotonic()
    lease = Lease(await database.call(queue.register_worker), begun_at=began_at)
    drain = Drain(database, lease, terms)
    loop = asyncio.get_running_loop()

    def beat() -> None:
        at = time.monotonic()
        heard = queue.heartbeat(lease.id, wants=drain.park.wants())
        loop.call_soon_threadsafe(drain.park.heard, heard, at)

    database.beat_with(beat)
    try:
        await drain.run()
    finally:
        database.beat_with(None)
        await database.call(lambda: queue.retire_worker(lease.id))
    return replace(drain.tally.total, is_work_left=drain.is_work_left, was_fenced=lease.is_dead)


def _nothing(*_: object) -> None:
    """Do nothing: for callers who do not want to hear."""
