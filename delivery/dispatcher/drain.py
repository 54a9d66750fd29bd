"""The rounds of one drain: look, take slots and tokens, claim, hand over, until nothing is left to do.

All of it runs in one event loop; statements go to the database thread, and no transaction is open while
bytes are on the wire. A drain is one worker session with one lease. Longer than most modules: the order of
the steps is the idea.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from delivery import assignment, queue
from delivery.classification import Judgement
from delivery.dispatcher import outcomes
from delivery.dispatcher.blobs import Blobs
from delivery.dispatcher.consequences import Consequences
from delivery.dispatcher.database import Database
from delivery.dispatcher.journal import Journal
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.line import Line
from delivery.dispatcher.outcomes import Result
from delivery.dispatcher.park import Park
from delivery.dispatcher.recorder import Recorder
from delivery.dispatcher.replay import replay_all
from delivery.dispatcher.report import Report, Tally
from delivery.dispatcher.server import Server
from delivery.dispatcher.work import SUSPECT, Work
from delivery.queue import Claimed, Lane, PoolKey, ReadyLane
from transports.base import Transport

logger = logging.getLogger(__name__)

#: Which lanes have due messages is asked this often; an idle drain asks at growing intervals between these.
LOOK_SECONDS = 1.0
_FIRST_LOOK_SECONDS = 0.25
RECLAIM_SECONDS = 15.0
#: What is counted and not written yet is lost with the process.
STATS_SECONDS = 2.0
EASE_SECONDS = 10.0
PROGRESS_SECONDS = 0.5
#: Messages on the wire may take so long after a stop; then they are cut off.
GRACE_SECONDS = 60.0
#: Suspects are claimed alone; while other mail waits, one of them gets its turn so often.
_SUSPECT_SECONDS = 1.0
#: Its turn waits so long for empty hands; one slow answer must not stop the others for ten minutes.
_SUSPECT_PATIENCE = 2.0
_SUSPECT_PAUSE = 10.0
#: Every so many claims the least urgent lanes come first, so that they never starve.
_BACKWARDS = 16


class Stop(Protocol):
    """Something that can be set from outside: a threading.Event, or one of multiprocessing."""

    def is_set(self) -> bool:
        """Whether the drain is to end."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a drain goes on.

    `until_empty`: it ends when no message is due that can be sent; a server that stays crowded after a rest
    can send none. Otherwise when none came for `linger` seconds. In any case after `deadline` seconds, or
    when `stop` is set. `ring` is called when more workers would help.
    """

    until_empty: bool
    deadline: float
    linger: float
    batch_size: int
    stop: Stop
    ring: Callable[[], None]
    progress: Callable[[Report], None]


class Drain:
    """One worker session at work."""

    def __init__(self, database: Database, lease: Lease, journal: Journal, terms: Terms) -> None:
        self.database = database
        self.lease = lease
        self.journal = journal
        self.terms = terms
        self.tally = Tally()
        self.blobs = Blobs(database)
        self.wake = asyncio.Event()
        self.park = Park(database, lease, batch_size=terms.batch_size, give_back=self.give_back)
        self.consequences = Consequences(database, lease, self.park)
        self.recorder = Recorder(
            database,
            lease.id,
            on_the_wire=self._on_the_wire,
            acknowledged=self._acknowledged,
            journal=journal,
        )
        self._lines: set[asyncio.Task[None]] = set()
        self._in_hand: set[int] = set()
        self._repeats = 0
        self._lanes: list[ReadyLane] = []
        self._pools: dict[int, PoolKey] = {}
        self._turn = 0
        now = time.monotonic()
        self._ends_at = now + terms.deadline
        self._worked_at = now
        self._look_at = 0.0
        self._look_every = _FIRST_LOOK_SECONDS
        self._reclaim_at = now + RECLAIM_SECONDS
        self._stats_at = now + STATS_SECONDS
        self._ease_at = now + EASE_SECONDS
        self._progress_at = now
        self._suspect_at = 0.0
        self._suspect_since: float | None = None  # its turn has come, and hands are not empty yet
        self._is_fresh = False  # nothing was claimed or given back since the last look
        self._is_done = False
        #: Set at the end: due messages wait that this drain did not get to.
        self.is_work_left = False

    # The rounds

    async def run(self) -> None:
        """Go round until it is over; then leave nothing half-done."""
        writing = asyncio.create_task(self.recorder.run())
        try:
            while not (self._is_over() or writing.done()):
                if not await self._round():
                    await self._rest()
        finally:
            await self._end(writing)

    async def _round(self) -> bool:
        """Do what can be done now; False when nothing was claimed."""
        self.database.tick()
        await self._release_unknown()
        await self._chores()
        await self._look()
        if not self.lease.is_good:
            return False  # nothing could be completed: wait for a heartbeat
        lanes = [lane for lane in self._lanes if lane.priority < SUSPECT]
        claimed = await self._claim_suspect() if self._is_suspects_turn(lanes) else await self._claim(lanes)
        self._staff()
        return claimed > 0

    async def _release_unknown(self) -> None:
        """Give back what a claim took whose answer was lost: nobody else may, as long as we live."""
        if self._repeats == self.database.repeats:
            return
        self._repeats = self.database.repeats
        known = frozenset(self._in_hand)
        if await self.database.call(lambda: queue.release_others(self.lease.id, known)):
            self._look_at = 0.0

    async def _look(self) -> None:
        """Learn now and then which lanes have due messages, and what became of the servers."""
        if time.monotonic() < self._look_at:
            return
        await self.park.refresh()
        self._lanes = await self.database.call(queue.ready_lanes)
        self._is_fresh = True
        self._pools |= {lane.pool.id: lane.pool for lane in self._lanes}
        self._look_every = _FIRST_LOOK_SECONDS if self._lanes else min(LOOK_SECONDS, 2 * self._look_every)
        self._look_at = time.monotonic() + (LOOK_SECONDS if self._lanes else self._look_every)

    async def _claim(self, lanes: Sequence[ReadyLane]) -> int:
        """Claim for every free place, in the order of the plan; return how many came."""
        if not lanes:
            return 0
        claimed, left = 0, self.terms.batch_size
        for bid in self._plan(lanes):
            await self.park.prepare(bid.profile_ids, left)
            seats = assignment.seats(bid.profile_ids, self.park.rooms(), left)
            if not seats:
                continue
            found = await self._take(bid.lanes, seats)
            claimed, left = claimed + found, left - found
            if found < len(seats):
                self._lanes = [lane for lane in self._lanes if (lane.pool.id, lane.priority) not in bid.lanes]
        if claimed >= self.terms.batch_size:
            self.terms.ring()
        return claimed

    def _plan(self, lanes: Sequence[ReadyLane]) -> list[assignment.Bid]:
        self._turn += 1
        return assignment.plan(
            lanes,
            self.park.ways(),
            self.park.free_connections(),
            turn=self._turn,
            backwards=self._turn % _BACKWARDS == 0,
        )

    async def _take(self, keys: Sequence[tuple[int, int]], seats: Sequence[int]) -> int:
        """Claim from these lanes and hand the messages to their servers."""
        lanes = [Lane(pool_id, priority) for pool_id, priority in keys]
        self._is_fresh = False
        found = await self.database.call(lambda: queue.claim(self.lease.id, lanes, seats))
        for claimed, profile_id in zip(found, self._reseat(found), strict=True):
            self._in_hand.add(claimed.message_id)
            server = self.park[profile_id]
            moment = server.purse.spend() if server.limits.rates else None
            server.give(Work(claimed, server.way, self._pools[claimed.pool_id], moment))
        if found:
            self._worked_at = time.monotonic()
            self.park.set_clock(found[0].db_now)
        return len(found)

    def _reseat(self, found: Sequence[Claimed]) -> list[int]:
        return assignment.reseat(
            [
                assignment.Seat(
                    claimed.profile_id,
                    claimed.last_profile_id if claimed.attempts or claimed.drops else None,
                    prefers_last=claimed.uncertain,
                    exchange=self.park[claimed.profile_id].way.on_uncertain,
                )
                for claimed in found
            ]
        )

    def _is_suspects_turn(self, lanes: Sequence[ReadyLane]) -> bool:
        """Whether to wait for empty hands and claim one suspect alone."""
        if len(lanes) == len(self._lanes):
            return False
        if not self.park.can_serve(lanes):
            return True
        now = time.monotonic()
        if now < self._suspect_at:
            return False
        if self._suspect_since is None:
            self._suspect_since = now
        elif now - self._suspect_since > _SUSPECT_PATIENCE:
            self._put_suspects_off(_SUSPECT_PAUSE)
            return False
        return True

    def _put_suspects_off(self, seconds: float) -> None:
        self._suspect_at, self._suspect_since = time.monotonic() + seconds, None

    async def _claim_suspect(self) -> int:
        """Claim one message that was in a dead worker's hands, with nothing else at risk."""
        if self.park.held:
            return 0
        self._put_suspects_off(_SUSPECT_SECONDS)
        for lane in [lane for lane in self._lanes if lane.priority > SUSPECT]:
            profile_ids = assignment.order(self.park.ways(), lane.pool, self.park.free_connections())
            await self.park.prepare(profile_ids, 1)
            seats = assignment.seats(profile_ids, self.park.rooms(), 1)
            if seats and await self._take([(lane.pool.id, lane.priority)], seats):
                return 1
            if seats:
                self._lanes.remove(lane)
        return 0

    def _staff(self) -> None:
        """Start connections for the messages in hand; without a slot they go back."""
        for server in self.park:
            if not server.slots:  # the last one ended, or a peer has it now: only a claim takes slots
                self.give_back(server.take_back())
            for slot in sorted(server.slots - server.lines)[: server.lines_wanted]:
                server.lines.add(slot)
                server.starting += 1
                line = asyncio.create_task(Line(self, server, slot).run())
                self._lines.add(line)
                line.add_done_callback(partial(self._line_ended, server, slot))

    def _line_ended(self, server: Server, slot: int, task: "asyncio.Task[None]") -> None:
        self._lines.discard(task)
        server.lines.discard(slot)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("A connection of %s ended: %s", server.way.name, error, exc_info=error)
        self.park.give_slot(server, slot)
        self.wake.set()

    async def _rest(self) -> None:
        """Nothing could be claimed: see whether it is over, else wait for a change."""
        can_serve = self.park.can_serve_soon if self.terms.until_empty else self.park.can_serve
        is_idle = not self.park.held and not can_serve(self._lanes)
        if is_idle and self.terms.until_empty:
            await self._finish_if_empty()
        elif is_idle and time.monotonic() - self._worked_at > self.terms.linger:
            self._is_done = True
        if self._is_done:
            return
        waits = [_FIRST_LOOK_SECONDS, self._look_at - time.monotonic(), *self.park.token_waits()]
        self.wake.clear()
        try:
            async with asyncio.timeout(max(0.005, min(waits))):
                await self.wake.wait()
        except TimeoutError:
            pass

    async def _finish_if_empty(self) -> None:
        """End, unless messages are held by a session that may be dead: they come back."""
        if not self._is_fresh:
            self._look_at = 0.0
        elif not await self.database.call(queue.is_any_leased):
            self._is_done = True
        elif time.monotonic() > self._reclaim_at - RECLAIM_SECONDS + LOOK_SECONDS:
            self._reclaim_at = 0.0

    def _is_over(self) -> bool:
        is_late = time.monotonic() > self._ends_at
        return self._is_done or is_late or self.terms.stop.is_set() or self.lease.is_dead

    # Chores

    async def _chores(self) -> None:
        """Every 15 s take back what dead sessions hold, journals first; every 2 s write the statistics."""
        now = time.monotonic()
        if now >= self._reclaim_at:
            self._reclaim_at = now + RECLAIM_SECONDS
            replayed = await self.database.call(replay_all)
            reclaimed = await self.database.call(queue.reclaim)
            if replayed or (reclaimed is not None and reclaimed.messages):
                self._look_at = 0.0
        await self._tell_of_the_journal()
        if now >= self._progress_at:
            self._progress_at = now + PROGRESS_SECONDS
            self.terms.progress(self.tally.total)
        if now >= self._stats_at:
            self._stats_at = now + STATS_SECONDS
            await self._write_stats()
        if now >= self._ease_at:
            self._ease_at = now + EASE_SECONDS
            await self.consequences.ease()

    async def _tell_of_the_journal(self) -> None:
        if self.journal.was_given_up:
            self.journal.was_given_up = False
            data = {"reason": self.journal.failure}
            given_up = partial(queue.add_event, "journal.given_up", level="warning")
            await self.database.call(partial(given_up, worker_id=self.lease.id, data=data))

    async def _write_stats(self) -> None:
        rows = self.tally.take(minute=self.park.db_now, worker_id=self.lease.id)
        if rows:
            await self.database.call(lambda: queue.add_stats(rows))

    async def _end(self, writing: "asyncio.Task[None]") -> None:
        """Give back what was not begun, let the rest finish, commit it, close everything."""
        is_work_left = self.park.can_serve(self._lanes) and not self._is_done
        self.park.close()
        if is_work_left and self._lines and not self.terms.stop.is_set():
            self.terms.ring()  # another worker need not wait for ours
        await self._see_out(writing)
        for server in self.park:
            self.give_back(server.take_back())
        drained = asyncio.create_task(self.recorder.drained())
        await asyncio.wait({drained, writing}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, writing):
            task.cancel()
        ended = await asyncio.gather(drained, writing, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        await self._release_unknown()
        await self._write_stats()
        await self._tell_of_the_journal()
        self.is_work_left = is_work_left

    async def _see_out(self, writing: "asyncio.Task[None]") -> None:
        """Wait for the connections: after a stop for the grace, at the deadline as long as they wait.

        A server may take ten minutes to answer a final dot (RFC 5321 section 4.5.3.2.6), and whoever does not
        wait makes a duplicate.
        """
        give_up_at = math.inf
        while self._lines and time.monotonic() < give_up_at:
            self.database.tick()
            is_urgent = self.terms.stop.is_set() or self.lease.is_dead or writing.done()
            if is_urgent and give_up_at == math.inf:
                give_up_at = time.monotonic() + GRACE_SECONDS
            await asyncio.wait(self._lines, timeout=min(_FIRST_LOOK_SECONDS, GRACE_SECONDS))
        late = list(self._lines)
        for line in late:
            line.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    # What the connections ask of the drain (`line.Office`)

    async def transport_of(self, server: Server) -> Transport:
        """Return the transport of the server's present version; raises NotLive."""
        return await self.park.transport_of(server)

    async def learn(
        self, server: Server, judgement: Judgement, work: Work, ms: float, *, is_pipelined: bool
    ) -> None:
        """Take in what a result says about the server."""
        await self.consequences.learn(
            server, judgement, claimed=work.claimed, ms=ms, is_pipelined=is_pipelined
        )

    def next_server(self, work: Work) -> int | None:
        """Return the next profile that may carry the message, None without one.

        A message without From needs a profile that has one.
        Rather one in use; but mail waits for a server that is down, and fails only when there is no other. A
        pinned message, and so one that was passed on before, has none.
        """
        if work.pool.profile_id is not None:
            return None
        has_from = work.claimed.from_header is not None
        live = [s.way for s in self.park if s.is_live and (has_from or s.way.sender.from_address)]
        ids = assignment.order(live, work.pool, self.park.free_connections())
        others = [i for i in ids if i != work.way.profile_id]
        return next((i for i in others if self.park[i].is_in_use), next(iter(others), None))

    def count(self, server: Server, result: Result | None, *, ms: float = 0.0) -> None:
        """Count a result, or with None a connection."""
        if result is None:
            self.tally.connected(server.profile_id)
        else:
            self.tally.add(result, ms=ms)

    def give_back(self, works: Sequence[Work]) -> None:
        """Release messages that were not begun."""
        for work in works:
            self.recorder.add(outcomes.released(work))

    def _on_the_wire(self) -> int:
        return sum(server.on_the_wire for server in self.park) - self.recorder.unacknowledged

    def _acknowledged(self, result: Result) -> None:
        """Hear that a result is committed: its place is free."""
        self._in_hand.discard(result.work.claimed.message_id)
        self.park[result.work.way.profile_id].let_go()
        if result.settled is not None:
            self._is_fresh = False  # it may be due again
        if result.settled is not None and not result.settled.delay:
            self._look_at = min(self._look_at, time.monotonic() + _FIRST_LOOK_SECONDS)
        self.wake.set()
