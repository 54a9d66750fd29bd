"""A test run carried out here and now: a real message over the production path, and always an end."""

import math
import time
from collections.abc import Callable
from email.errors import MessageError
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from smtp_settings import sealing, wire
from smtp_settings.clearance.candidate import candidate_of_run, run_binding
from smtp_settings.gate import RunState
from smtp_settings.models import SMTPProfile, TestRun
from smtp_settings.secret_source import PasswordMissing
from smtp_settings.test_send import life
from smtp_settings.test_send.carriers import carrier_of
from smtp_settings.test_send.life import LIMIT, WEB
from smtp_settings.test_send.message import content_of, envelope_of
from smtp_settings.test_send.record import Record, Watch
from smtp_settings.test_send.sentences import Verdict, diagnosed, verdict_of
from smtp_settings.test_send.session import Ended, listen
from smtp_settings.test_send.symptoms import symptom_of
from transports.base import MailObject, Phase, Secret, Step, TranscriptLine, Transport
from transports.errors import CredentialsNotUsable


def run(test_run: TestRun, where: str = WEB, *, limit: float = LIMIT, watch: Watch | None = None) -> TestRun:
    """Claim a waiting run, carry it out and return it in its final state; one taken comes back as it is.

    Takes at most `limit` seconds and a little; `watch` hears each step as it is written. Never raises for
    what happens on the way: the run says it. Open no transaction around it.
    """
    claimed = life.claim(test_run.pk, where)
    if claimed is not None:
        carry_out(claimed, limit=limit, watch=watch)
    test_run.refresh_from_db()
    return test_run


def run_batch(batch: UUID, where: str = WEB, *, seconds: float = math.inf) -> bool:
    """Carry the waiting runs of a batch out, one after another; False when time ended before they did.

    A second one at work on the same batch leaves it to the first.
    """
    give_up_at = time.monotonic() + seconds
    waiting = TestRun.objects.filter(batch=batch, state=TestRun.State.WAITING).order_by("id")
    while (next_one := waiting.first()) is not None:
        if time.monotonic() > give_up_at:
            return False
        if not RunState(run(next_one, where).state).is_final:
            break  # somebody else is at work
    return True


def carry_out(test_run: TestRun, *, limit: float = LIMIT, watch: Watch | None = None) -> None:
    """Carry a run out that this thread has claimed, and write down how it ended."""
    if (carrier := carrier_of(test_run.kind)) is not None:
        return carrier(test_run, limit=limit)
    return _test(test_run, Record(test_run, watch), limit)


def _test(test_run: TestRun, record: Record, limit: float) -> None:
    verdict = Verdict(
        state=TestRun.State.STOPPED, sentence=_("The test was stopped before it came to an end.")
    )
    try:
        verdict = _session(test_run, record, limit)
    finally:  # also when the process is told to stop: no run is left without an end
        has_failed = verdict.state == TestRun.State.FAILED
        life.end(
            test_run,
            verdict.state,
            steps=record.steps,
            transcript=record.transcript,
            failed_phase=(verdict.phase or record.failed_phase) if has_failed else "",
            sentence=verdict.sentence,
            reply=verdict.reply,
            symptom=verdict.symptom,
        )


def _session(test_run: TestRun, record: Record, limit: float) -> Verdict:
    """Hold the session, write down what is heard, and return how it ended."""
    profile = candidate_of_run(test_run)
    started = time.monotonic()
    try:
        transport, mail = _prepared(test_run, profile)
    except (wire.MethodNotAvailable, MessageError, ValidationError, ValueError) as error:
        sentence = "; ".join(getattr(error, "messages", [str(error)]))
        return Verdict(state=TestRun.State.FAILED, sentence=sentence)
    ended = Ended()
    for heard in listen(transport, mail, limit=limit, goes_on=lambda: life.beat(test_run)):
        if isinstance(heard, Step):
            record.step(heard)
        elif isinstance(heard, TranscriptLine):
            record.line(heard)
        else:
            ended = heard
    verdict = verdict_of(
        ended,
        profile=profile,
        recipients=test_run.recipients,
        last_phase=record.last_phase,
        seconds=time.monotonic() - started,
    )
    if verdict.state == TestRun.State.FAILED:
        symptom = symptom_of(ended, steps=record.steps, phase=verdict.phase)
        return diagnosed(verdict, symptom, test_run.settings)
    return verdict


def _prepared(test_run: TestRun, profile: SMTPProfile) -> tuple[Transport, MailObject | None]:
    """Return the way out and the message; none for a connection check."""
    transport = wire.transport_for(profile, secret=_opener(test_run))
    if test_run.kind == TestRun.Kind.CONNECT:
        return transport, None
    return transport, MailObject(envelope_of(profile, test_run), content_of(profile, test_run))


def _opener(test_run: TestRun) -> Callable[[], Secret]:
    """Return what opens the run's own secret, for its own destination, at the sign-in."""
    binding, sealed = run_binding(test_run), test_run.secret

    def open_now() -> Secret:
        if sealed is None:
            sentence = str(PasswordMissing())
            raise CredentialsNotUsable(sentence, phase=Phase.AUTH, reason="no-password")
        return sealing.open_sealed(sealed, binding)

    return open_now
