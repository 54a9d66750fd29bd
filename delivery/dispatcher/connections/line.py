"""One connection's life: open, carry one message after another, close.

A line is a task of its own and owns one slot of its server. It lives across claims: as long as there is
mail, the session is used again, up to the profile's messages per connection, five minutes, and thirty idle
seconds. A message taken along with the one before it is the server's, not begun, until its own turn comes.
"""

import asyncio
import logging

from delivery.classification import Sign
from delivery.dispatcher.connections import unsent
from delivery.dispatcher.connections.attempt import Attempt
from delivery.dispatcher.connections.kept_session import KeptSession
from delivery.dispatcher.connections.office import Office
from delivery.dispatcher.connections.preparing import TurnMissed
from delivery.dispatcher.servers.server import Server
from delivery.dispatcher.work import Work

logger = logging.getLogger(__name__)

IDLE_SECONDS = 30.0


class Line:
    """One slot's connection."""

    def __init__(self, office: Office, server: Server, slot: int) -> None:
        self.office = office
        self.server = server
        self.slot = slot
        self._kept = KeptSession(office, server)
        self._idle_seconds = IDLE_SECONDS

    async def run(self) -> None:
        """Carry messages until there are none for a while, or the server is not to be used."""
        self.server.starting -= 1
        try:
            while (work := await self._next()) is not None:
                await self._carry(work)
            self.server.leaving += 1
            await self._kept.close()
            self.server.leaving -= 1
        finally:
            self._kept.abort()
            self.server.put_back(self.slot)

    async def _next(self) -> Work | None:
        """Return what was taken along if it may go on over this session, else the next message in hand.

        What was announced and does not come ends the session: the server waits for its content.
        """
        if self._may_go_on():
            return self.server.begin_ahead(self.slot)
        self.server.put_back(self.slot)
        current = self._kept.current
        if current is not None and current.announced is not None:
            await self._kept.close()
        return await self.server.next_work(self._idle_seconds)

    def _may_go_on(self) -> bool:
        ahead = self.server.ahead_of(self.slot)
        if ahead is None or ahead.mail is None:
            return False
        current = self._kept.current
        return self.server.is_usable and current is not None and current.may_carry(ahead.mail, self.server)

    async def _carry(self, work: Work) -> None:
        """Send one message and report what became of it, whatever happens."""
        attempt = Attempt(self.office, self.server, self.slot, self._kept, work)
        lease = self.office.lease.id
        try:
            result = await attempt.run()
        except asyncio.CancelledError:
            self._kept.abort()
            dot = attempt.is_dot_written
            self.office.recorder.add(unsent.interrupted(work, is_dot_written=dot, lease=lease))
            raise
        except unsent.GOES_BACK as why:
            logger.warning("Message %s goes back: %s", work.claimed.message_id, why)
            result = unsent.released(work)
            if isinstance(why, TurnMissed):  # opening takes too long: the session waits for the next moment
                self._idle_seconds = max(IDLE_SECONDS, 2 * self.server.purse.spacing.total_seconds())
        except unsent.UNFIT as why:
            result = unsent.unfit(work, why, lease=lease, others=self.office)
        except Exception as error:
            # Any bug of ours, met by one message, must not stop the others; three times, and a person looks.
            logger.exception("Message %s could not be handled.", work.claimed.message_id)
            self._kept.abort()
            result = unsent.broken(work, error, is_dot_written=attempt.is_dot_written, lease=lease)
        self.office.recorder.add(result)  # before anything else: a hung QUIT must not hold or spoil it
        self.office.count(self.server, result, ms=attempt.ms)
        await self._learn(attempt)

    async def _learn(self, attempt: Attempt) -> None:
        """Take in what the attempt says of the server, and whether it ended the session."""
        judgement, current = attempt.judgement, self._kept.current
        if judgement is not None:
            is_pipelined = current is not None and current.is_pipelined
            await self.office.learn(
                self.server, judgement, attempt.work, attempt.ms, is_pipelined=is_pipelined
            )
        if current is not None and not current.session.is_usable:
            if judgement is not None and judgement.sign is Sign.SUCCESS:  # it ended after the answer
                await self._kept.tell_of_the_end(current.messages)
            await self._kept.close()
