"""Why a test failed and what to try, as the panel and the page of a run show it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.admin.panel.report import report_of
from smtp_settings.advice.notes import certificate_note
from smtp_settings.clearance.verdicts import field_label
from smtp_settings.correction import Correction, encode
from smtp_settings.entries.rules import AVAILABLE_AUTH
from smtp_settings.explaining import explain_failure, explain_notes
from smtp_settings.models import SMTPProfile, TestRun
from smtp_settings.test_send.symptoms import symptom_of_run

#: Fields a diagnosis names that are no columns of a profile.
_OTHER_FIELDS: Mapping[str, tuple[str, Promise]] = {
    "recipient": ("test_to", gettext_lazy("Send the test email to")),
}


@dataclass(frozen=True, slots=True)
class FieldLink:
    """A field to look at: its name in the form, what it is called, and where it is on the page."""

    name: str
    label: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Button:
    """A correction to click: `value` is what `_apply` carries, `difference` what it changes."""

    label: str
    value: str
    difference: str


@dataclass(frozen=True, slots=True)
class Cause:
    """One failure for a template.

    `how` says how the test ended where that is not the cause itself: at its limit. `reply` is the server's
    words, "" where it said nothing that decided it. `fine` is a sentence when nothing is wrong with the
    settings so far. `buttons` is empty on pages without the form. `report` is plain text for the provider.
    `in_form`: the fields are on the same page.
    """

    id: str
    who: str
    cause: str
    how: str
    reply: str
    advice: tuple[str, ...]
    fields: tuple[FieldLink, ...]
    buttons: tuple[Button, ...]
    fine: str
    report: str
    in_form: bool


def cause_of(run: TestRun, *, in_form: bool = True) -> Cause | None:
    """Return why a run failed; None for any other. `in_form`: its values can be changed on the page."""
    if run.state != TestRun.State.FAILED:
        return None
    symptom = symptom_of_run(run)
    explained = explain_failure(symptom, run.settings)
    found = explained.diagnosis
    corrections = filter(_can_be_chosen, explained.corrections) if in_form else ()
    # Before the first step there is nothing to diagnose: the run's own sentence says it.
    cause = explained.cause if symptom.phase else run.sentence
    return Cause(
        id=found.id,
        who=str(found.who),
        cause=cause,
        how=run.sentence if symptom.reason == "timeout" and run.sentence != cause else "",
        reply=symptom.words,
        advice=explained.advice if symptom.phase else (),
        fields=links_of(found.fields, run.settings),
        buttons=tuple(_button(one, run.settings) for one in corrections),
        fine=explained.fine,
        report=report_of(run, cause),
        in_form=in_form,
    )


def notes_of(run: TestRun) -> list[str]:
    """Return what is worth knowing of a run that passed, a sentence or two each.

    As things stood when it ended: what a test found does not change while its record is kept.
    """
    found = [
        " ".join((told.cause, *told.advice)) for told in explain_notes(symptom_of_run(run), run.settings)
    ]
    certificate = certificate_note(run, run.finished_at or timezone.now())
    if certificate is not None and certificate.tone == "is-warn":  # of weeks to go, only the dashboard speaks
        found.append(certificate.sentence)
    return found


def fixes_of(run: TestRun) -> tuple[Button, ...]:
    """Return what the notes of a run that passed offer at one click."""
    told = explain_notes(symptom_of_run(run), run.settings)
    return tuple(_button(one, run.settings) for note in told for one in note.corrections)


def links_of(names: Iterable[str], settings: Mapping[str, Any]) -> tuple[FieldLink, ...]:  # Any: JSON
    """Return where the fields are that a diagnosis names, without those these settings do not use."""
    return tuple(map(_link, _of_method(tuple(names), settings)))


def _can_be_chosen(correction: Correction) -> bool:
    """Whether the form takes it: not every sign-in there is can be used yet."""
    return correction.changes.get("auth", "none") in AVAILABLE_AUTH


def _of_method(names: tuple[str, ...], settings: Mapping[str, Any]) -> tuple[str, ...]:  # Any: JSON
    """Leave out the fields of other ways to sign in."""
    hidden = {"password": ("username", "password"), "oauth2": ("oauth_credential",)}
    other = {one for auth, some in hidden.items() if auth != settings.get("auth") for one in some}
    if settings.get("auth") in (None, "", "none", "oauth2"):
        other -= {"username"}
    return tuple(name for name in names if name not in other or name == "password")


def _link(name: str) -> FieldLink:
    if name in _OTHER_FIELDS:
        form_name, label = _OTHER_FIELDS[name]
        return FieldLink(form_name, str(label), f"#id_{form_name}")
    return FieldLink(name, field_label(name), f"#id_{name}")


def _button(correction: Correction, settings: Mapping[str, Any]) -> Button:  # Any: JSON
    parts = [_difference(name, settings.get(name), value) for name, value in correction.changes.items()]
    return Button(correction.label, encode(correction.changes), ", ".join(parts))


def _difference(name: str, before: object, after: str) -> str:
    """Say what becomes of one field: "Port: 587 → 465"."""
    if name == "ca":
        return _("%(field)s: one certificate more") % {"field": field_label(name)}
    return _("%(field)s: %(before)s → %(after)s") % {
        "field": field_label(name),
        "before": shown_value(name, before),
        "after": shown_value(name, after),
    }


def shown_value(name: str, value: object) -> str:
    """Return a field's value as the form shows it, short."""
    text = "" if value is None else str(value)
    choices: Mapping[str, Any] = dict(SMTPProfile._meta.get_field(name).flatchoices)  # type: ignore[union-attr]  # a column
    if name == "security":
        return {"starttls": "STARTTLS", "tls": _("TLS from the first byte"), "none": _("None")}.get(
            text, text
        )
    return str(choices.get(text, text)) or _("(empty)")
