"""The words of a decision: what a message needs, what a result says about the server."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Action(StrEnum):
    """What becomes of a message or of one of its recipients."""

    SENT = "sent"
    RETRY = "retry"  # deferred with back-off
    ELSEWHERE = "elsewhere"  # another server is asked once; if there is none, fail
    RELEASE = "release"  # back to the queue at once, nothing counted
    FAIL = "fail"
    UNCERTAIN = "uncertain"


class Sign(StrEnum):
    """What a result says about the server."""

    NONE = "none"
    SUCCESS = "success"
    BREAKER = "breaker"  # weather: it may be back in a while
    PAUSE = "pause"  # configuration: a person has to look
    LOWER_LIMIT = "lower_limit"  # too many connections for it
    DESYNC = "desync"  # replies cannot be attributed
    REFUSES_US = "refuses_us"  # one such reply is the message's, a row of them ours


@dataclass(frozen=True, slots=True)
class Ruling:
    """The right-hand side of a row.

    `is_counted`: it uses up one of the message's retries. `is_drop`: the message goes back for free, but the
    fourth time counts. `cap`: after so many counted attempts the message fails, whatever the profile allows.
    `cause`: a short stable word for lists and filters. `wait`: so long the message (RETRY) or the server is
    left alone at least; only an operator's rule says so.
    """

    action: Action
    sign: Sign = Sign.NONE
    is_counted: bool = False
    is_drop: bool = False
    cap: int | None = None
    cause: str = ""
    wait: timedelta | None = None
