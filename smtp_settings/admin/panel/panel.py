"""What the test panel and the save bar say: about a page as it is sent, and about a run while it runs."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings.admin import words
from smtp_settings.admin.panel import steps
from smtp_settings.admin.panel.afterwards import afterwards
from smtp_settings.admin.panel.causes import cause_of, fixes_of, notes_of
from smtp_settings.admin.panel.panel_data import texts_of
from smtp_settings.admin.panel.states import Facts, Panel, State, panel_of, state_of
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import settings_of
from smtp_settings.fingerprint import changed_fields, uses_secret
from smtp_settings.forms import ProfileForm
from smtp_settings.gate import EVIDENCE_AGE, Reason, RunState
from smtp_settings.models import TestRun

#: How many earlier tests the panel names.
EARLIER = 3
#: The kinds of runs a panel shows.
_SHOWN = (TestRun.Kind.SEND, TestRun.Kind.CONNECT)
_LISTED = ("state", "kind", "created_at", "sentence")
#: So many seconds a run waits for a worker before it says so, and before the web server takes it.
_WAITED, _TAKEN_BACK = 1, 5

_REASONS = {
    Reason.UNCHANGED: State.UNCHANGED,
    Reason.PASSED: State.PASSED,
    Reason.RUNNING: State.RUNNING,
    Reason.STOPPED: State.STOPPED,
    Reason.FAILED: State.FAILED,
    Reason.STALE: State.STALE,
    Reason.EXPIRED: State.EXPIRED,
}


# A run while it runs


def run_state(run: TestRun, user: AbstractBaseUser) -> dict[str, Any]:  # Any: JSON
    """Return what the script needs to know of a run: words, HTML, and for its owner the tested values.

    `seq` grows with every change that changes the HTML. `still` is for the running step alone ("Still
    connecting (8 s of at most 10 s)…"): it changes with the clock. `is_recent` is False when a page had
    better not show the run any more.
    """
    now = timezone.now()
    panel = run_panel(run, now)
    phase = steps.running_phase(run)
    return {
        "id": str(run.uuid),
        "status": str(run.state),
        "seq": seq(run),
        "kind": str(run.kind),
        "step": steps.step_name(run, phase) or steps.failed_step(run),
        "state": panel.state.value,
        "badge": panel.badge,
        "tone": panel.tone,
        "line": panel.line,
        "still": steps.still(run, now),
        "stop": reverse("admin:smtp_settings_testrun_stop", args=[run.uuid]),
        "signs_in": uses_secret(run.settings),
        "announce": announcement(run, now),
        "html": render_to_string("mailconf/_run.html", {"test": run_context(run, user)}),
        "values": texts_of(run.settings) if run.user_id == user.pk else {},
        "expires_in": _expires_in(run, now),
        "is_recent": now - run.created_at < EVIDENCE_AGE,
    }


def seq(run: TestRun) -> int:
    """Return a number that grows with every change people see."""
    rank = {RunState.WAITING: 0, RunState.RUNNING: 1}.get(RunState(run.state), 2)
    return (
        len(run.steps)
        + 100 * (run.stop_asked_at is not None)
        + 1000 * rank
        + 10_000 * (run.received_at is not None)
    )


def run_panel(run: TestRun, now: datetime) -> Panel:
    """Return the state of a run for itself, as if the form still held what it tests."""
    if run.kind != TestRun.Kind.SEND and RunState(run.state).is_final:
        return _checked(run)
    found = notes(run)
    state = state_of(_facts_of(run, now, has_notes=bool(found)))
    if state is State.WAITING:
        return panel_of(state, line=_waiting(run, now))
    if state is State.RUNNING and run.stop_asked_at is not None:
        return panel_of(state, line=_("Stopping the test…"))
    return panel_of(state, line=noted(len(found)) if state is State.NOTES else "")


def _checked(run: TestRun) -> Panel:
    """Return the end of a connection check: it says nothing about Save."""
    if run.state == TestRun.State.PASSED:
        line = _("The connection works. It does not open Save: send a test email for that.")
        return Panel(State.NEVER, _("Connected"), "is-ok", line, is_open=False)
    if run.state == TestRun.State.STOPPED:
        return Panel(State.STOPPED, _("Stopped"), "is-quiet", _("The check was stopped."), is_open=False)
    return Panel(State.FAILED, _("Failed"), "is-bad", _("The connection check failed."), is_open=False)


def _facts_of(run: TestRun, now: datetime, *, has_notes: bool) -> Facts:
    return Facts(run=RunState(run.state), is_expired=_expires_in(run, now) == 0, has_notes=has_notes)


def _waiting(run: TestRun, now: datetime) -> str:
    """Say what a run waits for; nothing much in its first second."""
    waited = (now - run.created_at).total_seconds()
    if waited < _WAITED:
        return _("The test begins…")
    if waited < _TAKEN_BACK:
        return _("Waiting for a mail worker…")
    return _("No worker took the test. Running it on the web server.")


def _expires_in(run: TestRun, now: datetime) -> int | None:
    """Return the seconds a passed run still counts, 0 when it no longer does; None for any other run."""
    if run.kind != TestRun.Kind.SEND or run.state != TestRun.State.PASSED or run.finished_at is None:
        return None
    return max(0, int((run.finished_at + EVIDENCE_AGE - now).total_seconds()))


def announcement(run: TestRun, now: datetime) -> str:
    """Return the sentence for the status line: one for each step, then how it ended."""
    if run.state == TestRun.State.RUNNING and run.stop_asked_at is None:
        name = steps.step_name(run, steps.running_phase(run))
        return _("%(step)s…") % {"step": name} if name else _("The test ends…")
    panel = run_panel(run, now)
    if run.state == TestRun.State.FAILED and (step := steps.failed_step(run)):
        return _("Failed at “%(step)s”. %(line)s") % {"step": step, "line": panel.line}
    return panel.line


def notes(run: TestRun) -> list[str]:
    """Return what there is to know of a test that passed (UX 4.2); a connection check has them too."""
    if run.state != TestRun.State.PASSED:
        return []
    found = steps.warnings(run)
    found += notes_of(run)
    if not run.ran_on.startswith("worker "):
        found.append(words.ran_where(run))
    return found


def noted(count: int) -> str:
    """Return the line of a test that passed with notes."""
    return ngettext(
        "The test succeeded with %(notes)d note. You can save now.",
        "The test succeeded with %(notes)d notes. You can save now.",
        count,
    ) % {"notes": count}


def run_context(
    run: TestRun, user: AbstractBaseUser | None = None, *, in_form: bool = True
) -> dict[str, Any]:  # Any: a template's context
    """Return one run for `mailconf/_run.html`; with a user also their earlier tests of the same profile.

    `in_form`: the page has the form whose values were tested, for corrections.
    """
    is_final = RunState(run.state).is_final
    return {
        "run": run,
        "badge": words.run_badge(run),
        "panel": run_panel(run, timezone.now()),
        "is_final": is_final,
        "is_check": run.kind != TestRun.Kind.SEND,
        "passed": run.state == TestRun.State.PASSED,
        "still": steps.still(run, timezone.now()),
        "sentence": sentence(run),
        "where": words.ran_where(run) if run.ran_on else "",
        "notes": notes(run),
        "fixes": fixes_of(run) if in_form and run.state == TestRun.State.PASSED else (),
        "cause": cause_of(run, in_form=in_form),
        "afterwards": afterwards(run),
        "expects_link": bool(run.link_base) and run.state == TestRun.State.PASSED,
        "steps": steps.step_rows(run),
        "transcript": steps.transcript_rows(run.transcript),
        "earlier": earlier(run, user) if user is not None and is_final else [],
    }


def sentence(run: TestRun) -> SafeString | str:
    """Say how a run ended; what the server called the message stands as its own word."""
    is_smtp = run.settings.get("transport", "smtp") == "smtp"
    if run.state != TestRun.State.PASSED or run.kind != TestRun.Kind.SEND or not is_smtp:
        return run.sentence
    name = steps.queue_id(run.reply)
    as_name = format_html(" {} <code>{}</code>", _("as"), name) if name else ""
    return format_html(
        _(
            "{server} accepted the email for {recipients}{as_name} in {duration}. Accepted is not the same "
            "as delivered: look in the inbox, and in the spam folder."
        ),
        server=run.settings.get("host", ""),
        recipients=", ".join(run.recipients),
        as_name=as_name,
        duration=steps.duration(steps.total_ms(run)),
    )


def earlier(run: TestRun, user: AbstractBaseUser) -> list[tuple[TestRun, SafeString]]:
    """Return this person's three tests of the same profile before a run, each with its badge."""
    runs = TestRun.objects.filter(profile_uuid=run.profile_uuid, user_id=user.pk, pk__lt=run.pk)
    found = runs.exclude(kind=TestRun.Kind.SEARCH).only(*_LISTED)[:EARLIER]
    return [(one, words.run_badge(one)) for one in found]


# The page


def panel_for(
    form: ProfileForm, *, run: TestRun | None, always: bool | None = None, now: datetime | None = None
) -> Panel:
    """Say where the gate stands for the page about to be shown; `run` is the test shown on it."""
    now = now or timezone.now()
    if form.verdict is not None and not form.verdict.is_open:
        return panel_of(_REASONS.get(form.verdict.reason, State.NEVER), fields=form.verdict.changed)
    facts = Facts()
    if run is not None and _counts(run):
        facts = _facts_of(run, now, has_notes=bool(notes(run)))
    differing = changed_fields(run.settings, settings_of(form.instance)) if run is not None else ()
    problem = first_problem(form)
    state = state_of(
        replace(
            facts,
            differs=bool(differing),
            has_errors=bool(problem),
            is_unchanged=_is_unchanged(form),
            is_draft=form.saved is not None and form.saved.is_draft,
            always=settings.MAILCONF_TEST_BEFORE_SAVE == "always" if always is None else always,
        )
    )
    if run is not None and state in (State.WAITING, State.RUNNING, State.NOTES):
        return run_panel(run, now)
    return panel_of(state, fields=differing, problem=problem)


def _counts(run: TestRun) -> bool:
    """Whether a run decides the state: a test email does, anything else only while it is under way."""
    return run.kind == TestRun.Kind.SEND or not RunState(run.state).is_final


def _is_unchanged(form: ProfileForm) -> bool:
    """Whether the form holds what is saved and live, as far as it can be told from its values."""
    saved = form.saved
    if saved is None or saved.is_draft or not activation.is_live(saved):
        return False
    if form.is_bound and (form.data.get("password") or form.data.get("remove_password")):
        return False
    return not changed_fields(settings_of(saved), settings_of(form.instance))


def first_problem(form: ProfileForm) -> str:
    """Return the first sentence about a wrong field, "" when there is none."""
    return next((str(error) for errors in form.errors.values() for error in errors if error), "")


def shown_run(form: ProfileForm, finished: TestRun | None) -> TestRun | None:
    """Return the test a page shows: the one just made, the one it carries, or this person's recent one.

    A saved profile's is recent for as long as it counts and nothing was saved after it; on the page of a new
    profile only a test that is still under way is shown.
    """
    if finished is not None or form.is_bound:
        return finished or form.carried_run
    since = timezone.now() - EVIDENCE_AGE
    if form.saved is not None:
        since = max(since, form.saved.changed_at)
        runs = getattr(form.saved, "shown_runs", ())  # read for the page's history anyway
        own = (one for one in runs if one.user_id == form.user.pk and one.created_at >= since)
        return next((one for one in own if one.kind in _SHOWN), None)
    own_runs = TestRun.objects.filter(user_id=form.user.pk, kind__in=_SHOWN, created_at__gte=since)
    return own_runs.filter(profile=None, state__in=(TestRun.State.WAITING, TestRun.State.RUNNING)).first()
