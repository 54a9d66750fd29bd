"""One connection's life: open, carry one message after another, close.

A line is a task of its own and owns one slot of its server. It lives across claims: as long as there is
mail, the session is used again, up to the profile's messages per connection, five minutes, and thirty idle
seconds. Where the session streams, the line takes along the message that comes next: its envelope travels
with the present one's dot. That message is the server's, not begun, until its own turn comes.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from delivery.classification import Action, Judgement, Sign, judge, judge_error
from delivery.composing import CannotCompose
from delivery.dispatcher import clock, outcomes
from delivery.dispatcher.blobs import Blobs
from delivery.dispatcher.conversation import written
from delivery.dispatcher.journal import Journal
from delivery.dispatcher.lease import Lease, LeaseLost
from delivery.dispatcher.open_session import NotUsable, OpenSession, open_session
from delivery.dispatcher.outcomes import Result
from delivery.dispatcher.preparing import NobodyLeft, NotNow, Overdue, check, check_again, put_together
from delivery.dispatcher.recorder import Recorder
from delivery.dispatcher.server import Server
from delivery.dispatcher.sizes import TOO_LARGE, Sizes, TooLarge
from delivery.dispatcher.work import Work
from smtp_settings.policy import Policies
from transports.base import MailObject, Outcome, Phase, Reply, TranscriptLine, Transport
from transports.errors import ConnectionLost, TransportError

logger = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
#: A session that ends after so much idling says nothing about messages.
_IDLED_SECONDS = 5.0


class TurnMissed(Exception):
    """A spaced message missed its reserved moment and needs another."""


_NOT_SENT = (Overdue, NobodyLeft, NotNow, CannotCompose, TooLarge, NotUsable, LeaseLost, TurnMissed)


class Office(Protocol):
    """What a line asks of the drain it belongs to."""

    lease: Lease
    recorder: Recorder
    blobs: Blobs
    journal: Journal
    sizes: Sizes

    @property
    def policies(self) -> Policies:
        """What may leave, as far as is known now."""

    async def transport_of(self, server: Server) -> Transport:
        """Return the transport of the server's present version; raises NotLive."""

    async def learn(
        self, server: Server, judgement: Judgement, work: Work, ms: float, *, is_pipelined: bool
    ) -> None:
        """Take in what a result says about the server."""

    async def session_ended(self, server: Server, messages: int, *, opened_at: float, words: str) -> None:
        """Take in that the server ended a session after so many messages, and what it said, if anything."""

    def next_server(self, work: Work, *, is_too_large: bool = False) -> int | None:
        """Return the next profile that may carry the message."""

    def sizes_in_words(self, work: Work) -> str:
        """Say how large the message is and what the servers take."""

    def count(self, server: Server, result: Result | None, *, ms: float = 0.0) -> None:
        """Count a result, or with None a connection."""


class Line:
    """One slot's connection."""

    def __init__(self, office: Office, server: Server, slot: int) -> None:
        self.office = office
        self.server = server
        self.slot = slot
        self._open: OpenSession | None = None
        self._dot_written = False

    async def run(self) -> None:
        """Carry messages until there are none for a while, or the server is not to be used."""
        self.server.starting -= 1
        try:
            while (work := await self._next()) is not None:
                await self._carry(work)
            self.server.leaving += 1
            await self._close()
            self.server.leaving -= 1
        finally:
            self._abort()
            self.server.put_back(self.slot)

    async def _next(self) -> Work | None:
        """Return what was taken along if it may go on over this session, else the next message in hand.

        What was announced and does not come ends the session: the server waits for its content.
        """
        if self._may_go_on():
            return self.server.begin_ahead(self.slot)
        self.server.put_back(self.slot)
        if self._open is not None and self._open.announced is not None:
            await self._close()
        return await self.server.next_work(IDLE_SECONDS)

    def _may_go_on(self) -> bool:
        ahead = self.server.ahead_of(self.slot)
        if ahead is None or ahead.mail is None or self._open is None:
            return False
        return self.server.is_usable and self._open.may_carry(ahead.mail, self.server)

    async def _carry(self, work: Work) -> None:
        """Send one message and report what became of it, whatever happens."""
        self._dot_written = False
        judgement, ms = None, 0.0
        try:
            judgement, ms, transcript = await self._attempt(work)
            result = self._result(work, judgement, ms)
            if transcript and result.tried is not None:
                result = replace(result, tried=replace(result.tried, transcript=written(transcript)))
        except asyncio.CancelledError:
            self.office.recorder.add(self._interrupted(work))
            raise
        except _NOT_SENT as error:
            result = self._unsent(work, error)
        except Exception as error:
            # Any bug of ours, met by one message, must not stop the others; three times, and a person looks.
            logger.exception("Message %s could not be handled.", work.claimed.message_id)
            result = self._broken(work, error)
        self.office.recorder.add(result)  # before anything else: a hung QUIT must not hold or spoil it
        self.office.count(self.server, result, ms=ms)
        if judgement is not None:
            is_pipelined = self._open is not None and self._open.is_pipelined
            await self.office.learn(self.server, judgement, work, ms, is_pipelined=is_pipelined)
        if self._open is not None and not self._open.session.is_usable:
            if judgement is not None and judgement.sign is Sign.SUCCESS:  # it ended after the answer
                await self._tell_of_the_end(self._open, self._open.messages)
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
            case TooLarge():
                return self._too_large(work)
            case _:
                logger.warning("Message %s goes back: %s", work.claimed.message_id, why)
                return outcomes.released(work)

    def _too_large(self, work: Work) -> Result:
        other = self.office.next_server(work, is_too_large=True)
        words, lease = self.office.sizes_in_words(work), self.office.lease.id
        return outcomes.unsendable(work, words, lease=lease, other_profile_id=other, cause=TOO_LARGE)

    def _result(self, work: Work, judgement: Judgement, ms: float) -> Result:
        goes_elsewhere = judgement.action is Action.ELSEWHERE
        is_too_large = self.office.sizes.refused(self.server, work, judgement)
        return outcomes.result_of(
            work,
            judgement,
            lease=self.office.lease.id,
            other_profile_id=(
                self.office.next_server(work, is_too_large=is_too_large) if goes_elsewhere else None
            ),
            ms=ms,
        )

    async def _wait_for_turn(self, work: Work) -> None:
        """Wait for a spaced message's moment, the connection open already."""
        if work.moment is None:
            return
        await asyncio.sleep(max(0.0, work.moment - clock.now()))
        if self.server.purse.is_too_late(work.moment):
            raise TurnMissed("Its reserved moment was missed.")

    async def _attempt(self, work: Work) -> tuple[Judgement, float, Sequence[TranscriptLine]]:
        """Carry the message over an open session, once more when an idle one turned out to be gone.

        Returns the judgement, the milliseconds of the transaction, and what was said where it went wrong.
        """
        check(work, self.office.policies)
        mail, work.mail = work.mail or await self._put_together(work), None
        self.office.sizes.check(self.server, work, mail.content.size_bytes)
        await self.office.recorder.has_room()
        self.server.health.asked()
        try:
            current = await self._opened(work, mail)
            outcome = await self._deliver(current, work, mail)
            if current.messages > 1 and _was_over(outcome):
                await self._tell_of_the_end(current, current.messages - 1, outcome.reply)
                self._abort()
                current = await self._opened(work, mail)
                outcome = await self._deliver(current, work, mail)
        except TransportError as error:
            return judge_error(error, overrides=work.way.overrides), 0.0, error.transcript
        finally:
            self.server.health.done()
        is_fresh = current.messages == 1
        rules = work.way.overrides
        judgement = judge(outcome, recipients=len(work.recipients), is_fresh=is_fresh, overrides=rules)
        return judgement, outcome.ms, outcome.transcript

    async def _deliver(self, current: OpenSession, work: Work, mail: MailObject) -> Outcome:
        await self._wait_for_turn(work)
        current.announced = self._following(current, work)
        current.begin()
        outcome = await current.session.deliver(
            *mail,
            following=current.announced,
            before_dot=partial(self._before_dot, work),
            after_dot=partial(self.office.journal.replied, work),
        )
        if work.redirected_to:  # one answer, for all whom it was for
            outcome = replace(outcome, rcpt_replies=outcome.rcpt_replies * len(work.recipients))
        current.carried()
        if current.messages == 1 and outcome.reply is not None:
            self.server.health.healthy += 1
            current.is_healthy = True
        return outcome

    def _following(self, current: OpenSession, work: Work) -> MailObject | None:
        """Take along the message that comes next on this session, if it may be announced with this one."""
        if work.goes_alone or not current.may_announce(self.server):
            return None
        if self.server.is_sequential:
            return None  # learned while this session was open
        ahead = self.server.take_ahead(self.slot, self._is_fit)
        return None if ahead is None else ahead.mail

    def _is_fit(self, work: Work) -> bool:
        """Whether a message may be announced: nothing is to be waited for, and nothing is wrong with it.

        With those that are not fit it is all the same: they are met when their turn comes.
        """
        parts = self.office.blobs.at_hand(work.claimed.blob_ids)
        if work.goes_alone or parts is None:
            return False
        try:
            check(work, self.office.policies)
            self.office.journal.begun(work)
            mail = put_together(work, parts)
            self.office.sizes.check(self.server, work, mail.content.size_bytes)
            work.mail = mail
        except Exception:  # noqa: BLE001  # what is wrong with it must not be the present message's fault
            return False
        return True

    async def _put_together(self, work: Work) -> MailObject:
        self.office.journal.begun(work)
        return put_together(work, await self.office.blobs.get(work.claimed.blob_ids))

    def _before_dot(self, work: Work) -> None:
        """Refuse to complete a message that another session may hold by now, or that is too late."""
        self.office.lease.check()
        check_again(work, self.office.policies)
        self.office.journal.sending(work)
        self._dot_written = True

    async def _opened(self, work: Work, mail: MailObject) -> OpenSession:
        """Return a session that may carry the message, opening one if needed. Raises TransportError."""
        if self._open is not None and self._open.may_carry(mail, self.server):
            return self._open
        if self._open is not None and not self._open.session.is_usable:
            self._open.begin()
            await self._tell_of_the_end(self._open, self._open.messages)
        await self._close()
        sequential = self.server.is_sequential
        self._open = await open_session(self.server, self.office.transport_of, sequential=sequential)
        self.server.health.heard()
        self.office.count(self.server, None)
        self.office.sizes.announced(self.server, self._open.session.capabilities)
        self.office.sizes.check(self.server, work, mail.content.size_bytes)  # before a byte of it is sent
        return self._open

    async def _tell_of_the_end(self, ended: OpenSession, messages: int, reply: Reply | None = None) -> None:
        """Say after how many messages the server ended a session, unless it had idled."""
        if ended.idled < _IDLED_SECONDS:
            await self.office.session_ended(
                self.server, messages, opened_at=ended.opened_at, words="" if reply is None else str(reply)
            )

    def _interrupted(self, work: Work) -> Result:
        """Say what a cancelled message is: uncertain with its dot written, else simply not sent."""
        self._abort()
        if not self._dot_written:
            return outcomes.released(work)
        return self._uncertain(work, "The worker was stopped before the server answered.")

    def _broken(self, work: Work, error: Exception) -> Result:
        """Say what a message is that made our own code fail: with its dot written it may have arrived."""
        self._abort()
        if not self._dot_written:
            return outcomes.broken(work, error, lease=self.office.lease.id)
        return self._uncertain(work, f"Internal error: {type(error).__name__}")

    def _uncertain(self, work: Work, words: str) -> Result:
        outcome = Outcome(Phase.DOT, uncertain=True)
        judgement = judge(outcome, recipients=len(work.recipients), is_fresh=False)
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

    def _forget(self, current: OpenSession) -> None:
        if current.is_healthy:
            self.server.health.healthy -= 1


def _was_over(outcome: Outcome) -> bool:
    """Whether the session was at its end before the message was begun, with a 421 or without a word.

    On one that was used that is nobody's fault: a new one tells whether the server is crowded.
    """
    if outcome.phase is not Phase.MAIL:
        return False
    if outcome.reply is not None:
        return outcome.reply.code == 421
    return isinstance(outcome.error, ConnectionLost)
