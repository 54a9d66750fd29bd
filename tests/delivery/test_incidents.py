"""Which notification a change of state gives: a table of what is and what was."""

from datetime import UTC, datetime, timedelta

import pytest

from delivery.incidents import Act, Condition, Incident, Kind, call_again_in, decide

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
PATIENCE = {Kind.BREAKER: 10 * MINUTE, Kind.HELD: None}


def is_now(kind, *, since=None, ends_in=None, subject="profile 5"):
    ends_at = NOW + ends_in if ends_in is not None else None
    return Condition(kind, subject, since=since, ends_at=ends_at)


def was(kind, *, began=timedelta(0), told=None, stage=None, subject="profile 5"):
    told_at = NOW - told if told is not None else None
    return Incident(7, kind, subject, "EU relay", "", 5, NOW - began, told_at, stage, None)


HOUR = 60 * MINUTE
CASES = {
    "a server pauses": ([is_now(Kind.PAUSED)], [], [Act.BEGIN, Act.TELL]),
    "it is still paused": ([is_now(Kind.PAUSED)], [was(Kind.PAUSED, told=HOUR)], []),
    "it works again": ([], [was(Kind.PAUSED, told=HOUR)], [Act.TELL_END]),
    "another one pauses as well": (
        [is_now(Kind.PAUSED), is_now(Kind.PAUSED, subject="profile 6")],
        [was(Kind.PAUSED, told=HOUR)],
        [Act.BEGIN, Act.TELL],
    ),
    "a breaker opens": ([is_now(Kind.BREAKER)], [], [Act.BEGIN]),
    "a breaker is open for nine minutes": ([is_now(Kind.BREAKER)], [was(Kind.BREAKER, began=9 * MINUTE)], []),
    "a breaker is open for ten": ([is_now(Kind.BREAKER)], [was(Kind.BREAKER, began=10 * MINUTE)], [Act.TELL]),
    "it was told": ([is_now(Kind.BREAKER)], [was(Kind.BREAKER, began=HOUR, told=MINUTE)], []),
    "it closes before anybody was told": ([], [was(Kind.BREAKER, began=9 * MINUTE)], [Act.END]),
    "it closes after": ([], [was(Kind.BREAKER, began=HOUR, told=MINUTE)], [Act.TELL_END]),
    "seen late, it began long ago": ([is_now(Kind.BREAKER, since=NOW - HOUR)], [], [Act.BEGIN, Act.TELL]),
    "nobody wants to hear of it": ([is_now(Kind.HELD)], [], [Act.BEGIN]),
    "nor of its end": ([], [was(Kind.HELD, told=HOUR)], [Act.END]),
    "nor later": ([is_now(Kind.HELD)], [was(Kind.HELD, began=HOUR)], []),
    "too large: told once": ([is_now(Kind.TOO_LARGE)], [was(Kind.TOO_LARGE, told=MINUTE)], []),
    "too large: an hour without is no news": ([], [was(Kind.TOO_LARGE, told=HOUR)], [Act.END]),
    "a certificate ends in 30 days": (
        [is_now(Kind.CERTIFICATE, ends_in=30 * DAY)],
        [],
        [Act.BEGIN, Act.TELL],
    ),
    "in 20 days, told at 30": (
        [is_now(Kind.CERTIFICATE, ends_in=20 * DAY)],
        [was(Kind.CERTIFICATE, told=10 * DAY, stage=30)],
        [],
    ),
    "in seven days": (
        [is_now(Kind.CERTIFICATE, ends_in=7 * DAY)],
        [was(Kind.CERTIFICATE, told=23 * DAY, stage=30)],
        [Act.TELL_NEARER],
    ),
    "in one, seven was missed": (
        [is_now(Kind.CERTIFICATE, ends_in=DAY)],
        [was(Kind.CERTIFICATE, told=29 * DAY, stage=30)],
        [Act.TELL_NEARER],
    ),
    "it has ended": (
        [is_now(Kind.CERTIFICATE, ends_in=-DAY)],
        [was(Kind.CERTIFICATE, told=DAY, stage=1)],
        [Act.TELL_NEARER],
    ),
    "it has ended, and everybody knows": (
        [is_now(Kind.CERTIFICATE, ends_in=-9 * DAY)],
        [was(Kind.CERTIFICATE, told=9 * DAY, stage=0)],
        [],
    ),
    "renewed for some days only": (
        [is_now(Kind.CERTIFICATE, ends_in=20 * DAY)],
        [was(Kind.CERTIFICATE, told=DAY, stage=1)],
        [Act.SET_STAGE],
    ),
    "renewed": ([], [was(Kind.CERTIFICATE, told=DAY, stage=7)], [Act.TELL_END]),
    "all is well": ([], [], []),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_of_state_gives_its_notification(case):
    conditions, incidents, acts = CASES[case]

    decisions = decide(conditions, incidents, now=NOW, patience=PATIENCE)

    assert [decision.act for decision in decisions] == acts


def test_an_incident_that_goes_on_is_told_once_however_often_one_looks():
    """The stored row follows the decisions; whoever looks a hundred times tells twice: begin and end."""
    told, incidents = [], []
    for minute in range(100):
        now = NOW + minute * MINUTE
        conditions = [is_now(Kind.PAUSED)] if minute < 80 else []
        for decision in decide(conditions, incidents, now=now, patience=PATIENCE):
            if decision.act in (Act.TELL, Act.TELL_END, Act.TELL_NEARER):
                told.append((minute, decision.act))
                incidents = [was(Kind.PAUSED, told=MINUTE)] if decision.act is Act.TELL else []

    assert told == [(0, Act.TELL), (80, Act.TELL_END)]


def test_a_call_that_is_not_taken_is_made_again_for_some_hours_and_less_and_less_often():
    waits = [call_again_in(attempt) for attempt in range(1, 11)]

    assert waits[-1] is None
    assert waits[:-1] == sorted(waits[:-1])
    assert 12 * HOUR < sum(waits[:-1], timedelta(0)) < 24 * HOUR
    assert call_again_in(1, 500) == waits[0]
    assert call_again_in(1, 410) is None
