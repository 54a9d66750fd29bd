"""The test page: one email through each of many profiles, as they are saved, one after another (N29).

The page starts a batch and then follows it: with a script by polling, without one by reloading itself. Runs
are rows, so that a reload, another browser or a restart of the web server find it again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from smtp_settings import carrying, facts, test_send
from smtp_settings.admin import health, words
from smtp_settings.admin.listing.listing import bare
from smtp_settings.admin.panel.causes import cause_of
from smtp_settings.admin.panel.runs import link_base
from smtp_settings.admin.records.test_runs import runs_for
from smtp_settings.gate import RunState
from smtp_settings.models import SMTPProfile, TestRun

if TYPE_CHECKING:
    from smtp_settings.admin.profiles import SMTPProfileAdmin

_TEST = "smtp_settings.test_smtpprofile"
_ELSEWHERE = "smtp_settings.send_test_elsewhere"
_NAME = "smtp_settings_smtpprofile_test_all"


@dataclass(frozen=True, slots=True)
class Choice:
    """One profile to tick; the live ones are ticked."""

    key: str
    name: str
    server: str
    tone: str
    words: str | Promise
    is_ticked: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One run of the batch: where it stands, and the first sentence of why it failed."""

    name: str
    server: str
    badge: SafeString
    sentence: str
    url: str
    took: str


def urls(profile_admin: "SMTPProfileAdmin") -> list[URLPattern]:
    """Return the addresses of the page, for the profile admin's `get_urls`."""
    page = TestPage(profile_admin)

    def view(function: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        return profile_admin.admin_site.admin_view(never_cache(function))

    return [
        path("test/", view(require_http_methods(["GET", "POST"])(page.choose)), name=_NAME),
        path("test/<uuid:batch>/", view(require_GET(page.follow)), name=f"{_NAME}_batch"),
        path("test/<uuid:batch>/state/", view(require_GET(page.state)), name=f"{_NAME}_state"),
        path("test/<uuid:batch>/stop/", view(require_POST(page.stop)), name=f"{_NAME}_stop"),
    ]


def start(request: HttpRequest, profiles: Sequence[SMTPProfile], recipients: list[str]) -> HttpResponse:
    """Order a test of these profiles and go to its page; what keeps it from starting is said in a message."""
    try:
        batch = test_send.order(profiles, _person(request), recipients, link_base=link_base(request))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    except test_send.TooManyTests as wait:
        messages.error(request, str(wait))
    else:
        carrying.start_batch(batch)
        return HttpResponseRedirect(reverse(f"admin:{_NAME}_batch", args=[batch]))
    return HttpResponseRedirect(reverse(f"admin:{_NAME}"))


class TestPage:
    """The views; `profile_admin` knows the profiles and who may see them."""

    __test__ = False  # not a test class for pytest

    def __init__(self, profile_admin: "SMTPProfileAdmin") -> None:
        self._profiles = profile_admin

    def choose(self, request: HttpRequest) -> HttpResponse:
        """Show what can be tested; a POST starts it."""
        _require(request)
        profiles = self._testable(request)
        if request.method == "POST":
            ticked = set(request.POST.getlist("profile"))
            chosen = [profile for profile in profiles if str(profile.pk) in ticked]
            return start(request, chosen, _recipients(request))
        known = facts.facts_for([profile.pk for profile in profiles])
        choices = [_choice(profile, health.line_of(profile, known[profile.pk])) for profile in profiles]
        own, may_elsewhere = _person(request).email, request.user.has_perm(_ELSEWHERE)
        context = {"choices": choices, "address": own, "may_elsewhere": may_elsewhere}
        return self._page(request, "mailconf/test_all.html", _("Test profiles"), context)

    def follow(self, request: HttpRequest, batch: UUID) -> HttpResponse:
        """Show how a batch gets on."""
        runs = self._runs(request, batch)
        context = _progress(runs) | {"batch": batch, "is_own": runs[0].user_id == request.user.pk}
        return self._page(request, "mailconf/test_batch.html", _("Test profiles"), context)

    def state(self, request: HttpRequest, batch: UUID) -> JsonResponse:
        """Tell how a batch stands; without its HTML when that has not changed since `seq`."""
        progress = _progress(self._runs(request, batch))
        answer = {"seq": progress["seq"], "done": progress["is_done"], "announce": progress["summary"]}
        if request.GET.get("seq") != str(answer["seq"]):
            answer["html"] = render_to_string("mailconf/_test_batch.html", progress, request)
        return JsonResponse(answer)

    def stop(self, request: HttpRequest, batch: UUID) -> HttpResponse:
        """Stop what has not ended; its owner may, and who changes profiles."""
        runs, person = self._runs(request, batch), _person(request)
        if runs[0].user_id != person.pk and not person.has_perm("smtp_settings.change_smtpprofile"):
            raise PermissionDenied(_("Can change SMTP profile"))
        test_send.stop_batch(batch, person)
        return HttpResponseRedirect(reverse(f"admin:{_NAME}_batch", args=[batch]))

    def _testable(self, request: HttpRequest) -> list[SMTPProfile]:
        rows = bare(self._profiles.get_queryset(request)).filter(is_draft=False).order_by("name")
        return [row for row in rows if self._profiles.has_view_permission(request, row)]

    def _runs(self, request: HttpRequest, batch: UUID) -> list[TestRun]:
        """Return the runs of a batch this person may see, in order, and see that they go on."""
        _require(request)
        carrying.look_after_batch(batch)
        runs = list(runs_for(request, TestRun.objects.filter(batch=batch).defer("secret").order_by("id")))
        if not runs:
            raise Http404(_("This test does not exist. It may have been removed."))
        return runs

    def _page(
        self, request: HttpRequest, template: str, title: str, context: dict[str, Any]
    ) -> TemplateResponse:
        base = {
            **self._profiles.admin_site.each_context(request),
            "opts": self._profiles.opts,
            "title": title,
        }
        return TemplateResponse(request, template, base | context)


def _require(request: HttpRequest) -> None:
    if not request.user.has_perm(_TEST):
        raise PermissionDenied(_("Can test saved SMTP profiles"))


def _recipients(request: HttpRequest) -> list[str]:
    """Return who was typed in; `test_send` says whether this person may. Nothing means the own address."""
    return request.POST.get("recipients", "").replace(",", " ").split()


def _choice(profile: SMTPProfile, line: health.Line) -> Choice:
    return Choice(
        key=str(profile.pk),
        name=profile.name,
        server=words.server(profile),
        tone=line.tone,
        words=line.words,
        is_ticked=line.is_live,
    )


def _progress(runs: Sequence[TestRun]) -> dict[str, Any]:  # Any: a template's context
    """Return what the page shows of the runs; `seq` grows with every change."""
    states = Counter(RunState(run.state) for run in runs)
    ended = sum(count for state, count in states.items() if state.is_final)
    return {
        "rows": [_row(run) for run in runs],
        "ended": ended,
        "all": len(runs),
        "is_done": ended == len(runs),
        "summary": _summary(states, ended=ended, of=len(runs)),
        "tone": "is-bad" if states[RunState.FAILED] else "is-ok" if states[RunState.PASSED] else "is-quiet",
        "seq": 2 * ended + states[RunState.RUNNING],
        "recipients": ", ".join(runs[0].recipients),
        "where": next((words.ran_where(run) for run in runs if run.ran_on), ""),
    }


def _summary(states: Counter[RunState], *, ended: int, of: int) -> str:
    """Say "12 passed, 1 failed"; while it goes on, how far it is."""
    parts = list(_counted(states))
    if ended < of:
        parts.append(_("%(n)d of %(of)d done") % {"n": ended, "of": of})
    return ", ".join(parts)


def _counted(states: Counter[RunState]) -> Iterable[str]:
    if n := states[RunState.PASSED]:
        yield ngettext("%(n)d passed", "%(n)d passed", n) % {"n": n}
    if n := states[RunState.FAILED]:
        yield ngettext("%(n)d failed", "%(n)d failed", n) % {"n": n}
    if n := states[RunState.STOPPED]:
        yield ngettext("%(n)d stopped", "%(n)d stopped", n) % {"n": n}


def _row(run: TestRun) -> Row:
    took = ""
    if run.started_at is not None and run.finished_at is not None:
        took = _("%(seconds).1f s") % {"seconds": (run.finished_at - run.started_at).total_seconds()}
    return Row(
        name=run.name,
        server=words.server_of(run.settings),
        badge=words.run_badge(run),
        sentence=_sentence(run),
        url=reverse("admin:smtp_settings_testrun_change", args=[run.pk]),
        took=took,
    )


def _sentence(run: TestRun) -> str:
    """Say why a run failed or was stopped, in a sentence; the page of the run says the rest."""
    cause = cause_of(run, in_form=False)
    if cause is not None:
        return cause.cause
    return run.sentence if run.state == TestRun.State.STOPPED else ""


def _person(request: HttpRequest) -> User:
    """Return who is signed in: the admin site lets nobody else in."""
    return cast("User", request.user)
