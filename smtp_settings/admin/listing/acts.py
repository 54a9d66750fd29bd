"""What is done to a profile from its row, and to the ticked ones.

A row: test, pause, resume, try now, forget, duplicate. The ticked: test, pause, resume, enable, disable,
delete.

Every address checks its permission and the profile; what was not allowed and could only be asked for by a
forged request is written down (E17).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from smtp_settings import facts
from smtp_settings.admin.form import passing
from smtp_settings.admin.listing import deleting_many, duplicating, enabling, left, testall
from smtp_settings.admin.listing.left import Left
from smtp_settings.models import Event, SMTPProfile

if TYPE_CHECKING:
    from smtp_settings.admin.profiles import SMTPProfileAdmin

logger = logging.getLogger(__name__)

PAUSE = "smtp_settings.pause_smtpprofile"
ADD = "smtp_settings.add_smtpprofile"
TEST = "smtp_settings.test_smtpprofile"
CHANGE = "smtp_settings.change_smtpprofile"
DELETE = "smtp_settings.delete_smtpprofile"

Done = Callable[[HttpRequest, SMTPProfile], bool]


@dataclass(frozen=True, slots=True)
class BulkAct:
    """One act on ticked profiles: its permission, and the sentence that counts them."""

    name: str
    label: Promise
    permission: str
    is_danger: bool = False


#: In the order of the buttons.
BULK = (
    BulkAct("test_selected", gettext_lazy("Test"), TEST),
    BulkAct("pause_selected", gettext_lazy("Pause"), PAUSE),
    BulkAct("resume_selected", gettext_lazy("Resume"), PAUSE),
    BulkAct("enable_selected", gettext_lazy("Enable"), CHANGE),
    BulkAct("disable_selected", gettext_lazy("Disable"), CHANGE),
    BulkAct("delete_selected", gettext_lazy("Delete…"), DELETE, is_danger=True),
)
BY_NAME = {act.name: act for act in BULK}


def permission_name(permission: str) -> str:
    """Return what a permission is called, for those who lack it."""
    codename = permission.rpartition(".")[2]
    named = dict(SMTPProfile._meta.permissions)
    return str(named.get(codename) or _STOCK[codename])


#: Django's own permissions.
_STOCK = {
    "add_smtpprofile": gettext_lazy("Can add SMTP profile"),
    "change_smtpprofile": gettext_lazy("Can change SMTP profile"),
    "delete_smtpprofile": gettext_lazy("Can delete SMTP profile"),
}


def urls(profile_admin: "SMTPProfileAdmin") -> list[URLPattern]:
    """Return the addresses of what is done to one profile; each takes a POST."""

    def address(act: str, view: Callable[..., HttpResponse]) -> URLPattern:
        wrapped = profile_admin.admin_site.admin_view(require_POST(view))
        name = f"smtp_settings_smtpprofile_{act}"
        return path(f"<int:pk>/{act.replace('_', '-')}/", wrapped, name=name)

    def server_act(act: str) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, pk: int) -> HttpResponse:
            profile = found(profile_admin, request, pk, PAUSE)
            level, sentence = do(act, request, profile)
            messages.add_message(request, level, sentence)
            return back(request, profile)

        return view

    def duplicate(request: HttpRequest, pk: int) -> HttpResponse:
        profile = found(profile_admin, request, pk, ADD)
        copy = duplicating.duplicate(profile, request.user)
        messages.success(request, duplicating.sentence(profile, copy))
        return HttpResponseRedirect(reverse("admin:smtp_settings_smtpprofile_change", args=[copy.pk]))

    return [
        *(address(act, server_act(act)) for act in ("pause", "resume", "try_now", "forget")),
        address("duplicate", duplicate),
    ]


def found(profile_admin: "SMTPProfileAdmin", request: HttpRequest, pk: int, permission: str) -> SMTPProfile:
    """Return the profile when this person may do that to it. Raises PermissionDenied and Http404."""
    if not request.user.has_perm(permission):
        raise PermissionDenied(permission_name(permission))
    profile: SMTPProfile | None = profile_admin.get_object(request, str(pk))
    if profile is None:
        raise Http404(_("This profile does not exist. It may have been deleted."))
    if not profile_admin.has_view_permission(request, profile):
        raise PermissionDenied(_("Can view SMTP profile"))
    return profile


def do(act: str, request: HttpRequest, profile: SMTPProfile) -> tuple[int, str]:
    """Do it through the queue; return the level and the sentence of the message."""
    names = {"name": profile.name}
    acts = facts.acts()
    if acts is None:
        return messages.WARNING, _("There is no queue here: nothing was changed.")
    if not getattr(acts, act)(profile.pk, request.user.pk):
        return messages.WARNING, str(_UNCHANGED[act]) % names
    return messages.SUCCESS, str(_DONE[act]) % names


_DONE = {
    "pause": gettext_lazy("“%(name)s” is paused. Its messages wait, or go another way."),
    "resume": gettext_lazy("“%(name)s” is used again."),
    "try_now": gettext_lazy("“%(name)s” is tried now, with one message."),
    "forget": gettext_lazy("What was learned of “%(name)s” is forgotten. It is tried without these limits."),
}
_UNCHANGED = {
    "pause": gettext_lazy("“%(name)s” is paused already."),
    "resume": gettext_lazy("“%(name)s” is not paused."),
    "try_now": gettext_lazy("“%(name)s” waits for no next try."),
    "forget": gettext_lazy("Nothing was learned of “%(name)s”."),
}


def back(request: HttpRequest, profile: SMTPProfile | None = None) -> HttpResponseRedirect:
    """Return to the list, as it was narrowed down, or to the profile's page, if it was done there."""
    url = reverse("admin:smtp_settings_smtpprofile_changelist")
    came_from = urlsplit(request.META.get("HTTP_REFERER", ""))
    if profile is not None and came_from.netloc == request.get_host():
        page = reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])
        if came_from.path == page:
            return HttpResponseRedirect(page)
    if came_from.netloc == request.get_host() and came_from.path == url and came_from.query:
        url = f"{url}?{came_from.query}"
    return HttpResponseRedirect(url)


# The ticked profiles


def offered(request: HttpRequest) -> list[BulkAct]:
    """Return the acts this person may use."""
    return [act for act in BULK if request.user.has_perm(act.permission)]


def actions(request: HttpRequest) -> dict[str, Any]:  # Any: the shape of ModelAdmin.get_actions
    """Return them as Django's list asks for them."""
    return {act.name: (_list_action(act), act.name, str(act.label)) for act in offered(request)}


def refuse_forged(request: HttpRequest) -> None:
    """Let through a POST of the list that its page can send. Raises PermissionDenied, with an event."""
    name = request.POST.get("action", "")
    act = BY_NAME.get(name)
    if act is not None and not request.user.has_perm(act.permission):
        _refused(request, name, "permission")
        raise PermissionDenied(permission_name(act.permission))
    if request.POST.getlist("select_across") not in ([], ["0"]):
        _refused(request, name, "select_across")
        raise PermissionDenied


def why_not(request: HttpRequest) -> str:
    """Say why nothing can be done, "" when something can; Django would say it less clearly."""
    if BY_NAME.get(request.POST.get("action", "")) is None:
        return _("Nothing was done: no action was chosen.")
    if not request.POST.getlist(ACTION_CHECKBOX_NAME):
        return _("Nothing was done: no profile was chosen.")
    return ""


def _refused(request: HttpRequest, name: str, why: str) -> None:
    logger.warning("Refused a forged action on profiles (%s) of user %s", why, request.user.pk)
    Event.objects.create(
        kind="act.refused",
        level="warning",
        user_id=request.user.pk,
        data={"act": name[:50], "why": why},
    )


def _list_action(act: BulkAct) -> Any:  # Any: the shape of an admin action
    def run(
        model_admin: "SMTPProfileAdmin", request: HttpRequest, chosen: "QuerySet[SMTPProfile]"
    ) -> HttpResponse | None:
        profiles = [row for row in chosen if model_admin.has_view_permission(request, row)]
        match act.name.removesuffix("_selected"):
            case "test":
                return testall.start(request, [row for row in profiles if not row.is_draft], [])
            case "delete":
                return deleting_many.ask_or_delete(model_admin, request, profiles)
            case "enable" | "disable" as switch:
                _enable_or_disable(switch, model_admin, request, profiles)
            case name:
                _pause_or_resume(name, request, profiles)
        return None

    return run


def _pause_or_resume(act: str, request: HttpRequest, profiles: Sequence[SMTPProfile]) -> None:
    """Do it to each that is enabled; say how many were changed and how many were so already."""
    levels = [do(act, request, profile)[0] for profile in profiles if profile.enabled]
    done = levels.count(messages.SUCCESS)
    left = len(profiles) - done
    parts = [_bulk_sentence(act, done)] if done else []
    if left:
        parts.append(ngettext("%(n)d was left as it is.", "%(n)d were left as they are.", left) % {"n": left})
    messages.add_message(request, messages.SUCCESS if done else messages.WARNING, " ".join(parts))


def _enable_or_disable(
    act: str, model_admin: "SMTPProfileAdmin", request: HttpRequest, profiles: Sequence[SMTPProfile]
) -> None:
    """Do it to each that may be changed; say how many were, what follows, and what was left and why."""
    switch = enabling.enable if act == "enable" else enabling.disable
    person, done, kept = cast("AbstractBaseUser", request.user), [], []
    for profile in profiles:
        if not model_admin.has_change_permission(request, profile):
            continue
        with transaction.atomic():
            if why := switch(profile, person):
                kept.append(Left(profile, why))
                continue
            model_admin.log_change(request, profile, [{"changed": {"fields": ["Enabled"]}}])
        done.append(profile)
    if done:
        follows = enabling.what_follows(done) if act == "disable" else ""
        level = messages.WARNING if follows else messages.SUCCESS
        messages.add_message(request, level, f"{_bulk_sentence(act, len(done))} {follows}".strip())
    if act == "enable":
        for profile in done:
            passing.offer_move(request, profile)
    left.say(request, kept)


def _bulk_sentence(act: str, done: int) -> str:
    match act:
        case "pause":
            sentence = ngettext("%(n)d profile is paused.", "%(n)d profiles are paused.", done)
        case "resume":
            sentence = ngettext("%(n)d profile is used again.", "%(n)d profiles are used again.", done)
        case "enable":
            sentence = ngettext("%(n)d profile is enabled.", "%(n)d profiles are enabled.", done)
        case _:
            sentence = ngettext("%(n)d profile is disabled.", "%(n)d profiles are disabled.", done)
    return sentence % {"n": done}
