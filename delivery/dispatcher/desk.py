"""What the connections ask of their drain: what may leave and by whom, and who hears what came of it.

`connections.office` says the same as they see it.
"""

import asyncio
from contextlib import suppress
from functools import partial

from django.db import IntegrityError

from delivery import queue
from delivery.classification import Judgement
from delivery.dispatcher.connections.blobs import Blobs
from delivery.dispatcher.database import Database
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.recording.journal import Journal
from delivery.dispatcher.recording.outcomes import Result
from delivery.dispatcher.recording.recorder import Recorder
from delivery.dispatcher.recording.report import Tally
from delivery.dispatcher.servers.consequences import Consequences
from delivery.dispatcher.servers.park import Park
from delivery.dispatcher.servers.server import Server
from delivery.dispatcher.servers.sizes import Sizes
from delivery.dispatcher.work import Work
from smtp_settings.policy import Policies
from transports.base import Transport


class Desk:
    """One drain's answers to its connections (`connections.office.Office`)."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        journal: Journal,
        park: Park,
        consequences: Consequences,
        recorder: Recorder,
        *,
        tally: Tally,
        wake: asyncio.Event,
    ) -> None:
        self.lease = lease
        self.journal = journal
        self.recorder = recorder
        self.blobs = Blobs(database)
        self.sizes = Sizes(database.call, lambda: park.db_now)
        #: Results not taken in yet: a server may be out of use for that moment only.
        self.learning = 0
        self._database = database
        self._park = park
        self._consequences = consequences
        self._tally = tally
        self._wake = wake

    @property
    def policies(self) -> Policies:
        """What may leave, as far as is known now."""
        return self._park.policies

    async def transport_of(self, server: Server) -> Transport:
        """Return the transport of the server's present version; raises NotLive."""
        return await self._park.transport_of(server)

    async def learn(
        self, server: Server, judgement: Judgement, work: Work, ms: float, *, is_pipelined: bool
    ) -> None:
        """Take in what a result says about the server."""
        self.learning += 1
        try:
            await self._consequences.learn(
                server, judgement, claimed=work.claimed, ms=ms, is_pipelined=is_pipelined
            )
        except IntegrityError:
            self._park.has_old_settings(server)  # nothing is known of a profile that is deleted
        finally:
            self.learning -= 1

    async def session_ended(self, server: Server, messages: int, *, opened_at: float, words: str) -> None:
        """Take in that the server ended a session after so many messages, and what it said, if anything."""
        with suppress(IntegrityError):  # its profile is deleted
            await self._consequences.session_ended(server, messages, opened_at=opened_at, words=words)

    async def takes_others(self, work: Work, code: int) -> bool:
        """Whether the server took other mail since it last gave this message this code."""
        profile_id, message_id = work.way.profile_id, work.claimed.message_id
        return await self._database.call(partial(queue.takes_others, profile_id, message_id, code))

    def next_server(self, work: Work, *, is_too_large: bool = False) -> int | None:
        """Return the next profile that may carry the message and is not known to be too small, None without.

        Rather one in use; but mail waits for a server that is down, and fails only when there is no other.
        One that is too large goes on from server to server, rather to one whose limit is known.
        """
        ids = self._others(work, again=is_too_large)
        fit = [self._park[i] for i in ids if self.sizes.takes(self._park[i], work)]

        def rank(server: Server) -> tuple[bool, bool]:
            return not server.is_in_use, is_too_large and not self.sizes.is_known(server)

        return min(fit, key=rank).profile_id if fit else None

    def _others(self, work: Work, *, again: bool) -> tuple[int, ...]:
        live = [server.way for server in self._park if server.is_live]
        return work.others(live, self._park.free_connections(), again=again)

    def sizes_in_words(self, work: Work) -> str:
        """Say how large the message is and what those servers take that may carry it."""
        ids = (work.way.profile_id, *self._others(work, again=True))
        return self.sizes.words(work, [self._park[i] for i in ids])

    def count(self, server: Server, result: Result | None, *, ms: float = 0.0) -> None:
        """Count a result, or with None a connection."""
        if result is None:
            self._tally.connected(server.profile_id)
            self._wake.set()  # the first one open lets the others follow
        else:
            self._tally.add(result, ms=ms)
