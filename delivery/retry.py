"""When a message is tried again, and when it is given up. Pure: age and jitter are arguments.

The message's own back-off, from the profile that answered it. A server's (the breaker) costs a message
nothing; `delivery.queue.servers` keeps it.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

#: Give-up by age needs this many tries, so that an outage alone expires nothing.
TRIES_BEFORE_GIVE_UP = 3
#: An uncertain message waits this long: the server's own copy is most likely through by then.
UNCERTAIN_PAUSE = timedelta(minutes=10)
#: The column counts no further: a message tried so often has had its chance.
MOST_TRIES = 32_000
#: The connection may be lost with a message inside three times for free; then it is the message's doing.
FREE_DROPS = 3


class Next(StrEnum):
    """What follows a temporary refusal."""

    AGAIN = "again"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Policy:
    """A profile's retry settings. `max_retries` None: no limit by count.

    The default of `give_up_age`: Postfix gives up after five days, people expect to hear of a late report in
    two.
    """

    max_retries: int | None = None
    retry_delay: timedelta = timedelta(seconds=60)
    is_exponential: bool = True
    retry_cap: timedelta = timedelta(hours=4)
    give_up_age: timedelta = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows, and for AGAIN after which delay."""

    next: Next
    delay: timedelta = timedelta(0)


def decide(
    n: int,
    policy: Policy,
    *,
    age: timedelta,
    jitter: float,
    hint: timedelta | None = None,
    at_least: timedelta = timedelta(0),
) -> Decision:
    """Decide on the message's next try after its n-th counted attempt.

    `age` counts from the moment the message was due, `jitter` lies in [-1, 1], `hint` is a wait the server
    named: it lengthens the delay up to the cap and never shortens it. `at_least` is what the operator says;
    no cap is above it.

    >>> decide(3, Policy(), age=timedelta(minutes=3), jitter=0.0).delay
    datetime.timedelta(seconds=240)
    """
    if n >= MOST_TRIES or (policy.max_retries is not None and n > policy.max_retries):
        return Decision(Next.FAILED)
    tries_due = TRIES_BEFORE_GIVE_UP
    if policy.max_retries is not None:
        tries_due = min(tries_due, policy.max_retries + 1)
    if age >= policy.give_up_age and n >= tries_due:
        return Decision(Next.EXPIRED)
    delay = backoff(n, policy) * (1 + 0.2 * jitter)
    if hint is not None:
        delay = max(delay, min(hint, policy.retry_cap))
    delay = max(delay, at_least)
    if age < policy.give_up_age:
        delay = min(delay, policy.give_up_age - age)  # one try falls on the give-up moment
    return Decision(Next.AGAIN, delay)


def backoff(n: int, policy: Policy) -> timedelta:
    """Return the delay after the n-th attempt, before jitter."""
    if not policy.is_exponential:
        return min(policy.retry_delay, policy.retry_cap)
    factor: int = 2 ** min(n - 1, 40)  # beyond that a timedelta overflows, and every cap is long reached
    seconds = min(policy.retry_delay.total_seconds() * factor, policy.retry_cap.total_seconds())
    return timedelta(seconds=seconds)
