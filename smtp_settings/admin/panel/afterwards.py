"""What to do when the email of a test that passed is not in the inbox: for who looked there."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from smtp_settings.admin.panel.steps import queue_id
from smtp_settings.diagnosis import Symptom
from smtp_settings.explaining import explain_failure
from smtp_settings.models import TestRun


@dataclass(frozen=True, slots=True)
class Afterwards:
    """What a person may have found (`title`), what it means and what to try."""

    title: str
    cause: str
    advice: tuple[str, ...]


def afterwards(run: TestRun) -> list[Afterwards]:
    """Return what can be said after a pass; nothing for any other run, or of an arrival that was noted."""
    if run.kind != TestRun.Kind.SEND or run.state != TestRun.State.PASSED:
        return []
    found = {"missing": _("It did not arrive"), "spam": _("It is in spam")}
    if run.received_at is not None:
        del found["missing"]
    return [_told(run, reason, title) for reason, title in found.items()]


def _told(run: TestRun, reason: str, title: str) -> Afterwards:
    # The server's name for the message is what its owner searches the log for; the rest of its reply is not.
    explained = explain_failure(Symptom("after", reason, text=queue_id(run.reply)), run.settings)
    return Afterwards(title, explained.cause, explained.advice)
