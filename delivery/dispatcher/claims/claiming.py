"""What a drain takes from the queue: it looks which lanes have mail, plans who gets it, and claims."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from delivery import assignment, queue
from delivery.dispatcher.claims.logging_only import NOBODY
from delivery.dispatcher.claims.marks import Marks
from delivery.dispatcher.claims.suspects import SuspectTurn
from delivery.dispatcher.database import Database
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.recording.outcomes import Result
from delivery.dispatcher.servers.park import Park
from delivery.dispatcher.work import SUSPECT, Work
from delivery.queue import Claimed, Lane, PoolKey, ReadyLane
from smtp_settings import wire
from smtp_settings.policy import Course

#: Which lanes have due messages is asked this often; an idle drain asks at growing intervals between these.
LOOK_SECONDS = 1.0
FIRST_LOOK_SECONDS = 0.25
#: Every so many claims the least urgent lanes come first, so that they never starve.
_BACKWARDS = 16


class Claims:
    """The ready lanes, and what this session took from them."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        park: Park,
        *,
        ring: Callable[[], None],
        log: Callable[[Work], None],
    ) -> None:
        self._database = database
        self._lease = lease
        self._park = park
        self._ring = ring
        self._log = log
        self._marks = Marks()
        self._in_hand: set[int] = set()
        self._being_logged: set[int] = set()
        self._repeats = 0
        self._pools: dict[int, PoolKey] = {}
        # Claims so far. A drain of few claims would never come to read backwards if all began at the same.
        self._turn = random.randrange(_BACKWARDS)  # noqa: S311  # no secret
        self._claims = 0
        self._plenty: set[frozenset[tuple[int, int]]] = set()  # lanes that had more than was claimed last
        self._look_every = FIRST_LOOK_SECONDS
        self._suspects = SuspectTurn()
        #: Lanes with due messages that may leave, as far as is known.
        self.lanes: list[ReadyLane] = []
        #: Those whose messages are only recorded.
        self.logged: list[ReadyLane] = []
        #: When to look again, on the monotonic clock.
        self.look_at = 0.0
        #: Nothing was claimed or given back since the last look.
        self.is_fresh = False
        #: When a claim last brought something.
        self.worked_at = time.monotonic()

    async def look(self) -> None:
        """Learn now and then which lanes have due messages, and what became of the servers."""
        if time.monotonic() < self.look_at:
            return
        await self._park.refresh()
        lanes = await self._database.call(queue.ready_lanes)
        if lanes and lanes[0].policy_mark != self._park.policies.mark:
            await self._park.reread_policies()
        self.is_fresh = True
        self._pools |= {lane.pool.id: lane.pool for lane in lanes}
        self.lanes = self._lanes_of(Course.SEND, lanes)
        self.logged = self._lanes_of(Course.LOG, lanes)
        is_mail = bool(self.lanes or self.logged)
        if not is_mail:
            self._plenty.clear()
        self._look_every = FIRST_LOOK_SECONDS if is_mail else min(LOOK_SECONDS, 2 * self._look_every)
        self.look_at = time.monotonic() + (LOOK_SECONDS if is_mail else self._look_every)

    def _lanes_of(self, course: Course, lanes: Sequence[ReadyLane]) -> list[ReadyLane]:
        """Return the lanes whose site's mail goes this way now; what waits is in none."""
        policies = self._park.policies
        return [lane for lane in lanes if policies.of(lane.pool.site_id).course is course]

    def look_soon(self) -> None:
        """Look at the next round: messages came back."""
        self.look_at = 0.0

    async def take(self) -> int:
        """Claim what may be sent now, or one suspect when it is its turn; return how many came."""
        if self._suspects.is_alone:
            return 0
        # The policy may be another than when the lanes were looked at.
        self.lanes = self._lanes_of(Course.SEND, self.lanes)
        self.logged = self._lanes_of(Course.LOG, self.logged)
        logged = await self._claim_logged()
        lanes = [lane for lane in self.lanes if lane.priority < SUSPECT]
        is_suspects_turn = self._is_suspects_turn(lanes)
        return logged + await (self._claim_suspect() if is_suspects_turn else self._claim(lanes))

    @property
    def is_logging(self) -> bool:
        """Whether messages are being recorded that no server holds, or wait for that."""
        return bool(self._being_logged or self.logged)

    @property
    def is_through(self) -> bool:
        """Whether no mail is left to wait for; more may always be enqueued."""
        return False

    async def release_unknown(self) -> None:
        """Give back what statements took whose answers were lost: nobody else may, as long as we live."""
        if self._repeats == self._database.repeats:
            return
        self._repeats = self._database.repeats
        known = frozenset(self._in_hand)
        if await self._database.call(lambda: queue.release_others(self._lease.id, known)):
            self.look_at = 0.0
        await self._park.allowances.release_unknown(self._park)

    def settle(self, result: Result) -> None:
        """Hear that a result is committed: the message is in hand no more, and may be due again."""
        message_id = result.work.claimed.message_id
        self._in_hand.discard(message_id)
        self._being_logged.discard(message_id)
        if result.work.claimed.priority > SUSPECT:
            self._suspects.settled(message_id)
        if result.settled is not None:
            self.is_fresh = False
            if not result.settled.delay:
                self.look_at = min(self.look_at, time.monotonic() + FIRST_LOOK_SECONDS)

    async def _claim(self, lanes: Sequence[ReadyLane]) -> int:
        """Claim for every free place, in the order of the plan; return how many came."""
        if not lanes:
            return 0
        claims, left = self._claims, self._park.batch_size
        for bid in self._plan(lanes):
            left -= await self._claim_for(bid, left)
        # A round without room is none: those come in step with the acknowledgements.
        self._turn += self._claims > claims
        if left <= 0:
            self._ring()
        return self._park.batch_size - left

    async def _claim_for(self, bid: assignment.Bid, most: int) -> int:
        """Claim for a bid, first for its first server with room; for the others only while there is more.

        Connections and tokens of servers that stand by would be taken and given back with each message.
        """
        lanes, claimed = frozenset(bid.lanes), 0
        for wanted in (most,) if lanes in self._plenty else (1, most):
            await self._park.prepare(bid.profile_ids, wanted)
            seats = assignment.seats(bid.profile_ids, self._park.rooms(bid.profile_ids), most - claimed)
            if not seats:
                break
            found = len(await self._take(bid.lanes, seats))
            claimed += found
            self._claims += 1
            if found < len(seats):
                self._plenty.discard(lanes)
                self.lanes = [lane for lane in self.lanes if (lane.pool.id, lane.priority) not in lanes]
                break
            self._plenty.add(lanes)
        return claimed

    def _plan(self, lanes: Sequence[ReadyLane]) -> list[assignment.Bid]:
        is_backwards = self._turn % _BACKWARDS == 0
        return assignment.plan(
            lanes,
            self._park.ways(),
            self._park.free_connections(),
            turn=self._turn // _BACKWARDS if is_backwards else self._turn,
            backwards=is_backwards,
        )

    async def _take(self, keys: Sequence[tuple[int, int]], seats: Sequence[int]) -> list[Claimed]:
        """Claim from these lanes and hand the messages to their servers."""
        found = await self._leased(keys, seats)
        for claimed, profile_id in zip(found, await self._reseat(found), strict=True):
            self._in_hand.add(claimed.message_id)
            server = self._park[profile_id]
            moment = server.purse.spend() if server.limits.rates else None
            pool, most = self._pools[claimed.pool_id], server.most_recipients
            server.give(Work(claimed, server.way, pool, moment, most_recipients=most))
        return found

    async def _leased(self, keys: Sequence[tuple[int, int]], seats: Sequence[int]) -> list[Claimed]:
        lanes = self._marks.lanes(keys, time.monotonic())
        self.is_fresh = False
        found, seconds = await self._database.call(lambda: _timed_claim(self._lease.id, lanes, seats))
        self._marks.learn(lanes, found, wanted=len(seats), seconds=seconds, now=time.monotonic())
        if found:
            self.worked_at = time.monotonic()
            self._park.set_clock(found[0].db_now)
        return found

    async def _claim_logged(self) -> int:
        """Claim what is only recorded; no server is asked, and none has to be there."""
        if not self.logged or self._being_logged:
            return 0
        lanes = [(lane.pool.id, lane.priority) for lane in self.logged]
        found = await self._leased(lanes, [NOBODY] * self._park.batch_size)
        if len(found) < self._park.batch_size:
            self.logged = []
        for claimed in found:
            self._in_hand.add(claimed.message_id)
            self._being_logged.add(claimed.message_id)
            pool = self._pools[claimed.pool_id]
            ids = assignment.order(self._park.ways(), pool, self._park.free_connections())
            way = self._park[ids[0]].way if ids else wire.nobodys_way()
            self._log(Work(claimed, replace(way, profile_id=NOBODY), pool))
        return len(found)

    async def _reseat(self, found: Sequence[Claimed]) -> list[int]:
        """Choose anew for what was tried before: rather another server, for uncertain mail the same.

        The others may have no connection of ours yet: it is asked for here, only such messages need it.
        """
        seats = [self._seat(claimed) for claimed in found]
        unhappy = [seat for seat in seats if not seat.likes(seat.profile_id)]
        others = {i for seat in unhappy for i in seat.others if seat.likes(i)}
        if not others:
            return [seat.profile_id for seat in seats]
        await self._park.prepare(sorted(others), len(seats))
        taken = Counter(seat.profile_id for seat in seats)
        return assignment.reseat(seats, {i: room - taken[i] for i, room in self._park.rooms(others).items()})

    def _seat(self, claimed: Claimed) -> assignment.Seat:
        policy = self._park[claimed.profile_id].way.on_uncertain
        if not (claimed.attempts or claimed.drops):
            return assignment.Seat(claimed.profile_id, exchange=policy)
        pool = self._pools[claimed.pool_id]
        able = [way for way in self._park.ways() if way.on_uncertain == policy]
        if claimed.from_header is None:
            able = [way for way in able if way.sender.from_address]
        return assignment.Seat(
            claimed.profile_id,
            claimed.last_profile_id,
            prefers_last=claimed.uncertain,
            exchange=policy,
            others=assignment.order(able, pool, self._park.free_connections()),
        )

    def _is_suspects_turn(self, lanes: Sequence[ReadyLane]) -> bool:
        """Whether to wait for empty hands and claim one suspect alone."""
        if len(lanes) == len(self.lanes):
            return False
        return not self._park.can_serve(lanes) or self._suspects.has_come()

    async def _claim_suspect(self) -> int:
        """Claim one message that was in a dead worker's hands, with nothing else at risk."""
        if self._park.held:
            return 0
        self._suspects.is_over()
        for lane in [lane for lane in self.lanes if lane.priority > SUSPECT]:
            profile_ids = assignment.order(self._park.ways(), lane.pool, self._park.free_connections())
            await self._park.prepare(profile_ids, 1)
            seats = assignment.seats(profile_ids, self._park.rooms(profile_ids), 1)
            taken = await self._take([(lane.pool.id, lane.priority)], seats) if seats else []
            if taken:
                self._suspects.claimed(taken[0].message_id)
                return 1
            if seats:
                self.lanes.remove(lane)
        return 0


def _timed_claim(lease: int, lanes: Sequence[Lane], seats: Sequence[int]) -> tuple[list[Claimed], float]:
    """Claim, and say how many seconds it took without the wait for the connection."""
    began = time.perf_counter()
    found = queue.claim(lease, lanes, seats)
    return found, time.perf_counter() - began
