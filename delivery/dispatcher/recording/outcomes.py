"""From a judgement to rows: how a message ends, or goes back to the queue.

`unsent` tells of those that no server judged.
"""

import random
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from delivery import retry
from delivery.classification import OVERRIDE, Action, Judgement
from delivery.dispatcher.recording.noting import any_failed, any_sent, any_spared, tried_of, verdicts_of
from delivery.dispatcher.work import Work
from delivery.queue import AttemptResult, Finished, Settled, SmallState, Tried
from smtp_settings.models import Backoff, OnUncertain
from smtp_settings.wire import WayOut

#: Refusals that are final for a recipient when nothing follows for the message.
_REFUSED = frozenset({Action.RETRY, Action.ELSEWHERE, Action.RELEASE})


class Logged(StrEnum):
    """What the event log says of each recipient in log-only mode."""

    SUPPRESSED = "message.suppressed"
    SIMULATED = "message.simulated_failure"


@dataclass(slots=True)  # one for each message: see `transports.base.Outcome`
class Result:
    """What one attempt came to, as rows: one of `finished` and `settled`, and `tried` unless it was sent.

    `elsewhere`: the profile the message is pinned to from now on; the recorder finds its pool. `logged`: it
    was not sent on purpose.
    """

    work: Work
    finished: Finished | None = None
    settled: Settled | None = None
    tried: Tried | None = None
    elsewhere: int | None = None
    logged: Logged | None = None


def policy_of(way: WayOut) -> retry.Policy:
    """Return the retry settings of a profile."""
    return retry.Policy(
        max_retries=way.max_retries,
        retry_delay=timedelta(seconds=way.retry_delay),
        is_exponential=way.backoff == Backoff.EXPONENTIAL,
        retry_cap=timedelta(seconds=way.retry_cap),
        give_up_age=timedelta(hours=way.give_up_hours),
    )


def result_of(
    work: Work, judgement: Judgement, *, lease: int, other_profile_id: int | None = None, ms: float = 0.0
) -> Result:
    """Decide what is written after an attempt.

    `other_profile_id` is the next profile that may carry the message, None when there is none.
    """
    match judgement.action:
        case Action.SENT:
            return _sent(work, judgement, lease, ms)
        case Action.FAIL:
            return _ended(work, judgement, SmallState.FAILED, lease, ms, cause=judgement.cause)
        case Action.ELSEWHERE:
            return _elsewhere(work, judgement, lease, ms, other_profile_id)
        case Action.RETRY:
            return _again(work, judgement, lease, ms)
        case Action.RELEASE:
            if judgement.is_drop and work.claimed.drops >= retry.FREE_DROPS:
                return _again(work, judgement, lease, ms)
            return _given_back(work, judgement, AttemptResult.RELEASED, lease, ms)
        case Action.UNCERTAIN:
            return _uncertain(work, judgement, lease, ms)


def _sent(work: Work, judgement: Judgement, lease: int, ms: float) -> Result:
    """All recipients of this attempt have it; of earlier ones, some may have refused."""
    if work.has_more:
        return _given_back(work, judgement, AttemptResult.PARTIAL, lease, ms)
    if any_failed(work):
        return _ended(work, judgement, SmallState.FAILED, lease, ms, cause="recipient")
    return _ended(work, judgement, SmallState.SENT, lease, ms)


def _ended(
    work: Work, judgement: Judgement, state: SmallState, lease: int, ms: float, *, cause: str = ""
) -> Result:
    is_failed = state == SmallState.FAILED
    if is_failed and judgement.recipients and (work.has_more or any_spared(judgement)):
        return _given_back(work, judgement, AttemptResult.PARTIAL, lease, ms, is_last=True)
    reply = judgement.reply
    finished = Finished(
        work.claimed.message_id,
        state,
        counted=int(judgement.is_counted),
        profile_id=work.way.profile_id,
        code=reply.code if reply else None,
        enhanced=reply.enhanced if reply else None,
        reply=judgement.words,
        cause=cause,
        verdicts=verdicts_of(work, judgement, also_failed=_REFUSED),
    )
    if state == SmallState.SENT:
        return Result(work, finished=finished)
    outcome = AttemptResult.PARTIAL if any_sent(judgement) else AttemptResult.FAILED
    return Result(work, finished=finished, tried=tried_of(work, judgement, outcome, lease, ms))


def _elsewhere(work: Work, judgement: Judgement, lease: int, ms: float, other: int | None) -> Result:
    if other is None:
        return _ended(work, judgement, SmallState.FAILED, lease, ms, cause=judgement.cause)
    settled = Settled(
        work.claimed.message_id,
        work.way.profile_id,
        counted=1,
        verdicts=verdicts_of(work, judgement),
    )
    tried = tried_of(work, judgement, AttemptResult.RETRY, lease, ms)
    return Result(work, settled=settled, tried=tried, elsewhere=other)


def _again(work: Work, judgement: Judgement, lease: int, ms: float) -> Result:
    n = work.claimed.attempts + 1
    decision = _decide(work, judgement)
    if judgement.cap is not None and n >= judgement.cap:
        decision = retry.Decision(retry.Next.FAILED)
    if decision.next is retry.Next.FAILED:
        cause = judgement.cause if judgement.cause not in {"", OVERRIDE} else "retries"
        return _ended(work, judgement, SmallState.FAILED, lease, ms, cause=cause)
    if decision.next is retry.Next.EXPIRED:
        return _ended(work, judgement, SmallState.EXPIRED, lease, ms, cause="gave_up")
    settled = Settled(
        work.claimed.message_id,
        work.way.profile_id,
        decision.delay,
        counted=1,
        dropped=int(judgement.is_drop),
        verdicts=verdicts_of(work, judgement),
    )
    outcome = AttemptResult.PARTIAL if any_sent(judgement) else AttemptResult.RETRY
    return Result(work, settled=settled, tried=tried_of(work, judgement, outcome, lease, ms))


def _given_back(
    work: Work,
    judgement: Judgement,
    outcome: AttemptResult,
    lease: int,
    ms: float,
    *,
    is_last: bool = False,
) -> Result:
    """Give the message back for what is left of it; with `is_last` nothing is for those who were refused."""
    refused = _REFUSED - {Action.RELEASE} if any_spared(judgement) else _REFUSED
    settled = Settled(
        work.claimed.message_id,
        work.way.profile_id,
        judgement.wait or timedelta(0),
        dropped=int(judgement.is_drop),
        verdicts=verdicts_of(work, judgement, also_failed=refused if is_last else frozenset()),
    )
    if any_sent(judgement):
        outcome = AttemptResult.PARTIAL
    return Result(work, settled=settled, tried=tried_of(work, judgement, outcome, lease, ms))


def _uncertain(work: Work, judgement: Judgement, lease: int, ms: float) -> Result:
    """Send again after a pause, or hold. One that is given up is held too: it may have arrived."""
    tried = tried_of(work, judgement, AttemptResult.UNCERTAIN, lease, ms)
    verdicts = verdicts_of(work, judgement)
    decision = _decide(work, judgement)
    if work.way.on_uncertain == OnUncertain.HOLD or decision.next is not retry.Next.AGAIN:
        held = Finished(
            work.claimed.message_id,
            SmallState.HELD,
            counted=1,
            profile_id=work.way.profile_id,
            reply=judgement.words,
            cause="uncertain",
            verdicts=verdicts,
        )
        return Result(work, finished=held, tried=tried)
    settled = Settled(
        work.claimed.message_id,
        work.way.profile_id,
        max(decision.delay, retry.UNCERTAIN_PAUSE),
        counted=1,
        uncertain=True,
        verdicts=verdicts,
    )
    return Result(work, settled=settled, tried=tried)


def _decide(work: Work, judgement: Judgement) -> retry.Decision:
    return retry.decide(
        work.claimed.attempts + 1,
        policy_of(work.way),
        age=work.age,
        jitter=random.uniform(-1, 1),  # noqa: S311  # spreads the retries
        hint=judgement.hint,
        at_least=judgement.wait or timedelta(0),
    )
