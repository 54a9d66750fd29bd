"""What this worker may have of a server for now: connections and tokens, asked of the database.

What was refused is asked for again a little later.
"""

import asyncio
import time
from collections.abc import Collection, Coroutine, Iterable
from typing import Any

from delivery import pacing, queue
from delivery.dispatcher import clock
from delivery.dispatcher.database import Database
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.servers.server import Server

#: What was refused is asked for again after this long.
_ASK_AGAIN_SECONDS = 0.5


class Allowances:
    """Takes slots and tokens, and gives slots back."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._fitted: dict[int, str] = {}
        self._ask_at: dict[tuple[int, str], float] = {}
        self._giving: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def fit(self, server: Server) -> None:
        """Make the rate rows fit the profile, once per version; without limits there is nothing to fit."""
        if server.limits.rates and self._fitted.get(server.profile_id) != server.way.version:
            await self._set_limits(server)

    async def _set_limits(self, server: Server) -> None:
        self._fitted[server.profile_id] = server.way.version
        await self._database.call(lambda: queue.set_limits(server.profile_id, server.limits))

    async def take_slots(self, server: Server) -> None:
        """Take the connections the server wants and may have."""
        wanted = server.slots_wanted
        if wanted <= 0 or not self.may_ask(server, "slots"):
            return
        taken = await self._ask_for_slots(server, wanted)
        if len(taken) < wanted and self._fitted.get(server.profile_id) != server.way.version:
            await self._set_limits(server)  # the rows may be missing, or older than the profile
            taken |= await self._ask_for_slots(server, wanted - len(taken))
        server.slots |= taken
        if len(taken) == wanted:
            self._ask_at.pop((server.profile_id, "slots"), None)

    def give_spare_slots(self, server: Server) -> None:
        """Give back what no message in hand needs: connections counted as taken are open ones."""
        self.give_slots(server, server.slots - server.lines)

    async def _ask_for_slots(self, server: Server, want: int) -> set[int]:
        limit, profile_id = server.limit, server.profile_id
        return set(
            await self._database.call(lambda: queue.take_slots(self._lease.id, profile_id, limit, want))
        )

    def give_slots(self, server: Server, slots: Collection[int], *, is_late: bool = False) -> None:
        """Give connections back to the others; at the end the session's go all together, if that is soon."""
        given = sorted(server.slots.intersection(slots))
        if not given or (self._is_closed and not is_late):
            return
        server.slots.difference_update(given)
        self._give(self._database.call(lambda: queue.give_slots(self._lease.id, server.profile_id, given)))

    async def release_unknown(self, servers: Iterable[Server]) -> None:
        """Give back connections of ours nobody knows of: taken by a statement whose answer was lost."""
        kept = [(server.profile_id, slot) for server in servers for slot in server.slots]
        await self._database.call(lambda: queue.give_other_slots(self._lease.id, kept))

    def _give(self, giving: Coroutine[Any, Any, None]) -> None:  # Any: as asyncio has it
        task = asyncio.ensure_future(giving)
        self._giving.add(task)
        task.add_done_callback(self._giving.discard)

    async def take_tokens(self, server: Server) -> None:
        """Take leave to send as much as its free places hold, where the profile has limits."""
        want = server.tokens_wanted
        if not want or not self.may_ask(server, "tokens"):
            return
        self.give_tokens(server, is_end=False)
        # The clock is read beside the statement: a wait in the thread's line would move the moments.
        at, tokens = await self._database.call(
            lambda: (clock.now(), queue.take_tokens(server.profile_id, want))
        )
        if not tokens.granted:
            return
        self._ask_at.pop((server.profile_id, "tokens"), None)
        if tokens.spacing_base is None or tokens.spacing_emission is None or tokens.db_now is None:
            server.purse.add([None] * tokens.granted)
            return
        reserved = pacing.moments(tokens.spacing_base, tokens.spacing_emission, tokens.granted)
        server.purse.last_moment = reserved[-1]
        server.purse.add([at + (moment - tokens.db_now).total_seconds() for moment in reserved])

    def give_tokens(self, server: Server, *, is_end: bool = True) -> None:
        """Give back what was not used, at the end all that is left.

        Tokens are taken before the claim, of every server in line, and the messages may be fewer: a server
        whose turn never comes would use its quota up all the same.
        """
        profile_id, rates = server.profile_id, server.limits.rates
        moment = server.purse.empty() if is_end else None
        if moment is not None:
            self._give(self._database.call(lambda: queue.return_moment(profile_id, moment)))
        if unused := server.purse.take_unused():
            self._give(self._database.call(lambda: queue.return_tokens(profile_id, unused, rates)))

    def may_ask(self, server: Server, what: str) -> bool:
        """Whether it is time to ask again for what was refused."""
        now = time.monotonic()
        if now < self._ask_at.get((server.profile_id, what), 0.0):
            return False
        self._ask_at[server.profile_id, what] = now + _ASK_AGAIN_SECONDS
        return True

    def close(self) -> None:
        """Give slots back together from now on: the session ends."""
        self._is_closed = True
