"""What a drain does beside its mail: takes back what dead sessions held, counts, eases limits, tells."""

import time
from collections.abc import Callable
from functools import partial

from delivery import notices, queue
from delivery.dispatcher.database import Database
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.recording.journal import Journal
from delivery.dispatcher.recording.replay import replay_all
from delivery.dispatcher.recording.report import Report, Tally
from delivery.dispatcher.servers.consequences import Consequences
from delivery.dispatcher.servers.park import Park
from delivery.dispatcher.upkeep import Upkeep

RECLAIM_SECONDS = 15.0
#: What is counted and not written yet is lost with the process.
STATS_SECONDS = 2.0
EASE_SECONDS = 10.0
PROGRESS_SECONDS = 0.5


class Chores:
    """Each of them when its time has come; `came_back` hears that messages are due again."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        journal: Journal,
        park: Park,
        consequences: Consequences,
        *,
        progress: Callable[[Report], None],
        came_back: Callable[[], None],
    ) -> None:
        self._database = database
        self._lease = lease
        self._journal = journal
        self._park = park
        self._consequences = consequences
        self._progress = progress
        self._came_back = came_back
        self._upkeep = Upkeep()
        self.tally = Tally()
        now = time.monotonic()
        self._reclaim_at = now + RECLAIM_SECONDS
        self._stats_at = now + STATS_SECONDS
        self._ease_at = now + EASE_SECONDS
        self._progress_at = now

    async def run(self) -> None:
        """Every 15 s take back what dead sessions hold, journals first; every 2 s write the statistics."""
        now = time.monotonic()
        if now >= self._reclaim_at:
            self._reclaim_at = now + RECLAIM_SECONDS
            replayed = await self._database.call(replay_all)
            reclaimed = await self._reclaim()
            await self._database.call(queue.hold_routeless)
            told = await self._database.call(notices.send_due)
            told = bool(await self._database.call(notices.watch)) or told
            if replayed or told or (reclaimed is not None and reclaimed.messages):
                self._came_back()
        await self.tell_of_the_journal()
        if now >= self._progress_at:
            self._progress_at = now + PROGRESS_SECONDS
            self._progress(self.tally.total)
        if now >= self._stats_at:
            self._stats_at = now + STATS_SECONDS
            await self.write_stats()
        if now >= self._ease_at:
            self._ease_at = now + EASE_SECONDS
            await self._consequences.ease()
        self._upkeep.go_on()

    async def _reclaim(self) -> queue.Reclaimed | None:
        """Take back what silent sessions hold, unless nobody could be heard of until just now."""
        if not self._park.is_settled:
            return None
        return await self._database.call(partial(queue.reclaim, lease=self._lease.id))

    async def close(self) -> None:
        """Write down what is left to tell, and let the upkeep end."""
        await self.write_stats()
        await self.tell_of_the_journal()
        await self._upkeep.close()

    async def tell_of_the_journal(self) -> None:
        """Note that the journal was given up, once."""
        if self._journal.was_given_up:
            self._journal.was_given_up = False
            data = {"reason": self._journal.failure}
            given_up = partial(queue.add_event, "journal.given_up", level="warning")
            await self._database.call(partial(given_up, worker_id=self._lease.id, data=data))

    async def write_stats(self) -> None:
        """Add what was counted since the last time to the statistics."""
        rows = self.tally.take(minute=self._park.db_now, worker_id=self._lease.id)
        if rows:
            await self._database.call(lambda: queue.add_stats(rows))

    def reclaim_soon(self, *, at_most_every: float) -> None:
        """Take back what dead sessions hold at the next round, unless that was just done."""
        if time.monotonic() > self._reclaim_at - RECLAIM_SECONDS + at_most_every:
            self._reclaim_at = 0.0
