"""The filters of the event log: what, how grave, about what, by whom, when; within the list's window."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy

from smtp_settings.admin.records import event_words
from smtp_settings.models import Event, SMTPProfile

LEVELS = {
    "info": (gettext_lazy("Information"), "is-quiet"),
    "warning": (gettext_lazy("Warning"), "is-warn"),
    "error": (gettext_lazy("Error"), "is-bad"),
}
_SPANS = {
    "hour": (gettext_lazy("Last hour"), timedelta(hours=1)),
    "day": (gettext_lazy("Last 24 hours"), timedelta(days=1)),
    "week": (gettext_lazy("Last 7 days"), timedelta(days=7)),
    "month": (gettext_lazy("Last 30 days"), timedelta(days=30)),
}
#: Profiles and people that are offered.
_MOST = 200
_LARGEST = 2**31 - 1
_KEPT_SECONDS = 10

Offered = list[tuple[str, str]]


class LevelChip(admin.SimpleListFilter):
    """By how grave it is."""

    title = gettext_lazy("Level")
    parameter_name = "level"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:  # Any: as Django's
        """Offer the three."""
        return [(level, text) for level, (text, _tone) in LEVELS.items()]

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


class ProfileChip(admin.SimpleListFilter):
    """By the profile it is about; one that was deleted can still be asked for by its number."""

    title = gettext_lazy("Profile")
    parameter_name = "profile"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:  # Any: as Django's
        """Offer the profiles there are, none to those who may not see profiles."""
        if not request.user.has_perm("smtp_settings.view_smtpprofile"):
            return _with_chosen([], request, self.parameter_name)
        return _with_chosen(_kept(self.parameter_name, _profiles), request, self.parameter_name)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        """Narrow down; what is no number narrows nothing."""
        number = _number(self.value())
        return queryset if number is None else queryset.filter(profile_id=number)


class PersonChip(admin.SimpleListFilter):
    """By who did it."""

    title = gettext_lazy("Who")
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:  # Any: as Django's
        """Offer those who may sign in here."""
        return _with_chosen(_kept(self.parameter_name, _people), request, self.parameter_name)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        """Narrow down; what is no number narrows nothing."""
        number = _number(self.value())
        return queryset if number is None else queryset.filter(user_id=number)


class PeriodChip(admin.SimpleListFilter):
    """By when it happened."""

    title = gettext_lazy("Period")
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:  # Any: as Django's
        """Offer some spans."""
        return [(name, text) for name, (text, _span) in _SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        """Narrow down; an unknown word narrows nothing."""
        chosen = _SPANS.get(self.value() or "")
        return queryset if chosen is None else queryset.filter(at__gte=timezone.now() - chosen[1])


def _profiles() -> Offered:
    rows = SMTPProfile.objects.order_by("name").values_list("pk", "name")[:_MOST]
    return [(str(pk), name) for pk, name in rows]


def _people() -> Offered:
    users = get_user_model()._default_manager.filter(is_staff=True).order_by("pk")[:_MOST]
    return sorted(((str(user.pk), user.get_username()) for user in users), key=lambda one: one[1])


def _kept(name: str, read: Callable[[], Offered]) -> Offered:
    """Return what is offered, at most some seconds old: every page of the log asks."""
    found: Offered = cache.get_or_set(f"mailconf.events.{name}", read, _KEPT_SECONDS) or []
    return found


def _number(text: str | None) -> int | None:
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST))
    return int(text) if is_number and text is not None and int(text) <= _LARGEST else None


def _with_chosen(offered: Offered, request: HttpRequest, name: str) -> Offered:
    """Add what the address names and is not there any more, so that it can be seen and taken away."""
    number = _number(request.GET.get(name))
    known = {value for value, _text in offered}
    return offered if number is None or str(number) in known else [*offered, (str(number), f"#{number}")]
