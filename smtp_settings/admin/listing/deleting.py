"""Deleting a profile: not while messages wait for it alone, and never without a line in the event log."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from smtp_settings import facts
from smtp_settings.admin import words
from smtp_settings.clearance import audit
from smtp_settings.models import SMTPProfile


class Deleting(ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """The delete page of profiles."""

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Refuse while messages wait for the profile alone; else ask, and say what goes another way."""
        profile: SMTPProfile | None = self.get_object(request, unquote(object_id))
        if profile is None:
            return super().delete_view(request, object_id, extra_context)
        if not self.has_delete_permission(request, profile):
            raise PermissionDenied(_("Can delete SMTP profile"))
        known = facts.facts_for([profile.pk])[profile.pk]
        if not self.may_go(request, profile, known):
            return self._refused(request, profile, known)
        context = (extra_context or {}) | {"waiting": known.waiting}
        try:
            return super().delete_view(request, object_id, context)
        except ProtectedError:  # messages came while the question was read
            return self._refused(request, profile, facts.facts_for([profile.pk])[profile.pk])

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:  # Any: as ModelAdmin's
        """Fetch a row once for a page that only shows: Django's own delete view asks for it again."""
        if request.method != "GET":
            return super().get_object(request, *args, **kwargs)
        if not hasattr(request, "opened"):
            request.opened = super().get_object(request, *args, **kwargs)  # type: ignore[attr-defined]  # for it only
        return request.opened  # type: ignore[attr-defined]

    def delete_model(self, request: HttpRequest, obj: SMTPProfile) -> None:
        """Delete it, and write down who did; raises ProtectedError when messages wait for it alone.

        Locked first: who leads messages to it just now waits for us, or we for him and find them.
        """
        with transaction.atomic():
            SMTPProfile.objects.select_for_update().filter(pk=obj.pk).first()
            audit.record("profile.deleted", obj, request.user, level="warning")  # type: ignore[arg-type]  # signed in
            super().delete_model(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:  # Any: as ModelAdmin's
        """Look once a request: the page asks whether it may be deleted, and what would go with it."""
        key = [obj.pk for obj in objs]
        known = getattr(request, "deleted_objects", None)
        if known is None or known[0] != key:
            known = (key, super().get_deleted_objects(objs, request))
            request.deleted_objects = known  # type: ignore[attr-defined]  # for this page only
        return known[1]

    def may_go(self, request: HttpRequest, profile: SMTPProfile, known: facts.ProfileFacts) -> bool:
        """Whether no message is for it alone: none that waits, and none that failed or is being sent."""
        return known.may_delete and not self.get_deleted_objects([profile], request)[3]

    def _refused(
        self, request: HttpRequest, profile: SMTPProfile, known: facts.ProfileFacts
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Not deleted"),
            "object": profile,
            "sentence": words.delete_refused(known.pinned),
            "messages_url": known.messages_url,
        }
        return TemplateResponse(request, "mailconf/delete_refused.html", context)
