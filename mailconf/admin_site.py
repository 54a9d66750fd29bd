"""The admin site: one row of ways through, filtered by permission, and the pages of no single app."""

from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from delivery import stats
from delivery.stats import MessageState
from mailconf import dashboard, inbox, leaks, manual, ribbon, sign_ins

#: The models that have a place in the navigation, in its order; the rest is reached from their pages.
NAVIGATION: tuple[tuple[str, Promise], ...] = (
    ("delivery.Message", _("Messages")),
    ("smtp_settings.SMTPProfile", _("SMTP profiles")),
    ("smtp_settings.OAuthCredential", _("OAuth credentials")),
    ("smtp_settings.SendingPolicy", _("Sending policy")),
    ("smtp_settings.NotificationSettings", _("Notifications")),
    ("smtp_settings.TestRun", _("Test runs")),
    ("smtp_settings.Event", _("Event log")),
    ("delivery.BulkJob", _("Jobs")),
    ("auth.User", _("Users")),
    ("auth.Group", _("Groups")),
    ("sites.Site", _("Sites")),
)

#: What is set up once and seldom looked at: one menu at the end of the row, so that the row fits a window.
SELDOM = frozenset(
    {
        "smtp_settings.OAuthCredential",
        "smtp_settings.NotificationSettings",
        "auth.User",
        "auth.Group",
        "sites.Site",
    }
)

#: How loud the name of the environment is; every other name is shown without a tone.
ENVIRONMENT_TONES = {"production": "is-bad", "staging": "is-warn"}


_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Way:
    """One entry of the navigation; `count` is shown beside the label when there is one."""

    label: str | Promise
    url: str
    is_current: bool
    count: str = ""
    #: In the menu at the end of the row.
    is_seldom: bool = False


class MailconfAdminSite(AdminSite):
    """Stock admin with our navigation, dashboard and sandbox inbox."""

    site_header = "mailconf"
    site_title = "mailconf"
    index_title = _("Dashboard")
    site_url = None
    enable_nav_sidebar = False

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the dashboard in place of the list of apps."""
        context = {**self.each_context(request), "title": self.index_title, **dashboard.context_for(request)}
        return TemplateResponse(request, "mailconf/dashboard.html", context | (extra_context or {}))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Let a person in, and write down that they came, or were refused."""
        response = super().login(request, extra_context)
        if request.method == "POST":
            sign_ins.note(request)
        return response

    def each_context(self, request: HttpRequest) -> dict[str, Any]:  # Any: as AdminSite.each_context
        """Add what every page shows: the navigation and the environment."""
        environment = getattr(settings, "MAILCONF_ENVIRONMENT", "")
        is_in = self.has_permission(request)
        ways = self.navigation(request) if is_in else []
        return super().each_context(request) | {
            "navigation": ways,
            "menu": [way for way in ways if way.is_seldom],
            "menu_is_current": any(way.is_seldom and way.is_current for way in ways),
            "ribbon": ribbon.lines(request) if is_in else [],
            "environment": environment,
            "is_django_6": django.VERSION >= (6,),
            "environment_tone": ENVIRONMENT_TONES.get(environment.lower(), "is-quiet"),
        }

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[Any]:  # Any: as AdminSite.get_app_list
        """List the models of one app; all of them stand only in the stock sidebar and index, not in ours."""
        return super().get_app_list(request, app_label) if app_label else []

    def navigation(self, request: HttpRequest) -> list[Way]:
        """Return the entries this user may open."""
        home = reverse("admin:index", current_app=self.name)
        ways = [Way(_("Dashboard"), home, is_current=request.path == home)]
        for label, title in NAVIGATION:
            if (url := self._url_of(label, request)) is not None:
                count = _queued() if label == "delivery.Message" else ""
                is_current = request.path.startswith(url)
                ways.append(Way(title, url, is_current=is_current, count=count, is_seldom=label in SELDOM))
        if inbox.is_there() and inbox.may_list(request):
            url = reverse("admin:sandbox", current_app=self.name)
            ways.append(Way(_("Sandbox inbox"), url, is_current=request.path.startswith(url)))
        return ways

    def admin_view(
        self,
        view: Any,  # Any: a view, as AdminSite.admin_view
        cacheable: bool = False,  # noqa: FBT001, FBT002  # as there
    ) -> Any:
        """Leave out ticked "numbers" that no row can have: stock lists fail on them, our own skip them."""

        def with_numbers(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # Any: of any view
            if ACTION_CHECKBOX_NAME in request.POST:
                request.POST = _with_numbers_only(request.POST)  # type: ignore[assignment]  # the stubs: immutable
            response: HttpResponse = view(request, *args, **kwargs)
            return response

        return super().admin_view(update_wrapper(with_numbers, view), cacheable)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Add the pages that belong to no model; before the stock ones, which end in a catch-all."""
        ours = [*inbox.Inbox(self).urls(), *leaks.Leaks(self).urls(), *manual.Manual(self).urls()]
        return [*ours, *super().get_urls()]

    def _url_of(self, label: str, request: HttpRequest) -> str | None:
        """Return the list's address, or None where the model is not shown or not allowed."""
        try:
            model = apps.get_model(label)
        except LookupError:
            return None
        model_admin = self._registry.get(model)
        if model_admin is None or not model_admin.has_view_or_change_permission(request):
            return None
        opts = model_admin.opts
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist", current_app=self.name)


def _with_numbers_only(posted: QueryDict) -> QueryDict:
    cleaned = posted.copy()
    ticked = [text for text in map(str, posted.getlist(ACTION_CHECKBOX_NAME)) if _is_row_number(text)]
    cleaned.setlist(ACTION_CHECKBOX_NAME, ticked)
    return cleaned


def _is_row_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _LARGEST_ID


def _queued() -> str:
    """Return how many messages wait, at most ten seconds old; nothing for none or when unknown."""
    try:
        count = stats.cached_counts()[MessageState.QUEUED]
    except DatabaseError:
        return ""
    if count >= stats.CAP:
        return f"{stats.CAP - 1:,}+"
    return f"{count:,}" if count else ""
