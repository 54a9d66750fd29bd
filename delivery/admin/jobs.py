"""Jobs: the question before one, its page while it goes on, and the list of them.

A page starts a job and then follows it: with a script by polling, without one by reloading itself. The job is
a row that workers go on with; no page is needed for that.
"""

from typing import Any, cast

from django.contrib import messages as notices
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from delivery import jobs, tasks
from delivery.admin import actions, job_words, moving
from delivery.admin.asked import number_of
from delivery.admin.filters import choice_of
from delivery.models import BulkJob
from delivery.showing import when
from smtp_settings.admin.records.bounded import BeforeFilter
from smtp_settings.admin.records.test_runs import ReadOnly, sees_all

_VIEW = "delivery.view_bulkjob"
#: For more than 10,000 messages, and to stop what somebody else began.
LARGE = "delivery.run_large_bulkjob"
_LARGE_NAME = gettext_lazy("Can run jobs over more than 10,000 messages and stop any job")
_NAME = "delivery_bulkjob"


class BulkJobAdmin(ReadOnly):
    """Jobs over many messages. Operators see their own."""

    list_title = gettext_lazy("Jobs")
    empty_title = gettext_lazy("No job yet")
    empty_text = gettext_lazy(
        "What is done to all messages of a list runs as a job: choose Failed or Queued under Messages."
    )
    list_display = ("at", "what", "who", "which", "progress", "state_badge")
    list_display_links = ("at",)
    list_filter = ("state", BeforeFilter)
    list_select_related = ("user",)
    ordering = ("-pk",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> "QuerySet[BulkJob]":
        """Leave out other people's jobs for those who see only their own."""
        rows: QuerySet[BulkJob] = super().get_queryset(request).select_related("user")
        return rows if sees_all(request, _VIEW) else rows.filter(user_id=cast("int", request.user.pk))

    def get_urls(self) -> list[URLPattern]:
        """Return the pages of jobs; the stock ones that change something are not there."""

        def view(function: Any, *methods: Any) -> Any:  # Any: views and their decorators
            for method in methods:
                function = method(function)
            return self.admin_site.admin_view(never_cache(function))

        return [
            path("", view(self.changelist_view), name=f"{_NAME}_changelist"),
            path(
                "start/", view(self.start_view, require_http_methods(["GET", "POST"])), name=f"{_NAME}_start"
            ),
            path("<int:pk>/", view(self.job_view, require_GET), name=f"{_NAME}_change"),
            path("<int:pk>/state/", view(self.state_view, require_GET), name=f"{_NAME}_state"),
            path("<int:pk>/stop/", view(self.stop_view, require_POST), name=f"{_NAME}_stop"),
        ]

    # The question

    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Ask whether an act is meant for all that a filter shows; a POST begins it."""
        action, act = self._asked(request)
        choice = choice_of(request.GET)
        found = jobs.estimate(choice, upper=2**63 - 1)
        why_not = self._why_not(request, found)
        where = moving.form_for(request) if act.asks_where else None
        if request.method == "POST" and not why_not and (where is None or where.is_valid()):
            act = act if where is None else jobs.moving_to(where.destination)
            return self._begin(request, act, choice)
        fitting = found.fitting(list(act.moves))
        context = {
            "action": action,
            "act": act,
            "facts": _facts(request, choice),
            "found": found,
            "fitting": fitting,
            "others": sum(found.by_state.values()) - fitting,
            "count_limit": jobs.COUNT_LIMIT,
            "why_not": why_not if request.method == "POST" or not self._may(request, found) else "",
            "may": self._may(request, found) and bool(fitting or found.is_capped),
            "per_minute": request.POST.get("per_minute", request.GET.get("pace", "")),
            "form": where,
            "back": job_words.list_of(choice),
        }
        return self._page(request, "admin/delivery/bulkjob/start.html", action.heading, context)

    def _asked(self, request: HttpRequest) -> tuple[actions.Action, jobs.Act]:
        action = actions.BY_NAME.get(request.GET.get("action", ""))
        act = jobs.ACTS.get(request.GET.get("action", ""))
        if not request.user.has_perm("delivery.view_message"):
            raise PermissionDenied(_("Can view message"))
        if action is None or act is None:
            raise Http404(_("There is no such job."))
        if not request.user.has_perm(action.permission):
            raise PermissionDenied(action.permission_name)
        return action, act

    def _may(self, request: HttpRequest, found: jobs.Estimate) -> bool:
        return not found.is_capped or request.user.has_perm(LARGE)

    def _why_not(self, request: HttpRequest, found: jobs.Estimate) -> str:
        """Say what keeps the job from beginning, "" for nothing."""
        if not self._may(request, found):
            return _("Nothing was begun. It needs the permission “%(name)s”.") % {"name": _LARGE_NAME}
        typed = "".join(request.POST.get("confirm", "").replace(",", "").split())
        if found.is_capped and typed != str(jobs.COUNT_LIMIT):
            return _("Nothing was begun. Type %(n)d to say that you mean all of them.") % {
                "n": jobs.COUNT_LIMIT
            }
        pace = request.POST.get("per_minute", "").strip()
        if pace and not number_of(pace):
            return _("Nothing was begun. The pace is a whole number of messages a minute, or empty.")
        return ""

    def _begin(self, request: HttpRequest, act: jobs.Act, choice: jobs.Choice) -> HttpResponse:
        pace = number_of(request.POST.get("per_minute", "").strip()) if act.sends else None
        try:
            with transaction.atomic():
                job_id = jobs.start(
                    act,
                    choice,
                    user_id=request.user.pk,
                    per_minute=pace or 0,
                    with_uncertain="with_uncertain" in request.POST,
                )
                transaction.on_commit(tasks.begin_jobs, robust=True)
        except jobs.NothingToDo:
            notices.warning(request, _("Nothing was done: no message of this list stands so any more."))
            return HttpResponseRedirect(job_words.list_of(choice))
        return HttpResponseRedirect(reverse(f"admin:{_NAME}_change", args=[job_id]))

    # One job

    def job_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show how far a job is."""
        job = self._found(request, pk)
        progress = job_words.progress_of(job)
        context = self._context(request, job, progress) | {
            "may_stop": progress.is_running and self._may_stop(request, job),
        }
        return self._page(request, "admin/delivery/bulkjob/job.html", progress.title, context)

    def state_view(self, request: HttpRequest, pk: int) -> JsonResponse:
        """Tell how a job stands; without its HTML when that has not changed since `seq`."""
        job = self._found(request, pk)
        progress = job_words.progress_of(job)
        said = progress.stalled or progress.sentence
        answer: dict[str, Any] = {"seq": progress.seq, "done": not progress.is_running, "announce": said}
        if request.GET.get("seq") != progress.seq:
            context = self._context(request, job, progress)
            answer["html"] = render_to_string("admin/delivery/bulkjob/_job.html", context, request)
        return JsonResponse(answer)

    def stop_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Stop a job; who began it may, and who may run large ones."""
        job = self._found(request, pk)
        if not self._may_stop(request, job):
            raise PermissionDenied(_LARGE_NAME)
        if not jobs.stop(job.pk, user_id=request.user.pk):
            notices.info(request, _("It was over already."))
        return HttpResponseRedirect(reverse(f"admin:{_NAME}_change", args=[pk]))

    def _may_stop(self, request: HttpRequest, job: BulkJob) -> bool:
        action = actions.BY_NAME.get(job.action)
        may_act = action is not None and request.user.has_perm(action.permission)
        return request.user.has_perm(LARGE) or (job.user_id == request.user.pk and may_act)

    def _context(
        self, request: HttpRequest, job: BulkJob, progress: job_words.Progress
    ) -> dict[str, Any]:  # Any: a template's
        choice = jobs.choice_of(job.filter)
        return {
            "job": job,
            "progress": progress,
            "facts": _facts(request, choice, jobs.destination_of(job.filter)),
            "list_url": job_words.list_of(choice),
        }

    def _found(self, request: HttpRequest, pk: int) -> BulkJob:
        if not self.has_view_permission(request):
            raise PermissionDenied(_("Can view job"))
        job = self.get_queryset(request).filter(pk=pk).first() if pk <= 2**63 - 1 else None
        if job is None:
            raise Http404(_("This job does not exist."))
        return job

    def _page(
        self, request: HttpRequest, template: str, title: str, context: dict[str, Any]
    ) -> TemplateResponse:
        base = {**self.admin_site.each_context(request), "opts": self.opts, "title": title}
        return TemplateResponse(request, template, base | context)

    # Columns

    @display(description=gettext_lazy("When"))
    def at(self, job: BulkJob) -> SafeString:
        """Return when it was asked for."""
        return when(job.created_at)

    @display(description=gettext_lazy("What"))
    def what(self, job: BulkJob) -> str:
        """Return what it does."""
        return job_words.title_of(job)

    @display(description=gettext_lazy("Who"))
    def who(self, job: BulkJob) -> str:
        """Return who began it."""
        return job.user.get_username() if job.user else _("somebody since removed")

    @display(description=gettext_lazy("Which messages"))
    def which(self, job: BulkJob) -> str:
        """Return its filter; names of profiles and sites are on its page."""
        words = job_words.filter_words(
            jobs.choice_of(job.filter), with_names=False, to=jobs.destination_of(job.filter)
        )
        return ", ".join(f"{name}: {value}" for name, value in words)

    @display(description=gettext_lazy("Progress"))
    def progress(self, job: BulkJob) -> str:
        """Return how far it is."""
        return job_words.progress_of(job).sentence

    @display(description=gettext_lazy("Status"))
    def state_badge(self, job: BulkJob) -> SafeString:
        """Return where it stands."""
        tone = job_words.TONES[BulkJob.State(job.state)]
        return format_html('<span class="mc-badge {}">{}</span>', tone, BulkJob.State(job.state).label)


def _facts(
    request: HttpRequest, choice: jobs.Choice, to: jobs.Destination | None = None
) -> list[tuple[str, str]]:
    """Say what was chosen, to this person."""
    may_see_profiles = request.user.has_perm("smtp_settings.view_smtpprofile")
    return job_words.filter_words(choice, may_see_profiles=may_see_profiles, to=to)
