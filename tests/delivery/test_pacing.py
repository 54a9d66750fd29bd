"""Rates and reserved moments."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.pacing import Kind, Rate, grace, moments, rates, want

S = timedelta(seconds=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_no_limits_are_no_rates():
    assert rates() == ()


def test_a_send_offset_spaces_and_reserves_at_most_one_message_ahead():
    assert rates(spacing=30 * S) == (Rate(Kind.SPACING, 30 * S, 30 * S),)


def test_a_pace_lets_one_seconds_worth_go_at_once():
    assert rates(per_minute=600) == (Rate(Kind.MINUTE, timedelta(milliseconds=100), 1 * S),)


@given(st.sampled_from(["per_hour", "per_day"]), st.integers(1, 100_000))
def test_a_quota_is_never_exceeded_in_any_window(kind, n):
    (rate,) = rates(**{kind: n})
    window = timedelta(hours=1) if kind == "per_hour" else timedelta(days=1)
    burst = rate.tolerance // rate.emission
    # A window opened at its fullest: the burst at once, then a token per emission. The clock's grain is 1 µs.
    grain = timedelta(microseconds=1) * n
    assert burst >= 1
    assert burst + (window - grain) // rate.emission <= max(n, 1)


@pytest.mark.parametrize(
    ("room", "limits", "expected"),
    [
        (100, rates(), 100),
        (100, rates(per_minute=600), 10),
        (4, rates(per_minute=600), 4),
        (9, rates(spacing=5 * S), 1),
    ],
)
def test_a_seconds_worth_of_tokens_is_asked_for(room, limits, expected):
    assert want(room, limits) == expected


def test_spaced_tokens_have_disjoint_moments():
    assert moments(NOON, 2 * S, 3) == [NOON, NOON + 2 * S, NOON + 4 * S]


@pytest.mark.parametrize(
    ("spacing", "expected"), [(timedelta(milliseconds=50), timedelta(milliseconds=20)), (10 * S, 1 * S)]
)
def test_a_moment_may_be_missed_by_a_tenth_of_the_spacing(spacing, expected):
    assert grace(spacing) == expected
