"""All servers of this worker, in step with their profiles and rows, with slots and tokens when mail is there.

The decisions are `health`'s and the database's; here they are carried from one to the other.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.utils import timezone

from delivery import assignment, queue
from delivery.dispatcher import clock
from delivery.dispatcher.database import Database
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.servers.allowances import Allowances
from delivery.dispatcher.servers.server import Server
from delivery.dispatcher.servers.sharing import BEAT_SECONDS, Sharing
from delivery.dispatcher.servers.sizes import remember_tests
from delivery.dispatcher.servers.transports import Transports
from delivery.dispatcher.work import Work
from delivery.queue import Breaker, Heartbeat, Paused, ProfileStateRow, ReadyLane
from smtp_settings import wire
from smtp_settings.policy import Policies, policies
from smtp_settings.sealing import SealingError
from smtp_settings.wire import WayOut
from transports.base import Transport

#: Profiles are read again this often even when nobody seems to have saved one.
_REFRESH_SECONDS = 30.0
_THAW = timedelta(minutes=15)
#: After a gap in our own beats, or a step of the database's clock, the others have so long to be heard of.
_SETTLE_SECONDS = 15.0


class Park:
    """The servers, by profile."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        *,
        batch_size: int | None,
        give_back: Callable[[Sequence[Work]], None],
    ) -> None:
        self._database = database
        self._lease = lease
        self._batch_size = batch_size
        self._give_back = give_back
        self._servers: dict[int, Server] = {}
        self._transports = Transports(database)
        self._versions: object = None
        #: What may leave: read with the profiles, asked for every message.
        self.policies = Policies()
        self._refresh_at = 0.0
        self.allowances = Allowances(database, lease)
        self._sharing = Sharing(lease)
        self._clock = (timezone.now(), clock.now())
        self._settled_at = 0.0
        self._hopeful: list[Server] = []  # counted on for one message, their breaker being due

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers.values())

    def __getitem__(self, profile_id: int) -> Server:
        return self._servers[profile_id]

    # The clock of the database

    def set_clock(self, db_now: datetime) -> None:
        """Take in what the database's clock says."""
        self._clock = (db_now, clock.now())

    @property
    def db_now(self) -> datetime:
        """The database's clock, carried on by this machine's."""
        db_now, at = self._clock
        return db_now + timedelta(seconds=clock.now() - at)

    @property
    def is_settled(self) -> bool:
        """Whether silence of the others means something: everybody could be heard of for a while."""
        return time.monotonic() >= self._settled_at

    # Profiles and their rows

    async def refresh(self) -> None:
        """Read the live profiles again when one was saved, and after a while in any case."""
        if self._sharing.is_new_turn(self.db_now):
            self._share()
        if time.monotonic() < self._refresh_at:
            return
        self._refresh_at = time.monotonic() + _REFRESH_SECONDS
        self.policies, ways, states = await self._database.call(_read)
        for server in self:
            server.is_live = False
        for way in ways:
            state = states[way.profile_id]
            known = self._servers.get(way.profile_id)
            if known is None:
                self._servers[way.profile_id] = self._new(way, state)
            else:
                known.adopt(way)
                self._set_state(known, state)
        for server in self:
            self.empty_if_unusable(server)
        await self._thaw()

    def has_old_settings(self, server: Server) -> None:
        """Leave a server alone until its profile was read again: somebody has saved it."""
        server.is_live = False
        self._refresh_at = 0.0

    @property
    def is_outdated(self) -> bool:
        """Whether the profiles are about to be read again: one that is of no use now may be then."""
        return time.monotonic() >= self._refresh_at

    def _new(self, way: WayOut, state: ProfileStateRow) -> Server:
        return Server(way, state, batch_size=self.batch_size, clock=lambda: self.db_now)

    @property
    def batch_size(self) -> int:
        """How many messages are claimed at once: as the caller says, else the policy, else the settings."""
        return self._batch_size or self.policies.batch_size or int(settings.MAILCONF_BATCH_SIZE)

    async def reread_policies(self) -> None:
        """Read what may leave again: somebody changed it."""
        self.policies = await self._database.call(policies)

    def ways(self) -> list[WayOut]:
        """Return the ways out that are in use now."""
        return [server.way for server in self if server.is_in_use or server.may_probe(self.db_now)]

    def heard(self, heartbeat: Heartbeat | None, at: float) -> None:
        """Take in what a heartbeat brought; `at` is the moment before it was sent."""
        if heartbeat is None:
            self._lease.is_dead = True
            return
        self._lease.renew(at)
        self.set_clock(heartbeat.db_now)
        if abs(heartbeat.silence) > queue.HEARD:
            self._settled_at = time.monotonic() + _SETTLE_SECONDS
        if self._versions not in (None, heartbeat.versions):
            self._refresh_at = 0.0
        self._versions = heartbeat.versions
        self._sharing.hear(heartbeat.peers)
        for server in self:
            state = heartbeat.states.get(server.profile_id)
            self._set_state(server, state or ProfileStateRow(server.profile_id))
            self.empty_if_unusable(server)
        self._share()

    def wants(self) -> list[int]:
        """Return the profiles this worker has work for: its peers leave it a share of their connections."""
        return self._sharing.tell(tuple(self))

    def keep_beating(self) -> None:
        """Beat more often while there are connections to share."""
        if any(server.slots for server in self):
            self._database.beat_within(BEAT_SECONDS)

    def _set_state(self, server: Server, state: ProfileStateRow) -> None:
        server.state = state
        is_ours = state.breaker is Breaker.HALF_OPEN and state.probe_worker_id == self._lease.id
        server.health.is_probing = is_ours

    def _share(self) -> None:
        """Leave the peers that want a server their part of its connections, the idle ones at once."""
        for server in self:
            server.share = self._sharing.part(server, self.db_now)
            server.dismiss(server.surplus)

    def empty_if_unusable(self, server: Server) -> None:
        """Give back what an unusable server has not begun, and end its idle connections."""
        if not server.is_usable:
            self._give_back(server.take_back())
            server.dismiss(server.surplus)

    async def _thaw(self) -> None:
        """Try servers again that were paused for a fault and saved since, or paused a while ago."""
        for server in self:
            state = server.state
            if state.paused is not Paused.FAULT or state.changed_at is None:
                continue
            version = server.way.version
            if version != state.fault_version or self.db_now - state.changed_at >= _THAW:
                await self._database.call(partial(self._end_fault, server.profile_id, version))
                await self.reread(server)

    def _end_fault(self, profile_id: int, version: str) -> None:
        if queue.thaw(profile_id, version=version):
            queue.add_event("server.thawed", profile_id=profile_id, worker_id=self._lease.id)

    async def reread(self, server: Server) -> None:
        """Read the server's row again."""
        states = await self._database.call(lambda: queue.profile_states([server.profile_id]))
        self._set_state(server, states[server.profile_id])

    # Slots and tokens

    async def prepare(self, profile_ids: Sequence[int], wanted: int) -> None:
        """Take slots and tokens in the order of use until the servers have room for `wanted` messages."""
        room = 0
        for profile_id in profile_ids:
            server = self._servers[profile_id]
            server.wanted_at = time.monotonic()
            if server.may_probe(self.db_now) and self.allowances.may_ask(server, "probe"):
                server.health.is_probing = True  # counted on, for one message; nobody else is told yet
                self._hopeful.append(server)
            if not server.is_usable:
                continue
            await self.allowances.fit(server)
            await self.allowances.take_slots(server)
            if self._sharing.is_unheard(server):
                self._database.beat_within(0.0)
            await self.allowances.take_tokens(server)
            room += server.room
            if room >= wanted:
                return

    def rooms(self, profile_ids: Iterable[int]) -> dict[int, int]:
        """Return how many messages each of these servers may be given now.

        Of all of them for each claim, two hundred routes cost as much as the square of that.
        """
        return {profile_id: self._servers[profile_id].room for profile_id in profile_ids}

    def free_connections(self) -> dict[int, int]:
        """Return how many connections of each server are not busy."""
        return {server.profile_id: server.free for server in self}

    @property
    def held(self) -> int:
        """Messages in hand and not yet committed."""
        return sum(server.held for server in self)

    def can_serve(self, lanes: Sequence[ReadyLane]) -> bool:
        """Whether some server in use serves one of these lanes, if not at this moment."""
        return _any_serves(self.ways(), lanes)

    def can_serve_soon(self, lanes: Sequence[ReadyLane]) -> bool:
        """Whether a server in use serves one of these lanes that has not been crowded for long."""
        ways = [way for way in self.ways() if not self[way.profile_id].health.is_crowded_out]
        return _any_serves(ways, lanes)

    def token_waits(self) -> list[float]:
        """Return the seconds until claims on reserved moments may be made."""
        return [wait for server in self if (wait := server.purse.next_in) is not None]

    async def begin_probes(self) -> None:
        """Let servers whose breaker is due be tried that a claim has given a message; the others wait."""
        while self._hopeful:
            server = self._hopeful.pop()
            if server.health.is_probing and server.is_given_mail:
                await self._probe(server)
            else:
                server.health.is_probing = False
            self.empty_if_unusable(server)

    async def _probe(self, server: Server) -> None:
        if await self._database.call(partial(self._win_probe, server.profile_id)):
            server.health.is_probing = True
            server.state = replace(server.state, breaker=Breaker.HALF_OPEN, probe_worker_id=self._lease.id)
        else:
            await self.reread(server)

    def _win_probe(self, profile_id: int) -> bool:
        if queue.begin_probe(profile_id, self._lease.id) is None:
            return False
        queue.add_event("server.breaker_half_open", profile_id=profile_id, worker_id=self._lease.id)
        return True

    # Transports

    async def transport_of(self, server: Server) -> Transport:
        """Return the transport of the present version, one for all connections; raises NotLive."""
        try:
            return await self._transports.of(server)
        except (wire.NotLive, wire.MethodNotAvailable, SealingError):
            self._refresh_at = 0.0
            raise

    def close(self) -> None:
        """Use no server any more: what is not begun goes back, idle connections end."""
        self.allowances.close()
        for server in self:
            server.is_live = False
            self.empty_if_unusable(server)
            self.allowances.give_tokens(server)


def _any_serves(ways: Sequence[WayOut], lanes: Sequence[ReadyLane]) -> bool:
    return any(assignment.serves(way, lane.pool) for lane in lanes for way in ways)


def _read() -> tuple[Policies, list[WayOut], dict[int, ProfileStateRow]]:
    ways = wire.ways_out()
    states = queue.profile_states(way.profile_id for way in ways)
    if remember_tests(ways, states, timezone.now()):
        states = queue.profile_states(way.profile_id for way in ways)
    return policies(), ways, states
