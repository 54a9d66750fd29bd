"""Long acts over many messages: a row each, done in chunks by whichever worker comes, until the end.

A chunk is one transaction: the moves, the cursor and the counts. So nothing is done twice or left out however
often a process is killed, and no job is any worker's own: the next one goes on from the cursor. `upper_id` is
fixed at the start, and ids only grow: mail that comes in meanwhile is not meant, and what comes back a second
time is behind the cursor.
"""

from delivery.jobs.acts import ACTS, Act, Destination, Move, WhyLeft, moving_to
from delivery.jobs.choosing import COUNT_LIMIT, NO_REPLY, Choice, Estimate, estimate, reply_range
from delivery.jobs.life import (
    IDLE_SECONDS,
    JobState,
    NothingToDo,
    choice_of,
    destination_of,
    start,
    stop,
)
from delivery.jobs.stepping import step

__all__ = [
    "ACTS",
    "COUNT_LIMIT",
    "IDLE_SECONDS",
    "NO_REPLY",
    "Act",
    "Choice",
    "Destination",
    "Estimate",
    "JobState",
    "Move",
    "NothingToDo",
    "WhyLeft",
    "choice_of",
    "destination_of",
    "estimate",
    "moving_to",
    "reply_range",
    "start",
    "step",
    "stop",
]
