"""The gate: may these settings go live? Decided from the fingerprint and this person's own tests."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from smtp_settings.fingerprint import changed_fields

#: How long a passed test counts.
EVIDENCE_AGE = timedelta(minutes=30)
#: Clocks of two machines may differ by this much.
_CLOCK_SKEW = timedelta(minutes=1)


class RunState(StrEnum):
    """Where a test run stands; the last three are final."""

    WAITING = "waiting"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen in the run."""
        return self in (RunState.PASSED, RunState.FAILED, RunState.STOPPED)


class Reason(StrEnum):
    """Why the gate is open (the first two) or shut."""

    UNCHANGED = "unchanged"
    PASSED = "passed"
    NEVER = "never"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    STALE = "stale"
    EXPIRED = "expired"
    ANOTHER_USER = "another_user"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One test run, as far as the gate looks at it; `finished_at` is None until it is final."""

    fingerprint: str
    state: RunState
    user_id: object
    finished_at: datetime | None
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Open or shut, and why.

    `changed` names the fields that differ from the tested ones when the reason is STALE, "secret" for the
    password; `tested_by` is the user id of the other person when it is ANOTHER_USER.
    """

    reason: Reason
    changed: tuple[str, ...] = ()
    tested_by: object = None

    @property
    def is_open(self) -> bool:
        """Whether the settings may go live."""
        return self.reason in (Reason.UNCHANGED, Reason.PASSED)


_OWN = {
    RunState.WAITING: Reason.RUNNING,
    RunState.RUNNING: Reason.RUNNING,
    RunState.STOPPED: Reason.STOPPED,
    RunState.FAILED: Reason.FAILED,
}


def judge(
    *,
    fingerprints: Collection[str],
    cleared_fingerprint: str,
    evidence: Sequence[Evidence],
    user_id: object,
    now: datetime,
    settings: Mapping[str, object] | None = None,
    always: bool = False,
) -> Verdict:
    """Decide whether settings may go live.

    `fingerprints` are those of the settings under every key at hand. `evidence` is newest first: all recent
    runs of this profile, whoever made them. `settings` are the present ones, to name what changed after the
    test. `always` wants a passed test for every save. The newest run with these settings decides: who tests
    again and fails has not passed.
    """
    if not always and cleared_fingerprint and cleared_fingerprint in fingerprints:
        return Verdict(Reason.UNCHANGED)
    own = [one for one in evidence if one.user_id == user_id]
    for one in own:
        if one.fingerprint in fingerprints:
            return Verdict(_reason(one, now))
    for one in evidence:
        if one.fingerprint in fingerprints and _reason(one, now) is Reason.PASSED:
            return Verdict(Reason.ANOTHER_USER, tested_by=one.user_id)
    for one in own:
        if one.state is RunState.PASSED:
            return Verdict(Reason.STALE, changed=_changed(one, settings or {}))
    return Verdict(Reason.NEVER)


def _reason(one: Evidence, now: datetime) -> Reason:
    if one.state is not RunState.PASSED:
        return _OWN[one.state]
    if one.finished_at is None or not -_CLOCK_SKEW <= now - one.finished_at <= EVIDENCE_AGE:
        return Reason.EXPIRED
    return Reason.PASSED


def _changed(one: Evidence, settings: Mapping[str, object]) -> tuple[str, ...]:
    """Name what differs from a tested run: runs hold no secret, so it is the secret when nothing else is."""
    return changed_fields(one.settings, settings) or ("secret",)
