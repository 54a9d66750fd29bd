"""From a judgement to rows: how a message ends, goes back, and what is noted about the attempt."""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from delivery import retry
from delivery.classification import OVERRIDE, Action, Judgement, Verdict
from delivery.dispatcher.work import Work
from delivery.queue import AttemptResult, Finished, Settled, SmallState, Tried
from smtp_settings.models import Backoff, OnUncertain
from smtp_settings.wire import WayOut

#: Refusals that are final for a recipient when nothing follows for the message.
_REFUSED = frozenset({Action.RETRY, Action.ELSEWHERE, Action.RELEASE})

#: A message that makes our own code fail comes back so often, then it is held.
BUGS = 3
_BUG_DELAY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt came to, as rows: one of `finished` and `settled`, and `tried` unless it was sent.

    `elsewhere`: the profile the message is pinned to from now on; the recorder finds its pool.
    """

    work: Work
    finished: Finished | None = None
    settled: Settled | None = None
    tried: Tried | None = None
    elsewhere: int | None = None


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


def released(work: Work) -> Result:
    """Give back a message that was not begun: nothing is counted, nothing noted."""
    return Result(work, settled=Settled(work.claimed.message_id, work.claimed.last_profile_id))


def expired(work: Work) -> Result:
    """End a message whose caller wants it sent no more."""
    return Result(work, finished=Finished(work.claimed.message_id, SmallState.EXPIRED, cause="expires_at"))


def complete(work: Work) -> Result:
    """End a message whose recipients are all settled: the last were accepted under a lease lost meanwhile."""
    if _any_failed(work):
        return Result(work, finished=Finished(work.claimed.message_id, SmallState.FAILED, cause="recipient"))
    return Result(work, finished=Finished(work.claimed.message_id, SmallState.SENT))


def broken(work: Work, error: Exception, *, lease: int) -> Result:
    """Put off a message that made our own code fail, and hold it at the third time."""
    tried = _untold(work, AttemptResult.RELEASED, f"Internal error: {type(error).__name__}", lease=lease)
    if work.claimed.drops + 1 >= BUGS:
        held = Finished(work.claimed.message_id, SmallState.HELD, cause="internal_error", reply=tried.reply)
        return Result(work, finished=held, tried=tried)
    back = Settled(work.claimed.message_id, work.way.profile_id, _BUG_DELAY, dropped=1)
    return Result(work, settled=back, tried=tried)


def unsendable(
    work: Work, why: str, *, lease: int, other_profile_id: int | None, cause: str = "compose"
) -> Result:
    """Pass on a message that this profile cannot carry (put together, too large), or fail it without another.

    No server has heard of it.
    """
    if other_profile_id is None:
        failed = Finished(
            work.claimed.message_id,
            SmallState.FAILED,
            profile_id=work.way.profile_id,
            reply=why,
            cause=cause,
        )
        tried = _untold(work, AttemptResult.FAILED, why, lease=lease, cause=cause)
        return Result(work, finished=failed, tried=tried)
    tried = _untold(work, AttemptResult.RELEASED, why, lease=lease, cause=cause)
    back = Settled(work.claimed.message_id, work.way.profile_id)
    return Result(work, settled=back, tried=tried, elsewhere=other_profile_id)


def _untold(work: Work, outcome: AttemptResult, why: str, *, lease: int, cause: str = "") -> Tried:
    """Note an attempt that no server heard of."""
    n = work.claimed.attempts + work.claimed.drops + 1
    return Tried(work.claimed.message_id, lease, work.way.profile_id, n, "", outcome, reply=why, cause=cause)


def _sent(work: Work, judgement: Judgement, lease: int, ms: float) -> Result:
    """All recipients of this attempt have it; of earlier ones, some may have refused."""
    if work.has_more:
        return _given_back(work, judgement, AttemptResult.PARTIAL, lease, ms)
    if _any_failed(work):
        return _ended(work, judgement, SmallState.FAILED, lease, ms, cause="recipient")
    return _ended(work, judgement, SmallState.SENT, lease, ms)


def _ended(
    work: Work, judgement: Judgement, state: SmallState, lease: int, ms: float, *, cause: str = ""
) -> Result:
    is_for_all = not (work.has_more or _any_spared(judgement))
    if state == SmallState.FAILED and not is_for_all and judgement.recipients:
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
        verdicts=_verdicts(work, judgement, also_failed=_REFUSED),
    )
    if state == SmallState.SENT:
        return Result(work, finished=finished)
    outcome = AttemptResult.PARTIAL if _any_sent(judgement) else AttemptResult.FAILED
    return Result(work, finished=finished, tried=_tried(work, judgement, outcome, lease, ms))


def _elsewhere(work: Work, judgement: Judgement, lease: int, ms: float, other: int | None) -> Result:
    if other is None:
        return _ended(work, judgement, SmallState.FAILED, lease, ms, cause=judgement.cause)
    settled = Settled(
        work.claimed.message_id,
        work.way.profile_id,
        counted=1,
        verdicts=_verdicts(work, judgement),
    )
    tried = _tried(work, judgement, AttemptResult.RETRY, lease, ms)
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
        verdicts=_verdicts(work, judgement),
    )
    outcome = AttemptResult.PARTIAL if _any_sent(judgement) else AttemptResult.RETRY
    return Result(work, settled=settled, tried=_tried(work, judgement, outcome, lease, ms))


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
    refused = _REFUSED - {Action.RELEASE} if _any_spared(judgement) else _REFUSED
    settled = Settled(
        work.claimed.message_id,
        work.way.profile_id,
        dropped=int(judgement.is_drop),
        verdicts=_verdicts(work, judgement, also_failed=refused if is_last else frozenset()),
    )
    if _any_sent(judgement):
        outcome = AttemptResult.PARTIAL
    return Result(work, settled=settled, tried=_tried(work, judgement, outcome, lease, ms))


def _uncertain(work: Work, judgement: Judgement, lease: int, ms: float) -> Result:
    """Send again after a pause, or hold. One that is given up is held too: it may have arrived."""
    tried = _tried(work, judgement, AttemptResult.UNCERTAIN, lease, ms)
    verdicts = _verdicts(work, judgement)
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


def _tried(work: Work, judgement: Judgement, outcome: AttemptResult, lease: int, ms: float) -> Tried:
    reply = judgement.reply
    return Tried(
        work.claimed.message_id,
        lease,
        work.way.profile_id,
        work.claimed.attempts + 1,
        str(judgement.phase),
        outcome,
        reply.code if reply else None,
        reply.enhanced if reply else None,
        judgement.words,
        round(ms),
        judgement.cause,
    )


def _any_failed(work: Work) -> bool:
    return any(verdict.get("state") == "failed" for verdict in work.verdicts.values())


def _any_sent(judgement: Judgement) -> bool:
    return any(verdict.ruling.action is Action.SENT for verdict in judgement.recipients)


def _any_spared(judgement: Judgement) -> bool:
    """Whether recipients go back who were not judged while others were: too many for one transaction."""
    released = any(verdict.ruling.action is Action.RELEASE for verdict in judgement.recipients)
    return released and judgement.action is not Action.RELEASE


def _verdicts(
    work: Work, judgement: Judgement, *, also_failed: Collection[Action] = frozenset()
) -> Mapping[str, Any] | None:  # Any: JSON
    """Return the final verdicts of this attempt by recipient, or None where the message row says it all.

    `also_failed` are refusals that are final because nothing follows.
    """
    actions = {verdict.ruling.action for verdict in judgement.recipients}
    if not work.verdicts and not work.has_more and (len(actions) < 2 or len(judgement.recipients) < 2):
        return None
    final = {Action.SENT: "sent", Action.FAIL: "failed"} | dict.fromkeys(also_failed, "failed")
    found = {
        recipient: _as_json(verdict, final[verdict.ruling.action])
        for recipient, verdict in zip(work.recipients, judgement.recipients, strict=False)
        if verdict.ruling.action in final
    }
    return found or None


def _as_json(verdict: Verdict, state: str) -> dict[str, Any]:  # Any: JSON
    reply = verdict.reply
    return {
        "state": state,
        "code": reply.code if reply else None,
        "enhanced": reply.enhanced if reply else None,
        "reply": reply.text if reply else "",
    }
