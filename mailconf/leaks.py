"""If a password leaked: one page that takes it out of use, and says what was sent with it and what to do.

A stranger with the password sends past mailconf, so the provider comes first; here the profile is paused and
the password forgotten, in one step that needs its own permission and no test.
"""

from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from delivery import stats
from mailconf import server_acts
from smtp_settings import presets
from smtp_settings.clearance import audit
from smtp_settings.models import SMTPProfile, TestRun

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

PERMISSION = "smtp_settings.answer_leak_smtpprofile"
#: Messages that are named; the others are counted.
_NAMED = 200


class Leaks:
    """The page, for one admin site."""

    def __init__(self, site: "AdminSite") -> None:
        self._site = site

    def urls(self) -> list[URLPattern]:
        """Return the address, below the admin's."""
        view = self._site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(self.page))
        return [path("smtp_settings/smtpprofile/<int:pk>/leak/", view, name="smtp_settings_smtpprofile_leak")]

    def page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what to do; a POST does the part that is ours."""
        if not request.user.has_perm(PERMISSION) or not request.user.has_perm(
            "smtp_settings.view_smtpprofile"
        ):
            raise PermissionDenied(_("Can take leaked passwords out of use"))
        profile = SMTPProfile.objects.filter(pk=pk).first()
        if profile is None:
            raise Http404(_("This profile does not exist. It may have been deleted."))
        if request.method == "POST":
            take_out(profile, cast("User", request.user))
            messages.success(
                request,
                _("“%(name)s” is paused and its password is removed here.") % {"name": profile.name},
            )
            return HttpResponseRedirect(reverse("admin:smtp_settings_smtpprofile_leak", args=[pk]))
        return self._shown(request, profile)

    def _shown(self, request: HttpRequest, profile: SMTPProfile) -> HttpResponse:
        since = profile.secret_set_at or profile.created_at
        may_see = request.user.has_perm("delivery.view_message")
        preset = presets.preset_of(profile.preset, profile.host)
        context: dict[str, Any] = {  # Any: template context
            **self._site.each_context(request),
            "title": _("If the password of %(name)s leaked") % {"name": profile.name},
            "profile": profile,
            "opts": SMTPProfile._meta,
            "has_password": profile.password is not None,
            "since": since,
            "days": (timezone.now() - since).days,
            "provider": preset.name if preset is not None else profile.host,
            "provider_url": preset.help_url if preset is not None else "",
            "others": _others(profile),
            "sent": stats.sent_since(profile.pk, since, limit=_NAMED) if may_see else None,
            "events_url": reverse("admin:smtp_settings_event_changelist") + f"?profile={profile.pk}",
        }
        return TemplateResponse(request, "mailconf/leak.html", context)


def take_out(profile: SMTPProfile, user: User) -> None:
    """Pause the profile and forget its password, here and in tests that may still run; one transaction.

    What a clearance stood for is gone with the password: the profile is not live until another one has passed
    a test. A second call changes nothing but the pause.
    """
    with transaction.atomic():
        server_acts.pause(profile.pk, user.pk)
        held = SMTPProfile.objects.filter(pk=profile.pk, password__isnull=False)
        removed = held.update(
            password=None,
            secret_version=F("secret_version") + 1,
            version=F("version") + 1,
            changed_at=timezone.now(),
            changed_by_id=user.pk,
        )
        TestRun.objects.filter(profile_uuid=profile.uuid, secret__isnull=False).update(secret=None)
        profile.refresh_from_db()
        changes = [{"field": "password", "did": "removed"}] if removed else []
        audit.record("password.leak_answered", profile, user, level="warning", changes=changes)


def _others(profile: SMTPProfile) -> list[SMTPProfile]:
    """Return the profiles that sign in under the same name: theirs may be the same password."""
    if not profile.username:
        return []
    same = SMTPProfile.objects.filter(username__iexact=profile.username, password__isnull=False)
    return list(same.exclude(pk=profile.pk).order_by("name").only("name")[:20])
