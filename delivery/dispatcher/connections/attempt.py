"""One try of one message at one server: made ready, given to a session, and judged.

On an idle session that turned out to be gone it is begun once more, over a new one. Where the session
streams, the message that comes next is taken along: its envelope travels with this one's dot.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from delivery.classification import Action, Judgement, Sign, judge, judge_error
from delivery.dispatcher import clock
from delivery.dispatcher.connections.closed_on import weighed
from delivery.dispatcher.connections.conversation import written
from delivery.dispatcher.connections.kept_session import KeptSession, was_over
from delivery.dispatcher.connections.office import Office
from delivery.dispatcher.connections.open_session import OpenSession
from delivery.dispatcher.connections.preparing import TurnMissed, check, check_again, put_together
from delivery.dispatcher.recording import outcomes
from delivery.dispatcher.recording.outcomes import Result
from delivery.dispatcher.servers.server import Server
from delivery.dispatcher.work import Work
from transports.base import MailObject, Outcome, TranscriptLine
from transports.errors import TransportError


@dataclass(slots=True)  # one for each message: see `transports.base.Outcome`
class Attempt:
    """One try. Whatever ends it, `is_dot_written` tells whether the message may have arrived."""

    office: Office
    server: Server
    #: The slot whose connection makes it, and that connection's session.
    slot: int
    kept: KeptSession
    work: Work
    is_dot_written: bool = False
    #: What the server's answer means, None as long as there is none.
    judgement: Judgement | None = None
    #: Of the transaction.
    ms: float = 0.0

    async def run(self) -> Result:
        """Carry the message and say what it comes to. Raises one of `unsent.UNFIT` and `GOES_BACK`."""
        office, server, work = self.office, self.server, self.work
        check(work, office.policies)
        mail, work.mail = work.mail or await self._put_together(), None
        office.sizes.check(server, work, mail.content.size_bytes)
        await office.recorder.has_room()
        rules = work.way.overrides
        server.health.asked()
        try:
            current = await self.kept.fit_for(work, mail)
            outcome = await self._deliver(current, mail)
            if current.messages > 1 and was_over(outcome):
                await self.kept.tell_of_the_end(current.messages - 1, outcome.reply)
                self.kept.abort()
                current = await self.kept.fit_for(work, mail)
                outcome = await self._deliver(current, mail)
        except TransportError as error:
            judgement, transcript = judge_error(error, overrides=rules), error.transcript
        else:
            is_fresh, transcript = current.messages == 1, outcome.transcript
            judgement = judge(outcome, recipients=len(work.recipients), is_fresh=is_fresh, overrides=rules)
            self.ms = outcome.ms
            if judgement.sign is Sign.LOWER_LIMIT:
                judgement = await weighed(judgement, office, work)
        finally:
            server.health.done()
        self.judgement = judgement
        return self._result(judgement, transcript)

    def _result(self, judgement: Judgement, transcript: Sequence[TranscriptLine]) -> Result:
        """Say what becomes of the message; what was said is kept where it went wrong."""
        office, work, other = self.office, self.work, None
        is_too_large = office.sizes.refused(self.server, work, judgement)
        if judgement.action is Action.ELSEWHERE:
            other = office.next_server(work, is_too_large=is_too_large)
        lease = office.lease.id
        result = outcomes.result_of(work, judgement, lease=lease, other_profile_id=other, ms=self.ms)
        if transcript and result.tried is not None:
            result = replace(result, tried=replace(result.tried, transcript=written(transcript)))
        return result

    async def _put_together(self) -> MailObject:
        self.office.journal.begun(self.work)
        return put_together(self.work, await self.office.blobs.get(self.work.claimed.blob_ids))

    async def _deliver(self, current: OpenSession, mail: MailObject) -> Outcome:
        work = self.work
        if work.moment is not None:
            await self._wait_for(work.moment)
        current.announced = self._following(current)
        current.begin()
        outcome = await current.session.deliver(
            *mail,
            following=current.announced,
            before_dot=self._before_dot,
            after_dot=partial(self.office.journal.replied, work),
        )
        if work.redirected_to:  # one answer, for all whom it was for
            outcome = replace(outcome, rcpt_replies=outcome.rcpt_replies * len(work.recipients))
        current.carried()
        if current.messages == 1 and outcome.reply is not None:
            self.server.health.healthy += 1
            current.is_healthy = True
        return outcome

    async def _wait_for(self, moment: float) -> None:
        """Wait for a spaced message's moment, the connection open already."""
        await asyncio.sleep(max(0.0, moment - clock.now()))
        if self.server.purse.is_too_late(moment):
            raise TurnMissed("Its reserved moment was missed.")

    def _before_dot(self) -> None:
        """Refuse to complete a message that another session may hold by now, or that is too late."""
        self.office.lease.check()
        check_again(self.work, self.office.policies)
        self.office.journal.sending(self.work)
        self.is_dot_written = True

    # What is taken along

    def _following(self, current: OpenSession) -> MailObject | None:
        """Take along the message that comes next on this session, if it may be announced with this one."""
        if self.work.goes_alone or not current.may_announce(self.server):
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
