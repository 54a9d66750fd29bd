"""The sending policy: a page for all mail, one for each site, and the question before a restriction ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.sites.models import Site
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from smtp_settings import facts
from smtp_settings.admin.policy.forms import OverallForm, SiteForm
from smtp_settings.models import SendingPolicy
from smtp_settings.policy import Policies, differences, freed, policies
from smtp_settings.policy.changing import StalePolicy, confirm_place, row_for, save
from smtp_settings.policy.deciding import Rules, decide
from smtp_settings.policy.reading import read

#: What a place differs in, in words.
OTHER = {
    "server": gettext_lazy("another database server, or this one made anew"),
    "database": gettext_lazy("another database on its server"),
    "address": gettext_lazy("another address of the database"),
    "environment": gettext_lazy("another environment (MAILCONF_ENVIRONMENT)"),
    "keys": gettext_lazy("other keys"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of the site selector."""

    label: str
    url: str
    is_current: bool


@admin.register(SendingPolicy)
class SendingPolicyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic for the checker only
    """A row is a page; rows come into being when somebody looks for them, and say nothing then."""

    change_form_template = "admin/smtp_settings/sendingpolicy/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        """Add a site's page, and the answer to "is this a copy?"."""
        view = self.admin_site.admin_view
        return [
            path("site/<int:site_id>/", view(self.of_site), name="smtp_settings_sendingpolicy_site"),
            path("place/", view(self.place), name="smtp_settings_sendingpolicy_place"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let nobody add rows: a site's is there when it is asked for."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: as Django's
        """Let nobody remove one: "as global" everywhere is the same."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show what holds for all."""  # Any: as Django's
        self._check_view(request)
        return HttpResponseRedirect(_url_of(row_for(None)))

    def of_site(self, request: HttpRequest, site_id: int) -> HttpResponse:
        """Show a site's policy."""
        self._check_view(request)
        site = Site.objects.filter(pk=site_id).first()
        if site is None:
            raise Http404(_("This site does not exist. It may have been removed."))
        return HttpResponseRedirect(_url_of(row_for(site)))

    def place(self, request: HttpRequest) -> HttpResponse:
        """Take the answer to whether this database is a copy."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_change_permission(request):
            raise PermissionDenied
        is_copy = request.POST.get("is") == "copy"
        if request.POST.get("waiting") == "cancel" and not is_copy:
            _say_cancelled(request, facts.mail().cancel(_everything(), _user_id(request)))
        if confirm_place(user_id=_user_id(request), logs_only=is_copy):
            text = (
                _("Confirmed. Mail is only logged here.")
                if is_copy
                else _("Confirmed. Mail leaves from here.")
            )
            messages.success(request, text)
        return HttpResponseRedirect(reverse("admin:smtp_settings_sendingpolicy_changelist"))

    def get_form(
        self, request: HttpRequest, obj: Any = None, *args: Any, **kwargs: Any
    ) -> Any:  # Any: Django's
        """Return the form for all, or that of a site."""
        kwargs["form"] = SiteForm if obj is not None and obj.site_id is not None else OverallForm
        return super().get_form(request, obj, *args, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:  # Any: as Django's
        """Group the fields as they belong together."""
        debug = ("debug_mode", "simulated_failures", "simulated_kind")
        groups: list[tuple[str, dict[str, Any]]] = [
            (_("Sending"), {"fields": _SENDING}),
            (_("Debug mode"), {"fields": debug}),
        ]
        if obj is None or obj.site_id is None:
            groups += [
                (_("Redirect"), {"fields": ("redirect_to", "redirect_except")}),
                (_("Batches and log"), {"fields": ("batch_size", "email_log")}),
            ]
        if not self.has_change_permission(request, obj):
            for _title, options in groups:
                options["fields"] = tuple(_SHOWN.get(name, name) for name in options["fields"])
        return groups

    @admin.display(description=gettext_lazy("Email log"))
    def email_log_shown(self, row: SendingPolicy) -> str:
        """Say it in a word: the sign Django shows has an English one behind it."""
        return _in_a_word(row.email_log)

    @admin.display(description=gettext_lazy("Emails enabled"))
    def emails_shown(self, row: SendingPolicy) -> str:
        """Say it in a word."""
        return _in_a_word(row.emails_enabled)

    @admin.display(description=gettext_lazy("Queue enabled"))
    def queue_shown(self, row: SendingPolicy) -> str:
        """Say it in a word."""
        return _in_a_word(row.queue_enabled)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,  # Any: as Django's
    ) -> HttpResponse:
        """Show and take one row; what ends a restriction asks what becomes of the mail that waits."""
        row = self.get_object(request, object_id or "")
        if row is None:
            return super().changeform_view(request, object_id, form_url, extra_context)
        if request.method == "POST" and self.has_change_permission(request, row):
            sites = self._freed(request, row)
            decided = request.POST.get("_decided", "")
            if sites and not decided and (count := facts.mail().waiting(sites)):
                return self._ask(request, row, count)
            if sites and decided == "cancel":
                _say_cancelled(request, facts.mail().cancel(sites, _user_id(request)))
        context = {
            "title": _("Sending policy"),
            "subtitle": str(row),
            "choices": _choices(row),
            "place": _place(),
            "kept": _kept(),
            "may_change": self.has_change_permission(request, row),
            "is_overall": row.site_id is None,
        }
        context |= extra_context or {}
        try:
            return super().changeform_view(request, object_id, form_url, context)
        except StalePolicy:  # check again, with what is there now
            return super().changeform_view(request, object_id, form_url, context)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:  # Any: as Django's
        """Store it with its event."""
        save(obj, user_id=_user_id(request))

    def log_change(self, *_args: Any, **_kwargs: Any) -> Any:  # Any: as Django's
        """Leave it to the event log, which says more."""
        return None

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:  # Any: as Django's
        """Stay on the page."""
        messages.success(request, _("Saved. Workers follow within seconds."))
        return HttpResponseRedirect(_url_of(obj))

    def _check_view(self, request: HttpRequest) -> None:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied

    def _freed(self, request: HttpRequest, row: SendingPolicy) -> frozenset[int | None]:
        """Return the sites whose mail would leave for its real recipients if this were saved."""
        stored = SendingPolicy.objects.get(pk=row.pk)
        form = self.get_form(request, stored, change=True)(request.POST, instance=stored)
        if not form.is_valid():
            return frozenset()
        found = read()
        before = decide(found.rules, is_confirmed=found.is_confirmed)
        changed = {**found.rules, stored.site_id: _rules_of(stored)}
        after: Policies = decide(changed, is_confirmed=found.is_confirmed)
        return freed(before, after, _everything())

    def _ask(self, request: HttpRequest, row: SendingPolicy, count: int) -> TemplateResponse:
        posted = [(name, value) for name, values in request.POST.lists() for value in values]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Send what waits?"),
            "posted": [pair for pair in posted if pair[0] != "csrfmiddlewaretoken"],
            "sentence": _waits(count),
            "count": count,
            "is_too_many": count >= facts.CAP,
            "back": _url_of(row),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/smtp_settings/sendingpolicy/confirm.html", context)


_SENDING = ("emails_enabled", "queue_enabled")
#: What those who may only look see instead of a field.
_SHOWN = {"emails_enabled": "emails_shown", "queue_enabled": "queue_shown", "email_log": "email_log_shown"}


def _in_a_word(value: bool | None) -> str:
    if value is None:
        return _("As global")
    return _("Yes") if value else _("No")


def _url_of(row: SendingPolicy) -> str:
    return reverse("admin:smtp_settings_sendingpolicy_change", args=[row.pk])


def _user_id(request: HttpRequest) -> int | None:
    return request.user.pk


def _everything() -> list[int | None]:
    return [None, *Site.objects.values_list("pk", flat=True)]


def _rules_of(row: SendingPolicy) -> Rules:
    return Rules(
        site_id=row.site_id,
        emails_enabled=row.emails_enabled,
        queue_enabled=row.queue_enabled,
        debug_mode=row.debug_mode,
        simulated_failures=row.simulated_failures,
        simulated_kind=row.simulated_kind,
        redirect_to=row.redirect_to,
        redirect_except=tuple(row.redirect_except),
    )


def _choices(row: SendingPolicy) -> list[Choice]:
    overall = Choice(
        _("All sites"), reverse("admin:smtp_settings_sendingpolicy_changelist"), row.site_id is None
    )
    return [
        overall,
        *(
            Choice(
                site.domain,
                reverse("admin:smtp_settings_sendingpolicy_site", args=[site.pk]),
                row.site_id == site.pk,
            )
            for site in Site.objects.order_by("domain")
        ),
    ]


def _place() -> Mapping[str, Any] | None:  # Any: for the template
    """Return what there is to say of an unconfirmed place, None where the place is known."""
    if policies().is_confirmed:
        return None
    found = read()
    count = facts.mail().waiting(_everything())
    return {
        "address": found.here.address,
        "environment": found.here.environment,
        "others": [OTHER[name] for name in differences(found.known, found.here, found.key_ids)],
        "waits": _waits(count) if count else "",
    }


def _waits(count: int) -> str:
    if count >= facts.CAP:
        return _("More than %(n)s messages wait. They will go to their real recipients.") % {
            "n": f"{facts.CAP - 1:,}"
        }
    return ngettext(
        "%(n)s message waits. It will go to its real recipients.",
        "%(n)s messages wait. They will go to their real recipients.",
        count,
    ) % {"n": f"{count:,}"}


def _kept() -> Sequence[tuple[str, str]]:
    """Return how long things are kept: set by the environment, so only shown."""
    keep = settings.MAILCONF_KEEP_DAYS
    named = (
        ("content", _("Content")),
        ("sent", _("Sent messages")),
        ("failed", _("Failed messages")),
        ("events", _("Events")),
    )
    return [
        (label, _("for ever") if keep[name] is None else _("%(n)d days") % {"n": keep[name]})
        for name, label in named
    ]


def _say_cancelled(request: HttpRequest, count: int) -> None:
    messages.info(
        request,
        ngettext("%(n)s message was cancelled.", "%(n)s messages were cancelled.", count)
        % {"n": f"{count:,}"},
    )
