"""What one journal of a dead session says of the messages that session holds, as results to be written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from delivery import queue
from delivery.classification import Action, Judgement, Sign, judge
from delivery.dispatcher.recording import outcomes, records
from delivery.dispatcher.recording.outcomes import Result
from delivery.dispatcher.recording.records import Note
from delivery.dispatcher.work import Work
from delivery.queue import AttemptResult, Claimed, Finished, PoolKey, Settled, SmallState, Tried
from smtp_settings import wire
from smtp_settings.policy import policies
from transports.base import Outcome, Phase, Reply

_NO_ANSWER = "The worker process ended before it had read the server's answer."
_NOT_SENT = "The worker process ended while it was at this message; it was not sent."
_ACCEPTED = Reply(250)


class Player:
    """One journal beside the rows its session holds."""

    def __init__(self, lease: int, held: Sequence[Claimed], notes: Mapping[int, Note]) -> None:
        self._lease = lease
        self._held = {claimed.message_id: claimed for claimed in held}
        self._notes = notes
        self._late = queue.messages([i for i in notes if i not in self._held and _is_accepted(notes[i])])
        named = {note.profile_id for note in notes.values() if note.profile_id is not None}
        self._ways = wire.ways_of({claimed.profile_id for claimed in held} | named)
        self._pools = {pool.id: pool for pool in queue.pools()}
        self._policies = policies()

    def results(self) -> list[Result]:
        """Judge what was on the wire: with the reply, or without one as uncertain."""
        return [
            self._judged(self._work(claimed, note), note)
            for claimed, note in self._noted()
            if note.state is not None
        ]

    def late(self) -> list[Result]:
        """Judge acceptances of messages that others took over, or that were recorded in the last moment."""
        works = [(self._work(claimed, self._notes[claimed.message_id]), claimed) for claimed in self._late]
        return [
            self._result(work, self._answer(work, self._notes[claimed.message_id]))
            for work, claimed in works
            if _fits(work, self._notes[claimed.message_id])
        ]

    def suspects(self) -> list[Result]:
        """Count a crash for what was begun; for all it held when the session began nothing."""
        noted = list(self._noted())
        begun = [claimed for claimed, note in noted if note.state is None] if noted else self._held.values()
        return [_suspect(self._work(claimed, Note()), self._lease) for claimed in begun]

    def _noted(self) -> Iterator[tuple[Claimed, Note]]:
        for message_id, claimed in self._held.items():
            if message_id in self._notes:
                yield claimed, self._notes[message_id]

    def _work(self, claimed: Claimed, note: Note) -> Work:
        pool = self._pools.get(claimed.pool_id) or PoolKey(claimed.pool_id, None, None, None)
        work = Work(claimed, self._ways[note.profile_id or claimed.profile_id], pool)
        work.go_to(self._policies.of(pool.site_id).redirect)  # most likely as it was then
        return work

    def _judged(self, work: Work, note: Note) -> Result:
        if note.reply is not None and _fits(work, note):
            return self._result(work, self._answer(work, note))
        unanswered = Outcome(Phase.DOT, uncertain=True)
        judgement = judge(
            unanswered, recipients=len(work.recipients), is_fresh=False, overrides=work.way.overrides
        )
        result = self._result(work, replace(judgement, words=_NO_ANSWER, sign=Sign.NONE))
        return _crashed(result)

    def _answer(self, work: Work, note: Note) -> Judgement:
        replies = note.rcpt_replies or (_ACCEPTED,) * len(work.recipients)
        outcome = Outcome(Phase.DOT, note.reply, rcpt_replies=replies)
        return judge(outcome, recipients=len(work.recipients), is_fresh=False, overrides=work.way.overrides)

    def _result(self, work: Work, judgement: Judgement) -> Result:
        others = work.others(wire.ways_out()) if judgement.action is Action.ELSEWHERE else ()
        return outcomes.result_of(
            work, judgement, lease=self._lease, other_profile_id=next(iter(others), None)
        )


def _is_accepted(note: Note) -> bool:
    return note.reply is not None and note.reply.is_success


def _fits(work: Work, note: Note) -> bool:
    """Whether the replies belong to these recipients: the row has not changed since the dot.

    With one recipient there is nothing to mistake.
    """
    claimed = work.claimed
    if len(claimed.rcpt_to) == 1 and len(work.recipients) == 1:
        return True
    is_same = note.state == records.state_of(claimed.attempts, claimed.drops, len(work.verdicts))
    return is_same and (note.rcpt_replies is None or len(note.rcpt_replies) >= len(work.recipients))


def _crashed(result: Result) -> Result:
    """Count a crash for an uncertain message as well."""
    claimed = result.work.claimed
    if result.settled is None:
        return result
    if claimed.crashes + 1 < queue.CRASHES:
        return replace(result, settled=replace(result.settled, crashed=1))
    held = Finished(
        claimed.message_id,
        SmallState.HELD,
        counted=1,
        profile_id=result.settled.profile_id,
        reply=_NO_ANSWER,
        cause="crashes",
        verdicts=result.settled.verdicts,
        uncertain=True,
    )
    return replace(result, finished=held, settled=None)


def _suspect(work: Work, lease: int) -> Result:
    """Give back what was begun and not sent, to be tried alone; hold it after three crashes."""
    claimed, profile_id = work.claimed, work.way.profile_id
    tried = Tried(
        claimed.message_id,
        lease,
        profile_id,
        claimed.attempts + 1,
        "",
        AttemptResult.RELEASED,
        reply=_NOT_SENT,
    )
    if claimed.crashes + 1 >= queue.CRASHES:
        held = Finished(
            claimed.message_id, SmallState.HELD, profile_id=profile_id, reply=_NOT_SENT, cause="crashes"
        )
        return Result(work, finished=held, tried=tried)
    delay = timedelta(minutes=min(claimed.crashes, 5))
    return Result(work, settled=Settled(claimed.message_id, profile_id, delay, crashed=1), tried=tried)
