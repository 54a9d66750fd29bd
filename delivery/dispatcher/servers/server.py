"""One way out as this worker uses it: what it may take now, its connections and the messages in its hands.

No statement and no socket here: it only counts.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache

from django.utils import timezone

from delivery import learned, pacing
from delivery.dispatcher.servers.health import Health
from delivery.dispatcher.servers.tokens import Purse
from delivery.dispatcher.work import MOST_RECIPIENTS, Work
from delivery.queue import Breaker, Limits, Paused, ProfileStateRow
from smtp_settings.models import OnUncertain
from smtp_settings.wire import WayOut

#: Messages taken per connection: about half a second of work, which keeps the connections busy between
#: claims and bounds what a crash takes back.
_DEPTH_MS = 500
_LEAST_DEPTH, _MOST_DEPTH = 2, 64


class Server:
    """The way out, this worker's slots and connections for it, and the messages in hand."""

    #: Connections it may have over all workers: as configured, as learned, and as a slow start allows.
    limit: int

    def __init__(
        self,
        way: WayOut,
        state: ProfileStateRow,
        *,
        batch_size: int,
        clock: Callable[[], datetime] = timezone.now,
    ) -> None:
        self.way = way
        self._clock = clock
        self.state = state
        self.batch_size = batch_size
        #: False as soon as the profile is disabled, deleted or differs from what was tested.
        self.is_live = True
        #: It keeps a message waiting past the drain's deadline, and gets no more of it.
        self.is_left = False
        #: The settings that cannot be used here: a method we lack, a secret that does not open.
        self.unusable_version = ""
        #: Connections this worker may have when others want some.
        self.share = way.max_connections
        self.slots: set[int] = set()
        self.lines: set[int] = set()  # the slots that have a connection
        self.wanted_at = 0.0  # when there was last mail for it, on the monotonic clock
        self.starting = 0  # connections that have not asked for their first message yet
        self.leaving = 0  # connections that are about to end
        self.held = 0  # messages claimed and not yet committed
        self.health = Health()
        self.purse = Purse(spacing=timedelta(seconds=way.send_offset))
        self._hand: deque[Work] = deque()
        self._ahead: dict[int, Work] = {}  # by slot: taken along by a busy connection, and not begun
        self._idle: deque[asyncio.Future[Work | None]] = deque()

    def adopt(self, way: WayOut) -> None:
        """Take over settings saved meanwhile; connections of the old version end at their next message."""
        self.is_live = way.version != self.unusable_version
        if way != self.way:
            self.way = way
            self.state = self._state  # what was learned is of other settings now, or it is again of these
            self.health.is_open = False
            self.share = way.max_connections
            self.purse = Purse(spacing=timedelta(seconds=way.send_offset))

    @property
    def profile_id(self) -> int:
        """The profile this is the way out of."""
        return self.way.profile_id

    @property
    def state(self) -> ProfileStateRow:
        """What all workers know of it."""
        return self._state

    @state.setter
    def state(self, state: ProfileStateRow) -> None:
        self._state = state
        self._bearable = learned.Bearable()
        most, fingerprint = self.way.max_connections, self.way.fingerprint
        if state.learned_fingerprint == fingerprint:
            self._bearable = learned.bearable(state, most_connections=most, now=self._clock())
        limits = (most, self._bearable.connections, state.ramp)
        self.limit = min(limit for limit in limits if limit is not None)
        is_garbled = state.sequential_fingerprint == fingerprint
        self._sequential_until = state.sequential_until if is_garbled else None

    @property
    def limits(self) -> Limits:
        """The profile's limits over all workers."""
        way = self.way
        return _limits(way.max_connections, way.send_offset, way.per_minute, way.per_hour, way.per_day)

    @property
    def is_sequential(self) -> bool:
        """Whether it is spoken to one command at a time: its answers did not fit together lately."""
        until = self._sequential_until
        return until is not None and self._clock() < until

    # What it bears

    @property
    def messages_per_connection(self) -> int:
        """Messages of one session: it is ended before the server ends it."""
        most, known = self.way.messages_per_connection, self._bearable.session_messages
        return most if known is None else min(most, known)

    @property
    def most_recipients(self) -> int:
        """Recipients of one transaction."""
        return min(MOST_RECIPIENTS, self._bearable.recipients or MOST_RECIPIENTS)

    # What it may take

    @property
    def is_in_use(self) -> bool:
        """Whether it is neither paused nor given up for now; it may still be resting."""
        state = self._state
        closed = state.breaker is Breaker.CLOSED or self.health.is_probing
        return self.is_live and not self.is_left and state.paused is Paused.NO and closed

    @property
    def is_usable(self) -> bool:
        """Whether it may be given messages at all."""
        return self.is_in_use and not self.health.is_resting

    def may_probe(self, now: datetime) -> bool:
        """Whether its breaker is due for one try."""
        state = self.state
        is_due = state.open_until is not None and state.open_until <= now
        is_there = self.is_live and not self.is_left and state.paused is Paused.NO
        return is_there and state.breaker is Breaker.OPEN and is_due

    @property
    def connections(self) -> int:
        """How many connections this worker may have now."""
        if self.health.is_probing:
            return 1
        most = min(self.share, self.limit)
        return most if self.health.is_open else min(1, most)  # a wrong password is tried once, not by all

    @property
    def capacity(self) -> int:
        """How many messages its connections may have in hand together."""
        return self._staffable * self._depth

    @property
    def _staffable(self) -> int:
        """How many of its slots may have a connection: those above the limit are left to nobody."""
        slots, limit = self.slots, self.limit
        usable = len(slots) if max(slots, default=0) <= limit else sum(slot <= limit for slot in slots)
        return min(self.connections, usable)

    @property
    def free(self) -> int:
        """Connections that are not busy with a message: what decides among equals.

        Of those it may have: before the first one is open it is tried with one, and would look full.
        """
        allowed = 1 if self.health.is_probing else min(self.share, self.limit)
        return max(0, allowed - self.on_the_wire)

    @property
    def room(self) -> int:
        """How many messages it may be given now.

        Nothing while more than half of its work is still to do, so that claims stay few and large; but no
        connection waits for that.
        """
        if not self.is_usable or self.health.is_silent:
            return 0
        room = self.capacity - self.held
        if self.limits.rates:
            return max(0, min(room, self.purse.ready))
        return room if 2 * room >= self.capacity or not self._hand else 0

    @property
    def tokens_wanted(self) -> int:
        """How many tokens to ask for now: enough for the free places, at most a second's worth."""
        rates = self.limits.rates
        if not (rates and self.is_usable) or self.health.is_silent:
            return 0
        missing = self.capacity - self.held - len(self.purse)
        return pacing.want(missing, rates) if missing > 0 else 0

    @property
    def _depth(self) -> int:
        if self._is_one_at_a_time:
            return 1  # nothing else is held with it after a crash
        if not self.health.is_open:
            return _LEAST_DEPTH  # it may be down
        if self.health.ms is None:
            wanted = -(-self.batch_size // max(1, self.connections))
        else:
            wanted = round(_DEPTH_MS / max(self.health.ms, 1.0))
        return max(_LEAST_DEPTH, min(_MOST_DEPTH, wanted))

    @property
    def _is_one_at_a_time(self) -> bool:
        """Whether a connection has one message at most: leased then means in flight."""
        return self.health.is_probing or self.way.on_uncertain == OnUncertain.HOLD

    # Messages in hand

    def give(self, work: Work) -> None:
        """Put a claimed message into this server's hands."""
        self.held += 1
        if not self._goes_to_idle(work):
            self._hand.append(work)

    def _goes_to_idle(self, work: Work) -> bool:
        while self._idle:
            waiting = self._idle.pop()  # the connection used last: the others may grow old
            if not waiting.done():
                waiting.set_result(work)
                return True
        return False

    async def next_work(self, idle_seconds: float) -> Work | None:
        """Return the next message for a connection, None when it is to end or none comes in time."""
        if self.surplus > 0:
            return None
        if self._hand:
            return self._hand.popleft()
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Work | None] = loop.create_future()
        self._idle.append(waiting)
        timer = loop.call_later(idle_seconds, _send_home, waiting)
        try:
            return await waiting
        finally:
            timer.cancel()
            with suppress(ValueError):
                self._idle.remove(waiting)

    def take_ahead(self, slot: int, is_fit: Callable[[Work], bool]) -> Work | None:
        """Let a busy connection take along the message it will carry next; never waits.

        It is the first in hand, and one to spare: those that begin have theirs before. It counts as not
        begun, and may be taken back, until `begin_ahead`. The same again when there is one already.
        """
        known = self._ahead.get(slot)
        if known is not None:
            return known
        is_to_spare = len(self._hand) > self.starting and not self._is_one_at_a_time
        if self.surplus > 0 or not is_to_spare or not is_fit(self._hand[0]):
            return None
        self._ahead[slot] = self._hand.popleft()
        return self._ahead[slot]

    def ahead_of(self, slot: int) -> Work | None:
        """Return what the connection took along and nobody took back."""
        return self._ahead.get(slot)

    def begin_ahead(self, slot: int) -> Work | None:
        """Return what the connection took along, as begun from now on; None when nothing is left of it."""
        return self._ahead.pop(slot, None)

    def put_back(self, slot: int) -> None:
        """Put what the connection took along, if anything, into the hands again, to go next."""
        work = self._ahead.pop(slot, None)
        if work is not None and not self._goes_to_idle(work):
            self._hand.appendleft(work)

    @property
    def surplus(self) -> int:
        """How many connections too many it has now; all of them when it is not to be used."""
        allowed = self._staffable if self.is_usable else 0
        return max(0, len(self.lines) - self.leaving - allowed)

    @property
    def slots_wanted(self) -> int:
        """How many more slots to ask for; none while one of its connections waits for mail."""
        is_idle = any(not waiting.done() for waiting in self._idle)
        return 0 if is_idle else self.connections - len(self.slots)

    @property
    def is_short_of_slots(self) -> bool:
        """Whether more messages are in hand than its connections will begin at once."""
        return len(self._hand) > self.starting and len(self.slots) < self.connections

    @property
    def lines_wanted(self) -> int:
        """How many more connections the messages in hand need, as far as slots go."""
        more = self._staffable - len(self.lines)
        return max(0, min(len(self._hand) - self.starting, more))

    @property
    def is_given_mail(self) -> bool:
        """Whether messages are in its hands that no connection has begun or taken along."""
        return bool(self._hand)

    @property
    def on_the_wire(self) -> int:
        """Messages that a connection has begun and that are not committed."""
        return self.held - len(self._hand) - len(self._ahead)

    def take_back(self) -> list[Work]:
        """Take all messages nobody has begun out of its hands, those taken along too."""
        works = [*self._ahead.values(), *self._hand]
        self._ahead.clear()
        self._hand.clear()
        return works

    def dismiss(self, count: int) -> None:
        """End so many of the connections that wait for a message, those used longest ago first."""
        for _ in range(min(count, len(self._idle))):
            _send_home(self._idle.popleft())

    def let_go(self) -> None:
        """Count a message as committed."""
        self.held -= 1


def _send_home(waiting: "asyncio.Future[Work | None]") -> None:
    if not waiting.done():
        waiting.set_result(None)


@lru_cache(maxsize=256)
def _limits(connections: int, send_offset: float, per_minute: int, per_hour: int, per_day: int) -> Limits:
    """Asked for with every message, and the same until the profile is saved."""
    spacing = timedelta(seconds=send_offset)
    rates = pacing.rates(spacing=spacing, per_minute=per_minute, per_hour=per_hour, per_day=per_day)
    return Limits(connections, rates)
