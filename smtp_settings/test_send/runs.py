"""The rows of test runs: made, taken, written step by step, ended."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from email.errors import MessageError
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from smtp_settings import sealing, wire
from smtp_settings.clearance.candidate import candidate_of_run, fingerprints_of, run_binding, settings_of
from smtp_settings.gate import EVIDENCE_AGE
from smtp_settings.models import Event, SMTPProfile, TestRun
from smtp_settings.secret_source import PasswordMissing
from smtp_settings.test_send.message import content_of, envelope_of, recipients_for
from smtp_settings.test_send.sentences import Verdict, verdict_of
from smtp_settings.test_send.session import Ended, listen
from transports.base import Phase, Secret, Step, StepVerdict, TranscriptLine

logger = logging.getLogger(__name__)

#: One limit for a whole test, in seconds (V44).
LIMIT = 45.0
#: A run that has not ended by then has lost its process.
_ABANDONED_AFTER = timedelta(seconds=LIMIT + 15)
_SPAN = timedelta(minutes=10)
_RUNS_IN_SPAN = 10
_AT_ONCE = 2
_REFUSALS = 3
_PAUSE = timedelta(minutes=1)
_TRANSCRIPT_LINES = 200
_LINE_LENGTH = 1000


class TooManyTests(Exception):
    """This person has to wait before the next test; str() says for what."""


def candidate(
    profile: SMTPProfile,
    secret: Secret | None,
    user: AbstractBaseUser | None,
    recipients: Sequence[str] = (),
) -> TestRun:
    """Freeze values and secret in a test run, ready to be run once, here or on a worker.

    `profile` holds the values to test, saved or not. Raises ValidationError for the recipients, TooManyTests,
    and SealingError.
    """
    tidy_up()
    _hold_back(user)
    run = TestRun(
        profile_id=profile.pk,
        profile_uuid=profile.uuid,
        user_id=user.pk if user is not None else None,
        fingerprint=fingerprints_of(profile, secret)[0],
        settings=settings_of(profile),
        recipients=recipients_for(user, recipients),
    )
    if secret is not None:
        run.secret = sealing.seal(secret, run_binding(run))
    run.save()
    _record("test.started", run, recipients=run.recipients)
    return run


def run(test_run: TestRun, where: str = "web", *, limit: float = LIMIT) -> TestRun:
    """Carry a waiting run out and return it in its final state; one already taken comes back as it is.

    Takes at most `limit` seconds and a little. Never raises for what happens on the way: the run says it.
    Open no transaction around it.
    """
    taken = TestRun.objects.filter(pk=test_run.pk, state=TestRun.State.WAITING).update(
        state=TestRun.State.RUNNING, started_at=timezone.now(), ran_on=where[:255]
    )
    test_run.refresh_from_db()
    if not taken:
        return test_run
    record = _Record(test_run)
    verdict = Verdict(passed=False, sentence=_("The test was stopped before it came to an end."))
    try:
        verdict = _carry_out(test_run, record, limit)
    finally:  # also when the process is told to stop: no run is left without an end
        _finish(test_run, record, verdict)
    return test_run


def own_run(uuid: UUID | str | None, user: AbstractBaseUser) -> TestRun | None:
    """Return a run of this user that is young enough to count, else None."""
    fresh = timezone.now() - EVIDENCE_AGE
    return TestRun.objects.filter(uuid=uuid, user_id=user.pk, created_at__gte=fresh).first() if uuid else None


def tidy_up() -> None:
    """End runs whose process died, and forget the secrets of runs that no longer count."""
    now = timezone.now()
    TestRun.objects.filter(
        Q(state=TestRun.State.RUNNING, started_at__lt=now - _ABANDONED_AFTER)
        | Q(state=TestRun.State.WAITING, created_at__lt=now - _ABANDONED_AFTER)
    ).update(
        state=TestRun.State.STOPPED,
        finished_at=now,
        secret=None,
        sentence=_("The test did not come to an end: the process that ran it was stopped."),
    )
    TestRun.objects.filter(secret__isnull=False, created_at__lt=now - EVIDENCE_AGE).update(secret=None)


def _hold_back(user: AbstractBaseUser | None) -> None:
    """Keep one person from using tests as a port scanner or a relay (V52)."""
    if user is None:
        return
    now = timezone.now()
    going_on = TestRun.objects.filter(state__in=(TestRun.State.WAITING, TestRun.State.RUNNING))
    others = list(going_on.order_by("id").values_list("user_id", flat=True)[: _AT_ONCE + 1])
    if user.pk in others:
        raise TooManyTests(_("Another of your tests is still running."))
    if len(others) >= _AT_ONCE:
        raise TooManyTests(_("Two other tests are running. Try again in a minute."))
    runs = list(
        TestRun.objects.filter(user_id=user.pk, created_at__gte=now - _SPAN).order_by("-id")[:_RUNS_IN_SPAN]
    )
    if len(runs) == _RUNS_IN_SPAN:
        minutes = max(1, round((runs[-1].created_at + _SPAN - now).total_seconds() / 60))
        raise TooManyTests(_("Ten tests in ten minutes. Wait %(minutes)d minutes.") % {"minutes": minutes})
    refused = [one.failed_phase == Phase.AUTH for one in runs[:_REFUSALS]]
    if len(refused) == _REFUSALS and all(refused) and now - (runs[0].finished_at or now) < _PAUSE:
        raise TooManyTests(
            _("The sign-in was refused three times. Wait a minute, or the account may be locked.")
        )


@dataclass
class _Record:
    """What was heard so far, in the form of the row; written with each step."""

    test_run: TestRun
    steps: list[dict[str, Any]] = field(default_factory=list)  # Any: JSON
    transcript: list[dict[str, Any]] = field(default_factory=list)

    def step(self, step: Step) -> None:
        """Take a step and write everything heard up to it: one statement."""
        self.steps.append(
            {
                "phase": str(step.phase),
                "verdict": str(step.verdict),
                "started_ms": round(step.started_ms, 1),
                "ms": round(step.ms, 1),
                "detail": step.detail,
                "reply": str(step.reply) if step.reply is not None else "",
                "evidence": dict(step.evidence),
            }
        )
        TestRun.objects.filter(pk=self.test_run.pk).update(steps=self.steps, transcript=self.transcript)

    def line(self, line: TranscriptLine) -> None:
        """Take a line of the transcript; it is written with the next step."""
        if len(self.transcript) < _TRANSCRIPT_LINES:
            text = line.text[:_LINE_LENGTH]
            self.transcript.append(
                {"direction": str(line.direction), "text": text, "at_ms": round(line.at_ms, 1)}
            )

    @property
    def last_phase(self) -> str:
        """The stage that was finished last, "" before the first."""
        return str(self.steps[-1]["phase"]) if self.steps else ""

    @property
    def failed_phase(self) -> str:
        """The stage that failed, "" when none did."""
        return next((str(s["phase"]) for s in self.steps if s["verdict"] == StepVerdict.FAILED), "")


def _carry_out(test_run: TestRun, record: _Record, limit: float) -> Verdict:
    """Send the message, write down what is heard, and return how it ended."""
    profile = candidate_of_run(test_run)
    started = time.monotonic()
    try:
        transport = wire.transport_for(profile, secret=_opener(test_run))
        content = content_of(profile, test_run)
    except (wire.MethodNotAvailable, MessageError, ValidationError, ValueError) as error:
        return Verdict(passed=False, sentence="; ".join(getattr(error, "messages", [str(error)])))
    ended = Ended()
    for heard in listen(transport, envelope_of(profile, test_run), content, limit=limit):
        if isinstance(heard, Step):
            record.step(heard)
        elif isinstance(heard, TranscriptLine):
            record.line(heard)
        else:
            ended = heard
    return verdict_of(
        ended,
        profile=profile,
        recipients=test_run.recipients,
        last_phase=record.last_phase,
        seconds=time.monotonic() - started,
    )


def _opener(test_run: TestRun) -> Callable[[], Secret]:
    """Return what opens the run's own secret, for its own destination, at the sign-in."""
    binding, sealed = run_binding(test_run), test_run.secret

    def open_now() -> Secret:
        if sealed is None:
            raise sealing.SealBroken(str(PasswordMissing()))
        return sealing.open_sealed(sealed, binding)

    return open_now


def _finish(test_run: TestRun, record: _Record, verdict: Verdict) -> None:
    state = TestRun.State.PASSED if verdict.passed else TestRun.State.FAILED
    test_run.state, test_run.finished_at = state, timezone.now()
    test_run.steps, test_run.transcript = record.steps, record.transcript
    test_run.failed_phase = "" if verdict.passed else (verdict.phase or record.failed_phase)
    test_run.sentence, test_run.reply = verdict.sentence, verdict.reply
    test_run.save(
        update_fields=["state", "finished_at", "steps", "transcript", "failed_phase", "sentence", "reply"]
    )
    _record(
        "test.passed" if verdict.passed else "test.failed",
        test_run,
        phase=test_run.failed_phase,
        ran_on=test_run.ran_on,
    )


def _record(kind: str, run: TestRun, **data: Any) -> None:  # Any: JSON
    values = run.settings
    Event.objects.create(
        kind=kind,
        profile_id=run.profile_id,
        user_id=run.user_id,
        data={
            "run": str(run.uuid),
            "name": values.get("name", ""),
            "server": f"{values.get('host')}:{values.get('port')}",
            **data,
        },
    )
