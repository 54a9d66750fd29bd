"""The event log: what people and workers did, with who and from where; for reading only."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.admin import words
from smtp_settings.admin.records import event_words
from smtp_settings.admin.records.bounded import BeforeFilter
from smtp_settings.admin.records.test_runs import ReadOnly, sees_all
from smtp_settings.models import Event, SMTPProfile

_LEVELS = {
    "info": (gettext_lazy("Information"), "is-quiet"),
    "warning": (gettext_lazy("Warning"), "is-warn"),
    "error": (gettext_lazy("Error"), "is-bad"),
}
_VIEW = "smtp_settings.view_event"
#: Details of one line that are shown; the rest is on the event's page.
_SHOWN = 6
#: Longer ones have a line of their own.
_LONG = 40


class LevelChip(admin.SimpleListFilter):
    """By how grave it is."""

    title = gettext_lazy("Level")
    parameter_name = "level"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:  # Any: as Django's
        """Offer the three."""
        return [(level, text) for level, (text, _tone) in _LEVELS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        """Narrow down."""
        return queryset.filter(level=self.value()) if self.value() is not None else queryset


class KindChip(admin.SimpleListFilter):
    """By what happened, in words."""

    title = gettext_lazy("What")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:  # Any: as Django's
        """Offer every kind there is; counting those in the log would read all of it."""
        return list(event_words.NAMES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        """Narrow down."""
        return queryset.filter(kind=self.value()) if self.value() is not None else queryset


@admin.register(Event)
class EventAdmin(ReadOnly):
    """The event log. Those who may test, but not change, see what they did themselves."""

    list_title = gettext_lazy("Event log")
    list_display = ("time", "level_badge", "what", "who", "about", "ip_address")
    list_display_links = None
    list_filter = (LevelChip, KindChip, BeforeFilter)
    search_fields = ("data__name",)
    search_help_text = gettext_lazy("Name of a profile")
    readonly_fields = ("time", "level_badge", "what", "who", "about", "ip_address")
    fields = readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """Leave out what others did for those who see only their own."""
        rows: QuerySet[Event] = super().get_queryset(request)
        return rows if sees_all(request, _VIEW) else rows.filter(user_id=cast("int", request.user.pk))

    def get_changelist_instance(self, request: HttpRequest) -> Any:  # Any: ChangeList
        """Fetch the people and profiles of the page at once; the log has no foreign key to join on."""
        page = super().get_changelist_instance(request)
        rows = list(page.result_list)
        _name(rows)
        page.result_list = rows
        return page

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Event | None:  # Any: as Django's
        """Fetch the names of one event's person and profile."""
        event: Event | None = super().get_object(request, *args, **kwargs)
        if event is not None:
            _name([event])
        return event

    @admin.display(description=gettext_lazy("Time"), ordering="id")
    def time(self, event: Event) -> str:
        """Return when it happened."""
        return words.when(event.at)

    @admin.display(description=gettext_lazy("Level"))
    def level_badge(self, event: Event) -> SafeString:
        """Return how grave it is."""
        text, tone = _LEVELS.get(event.level, (event.level, "is-quiet"))
        return words.badge(str(text), tone)

    @admin.display(description=gettext_lazy("What"))
    def what(self, event: Any) -> SafeString:  # Any: a row with what the page fetched beside it
        """Return what happened and its details."""
        details = event_words.details_of(event)
        if len(details) > _SHOWN:
            rest = len(details) - _SHOWN
            details = [*details[:_SHOWN], _("and %(n)d more") % {"n": rest}]
        lines = format_html_join(
            "", '<span class="mc-row-note">{}</span>', ((one,) for one in _lines(details))
        )
        return format_html("{}{}", event_words.name_of(event.kind), lines)

    @admin.display(description=gettext_lazy("Who"))
    def who(self, event: Any) -> str:  # Any: as in `what`
        """Return the person; none for what a worker did."""
        if event.listed_who:
            return str(event.listed_who)
        if event.user_id:
            return _("User %(id)s (deleted)") % {"id": event.user_id}
        return _("Worker") if event.worker_id else "-"

    @admin.display(description=gettext_lazy("About"))
    def about(self, event: Any) -> str:  # Any: as in `what`
        """Return what the event is about."""
        if event.data.get("name"):
            return str(event.data["name"])
        if event.message_id:
            return _("Message %(id)s") % {"id": event.message_id}
        if event.job_id:
            return _("Job %(id)s") % {"id": event.job_id}
        if event.listed_profile:
            return str(event.listed_profile)
        return _("Profile %(id)s (deleted)") % {"id": event.profile_id} if event.profile_id else "-"

    @admin.display(description=gettext_lazy("IP"))
    def ip_address(self, event: Event) -> str:
        """Return from where it was asked; none for what a worker or a command did."""
        return event.ip or "-"


def _lines(details: list[str]) -> list[str]:
    """Put each change on a line of its own, the rest together on one."""
    changes = [one for one in details if len(one) > _LONG or "→" in one]
    others = [one for one in details if one not in changes]
    return [*changes, *([", ".join(others)] if others else [])]


def _name(events: list[Any]) -> None:  # Any: events that get more attributes
    """Put the names of people and profiles beside the rows; two queries at most."""
    users = {event.user_id for event in events if event.user_id}
    ids = {event.profile_id for event in events if event.profile_id}
    people = get_user_model()._default_manager.in_bulk(users) if users else {}
    names = dict(SMTPProfile.objects.filter(pk__in=ids).values_list("pk", "name")) if ids else {}
    for event in events:
        event.listed_who = people[event.user_id].get_username() if event.user_id in people else ""
        event.listed_profile = names.get(event.profile_id, "")
