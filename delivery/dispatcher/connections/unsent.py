"""From a reason to rows: what becomes of a message that no server judged.

It was not to be sent, or not here and now; or it was cut off, or our own code failed with it. `outcomes`
tells of those that a server answered.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from delivery.classification import Sign, judge
from delivery.composing import CannotCompose
from delivery.dispatcher.connections.open_session import NotUsable
from delivery.dispatcher.connections.preparing import NobodyLeft, NotNow, Overdue, TurnMissed
from delivery.dispatcher.lease import LeaseLost
from delivery.dispatcher.recording.noting import any_failed, untold
from delivery.dispatcher.recording.outcomes import Result, result_of
from delivery.dispatcher.servers.sizes import TOO_LARGE, TooLarge
from delivery.dispatcher.work import Work
from delivery.queue import AttemptResult, Finished, Settled, SmallState
from transports.base import Outcome, Phase

#: A message that makes our own code fail comes back so often, then it is held.
BUGS = 3
_BUG_DELAY = timedelta(minutes=1)

#: Nothing is wrong with the message: `released`.
GOES_BACK = (NotNow, NotUsable, LeaseLost, TurnMissed)
#: The message is not for this server, or for none any more: `unfit`.
UNFIT = (Overdue, NobodyLeft, CannotCompose, TooLarge)


class Others(Protocol):
    """What is known of the other ways out of a message."""

    def next_server(self, work: Work, *, is_too_large: bool = False) -> int | None:
        """Return the next profile that may carry the message."""

    def sizes_in_words(self, work: Work) -> str:
        """Say how large the message is and what the servers take."""


def released(work: Work) -> Result:
    """Give back a message that was not begun: nothing is counted, nothing noted, and it keeps its place."""
    back = Settled(work.claimed.message_id, work.claimed.last_profile_id, delay=None)
    return Result(work, settled=back)


def unfit(work: Work, why: Exception, *, lease: int, others: Others) -> Result:
    """End a message that is not to be sent any more, pass on one that this server cannot carry.

    `why` is one of `UNFIT`.
    """
    match why:
        case Overdue():
            return expired(work)
        case NobodyLeft():
            return complete(work)
        case TooLarge():
            other, words = others.next_server(work, is_too_large=True), others.sizes_in_words(work)
            return unsendable(work, words, lease=lease, other_profile_id=other, cause=TOO_LARGE)
        case _:
            other = others.next_server(work)
            return unsendable(work, str(why), lease=lease, other_profile_id=other)


def expired(work: Work) -> Result:
    """End a message whose caller wants it sent no more."""
    return Result(work, finished=Finished(work.claimed.message_id, SmallState.EXPIRED, cause="expires_at"))


def complete(work: Work) -> Result:
    """End a message whose recipients are all settled: the last were accepted under a lease lost meanwhile."""
    if any_failed(work):
        return Result(work, finished=Finished(work.claimed.message_id, SmallState.FAILED, cause="recipient"))
    return Result(work, finished=Finished(work.claimed.message_id, SmallState.SENT))


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
        tried = untold(work, AttemptResult.FAILED, why, lease=lease, cause=cause)
        return Result(work, finished=failed, tried=tried)
    tried = untold(work, AttemptResult.RELEASED, why, lease=lease, cause=cause)
    back = Settled(work.claimed.message_id, work.way.profile_id)
    return Result(work, settled=back, tried=tried, elsewhere=other_profile_id)


def interrupted(work: Work, *, is_dot_written: bool, lease: int) -> Result:
    """Say what a cancelled message is: uncertain with its dot written, else simply not sent."""
    if not is_dot_written:
        return released(work)
    return _uncertain(work, "The worker was stopped before the server answered.", lease)


def broken(work: Work, error: Exception, *, is_dot_written: bool, lease: int) -> Result:
    """Put off a message that made our own code fail, and hold it at the third time.

    With its dot written it may have arrived.
    """
    words = f"Internal error: {type(error).__name__}"
    if is_dot_written:
        return _uncertain(work, words, lease)
    tried = untold(work, AttemptResult.RELEASED, words, lease=lease)
    if work.claimed.drops + 1 >= BUGS:
        held = Finished(work.claimed.message_id, SmallState.HELD, cause="internal_error", reply=tried.reply)
        return Result(work, finished=held, tried=tried)
    back = Settled(work.claimed.message_id, work.way.profile_id, _BUG_DELAY, dropped=1)
    return Result(work, settled=back, tried=tried)


def _uncertain(work: Work, words: str, lease: int) -> Result:
    outcome = Outcome(Phase.DOT, uncertain=True)
    judgement = judge(outcome, recipients=len(work.recipients), is_fresh=False)
    return result_of(work, replace(judgement, words=words, sign=Sign.NONE), lease=lease)
