"""A second profile with the values of the first: a draft, without the secret, for a person to finish."""

from typing import cast

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.utils.translation import gettext as _

from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import settings_of
from smtp_settings.models import Auth, SMTPProfile

_NAME_LENGTH = 100


def duplicate(profile: SMTPProfile, user: AbstractBaseUser | AnonymousUser) -> SMTPProfile:
    """Save and return a draft like `profile`. What was ticked with open eyes has to be ticked again."""
    copy = SMTPProfile(
        **settings_of(profile)
        | {"name": _free_name(profile.name), "accepts_clear_auth": False, "accepts_unverified": False}
    )
    sites = list(profile.sites.all())
    activation.save_draft(copy, user=cast("AbstractBaseUser", user), sites=sites, copy_of=profile.name)
    return copy


def sentence(profile: SMTPProfile, copy: SMTPProfile) -> str:
    """Say what was made, and what it needs."""
    said = _("“%(copy)s” is a draft like “%(name)s”.") % {"copy": copy.name, "name": profile.name}
    if profile.password is None or profile.auth == Auth.NONE:
        return said + " " + _("Test it, then save it.")
    return said + " " + _("The password was not copied: enter it, then test and save.")


def _free_name(name: str) -> str:
    """Return "EU relay (copy)", or the first number that is free."""
    number = 1
    while True:
        end = _(" (copy)") if number == 1 else _(" (copy %(n)d)") % {"n": number}
        candidate = name[: _NAME_LENGTH - len(end)] + end
        if not SMTPProfile.objects.filter(name=candidate).exists():
            return candidate
        number += 1
