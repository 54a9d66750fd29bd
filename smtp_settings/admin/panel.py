"""What the test panel and the save bar say: one state, its badge and its line."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from smtp_settings.clearance import activation, verdicts
from smtp_settings.forms import ProfileForm
from smtp_settings.gate import Reason, Verdict
from smtp_settings.models import Security, SMTPProfile, TestRun
from transports.base import Phase, StepVerdict

_STEP_NAMES: dict[str, Promise] = {
    Phase.DNS: gettext_lazy("Look up the server name"),
    Phase.CONNECT: gettext_lazy("Connect"),
    Phase.BANNER: gettext_lazy("Server greeting"),
    Phase.EHLO: gettext_lazy("EHLO"),
    Phase.TLS: gettext_lazy("STARTTLS and certificate"),
    Phase.AUTH: gettext_lazy("Sign in"),
    Phase.MAIL: gettext_lazy("MAIL FROM"),
    Phase.RCPT: gettext_lazy("RCPT TO"),
    Phase.DATA: gettext_lazy("Send the message"),
    Phase.BODY: gettext_lazy("Send the message"),
    Phase.DOT: gettext_lazy("Send the message"),
    Phase.QUIT: gettext_lazy("Say goodbye"),
}
_ORDER = (
    Phase.DNS,
    Phase.CONNECT,
    Phase.BANNER,
    Phase.EHLO,
    Phase.TLS,
    Phase.AUTH,
    Phase.MAIL,
    Phase.RCPT,
    Phase.DOT,
)
#: TLS from the first byte comes before the greeting.
_ORDER_TLS_FIRST = (Phase.DNS, Phase.CONNECT, Phase.TLS, *(p for p in _ORDER[2:] if p is not Phase.TLS))

#: What the keys of a step's evidence are called; others are shown as they are.
_EVIDENCE_NAMES: dict[str, Promise] = {
    "mail_from": gettext_lazy("sender"),
    "rcpt_to": gettext_lazy("recipient"),
    "size_bytes": gettext_lazy("bytes"),
    "size": gettext_lazy("largest message, bytes"),
    "capabilities": gettext_lazy("offers"),
    "mechanisms": gettext_lazy("sign-in with"),
    "mechanism": gettext_lazy("sign-in with"),
    "tls_version": gettext_lazy("TLS version"),
    "certificate_sha256": gettext_lazy("certificate SHA-256"),
    "certificate_starts_at": gettext_lazy("certificate valid from"),
    "certificate_expires_at": gettext_lazy("certificate valid until"),
}

_STEP_WORDS: dict[str, Promise] = {
    StepVerdict.DONE: gettext_lazy("done"),
    StepVerdict.WARNING: gettext_lazy("warning"),
    StepVerdict.FAILED: gettext_lazy("failed"),
    StepVerdict.SKIPPED: gettext_lazy("skipped"),
}

#: The colours of the gate's verdicts; no test, no colour.
_TONES = dict.fromkeys((Reason.UNCHANGED, Reason.PASSED), "is-ok")
_TONES |= dict.fromkeys((Reason.STALE, Reason.EXPIRED), "is-warn")


@dataclass(frozen=True, slots=True)
class StepRow:
    """One line of the list of steps. `tone` is done, warning, failed, skipped or waiting."""

    name: str
    word: str
    tone: str
    ms: str
    detail: str
    reply: str
    evidence: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """The state in words. `is_open` says whether Save would pass as the page stands."""

    badge: str
    tone: str
    line: str
    is_open: bool


def step_rows(run: TestRun) -> list[StepRow]:
    """Return a run's steps, and those it did not reach."""
    rows = [_row(step, run.settings.get("security")) for step in run.steps]
    if run.state == TestRun.State.FAILED and run.settings.get("transport", "smtp") == "smtp":
        rows.extend(_not_tried(run))
    return rows


def _row(step: Mapping[str, Any], security: str | None) -> StepRow:  # Any: JSON of `TestRun.steps`
    verdict = str(step.get("verdict", ""))
    return StepRow(
        name=_step_name(str(step.get("phase", "")), security),
        word=str(_STEP_WORDS.get(verdict, verdict)),
        tone=verdict if verdict in _STEP_WORDS else "waiting",
        ms="" if verdict == StepVerdict.SKIPPED else _("%(ms)d ms") % {"ms": round(step.get("ms") or 0)},
        detail=str(step.get("detail") or ""),
        reply=str(step.get("reply") or ""),
        evidence=tuple(_evidence(step.get("evidence") or {})),
    )


def failed_step(run: TestRun) -> str:
    """Return the name of the step at which a run failed, "" for none."""
    return _step_name(run.failed_phase, run.settings.get("security")) if run.failed_phase else ""


def _evidence(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:  # Any: JSON of `TestRun.steps`
    """Yield what a step found, in words; what is empty is left out."""
    for key, value in found.items():
        if value not in (None, "", []):
            name = _EVIDENCE_NAMES.get(key)
            yield str(name) if name else key.replace("_", " "), str(value)


def _not_tried(run: TestRun) -> Iterator[StepRow]:
    """Yield the stages after the failed one."""
    seen = {_stage(str(step.get("phase", ""))) for step in run.steps}
    security = run.settings.get("security")
    for phase in _ORDER_TLS_FIRST if security == Security.TLS else _ORDER:
        skipped = (phase is Phase.TLS and security == Security.NONE) or (
            phase is Phase.AUTH and run.settings.get("auth") == "none"
        )
        if phase not in seen and not skipped:
            yield StepRow(_step_name(phase, security), _("not tried"), "waiting", "", "", "", ())


def _stage(phase: str) -> str:
    """Count DATA, the body and the final dot as one stage."""
    return Phase.DOT if phase in (Phase.DATA, Phase.BODY, Phase.DOT) else phase


def _step_name(phase: str, security: str | None) -> str:
    if phase == Phase.TLS and security == Security.TLS:
        return _("TLS and certificate")
    return str(_STEP_NAMES.get(phase, phase))


def panel_for(form: ProfileForm, *, run: TestRun | None, always: bool | None = None) -> Panel:
    """Say where the gate stands for the page about to be shown; `run` is the test this very request made."""
    if run is not None:
        return _after(run)
    if form.is_bound:
        return _refused(form)
    return _saved(
        form.saved, always=settings.MAILCONF_TEST_BEFORE_SAVE == "always" if always is None else always
    )


def _after(run: TestRun) -> Panel:
    if run.state != TestRun.State.PASSED:
        return Panel(
            _("Failed"),
            "is-bad",
            _("The test failed. Fix the settings and send another test email to enable Save."),
            is_open=False,
        )
    notes = sum(step.get("verdict") == StepVerdict.WARNING for step in run.steps)
    if notes:
        line = ngettext(
            "The test succeeded with %(notes)d note. You can save now.",
            "The test succeeded with %(notes)d notes. You can save now.",
            notes,
        )
        return Panel(_("Passed with notes"), "is-warn", line % {"notes": notes}, is_open=True)
    return _by(Verdict(Reason.PASSED))


def _refused(form: ProfileForm) -> Panel:
    """Say what stands between a refused form and Save."""
    if form.verdict is not None:
        return _by(form.verdict)
    problem = next((str(error) for errors in form.errors.values() for error in errors if error), "")
    return Panel(
        _("Not tested"), "is-quiet", _("Not tested: %(problem)s") % {"problem": problem}, is_open=False
    )


def _by(verdict: Verdict) -> Panel:
    tone = _TONES.get(verdict.reason, "is-quiet")
    return Panel(verdicts.badge(verdict), tone, verdicts.line(verdict), is_open=verdict.is_open)


def _saved(profile: SMTPProfile | None, *, always: bool) -> Panel:
    if profile is None:
        return _by(Verdict(Reason.NEVER))
    if profile.is_draft:
        line = _("This profile is a draft and is not used. Send a test email, then save.")
        return Panel(_("Draft"), "is-quiet", line, is_open=False)
    if not activation.is_live(profile):
        return _by(Verdict(Reason.NEVER))
    panel = _by(Verdict(Reason.UNCHANGED))
    if always:
        return replace(panel, line=_("A test is needed before every save here."), is_open=False)
    return panel


def transcript_rows(
    lines: Iterable[Mapping[str, Any]],
) -> list[tuple[str, str]]:  # Any: JSON of `TestRun.transcript`
    """Return (class, text) for each line of a transcript, as the template shows it."""
    marks = {"client": "C: ", "server": "S: ", "note": "- "}
    return [
        (f"is-{line.get('direction')}", marks.get(str(line.get("direction")), "") + str(line.get("text", "")))
        for line in lines
    ]
