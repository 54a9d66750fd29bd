"""What a test run tells the diagnosis: the end of its session and what its steps saw, as plain values."""

from collections.abc import Iterable, Mapping
from typing import Any

from smtp_settings.diagnosis import Symptom
from smtp_settings.explaining import Explanation, explain_failure
from smtp_settings.models import TestRun
from smtp_settings.sealing import SealingError
from smtp_settings.test_send.session import Ended
from transports.base import Outcome, Phase
from transports.errors import CertificateRefused, TransportError

#: What of the steps' evidence the diagnosis reads; the row keeps the rest with its step.
_KEPT = frozenset(
    {
        "address", "addresses", "capabilities", "certificate_expires_at",
        "certificate_names", "certificate_server", "certificate_sha256", "certificate_starts_at",
        "explanation", "failed_addresses", "greeting", "mail_from", "mechanism", "mechanisms", "our_address",
        "password_letters", "rcpt_to", "size", "size_bytes", "tls_from_the_first_byte", "tls_version",
        "worker_user",
    }
)  # fmt: skip


def symptom_of(ended: Ended, *, steps: Iterable[Mapping[str, Any]], phase: str) -> Symptom:  # Any: JSON
    """Return what the end of a failed session was; its `to_json` goes into `TestRun.symptom`.

    `steps` are those of the run, `phase` where it was when nothing else tells it.
    """
    seen, error = seen_in(steps), ended.error
    if ended.outcome is not None:
        return _of_outcome(ended.outcome, seen | _refused(ended.outcome, seen))
    if isinstance(error, TransportError):
        return _of_error(error, seen)
    if isinstance(error, SealingError):
        return Symptom("secret", "sealed", seen=seen, detail=str(error))
    if isinstance(error, TimeoutError):
        return Symptom(phase, "timeout", seen=seen)
    return Symptom("fault", seen=seen)


def symptom_of_run(run: TestRun) -> Symptom:
    """Return the symptom of a run: the stored one; for a run without one what its columns tell."""
    if run.symptom:
        return Symptom.from_json(run.symptom)
    seen = seen_in(run.steps)
    said = Symptom.of_words(run.failed_phase, run.reply, seen=seen)
    return said or Symptom(run.failed_phase, seen=seen, detail=run.sentence)


def explanation_of(run: TestRun) -> Explanation:
    """Return why a run failed, in words, and what to try."""
    return explain_failure(symptom_of_run(run), run.settings)


def seen_in(steps: Iterable[Mapping[str, Any]]) -> dict[str, str]:  # Any: JSON
    """Return what steps found, by the keys of their evidence; a later step has the last word."""
    seen = {"is_test": "yes"}
    for step in steps:
        evidence = step.get("evidence") or {}
        seen |= {name: str(value) for name, value in evidence.items() if name in _KEPT and value}
    return seen


def _refused(outcome: Outcome, seen: Mapping[str, str]) -> dict[str, str]:
    """Return which of the recipients were refused; the replies are in the order of the step's evidence."""
    asked = filter(None, seen.get("rcpt_to", "").split(", "))
    told = zip(asked, outcome.rcpt_replies, strict=False)
    names = [name for name, reply in told if reply is not None and not reply.is_success]
    return {"refused": ", ".join(names)} if names else {}


def _of_error(error: TransportError, seen: Mapping[str, str]) -> Symptom:
    more = {name: value for name, value in error.evidence.items() if name in _KEPT and value}
    return Symptom.of_reply(
        str(error.phase),
        error.reply,
        reason=error.reason if error.reply is None else "",
        seen={**seen, **more},
        pem=error.pem if isinstance(error, CertificateRefused) else "",
        detail=str(error),
    )


def _of_outcome(outcome: Outcome, seen: Mapping[str, str]) -> Symptom:
    """Return the symptom of a message that was not accepted for everybody."""
    if outcome.error is not None and outcome.reply is None:
        # Of what is uncertain the error knows where it really was.
        return _of_error(outcome.error, seen)
    if outcome.uncertain:
        return Symptom(str(Phase.DOT), "unreadable", seen=seen)
    if outcome.accepted:  # not for all of them
        refused = next(one for one in outcome.rcpt_replies if one is None or not one.is_success)
        return Symptom.of_reply(str(Phase.RCPT), refused, seen=seen)
    return Symptom.of_reply(str(outcome.phase), outcome.reply, seen=seen)
