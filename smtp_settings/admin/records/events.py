"""The event log: what people and workers did, with who and from where; for reading only."""

from functools import partial
from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils.html import conditional_escape, escape
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from smtp_settings import email_log
from smtp_settings.admin import words
from smtp_settings.admin.records import event_subjects, event_words, exporting
from smtp_settings.admin.records.bounded import WINDOW, BeforeFilter
from smtp_settings.admin.records.event_filters import (
    LEVELS,
    KindChip,
    LevelChip,
    PeriodChip,
    PersonChip,
    ProfileChip,
)
from smtp_settings.admin.records.event_subjects import Reader, Subject
from smtp_settings.admin.records.test_runs import ReadOnly, sees_all
from smtp_settings.models import Event

_VIEW = "smtp_settings.view_event"
_EXPORT = "smtp_settings.export_event"
#: Details of one line that are shown; the rest is on the event's page.
_SHOWN = 6
#: Longer ones have a line of their own.
_LONG = 40


@admin.register(Event)
class EventAdmin(ReadOnly):
    """The event log. Those who may test, but not change, see what they did themselves."""

    empty_title = gettext_lazy("No event yet")
    empty_text = gettext_lazy("Saved profiles, tests, pauses, jobs and sign-ins are written down here.")
    list_title = gettext_lazy("Event log")
    list_display = ("time", "level_badge", "what", "who", "about", "ip_address")
    list_display_links = None
    list_filter = (PeriodChip, LevelChip, KindChip, ProfileChip, PersonChip, BeforeFilter)
    search_fields = ("data__name",)
    search_help_text = gettext_lazy("Name of a profile")
    readonly_fields = ("time", "level_badge", "what", "who", "about", "ip_address")
    fields = readonly_fields

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Let nobody ask for names of profiles who may not see them."""
        return self.search_fields if Reader(request.user).may_see_profiles else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """Leave out what others did for those who see only their own."""
        rows: QuerySet[Event] = super().get_queryset(request)
        return rows if sees_all(request, _VIEW) else rows.filter(user_id=cast("int", request.user.pk))

    def get_changelist_instance(self, request: HttpRequest) -> Any:  # Any: ChangeList
        """Fetch what the page's rows name at once; the log has no foreign key to join on."""
        page = super().get_changelist_instance(request)
        rows = list(page.result_list)
        event_subjects.name(rows, Reader(request.user))
        page.result_list = rows
        return page

    def get_urls(self) -> list[URLPattern]:
        """Add the downloads."""
        wrap = self.admin_site.admin_view
        export, log = require_safe(self.export_view), require_safe(self.email_log_view)
        return [
            path("export/", wrap(export), name="smtp_settings_event_export"),
            path("email-log/", wrap(log), name="smtp_settings_event_email_log"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, with the downloads for those who may."""
        may_export = request.user.has_perm(_EXPORT)
        context = {"may_export": may_export, "has_email_log": may_export and bool(email_log.files())}
        return super().changelist_view(request, (extra_context or {}) | context)

    def export_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """Answer with what the list's filters leave, as CSV; an event says who took it."""
        self._require_export(request)
        page = super().get_changelist_instance(request)
        rows = page.queryset.order_by("-id")[:WINDOW]
        _exported(request, "events")
        return exporting.as_csv(rows, partial(event_subjects.name, reader=Reader(request.user)))

    def email_log_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """Answer with the email log's files, the oldest first; an event says who took them."""
        self._require_export(request)
        files = email_log.files()
        if not files:
            raise Http404(_("No email log is kept where this page is served from."))
        _exported(request, "email log")
        return exporting.as_it_stands(files)

    def _require_export(self, request: HttpRequest) -> None:
        if not request.user.has_perm(_EXPORT) or not sees_all(request, _VIEW):
            raise PermissionDenied(_("Can export the event log and the email log"))

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Event | None:  # Any: as Django's
        """Fetch what one event names."""
        event: Event | None = super().get_object(request, *args, **kwargs)
        if event is not None:
            event_subjects.name([event], Reader(request.user))
        return event

    @admin.display(description=gettext_lazy("Time"), ordering="id")
    def time(self, event: Event) -> str:
        """Return when it happened."""
        return words.when(event.at)

    @admin.display(description=gettext_lazy("Level"))
    def level_badge(self, event: Event) -> SafeString:
        """Return how grave it is."""
        text, tone = LEVELS.get(event.level, (event.level, "is-quiet"))
        return words.badge(str(text), tone)

    @admin.display(description=gettext_lazy("What"))
    def what(self, event: Any) -> SafeString:  # Any: a row with what the page fetched beside it
        """Return what happened, a test as a link to its page, and the details."""
        details = event.listed_details
        if len(details) > _SHOWN:
            rest = len(details) - _SHOWN
            details = [*details[:_SHOWN], _("and %(n)d more") % {"n": rest}]
        lines = (f'<span class="mc-row-note">{conditional_escape(one)}</span>' for one in _lines(details))
        return SafeString(_link(event_words.name_of(event.kind), event.listed_run) + "".join(lines))

    @admin.display(description=gettext_lazy("Who"))
    def who(self, event: Any) -> str:  # Any: as in `what`
        """Return the person; none for what a worker did."""
        if event.listed_who:
            return str(event.listed_who)
        if event.user_id:
            return _("User %(id)s (deleted)") % {"id": event.user_id}
        return _("Worker") if event.worker_id else words.NOTHING

    @admin.display(description=gettext_lazy("About"))
    def about(self, event: Any) -> SafeString:  # Any: as in `what`
        """Return what the event is about, as a link for those who may open it."""
        subject: Subject = event.listed_about
        return _link(subject.text, subject.url) if subject.text else words.NOTHING

    @admin.display(description=gettext_lazy("IP"))
    def ip_address(self, event: Event) -> str:
        """Return from where it was asked; none for what a worker or a command did."""
        return event.ip or words.NOTHING


def _link(text: str, url: str) -> SafeString:
    """Return words, as a link where there is an address of ours."""
    shown = escape(text)
    return SafeString(f'<a href="{url}">{shown}</a>') if url else shown


def _exported(request: HttpRequest, what: str) -> None:
    user_id = cast("int", request.user.pk)
    Event.objects.create(kind="log.exported", user_id=user_id, data={"part": what})


def _lines(details: list[str]) -> list[str]:
    """Put each change on a line of its own, the rest together on one."""
    changes = [one for one in details if len(one) > _LONG or "→" in one]
    others = [one for one in details if one not in changes]
    return [*changes, *([", ".join(others)] if others else [])]
