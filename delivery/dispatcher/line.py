"""One connection's life: open, carry one message after another, close.

A line is a task of its own and owns one slot of its server. It lives across claims: as long as there is
mail, the session is used again, up to the profile's messages per connection, five minutes, and thirty idle
seconds.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from delivery.classification import Action, Judgement, Sign, judge, judge_error
from delivery.composing import CannotCompose, content_of, envelope_sender, front
from delivery.dispatcher import outcomes
from delivery.dispatcher.blobs import Blobs
from delivery.dispatcher.lease import Lease, LeaseLost
from delivery.dispatcher.outcomes import Result
from delivery.dispatcher.recorder import Recorder
from delivery.dispatcher.server import Server
from delivery.dispatcher.work import Work
from smtp_settings.sealing import SealingError
from smtp_settings.wire import MethodNotAvailable, NotLive
from transports.base import Content, Envelope, Outcome, Phase, Session, Transport
from transports.errors import ConnectionLost, TransportError

logger = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
#: A limit in time as well: by count alone, a slow server would keep its connections for ever.
AGE_SECONDS = 300.0


class NotUsable(Exception):
    """The server cannot be opened now, for a reason on our side; nothing is counted."""


class Overdue(Exception):
    """The caller wants the message sent no more."""


class NobodyLeft(Exception):
    """Every recipient is settled already."""


class TurnMissed(Exception):
    """A spaced message missed its reserved moment and needs another."""


class Office(Protocol):
    """What a line asks of the drain it belongs to."""

    lease: Lease
    recorder: Recorder
    blobs: Blobs

    async def transport_of(self, server: Server) -> Transport:
        """Return the transport of the server's present version; raises NotLive."""

    async def learn(self, server: Server, judgement: Judgement, work: Work, ms: float) -> None:
        """Take in what a result says about the server."""

    def next_server(self, work: Work) -> int | None:
        """Return the next profile that may carry the message."""

    def count(self, server: Server, result: Result | None, *, ms: float = 0.0) -> None:
        """Count a result, or with None a connection."""


@dataclass(slots=True)
class _Open:
    """An open session and what was done with it."""

    session: Session
    version: str
    opened_at: float
    messages: int = 0
    is_healthy: bool = False


class Line:
    """One slot's connection."""

    def __init__(self, office: Office, server: Server, slot: int) -> None:
        self.office = office
        self.server = server
        self.slot = slot
        self._open: _Open | None = None
        self._dot_written = False

    async def run(self) -> None:
        """Carry messages until there are none for a while, or the server is not to be used."""
        self.server.starting -= 1
        try:
            while (work := await self.server.next_work(IDLE_SECONDS)) is not None:
                await self._carry(work)
            self.server.leaving += 1
            await self._close()
            self.server.leaving -= 1
        finally:
            self._abort()

    async def _carry(self, work: Work) -> None:
        """Send one message and report what became of it, whatever happens."""
        self._dot_written = False
        judgement, ms = None, 0.0
        try:
            judgement, ms = await self._attempt(work)
            result = self._result(work, judgement, ms)
        except asyncio.CancelledError:
            self.office.recorder.add(self._interrupted(work))
            raise
        except (Overdue, NobodyLeft, CannotCompose, NotUsable, LeaseLost, TurnMissed) as error:
            result = self._unsent(work, error)
        except Exception as error:
            # Any bug of ours, met by one message, must not stop the others; three times, and a person looks.
            logger.exception("Message %s could not be handled.", work.claimed.message_id)
            self._abort()
            result = outcomes.broken(work, error, lease=self.office.lease.id)
        self.office.recorder.add(result)  # before anything else: a hung QUIT must not hold or spoil it
        self.office.count(self.server, result, ms=ms)
        if judgement is not None:
            await self.office.learn(self.server, judgement, work, ms)
        if self._open is not None and not self._open.session.is_usable:
            await self._close()

    def _unsent(self, work: Work, why: Exception) -> Result:
        """Say what becomes of a message that was not to be sent here, or not now."""
        match why:
            case Overdue():
                return outcomes.expired(work)
            case NobodyLeft():
                return outcomes.complete(work)
            case CannotCompose():
                other, lease = self.office.next_server(work), self.office.lease.id
                return outcomes.unsendable(work, str(why), lease=lease, other_profile_id=other)
            case _:
                logger.warning("Message %s goes back: %s", work.claimed.message_id, why)
                return outcomes.released(work)

    def _result(self, work: Work, judgement: Judgement, ms: float) -> Result:
        goes_elsewhere = judgement.action is Action.ELSEWHERE
        return outcomes.result_of(
            work,
            judgement,
            lease=self.office.lease.id,
            other_profile_id=self.office.next_server(work) if goes_elsewhere else None,
            ms=ms,
        )

    async def _wait_for_turn(self, work: Work) -> None:
        """Wait for a spaced message's moment, the connection open already."""
        if work.moment is None:
            return
        await asyncio.sleep(max(0.0, work.moment - time.monotonic()))
        if self.server.purse.is_too_late(work.moment):
            raise TurnMissed("Its reserved moment was missed.")

    async def _attempt(self, work: Work) -> tuple[Judgement, float]:
        """Carry the message over an open session, once more when an idle one turned out to be gone.

        Returns the judgement and the milliseconds of the transaction.
        """
        if not work.recipients:
            raise NobodyLeft
        if work.is_expired:
            raise Overdue
        envelope, content = await self._put_together(work)
        await self.office.recorder.has_room()
        try:
            current = await self._opened()
            outcome = await self._deliver(current, work, envelope, content)
            if current.messages > 1 and _was_gone(outcome):
                self._abort()
                current = await self._opened()
                outcome = await self._deliver(current, work, envelope, content)
        except TransportError as error:
            return judge_error(error), 0.0
        is_fresh = current.messages == 1
        return judge(outcome, recipients=len(work.recipients), is_fresh=is_fresh), outcome.ms

    async def _deliver(self, current: _Open, work: Work, envelope: Envelope, content: Content) -> Outcome:
        await self._wait_for_turn(work)
        before_dot = partial(self._before_dot, work)
        outcome = await current.session.deliver(envelope, content, before_dot=before_dot)
        current.messages += 1
        if current.messages == 1 and outcome.reply is not None:
            self.server.health.healthy += 1
            current.is_healthy = True
        return outcome

    async def _put_together(self, work: Work) -> tuple[Envelope, Content]:
        claimed, sender = work.claimed, work.way.sender
        blobs = await self.office.blobs.get(claimed.blob_ids)
        head = front(claimed.from_header, claimed.subject, sender, data=claimed.data)
        mail_from = envelope_sender(claimed.mail_from, claimed.from_header, sender)
        recipients = (*work.recipients, *work.riders)
        return Envelope(mail_from, recipients), content_of(head, claimed.data, tuple(claimed.cuts), blobs)

    def _before_dot(self, work: Work) -> None:
        """Refuse to complete a message that another session may hold by now, or that is too late."""
        self.office.lease.check()
        if work.is_expired:
            raise Overdue
        self._dot_written = True

    async def _opened(self) -> _Open:
        """Return a session that may carry another message, opening one if needed. Raises TransportError."""
        if self._open is not None and not self._is_worn(self._open):
            return self._open
        await self._close()
        version = self.server.way.version
        try:
            transport = await self.office.transport_of(self.server)
            session = await transport.open()
        except NotLive as error:
            self.server.is_live = False
            raise NotUsable(str(error)) from error
        except (MethodNotAvailable, SealingError) as error:
            self.server.is_live, self.server.unusable_version = False, version
            raise NotUsable(str(error)) from error
        except TransportError:
            raise
        except Exception as error:
            # A bug of ours or a fault of this machine, but no message's: all of them would be held for it.
            logger.exception("%s could not be opened.", self.server.way.name)
            sentence = f"Internal error: {type(error).__name__}"
            raise TransportError(sentence, phase=Phase.CONNECT) from error
        self.office.count(self.server, None)
        self._open = _Open(session, version, time.monotonic())
        return self._open

    def _is_worn(self, current: _Open) -> bool:
        return (
            not current.session.is_usable
            or current.version != self.server.way.version
            or current.messages >= self.server.way.messages_per_connection
            or time.monotonic() - current.opened_at > AGE_SECONDS
        )

    def _interrupted(self, work: Work) -> Result:
        """Say what a cancelled message is: uncertain with its dot written, else simply not sent."""
        self._abort()
        if not self._dot_written:
            return outcomes.released(work)
        outcome = Outcome(Phase.DOT, uncertain=True)
        judgement = judge(outcome, recipients=len(work.recipients), is_fresh=False)
        words = "The worker was stopped before the server answered."
        return outcomes.result_of(
            work, replace(judgement, words=words, sign=Sign.NONE), lease=self.office.lease.id
        )

    async def _close(self) -> None:
        """End the session politely: QUIT has five seconds, and no result waits for it."""
        current, self._open = self._open, None
        if current is not None:
            self._forget(current)
            await current.session.close()

    def _abort(self) -> None:
        current, self._open = self._open, None
        if current is not None:
            self._forget(current)
            current.session.abort()

    def _forget(self, current: _Open) -> None:
        if current.is_healthy:
            self.server.health.healthy -= 1


def _was_gone(outcome: Outcome) -> bool:
    """Whether the connection was lost before any reply: on one that had idled, nobody's fault."""
    return outcome.phase is Phase.MAIL and outcome.reply is None and isinstance(outcome.error, ConnectionLost)
