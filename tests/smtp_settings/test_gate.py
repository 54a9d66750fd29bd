"""The gate as a table: who may save what, when."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_settings.gate import EVIDENCE_AGE, Evidence, Reason, RunState, Verdict, judge

NOW = datetime(2026, 11, 20, 17, 5, tzinfo=UTC)
ANN, BOB = 1, 2
THIS, OTHER = "f" * 64, "e" * 64
TESTED = {"transport": "smtp", "host": "smtp.example.com", "port": 587}


def run(fingerprint=THIS, state=RunState.PASSED, user=ANN, minutes_ago=5.0, settings=TESTED):
    ended = NOW - timedelta(minutes=minutes_ago) if state.is_final else None
    return Evidence(fingerprint, state, user, ended, settings)


def asked(*evidence, cleared="", settings=TESTED, always=False, fingerprints=(THIS,)):
    return judge(
        fingerprints=fingerprints,
        cleared_fingerprint=cleared,
        evidence=evidence,
        user_id=ANN,
        now=NOW,
        settings=settings,
        always=always,
    )


@pytest.mark.parametrize(
    ("reason", "evidence", "more"),
    [
        (Reason.UNCHANGED, [], {"cleared": THIS}),
        (Reason.UNCHANGED, [run(state=RunState.FAILED)], {"cleared": THIS}),
        (Reason.NEVER, [], {}),
        (Reason.NEVER, [], {"cleared": OTHER}),
        (Reason.NEVER, [run(OTHER, RunState.FAILED)], {}),
        (Reason.NEVER, [run(OTHER, user=BOB)], {}),
        (Reason.PASSED, [run()], {}),
        (Reason.PASSED, [run()], {"cleared": OTHER}),
        (Reason.PASSED, [run(minutes_ago=30)], {}),
        (Reason.PASSED, [run(OTHER, RunState.FAILED, minutes_ago=1), run()], {}),
        (Reason.EXPIRED, [run(minutes_ago=31)], {}),
        (Reason.EXPIRED, [run(minutes_ago=-5)], {}),
        (Reason.ANOTHER_USER, [run(user=BOB)], {}),
        (Reason.NEVER, [run(user=BOB, minutes_ago=31)], {}),
        (Reason.NEVER, [run(user=BOB, state=RunState.FAILED)], {}),
        (Reason.FAILED, [run(state=RunState.FAILED)], {}),
        (Reason.FAILED, [run(state=RunState.FAILED, minutes_ago=1), run()], {}),
        (Reason.PASSED, [run(minutes_ago=1), run(state=RunState.FAILED)], {}),
        (Reason.STOPPED, [run(state=RunState.STOPPED)], {}),
        (Reason.RUNNING, [run(state=RunState.WAITING)], {}),
        (Reason.RUNNING, [run(state=RunState.RUNNING)], {}),
        (Reason.NEVER, [], {"cleared": THIS, "always": True}),
        (Reason.PASSED, [run()], {"cleared": THIS, "always": True}),
        (Reason.EXPIRED, [run(minutes_ago=31)], {"cleared": THIS, "always": True}),
        (Reason.UNCHANGED, [], {"cleared": OTHER, "fingerprints": (THIS, OTHER)}),
        (Reason.PASSED, [run(OTHER)], {"fingerprints": (THIS, OTHER)}),
    ],
)
def test_the_gate(reason, evidence, more):
    verdict = asked(*evidence, **more)
    assert verdict.reason is reason
    assert verdict.is_open is (reason in (Reason.UNCHANGED, Reason.PASSED))


def test_changes_after_the_test_are_named():
    verdict = asked(run(OTHER), settings=TESTED | {"host": "smtp.other.example", "port": 25})
    assert verdict == Verdict(Reason.STALE, changed=("host", "port"))


def test_another_password_after_the_test_is_named_without_being_seen():
    assert asked(run(OTHER)) == Verdict(Reason.STALE, changed=("secret",))


def test_the_other_person_is_named():
    assert asked(run(user=BOB)).tested_by == BOB


def test_an_empty_fingerprint_clears_nothing():
    assert not asked(cleared="", fingerprints=("",)).is_open


@given(
    st.lists(
        st.builds(
            run,
            st.sampled_from([THIS, OTHER]),
            st.sampled_from(RunState),
            st.sampled_from([ANN, BOB, None]),
            st.floats(-100, 100),
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_it_never_opens_without_an_own_fresh_pass_of_these_settings(evidence, always):
    verdict = asked(*evidence, cleared=OTHER, always=always)
    mine = [
        one
        for one in evidence
        if one.fingerprint == THIS
        and one.user_id == ANN
        and one.state is RunState.PASSED
        and one.finished_at is not None
        and -timedelta(minutes=1) <= NOW - one.finished_at <= EVIDENCE_AGE
    ]
    assert not verdict.is_open or mine
