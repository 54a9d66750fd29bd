"""Test runs: what happened, for reading only; retention alone removes it."""

from collections.abc import Iterator
from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings import carrying
from smtp_settings.admin import words
from smtp_settings.admin.panel import run_words
from smtp_settings.admin.panel.panel import run_context
from smtp_settings.admin.panel.panel_data import run_data
from smtp_settings.admin.panel.steps import failed_step as _failed_step
from smtp_settings.admin.records.bounded import BeforeFilter, BoundedList, CappedPaginator
from smtp_settings.models import TestRun

_TEST, _VIEW = "smtp_settings.test_smtpprofile", "smtp_settings.view_testrun"
_SEE_PROFILES = ("smtp_settings.view_smtpprofile", "smtp_settings.change_smtpprofile")
#: Columns that say which profile was tested, and where that leads.
_OF_PROFILES = frozenset({"profile_name", "server"})


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Rows nobody adds, changes or deletes here."""

    actions = None
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 50
    paginator = CappedPaginator
    show_full_result_count = False
    view_on_site = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedList]:  # Any: as ModelAdmin
        """Look at the newest rows only."""
        return BoundedList

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse everybody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: as ModelAdmin
        """Refuse everybody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: as ModelAdmin
        """Refuse everybody."""
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow the list's own filters in the address only."""
        filters = {getattr(one, "parameter_name", one) for one in self.list_filter}
        return lookup.split("__", 1)[0] in {*filters, "id", "pk"}


def runs_for(request: HttpRequest, runs: QuerySet[TestRun]) -> QuerySet[TestRun]:
    """Return the runs this person may open."""
    return runs if sees_all(request, _VIEW) else runs.filter(user_id=cast("int", request.user.pk))


def sees_all(request: HttpRequest, view: str) -> bool:
    """Whether what others did is shown: to those who change profiles or only look, not to testers."""
    if request.user.has_perm("smtp_settings.change_smtpprofile"):
        return True
    return request.user.has_perm(view) and not request.user.has_perm(_TEST)


def sees_profiles(request: HttpRequest) -> bool:
    """Whether a run tells of its profile: the name, the settings and what the server said."""
    return any(map(request.user.has_perm, _SEE_PROFILES))


@admin.register(TestRun)
class TestRunAdmin(ReadOnly):
    """The tests: who tested what, and how it went. Those who may test see their own.

    Who may not see profiles is told that there was a test, by whom, and how it ended.
    """

    empty_title = gettext_lazy("No test yet")
    empty_text = gettext_lazy("Each test of a profile is kept here, with its steps and the server's words.")
    list_display = ("at", "who", "what", "profile_name", "server", "place", "result", "failed_step", "took")
    list_display_links = ("at",)
    list_filter = ("kind", "state", BeforeFilter)
    search_fields = ("settings__name", "settings__host")
    search_help_text = gettext_lazy("Profile or server")
    list_select_related = ("user",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TestRun]:
        """Leave out other people's runs for those who may only test."""
        return runs_for(request, super().get_queryset(request).defer("secret"))

    def get_list_display(self, request: HttpRequest) -> Any:  # Any: as Django types it
        """Leave out what tells of profiles for those who may not see any."""
        is_told = sees_profiles(request)
        return [name for name in self.list_display if is_told or name not in _OF_PROFILES]

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Let nobody ask for names of profiles who may not see them."""
        return self.search_fields if sees_profiles(request) else ()

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> TestRun | None:
        # Any: as Django's
        """Leave out the settings that were tested for those who may not see profiles: titles name them."""
        run: TestRun | None = super().get_object(request, *args, **kwargs)
        if run is not None and not sees_profiles(request):
            run.settings = {}
        return run

    def has_view_permission(self, request: HttpRequest, obj: TestRun | None = None) -> bool:
        """Let testers see their own runs."""
        may_look = super().has_view_permission(request, obj) or request.user.has_perm(_TEST)
        return may_look and (obj is None or obj.user_id == request.user.pk or sees_all(request, _VIEW))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the app to testers."""
        return self.has_view_permission(request)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,  # Any: a template's context
    ) -> HttpResponse:
        """Show one run: the panel's steps and conversation."""
        context = extra_context or {}
        run = super().get_object(request, object_id)
        if run is not None:
            if self.has_view_permission(request, run):
                carrying.look_after(run)
            context |= self._told(run) if sees_profiles(request) else self._told_briefly(run)
            context |= {"subtitle": None, "badge": run_words.result(run)}
        return super().change_view(request, object_id, form_url, context)

    def _told(self, run: TestRun) -> dict[str, Any]:  # Any: a template's context
        """Return all there is to show of a run."""
        context = {
            "title": run_words.title(run),
            "test": run_context(run, in_form=False),
            "facts": list(self._facts(run)),
            "script": run_data(run),
        }
        return context | ({"search": run_words.found(run)} if run.kind == TestRun.Kind.SEARCH else {})

    def _told_briefly(self, run: TestRun) -> dict[str, Any]:  # Any: a template's context
        """Return what those are shown who may not see profiles."""
        title = _("Test run %(id)s") % {"id": run.pk}
        return {"title": title, "facts": list(self._facts(run, with_server=False))}

    def get_fieldsets(
        self, request: HttpRequest, obj: TestRun | None = None
    ) -> Any:  # Any: as Django types it
        """Leave the page to the template."""
        return [(None, {"fields": []})]

    def _facts(self, run: TestRun, *, with_server: bool = True) -> Iterator[tuple[str, str]]:
        """Yield what was tested, by whom, when and where."""
        yield _("What"), self.what(run)
        if with_server:
            yield _("Server"), self.server(run)
        if run.kind == TestRun.Kind.SEND:
            yield _("Sent to"), ", ".join(run.recipients)
        yield _("Started by"), self.who(run)
        yield _("When"), self.at(run)
        yield _("Where"), self.place(run)
        yield _("Took"), self.took(run)
        if run.received_at is not None:
            yield _("Received"), words.when(run.received_at)

    @admin.display(description=gettext_lazy("When"), ordering="id")
    def at(self, run: TestRun) -> str:
        """Return when the test was asked for."""
        return words.when(run.created_at)

    @admin.display(description=gettext_lazy("Who"))
    def who(self, run: TestRun) -> str:
        """Return the person; a command has none."""
        return run.user.get_username() if run.user else _("a command")

    @admin.display(description=gettext_lazy("Profile"))
    def profile_name(self, run: TestRun) -> str:
        """Return the name that was tested, saved or not."""
        return run.name

    @admin.display(description=gettext_lazy("What"), ordering="kind")
    def what(self, run: TestRun) -> str:
        """Return the kind of test."""
        return str(TestRun.Kind(run.kind).label)

    @admin.display(description=gettext_lazy("Server"))
    def server(self, run: TestRun) -> str:
        """Return where the test went."""
        return run_words.server(run)

    @admin.display(description=gettext_lazy("Where"), ordering="ran_on")
    def place(self, run: TestRun) -> str:
        """Return where it ran."""
        return run_words.place(run)

    @admin.display(description=gettext_lazy("Result"), ordering="state")
    def result(self, run: TestRun) -> SafeString:
        """Return how it ended."""
        return run_words.result(run)

    @admin.display(description=gettext_lazy("Failed step"))
    def failed_step(self, run: TestRun) -> str:
        """Return the step at which it failed."""
        return _failed_step(run) or "-"

    @admin.display(description=gettext_lazy("Took"))
    def took(self, run: TestRun) -> str:
        """Return the seconds from start to end."""
        if run.started_at is None or run.finished_at is None:
            return "-"
        return _("%(seconds).1f s") % {"seconds": (run.finished_at - run.started_at).total_seconds()}
