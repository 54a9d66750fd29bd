"""The rounds of one drain: look, take slots and tokens, claim, hand over, until nothing is left to do.

All of it runs in one event loop; statements go to the database thread, and no transaction is open while
bytes are on the wire. A drain is one worker session with one lease.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from delivery import queue
from delivery.dispatcher.chores import Chores
from delivery.dispatcher.claims import logging_only
from delivery.dispatcher.claims.chosen import ChosenClaims
from delivery.dispatcher.claims.claiming import FIRST_LOOK_SECONDS, LOOK_SECONDS, Claims
from delivery.dispatcher.connections import unsent
from delivery.dispatcher.connections.line import Line
from delivery.dispatcher.database import Database
from delivery.dispatcher.deadline import Deadline
from delivery.dispatcher.desk import Desk
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.recording.journal import Journal
from delivery.dispatcher.recording.outcomes import Result
from delivery.dispatcher.recording.recorder import Recorder
from delivery.dispatcher.recording.report import Report
from delivery.dispatcher.recording.telling import Teller
from delivery.dispatcher.servers.consequences import Consequences
from delivery.dispatcher.servers.park import Park
from delivery.dispatcher.servers.server import Server
from delivery.dispatcher.stopping import Stop
from delivery.dispatcher.work import Work
from smtp_settings import email_log

logger = logging.getLogger(__name__)

#: Messages on the wire may take so long after a stop; then they are cut off.
GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a drain goes on.

    `until_empty`: it ends when no message is due that can be sent; a server that stays crowded after a rest
    can send none. Otherwise when none came for `linger` seconds. In any case after `deadline` seconds, or
    when `stop` is set; with `hurry` set it waits for nothing. `ring` is called when more workers would help.
    `only`: the messages it is for, None for all; workers are kept from what comes back of them.
    """

    until_empty: bool
    deadline: float
    linger: float
    batch_size: int | None
    stop: Stop
    hurry: Stop
    ring: Callable[[], None]
    progress: Callable[[Report], None]
    only: frozenset[int] | None = None


class Drain:
    """One worker session at work."""

    def __init__(self, database: Database, lease: Lease, journal: Journal, terms: Terms) -> None:
        self.database = database
        self.lease = lease
        self.journal = journal
        self.terms = terms
        self.wake = asyncio.Event()
        self.park = Park(database, lease, batch_size=terms.batch_size, give_back=self.give_back)
        self.teller = Teller()
        self.claims = self._claims()
        consequences = Consequences(database, lease, self.park)
        self.chores = Chores(
            database,
            lease,
            journal,
            self.park,
            consequences,
            progress=terms.progress,
            came_back=self.claims.look_soon,
        )
        self.recorder = Recorder(
            database,
            lease.id,
            on_the_wire=self._on_the_wire,
            acknowledged=self._acknowledged,
            journal=journal,
            teller=self.teller,
            kept=timedelta(0) if terms.only is None else queue.KEPT,
            keeps_log=lambda: self.park.policies.keeps_sent and email_log.path() is not None,
        )
        self.desk = Desk(
            database,
            lease,
            journal,
            self.park,
            consequences,
            self.recorder,
            tally=self.chores.tally,
            wake=self.wake,
        )
        self._lines: set[asyncio.Task[None]] = set()
        self._deadline = Deadline(terms.deadline)
        self._is_done = False
        #: Set at the end: due messages wait that this drain did not get to.
        self.is_work_left = False

    def _claims(self) -> Claims:
        if self.terms.only is None:
            return Claims(self.database, self.lease, self.park, ring=self.terms.ring, log=self._log)
        return ChosenClaims(self.database, self.lease, self.park, log=self._log, ids=self.terms.only)

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
        self.park.keep_beating()
        await self.claims.release_unknown()
        if self.terms.only is None:
            await self.chores.run()
        await self.claims.look()
        if not self.lease.is_good:
            return False  # nothing could be completed: wait for a heartbeat
        claimed = 0 if self._deadline.is_quiet else await self.claims.take()
        await self.park.begin_probes()
        await self._staff()
        return claimed > 0

    async def _staff(self) -> None:
        """Start connections for the messages in hand; without a slot they go back."""
        for server in self.park:
            # The last one ended, or a peer has it now (only a claim takes slots); or it does not answer.
            if not server.slots or server.health.is_silent or server.is_left:
                self.give_back(server.take_back())
            self._start_lines(server)
            if server.is_short_of_slots:
                await self.park.allowances.take_slots(server)
                self._start_lines(server)
            self.park.allowances.give_spare_slots(server)

    def _start_lines(self, server: Server) -> None:
        for slot in sorted(server.slots - server.lines)[: server.lines_wanted]:
            server.lines.add(slot)
            server.starting += 1
            line = asyncio.create_task(Line(self.desk, server, slot).run())
            self._lines.add(line)
            line.add_done_callback(partial(self._line_ended, server, slot))

    def _line_ended(self, server: Server, slot: int, task: "asyncio.Task[None]") -> None:
        self._lines.discard(task)
        server.lines.discard(slot)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("A connection of %s ended: %s", server.way.name, error, exc_info=error)
        self.park.allowances.give_slots(server, [slot])
        self.wake.set()

    async def _rest(self) -> None:
        """Nothing could be claimed: see whether it is over, else wait for a change."""
        can_serve = self.park.can_serve_soon if self.terms.until_empty else self.park.can_serve
        is_busy = self.park.held or self.desk.learning or self.claims.is_logging
        is_idle = not is_busy and not can_serve(self.claims.lanes)
        if is_idle and self.terms.until_empty:
            await self._finish_if_empty()
        else:
            is_late = time.monotonic() - self.claims.worked_at > self.terms.linger
            is_through = self.claims.is_through and not self.desk.learning
            self._is_done = is_through or (is_idle and is_late)
        if self._is_done:
            return
        waits = [FIRST_LOOK_SECONDS, self.claims.look_at - time.monotonic(), *self.park.token_waits()]
        self.wake.clear()
        with self.database.heard(self._told) if is_idle else nullcontext():
            try:
                async with asyncio.timeout(max(0.005, min(waits))):
                    await self.wake.wait()
            except TimeoutError:
                pass

    def _told(self) -> None:
        """Hear that something was enqueued, or else changed: look at once."""
        self.claims.look_soon()
        self.wake.set()

    async def _finish_if_empty(self) -> None:
        """End, unless messages are held by a session that may be dead: they come back."""
        if not self.claims.is_fresh or self.park.is_outdated:
            self.claims.look_soon()
        elif not await self.database.call(queue.is_any_leased):
            self._is_done = True
        else:
            self.chores.reclaim_soon(at_most_every=LOOK_SECONDS)

    def _is_over(self) -> bool:
        is_asked = self.terms.stop.is_set() or self.lease.is_dead
        return self._is_done or is_asked or self._deadline.is_over(self.park)

    async def _end(self, writing: "asyncio.Task[None]") -> None:
        """Give back what was not begun, let the rest finish, commit it, close everything."""
        is_work_left = self.park.can_serve(self.claims.lanes) and not self._is_done
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
        await self.claims.release_unknown()
        await self.desk.sizes.written()
        await self.chores.close()
        self.is_work_left = is_work_left

    async def _see_out(self, writing: "asyncio.Task[None]") -> None:
        """Wait for the connections: after a stop for the grace, at the deadline as long as they wait.

        A server may take ten minutes to answer a final dot (RFC 5321 section 4.5.3.2.6), and whoever does not
        wait makes a duplicate.
        """
        give_up_at, told = math.inf, list[asyncio.Future[None]]()
        stop = partial(queue.stop_worker, self.lease.id)
        while self._lines and time.monotonic() < give_up_at and not self.terms.hurry.is_set():
            self.database.tick()
            is_urgent = self.terms.stop.is_set() or self.lease.is_dead or writing.done()
            if is_urgent and give_up_at == math.inf:
                give_up_at = time.monotonic() + GRACE_SECONDS
            await asyncio.wait(self._lines, timeout=min(FIRST_LOOK_SECONDS, GRACE_SECONDS))
            if self._lines:  # one may be waited for long: the others' places are free
                told = told or [asyncio.ensure_future(self.database.call(stop))]
                for server in self.park:
                    self.park.allowances.give_slots(server, server.slots - server.lines, is_late=True)
        late = list(self._lines)
        for line in late:
            line.cancel()
        await asyncio.gather(*late, *told, return_exceptions=True)

    # What the others tell

    def give_back(self, works: Sequence[Work]) -> None:
        """Release messages that were not begun."""
        for work in works:
            self.recorder.add(unsent.released(work))

    def _on_the_wire(self) -> int:
        return sum(server.on_the_wire for server in self.park) - self.recorder.unacknowledged

    def _log(self, work: Work) -> None:
        """Record a message instead of sending it."""
        policy = self.park.policies.of(work.pool.site_id)
        self.recorder.add(logging_only.result_of(work, policy, lease=self.lease.id))

    def _acknowledged(self, group: Sequence[Result]) -> None:
        """Hear that results are committed: their places are free."""
        for result in group:
            self.claims.settle(result)
            if result.work.way.profile_id != logging_only.NOBODY:
                self.park[result.work.way.profile_id].let_go()
        self.wake.set()
