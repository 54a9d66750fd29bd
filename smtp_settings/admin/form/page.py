"""What the profile page shows beside its fields: the problems, the test panel and the save bar."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from smtp_settings import facts
from smtp_settings.admin import words
from smtp_settings.admin.panel.causes import Cause
from smtp_settings.admin.panel.panel import EARLIER, first_problem, panel_for, run_context, shown_run
from smtp_settings.admin.panel.panel_data import route, script_data
from smtp_settings.admin.panel.states import State
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import is_secret_of, settings_of
from smtp_settings.fingerprint import changed_fields
from smtp_settings.forms import Act, ProfileForm, act_of
from smtp_settings.models import SMTPProfile, TestRun
from smtp_settings.sealing import Secret


@dataclass(frozen=True, slots=True)
class Problem:
    """One error, with the field it belongs to; `anchor` is "" for the form as a whole."""

    anchor: str
    label: str
    sentence: str


def asks_first(request: HttpRequest, profile: SMTPProfile | None) -> bool:
    """Whether a draft would take a live profile off the air and nobody has confirmed that yet."""
    if request.method != "POST" or profile is None or act_of(request.POST) is not Act.DRAFT:
        return False
    return "_draft_confirmed" not in request.POST and profile.enabled and activation.is_live(profile)


def page_context(
    request: HttpRequest, context: dict[str, Any]
) -> dict[str, Any]:  # Any: a template's context
    """Return what the template needs; the form's hidden values are brought up to date on the way."""
    form: ProfileForm = context["adminform"].form
    saved = form.saved
    finished: TestRun | None = getattr(request, "finished_test", None)
    run = shown_run(form, finished)
    panel = panel_for(form, run=run)
    _carry_on(form, finished)
    test = run_context(run, form.user if saved is None else None) if run is not None else None
    if test is not None and saved is not None:
        test["earlier"] = earlier_of(saved, before=run)
    form.named = _named(form, run, test["cause"] if test else None)
    if run is not None and not form.is_bound and panel.state in (State.PASSED, State.NOTES):
        form.initial["_test_run"] = run.uuid  # an empty password means the one it was tested with
    problems = list(problems_of(form))
    known = _facts(saved) if saved is not None else facts.ProfileFacts()
    return {
        "errors": None,  # Django's own note; ours names every field
        "title": _title(context, saved),
        "subtitle": None,
        "problems": problems,
        "refused": any(not one.anchor for one in problems),
        "opened": _marked_sections(context["adminform"].fieldsets, form.named),
        "conflicts": form.conflicts,
        "asks_draft": bool(saved and not problems and form.is_bound and asks_first(request, saved)),
        "panel": panel,
        "run": run,
        "test": test,
        "earlier": earlier_of(saved) if run is None else [],
        "route": route(form),
        "script": script_data(form, panel, run, first_problem(form)),
        "hidden": [form[name] for name in ("version", "_test_run", "_password_typed", "_preset_before")],
        "may_test_saved": bool(
            saved and not saved.is_draft and request.user.has_perm("smtp_settings.test_smtpprofile")
        ),
        "test_saved_url": reverse("admin:smtp_settings_smtpprofile_test", args=[saved.pk]) if saved else "",
        "may_save_anyway": request.user.has_perm("smtp_settings.save_untested_smtpprofile"),
        "anyway_open": act_of(request.POST) is Act.ANYWAY,
        "health": words.health(saved, known=known) if saved else "",
        "note": words.note(saved, known=known) if saved else "",
        "may_forget": bool(
            saved and known.can_forget and request.user.has_perm("smtp_settings.pause_smtpprofile")
        ),
        "waiting": known.waiting,
    }


def _named(form: ProfileForm, run: TestRun | None, cause: Cause | None) -> frozenset[str]:
    """Return the fields a cause names that hold what was tested; one that was changed since is not blamed."""
    if run is None or cause is None:
        return frozenset()
    changed = changed_fields(run.settings, settings_of(form.instance))
    return frozenset(field.name for field in cause.fields) - set(changed)


def _marked_sections(sections: Iterable[Any], named: frozenset[str]) -> set[int]:  # Any: as Django types it
    """Return the numbers of the sections that hold a field to look at."""
    return {
        number for number, (_title, options) in enumerate(sections) if not named.isdisjoint(options["fields"])
    }


def earlier_of(
    saved: Any, *, before: TestRun | None = None
) -> list[tuple[TestRun, SafeString]]:  # Any: a profile with its `shown_runs`
    """Return the last tests of a profile that this person may open, each with its badge."""
    runs = [one for one in getattr(saved, "shown_runs", ()) if before is None or one.pk < before.pk]
    return [(one, words.run_badge(one)) for one in runs[:EARLIER]]


def _facts(profile: SMTPProfile) -> facts.ProfileFacts:
    return facts.facts_for([profile.pk])[profile.pk]


def _title(context: dict[str, Any], saved: SMTPProfile | None) -> str:
    return saved.name if saved is not None else str(context["title"])


def _carry_on(form: ProfileForm, run: TestRun | None) -> None:
    """Let the page remember the run, the version it shows, and that a typed password was lost on the way."""
    if not form.is_bound:
        return
    data = cast("QueryDict", form.data).copy()
    form.data = data
    if run is not None:
        data["_test_run"] = str(run.uuid)
        data["_password_typed"] = ""
    elif data.get("password"):
        typed, tested = form.cleaned_data.get("password"), form.carried_run
        is_carried = tested is not None and isinstance(typed, Secret) and is_secret_of(tested, typed)
        data["_password_typed"] = "" if is_carried else "on"  # a flag, not a password
    if form.conflicts and form.saved is not None:
        data["version"] = str(form.saved.version)


def problems_of(form: ProfileForm) -> Any:  # Any: a generator of Problem
    """Yield each error with its field, in the order of the form."""
    for name, errors in form.errors.items():
        for sentence in filter(None, map(str, errors)):
            if name == "__all__" or name not in form.fields:
                yield Problem("", "", sentence)
            else:
                field = form[name]
                yield Problem(field.auto_id, capfirst(str(field.label)), sentence)
    if form.is_bound and form.data.get("_password_typed") and not form.errors.get("password"):
        yield Problem(
            form["password"].auto_id, _("Password"), _("Enter it again: a typed password is not sent back.")
        )
