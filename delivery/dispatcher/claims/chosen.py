"""What a drain takes whose messages are named: their caller waits, and no other mail is touched.

Each is offered to a server once, and to the next one when that was the server's fault; nothing is retried.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from delivery import assignment, queue
from delivery.dispatcher.claims.claiming import FIRST_LOOK_SECONDS, Claims
from delivery.dispatcher.claims.logging_only import NOBODY
from delivery.dispatcher.database import Database
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.recording.outcomes import Result
from delivery.dispatcher.servers.park import Park
from delivery.dispatcher.work import Work
from delivery.queue import AttemptResult, Claimed, PoolKey
from smtp_settings import wire
from smtp_settings.policy import Course
from smtp_settings.wire import WayOut


class ChosenClaims(Claims):
    """Claims of these messages only."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        park: Park,
        *,
        log: Callable[[Work], None],
        ids: Collection[int],
    ) -> None:
        super().__init__(database, lease, park, ring=lambda: None, log=log)
        self._ids = frozenset(ids)
        self._waiting: dict[int, PoolKey] = {}
        self._asked: defaultdict[int, set[int]] = defaultdict(set)

    @property
    def is_through(self) -> bool:
        """Whether nothing is in hand, and no server is left for what still waits."""
        return self.is_fresh and not (self._in_hand or any(map(self._may_leave, self._waiting)))

    async def look(self) -> None:
        """Learn which of the messages wait, by which way, and what may leave."""
        if time.monotonic() < self.look_at:
            return
        await self._park.refresh()
        await self._park.reread_policies()
        self._waiting = await self._database.call(partial(queue.waiting_of, self._ids))
        self._pools |= {pool.id: pool for pool in self._waiting.values()}
        self.is_fresh = True
        self.look_at = time.monotonic() + FIRST_LOOK_SECONDS

    async def take(self) -> int:
        """Claim what a server has room for, or what is only recorded; return how many came."""
        groups: defaultdict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
        for message_id, pool in self._waiting.items():
            if message_id not in self._in_hand and self._may_leave(message_id):
                groups[pool.id, self._profiles(message_id)].append(message_id)
        taken = [
            await self._take_group(pool_id, profiles, ids) for (pool_id, profiles), ids in groups.items()
        ]
        return sum(taken)

    def settle(self, result: Result) -> None:
        """Hear that a result is committed: the server that was asked is not asked again."""
        super().settle(result)
        if result.settled is not None:
            tried = result.tried
            if tried is not None and tried.outcome != AttemptResult.PARTIAL:
                self._asked[result.work.claimed.message_id].add(result.work.way.profile_id)
            self.is_fresh, self.look_at = False, 0.0

    def _course(self, message_id: int) -> Course:
        return self._park.policies.of(self._waiting[message_id].site_id).course

    def _may_leave(self, message_id: int) -> bool:
        course = self._course(message_id)
        if course is Course.LOG:
            return NOBODY not in self._asked[message_id]
        return course is Course.SEND and bool(self._profiles(message_id))

    def _profiles(self, message_id: int) -> tuple[int, ...]:
        """Return the profiles that were not asked yet, first choice first."""
        if self._course(message_id) is Course.LOG:
            return ()
        asked = self._asked[message_id]
        able = [way for way in self._park.ways() if way.profile_id not in asked]
        return assignment.order(able, self._waiting[message_id], self._park.free_connections())

    async def _take_group(self, pool_id: int, profiles: tuple[int, ...], ids: list[int]) -> int:
        """Claim messages of one way; what was moved since the look is left for the next one."""
        wanted = min(len(ids), self._park.batch_size)
        seats = [NOBODY] * wanted
        if profiles:
            await self._park.prepare(profiles, wanted)
            seats = assignment.seats(profiles, self._park.rooms(profiles), wanted)
        if not seats:
            return 0
        self.is_fresh = False
        claim = partial(queue.claim_these, self._lease.id, ids, seats, pool_id=pool_id)
        found = await self._database.call(claim)
        for claimed in found:
            self._in_hand.add(claimed.message_id)
            del self._waiting[claimed.message_id]
            self._give(claimed)
        if found:
            self._park.set_clock(found[0].db_now)
        return len(found)

    def _give(self, claimed: Claimed) -> None:
        pool = self._pools[claimed.pool_id]
        if claimed.profile_id == NOBODY:
            ids = assignment.order(self._park.ways(), pool, self._park.free_connections())
            way = self._park[ids[0]].way if ids else wire.nobodys_way()
            self._log(Work(claimed, replace(_once(way), profile_id=NOBODY), pool))
            return
        server = self._park[claimed.profile_id]
        moment = server.purse.spend() if server.limits.rates else None
        most = server.most_recipients
        server.give(Work(claimed, _once(server.way), pool, moment, most_recipients=most))


def _once(way: WayOut) -> WayOut:
    """Return the way out without retries."""
    return replace(way, max_retries=0)
