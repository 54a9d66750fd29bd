"""When a message is tried again."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.retry import (
    TRIES_BEFORE_GIVE_UP,
    Decision,
    Next,
    Policy,
    backoff,
    decide,
)

S = timedelta(seconds=1)
M = timedelta(minutes=1)
H = timedelta(hours=1)
FIXED = Policy(is_exponential=False, retry_delay=30 * S)


@pytest.mark.parametrize(("n", "minutes"), [(1, 1), (2, 2), (3, 4), (7, 64), (8, 128), (9, 240), (99, 240)])
def test_the_default_policy_doubles_from_a_minute_to_four_hours(n, minutes):
    assert backoff(n, Policy()) == minutes * M


@pytest.mark.parametrize(
    ("n", "policy", "age", "hint", "expected"),
    [
        (1, Policy(max_retries=0), 0 * S, None, Decision(Next.FAILED)),
        (3, Policy(max_retries=3), 0 * S, None, Decision(Next.AGAIN, 4 * M)),
        (4, Policy(max_retries=3), 0 * S, None, Decision(Next.FAILED)),
        (5, FIXED, 0 * S, None, Decision(Next.AGAIN, 30 * S)),
        (1, FIXED, 0 * S, 5 * M, Decision(Next.AGAIN, 5 * M)),
        (1, FIXED, 0 * S, 10 * S, Decision(Next.AGAIN, 30 * S)),
        (1, FIXED, 0 * S, 9 * H, Decision(Next.AGAIN, 4 * H)),
        (3, Policy(), 48 * H, None, Decision(Next.EXPIRED)),
        (2, Policy(), 49 * H, None, Decision(Next.AGAIN, 2 * M)),
        (1, Policy(max_retries=0), 49 * H, None, Decision(Next.FAILED)),
        (9, Policy(), 47 * H, None, Decision(Next.AGAIN, 1 * H)),
        (3, Policy(give_up_age=1 * H), 1 * H, None, Decision(Next.EXPIRED)),
        (9, Policy(give_up_age=720 * H), 719 * H, None, Decision(Next.AGAIN, 1 * H)),
        (9, Policy(give_up_age=720 * H), 48 * H, None, Decision(Next.AGAIN, 4 * H)),
        (6, Policy(give_up_age=1 * H), 59 * M, 5 * M, Decision(Next.AGAIN, 1 * M)),
    ],
)
def test_the_next_try(n, policy, age, hint, expected):
    assert decide(n, policy, age=age, jitter=0.0, hint=hint) == expected


spans = st.timedeltas(S, 10 * H)
policies = st.builds(
    Policy,
    max_retries=st.none() | st.integers(0, 40),
    retry_delay=st.timedeltas(S, H),
    is_exponential=st.booleans(),
    retry_cap=st.timedeltas(H, 10 * H),
    give_up_age=st.timedeltas(H, 100 * H),
)


@given(st.integers(1, 2000), policies, st.timedeltas(0 * S, 100 * H), st.floats(-1, 1), st.none() | spans)
def test_a_delay_is_never_negative_nor_beyond_the_cap_and_its_jitter(n, policy, age, jitter, hint):
    decision = decide(n, policy, age=age, jitter=jitter, hint=hint)
    assert 0 * S <= decision.delay <= policy.retry_cap * 1.2
    if policy.max_retries is not None and n > policy.max_retries:
        assert decision.next is Next.FAILED


@given(policies, st.integers())
def test_every_message_is_given_up_in_the_end_and_one_try_falls_on_that_moment(policy, seed):
    dice = random.Random(seed)
    age, tried_at, end = 0 * S, [], None
    for n in range(1, 3000):
        tried_at.append(age)
        decision = decide(n, policy, age=age, jitter=dice.uniform(-1, 1))
        if decision.next is not Next.AGAIN:
            end = decision.next
            break
        age += decision.delay
    if end is None:  # a fixed delay of seconds: more tries than we simulate
        assert age < policy.give_up_age
    elif end is Next.EXPIRED:
        assert policy.give_up_age in tried_at
        assert tried_at[-1] == policy.give_up_age or len(tried_at) == TRIES_BEFORE_GIVE_UP
    else:
        assert len(tried_at) == policy.max_retries + 1


def test_what_the_operator_says_is_longer_than_every_cap_but_not_than_the_give_up():
    policy = Policy(retry_cap=60 * S)
    assert decide(1, policy, age=0 * S, jitter=0.0, at_least=6 * H).delay == 6 * H
    assert decide(1, policy, age=0 * S, jitter=0.0, at_least=1 * S).delay == 60 * S
    assert decide(1, policy, age=47 * H, jitter=0.0, at_least=6 * H).delay == 1 * H


@given(st.integers(1, 2), st.timedeltas(48 * H, 1000 * H))
def test_an_outage_alone_expires_nothing(n, age):
    assert decide(n, Policy(), age=age, jitter=0.0).next is Next.AGAIN
