"""Messages of sites in log-only mode: recorded as suppressed, sent nowhere; some fail, if that is asked for.

An invented failure is judged, retried and recorded as a real one, so that a program meets what it will meet.
No server hears of any of it and none is needed: settings of retries are those of the profile that would carry
the message.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from delivery.classification import judge
from delivery.dispatcher.connections import unsent
from delivery.dispatcher.recording import outcomes
from delivery.dispatcher.recording.outcomes import Logged, Result
from delivery.dispatcher.work import Work
from delivery.queue import Finished, SmallState
from smtp_settings.models import SimulatedFailure
from smtp_settings.policy import Effective, simulated
from transports.base import Outcome, Phase, Reply

#: No profile: none carries such a message.
NOBODY = 0

_WORDS = "Simulated failure: nothing was sent."
_ACCEPTED = Reply(250, "Ok", "2.1.5")
_REFUSALS = {
    SimulatedFailure.TEMPORARY: Reply(451, _WORDS, "4.3.0"),
    SimulatedFailure.PERMANENT: Reply(554, _WORDS, "5.6.0"),
}


def result_of(work: Work, policy: Effective, *, lease: int, dice: float | None = None) -> Result:
    """Say what is recorded of one message; `dice`, from 0 to below 100, is thrown when it is not given."""
    if work.is_expired:
        return unsent.expired(work)
    work.most_recipients = len(work.claimed.rcpt_to)  # no transaction, no limit
    if dice is None:
        dice = random.uniform(0, 100)  # noqa: S311  # no secret
    kind = simulated(policy.simulation, min(dice, 99.999))
    if kind is None:
        ended = Finished(work.claimed.message_id, SmallState.SUPPRESSED, cause="log_only")
        return Result(work, finished=ended, logged=Logged.SUPPRESSED)
    return _failed(work, kind, lease)


def _failed(work: Work, kind: str, lease: int) -> Result:
    taken: Sequence[Reply | None] = (_ACCEPTED,) * len(work.recipients)
    reply = _REFUSALS.get(SimulatedFailure(kind))
    outcome = Outcome(Phase.DOT, reply, rcpt_replies=tuple(taken), uncertain=reply is None)
    judgement = judge(outcome, recipients=len(work.recipients), is_fresh=False)
    result = outcomes.result_of(work, replace(judgement, words=_WORDS), lease=lease)
    return replace(
        result,
        finished=result.finished and replace(result.finished, profile_id=None),
        settled=result.settled and replace(result.settled, profile_id=None),
        tried=result.tried and replace(result.tried, profile_id=None),
        logged=Logged.SIMULATED,
    )
