"""The page that says who is told of what: recipients, webhook, kinds; with what is wrong now and a test."""

from collections.abc import Iterator
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from delivery import notices, queue
from delivery.admin.notification_form import KINDS, NotificationForm
from delivery.admin.notification_rows import call_lines, carriers, incident_lines
from delivery.notices import paths
from delivery.notices.incident_words import kind_label
from smtp_settings import sealing, webhook
from smtp_settings.forms.versioned import Stale
from smtp_settings.models import NotificationSettings
from smtp_settings.sealing import Secret

__all__ = ["NotificationSettings", "NotificationSettingsAdmin"]

_CHANGE = "smtp_settings.change_notificationsettings"
_PAGE = "admin:smtp_settings_notificationsettings_change"
_FIELDS = (
    (gettext_lazy("By email"), ("recipients",)),
    (gettext_lazy("By webhook"), ("webhook_url", "accepts_clear_webhook", "webhook_secret")),
    (gettext_lazy("What is told"), ("kinds", "breaker_minutes", "worker_minutes")),
)
_SHOWN = (
    (gettext_lazy("By email"), ("shown_recipients",)),
    (gettext_lazy("By webhook"), ("webhook_host", "secret_state")),
    (gettext_lazy("What is told"), ("shown_kinds", "breaker_minutes", "worker_minutes")),
)


class NotificationSettingsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """One row: its page is the list's, too, and there before it was saved."""

    form = NotificationForm
    readonly_fields = ("shown_recipients", "webhook_host", "secret_state", "shown_kinds")
    change_form_template = "admin/smtp_settings/notificationsettings/change_form.html"
    view_on_site = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse everybody: there is one."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: as ModelAdmin
        """Refuse everybody."""
        return False

    def get_object(self, request: HttpRequest, object_id: str, *_args: Any) -> NotificationSettings | None:
        """Return the row, or what holds before there is one."""  # Any: as ModelAdmin
        return webhook.notification_settings() if str(object_id) == "1" else None

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:  # Any: as Django types it
        """Show inputs to those who may change: the address of a webhook is as good as a password."""
        found = _FIELDS if self.has_change_permission(request, obj) else _SHOWN
        return [(title, {"fields": fields}) for title, fields in found]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:  # Any: the class made for this request
        """Leave the fields that are no editable columns to the form itself."""
        own = {"kinds", "webhook_secret", *self.readonly_fields}
        kwargs["fields"] = [name for name in kwargs.get("fields") or [] if name not in own]
        return super().get_form(request, obj, change=change, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        """Add the test."""
        view = self.admin_site.admin_view(require_POST(self.test_view))
        return [
            path("test/", view, name="smtp_settings_notificationsettings_test"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Go to the page."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied(_("Can view notification settings"))
        return HttpResponseRedirect(reverse(_PAGE, args=[1]))

    @method_decorator(sensitive_post_parameters("webhook_secret"))
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the page with what is wrong now, whether anybody would hear, and the last calls."""
        row = webhook.notification_settings()
        context = (extra_context or {}) | {
            "title": _("Notifications"),
            "subtitle": None,
            "blind": [paths.sentence(one) for one in paths.blind(paths.paths(row, carriers()))],
            "incidents": incident_lines(),
            "calls": call_lines(),
            "may_change": self.has_change_permission(request, row),
            "can_test": bool(row.recipients or row.webhook_url),
        }
        try:
            return super().changeform_view(request, object_id, form_url, context)
        except Stale:  # check again, with what is there now
            return super().changeform_view(request, object_id, form_url, context)

    def save_model(
        self,
        request: HttpRequest,
        obj: NotificationSettings,
        form: NotificationForm,
        change: bool,  # as ModelAdmin
    ) -> None:
        """Save the row and its secret, with an event that names what was changed and no address."""
        fields = [name for name in form.changed_data if name != "webhook_secret"]
        typed = form.cleaned_data["webhook_secret"]
        with transaction.atomic():
            stored = NotificationSettings.objects.select_for_update().filter(pk=obj.pk).first()
            if stored is not None and stored.version != obj.version:
                raise Stale
            obj.muted = [kind.value for kind in KINDS if kind.value not in form.cleaned_data["kinds"]]
            if typed or not obj.webhook_url:
                obj.secret_version += 1
                obj.webhook_secret = None
                obj.secret_set_at = obj.secret_set_by = None
            if typed and obj.webhook_url:
                binding = sealing.binding_for(obj, "webhook_secret")
                obj.webhook_secret = sealing.seal(Secret(typed), binding)
                obj.secret_set_at, obj.secret_set_by_id = timezone.now(), cast("int", request.user.pk)
                fields.append("webhook_secret")
            obj.version += 1
            obj.save()
            data = {"settings": fields, "host": webhook.host_of(obj)}
            queue.add_event("notifications.saved", user_id=cast("int", request.user.pk), data=data)

    def log_change(self, *_args: Any, **_kwargs: Any) -> Any:  # Any: as ModelAdmin
        """Write no second log: the event says it."""
        return None

    def response_change(self, request: HttpRequest, obj: NotificationSettings) -> HttpResponse:
        """Stay on the page."""
        messages.success(request, _("The notifications are saved. A test shows whether they arrive."))
        return HttpResponseRedirect(reverse(_PAGE, args=[1]))

    def test_view(self, request: HttpRequest) -> HttpResponse:
        """Send the test email through the queue and call the webhook now; say how it went."""
        if not request.user.has_perm(_CHANGE):
            raise PermissionDenied(_("Can change notification settings"))
        row = webhook.notification_settings()
        for level, sentence in _test(row):
            messages.add_message(request, level, sentence)
        queue.add_event("notifications.tested", user_id=cast("int", request.user.pk))
        return HttpResponseRedirect(reverse(_PAGE, args=[1]))

    @admin.display(description=gettext_lazy("Recipients"))
    def shown_recipients(self, row: NotificationSettings) -> str:
        """Return who gets the emails."""
        return ", ".join(row.recipients) or _("nobody")

    @admin.display(description=gettext_lazy("Webhook at"))
    def webhook_host(self, row: NotificationSettings) -> str:
        """Return the host alone."""
        return webhook.host_of(row) or _("none")

    @admin.display(description=gettext_lazy("Webhook secret"))
    def secret_state(self, row: NotificationSettings) -> str:
        """Say whether there is one."""
        return _("saved") if row.webhook_secret is not None else _("none")

    @admin.display(description=gettext_lazy("Told of"))
    def shown_kinds(self, row: NotificationSettings) -> str:
        """Return what is told, one a line: each is a sentence."""
        told = [kind_label(kind) for kind in KINDS if kind.value not in row.muted]
        lines = format_html_join("", "<li>{}</li>", ((label,) for label in told))
        return format_html('<ul class="mc-plain-list">{}</ul>', lines) if told else _("nothing")


def _test(row: NotificationSettings) -> Iterator[tuple[int, str]]:
    """Do what there is to do, and yield what to say of it."""
    if row.recipients:
        if notices.mail_trial(row):
            to = ", ".join(row.recipients)
            yield messages.SUCCESS, _("A test email to %(to)s is queued.") % {"to": to}
        else:
            yield messages.ERROR, _("No server is in use that could carry a test email.")
    if row.webhook_url:
        now = timezone.now()
        called = webhook.call(
            row,
            notices.trial_body(now),
            delivery=f"test-{int(now.timestamp())}",
            timestamp=int(now.timestamp()),
        )
        if called.is_taken:
            yield (
                messages.SUCCESS,
                _("The webhook took the test call: it answered %(n)d.") % {"n": called.status},
            )
        else:
            yield messages.ERROR, _("The webhook did not take the test call. %(why)s") % {"why": called.error}
