"""Deleting the ticked profiles: asked first, each by the rules of its own delete page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib import messages
from django.db import transaction
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings import facts
from smtp_settings.admin import words
from smtp_settings.admin.listing import left
from smtp_settings.admin.listing.chips import sites_of_all
from smtp_settings.admin.listing.enabling import leaves_none_live
from smtp_settings.admin.listing.left import Left
from smtp_settings.models import SMTPProfile

if TYPE_CHECKING:
    from smtp_settings.admin.profiles import SMTPProfileAdmin


@dataclass(frozen=True, slots=True)
class Going:
    """One profile that may be deleted: how it does, and what depends on it: messages next in line, sites."""

    profile: SMTPProfile
    server: str
    health: SafeString
    waiting: int
    sites: str


def ask_or_delete(
    profile_admin: "SMTPProfileAdmin", request: HttpRequest, profiles: Sequence[SMTPProfile]
) -> HttpResponse | None:
    """Show what would go and what stays; once confirmed delete, and say what was left."""
    profiles = [one for one in profiles if profile_admin.has_delete_permission(request, one)]
    if "confirmed" not in request.POST:
        return _question(profile_admin, request, profiles)
    kept = [one for profile in profiles if (one := _delete(profile_admin, request, profile)) is not None]
    if done := len(profiles) - len(kept):
        sentence = ngettext("%(n)d profile is deleted.", "%(n)d profiles are deleted.", done) % {"n": done}
        messages.success(request, sentence)
    left.say(request, kept)
    return None


def _delete(profile_admin: "SMTPProfileAdmin", request: HttpRequest, profile: SMTPProfile) -> Left | None:
    """Delete one in a transaction of its own; what keeps it may have come after the question."""
    kept = _kept(profile_admin, request, profile, facts.facts_for([profile.pk])[profile.pk])
    if kept is not None:
        return kept
    pk = profile.pk
    try:
        with transaction.atomic():
            profile_admin.log_deletions(request, [profile])  # type: ignore[arg-type]  # as Django itself does
            profile_admin.delete_model(request, profile)
    except ProtectedError:
        known = facts.facts_for([pk])[pk]
        return Left(profile, words.delete_refused(known.pinned), known.messages_url)
    return None


def _kept(
    profile_admin: "SMTPProfileAdmin", request: HttpRequest, profile: SMTPProfile, known: facts.ProfileFacts
) -> Left | None:
    if profile_admin.may_go(request, profile, known):
        return None
    return Left(profile, words.delete_refused(known.pinned), known.messages_url)


def _question(
    profile_admin: "SMTPProfileAdmin", request: HttpRequest, profiles: Sequence[SMTPProfile]
) -> TemplateResponse:
    known = facts.facts_for([profile.pk for profile in profiles])
    found = [_judged(profile_admin, request, profile, known[profile.pk]) for profile in profiles]
    going = [one for one in found if isinstance(one, Going)]
    context = {
        **profile_admin.admin_site.each_context(request),
        "opts": profile_admin.opts,
        "title": _("Delete profiles"),
        "going": going,
        "kept": [one for one in found if isinstance(one, Left)],
        "none_live": leaves_none_live([one.profile for one in going]),
        "back": request.get_full_path(),
    }
    return TemplateResponse(request, "admin/smtp_settings/smtpprofile/delete_many.html", context)


def _judged(
    profile_admin: "SMTPProfileAdmin", request: HttpRequest, profile: SMTPProfile, known: facts.ProfileFacts
) -> Going | Left:
    if (kept := _kept(profile_admin, request, profile, known)) is not None:
        return kept
    sites = sites_of_all(request).get(profile.pk, [])
    return Going(
        profile=profile,
        server=words.server(profile),
        health=words.health(profile, known=known),
        waiting=known.waiting,
        sites=", ".join(domain for _id, domain in sites),
    )
