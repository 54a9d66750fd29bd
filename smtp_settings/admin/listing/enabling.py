"""Enabling and disabling from the list: what a save of the form does when only that tick has changed.

Enabling asks the form's rules and the gate. Disabling asks neither: nothing goes live by it, and what stops
mail is not held up by a missing test.
"""

from collections.abc import Collection, Sequence

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings import facts, key_check, sealing
from smtp_settings.clearance import activation, audit, standing
from smtp_settings.clearance.candidate import NO_SECRET, EffectiveSecret, stored_secret
from smtp_settings.entries import rules
from smtp_settings.forms.texts import allowed_ports
from smtp_settings.hints import Known, stops
from smtp_settings.models import SMTPProfile
from smtp_settings.secret_source import SecretSource


def enable(profile: SMTPProfile, user: AbstractBaseUser) -> str:
    """Save it enabled, through the gate; return why it was left as it is, "" when it was not."""
    if profile.is_draft:
        return _("A draft is tested and saved first.")
    if profile.enabled:
        return _("Enabled already.")
    if broken := _broken_rule(profile):
        return broken
    profile.enabled = True
    try:
        activation.save_profile(profile, _kept_secret(profile), user=user)
    except (activation.GateShut, activation.StaleProfile) as refusal:
        return str(refusal)
    except sealing.SealingError as error:
        return key_check.remedy(error)
    return ""


def disable(profile: SMTPProfile, user: AbstractBaseUser) -> str:
    """Take it out of use; return why it was left as it is, "" when it was not."""
    with transaction.atomic():
        row = SMTPProfile.objects.select_for_update(no_key=True).filter(pk=profile.pk, enabled=True).first()
        if row is None:
            return _("Not enabled.")
        row.enabled, row.changed_by_id, row.version = False, user.pk, row.version + 1
        row.save(update_fields=["enabled", "changed_by", "changed_at", "version"])
        changes = [{"field": "enabled", "old": True, "new": False}]
        audit.record("profile.saved", row, user, fields=["enabled"], changes=changes)
    return ""


def leaves_none_live(gone: Collection[SMTPProfile]) -> bool:
    """Whether one of these profiles is live, or was when it was read, and no other is."""
    others = SMTPProfile.objects.filter(enabled=True, is_draft=False).exclude(pk__in=[one.pk for one in gone])
    return any(map(_is_in_use, gone)) and not any(map(_is_in_use, others.select_related("oauth_credential")))


def what_follows(disabled: Sequence[SMTPProfile]) -> str:
    """Say what becomes of the mail; the profiles are as they were read before. "" when they carried none."""
    carried = [profile for profile in disabled if _is_in_use(profile)]
    if leaves_none_live(carried):
        return _("No profile is live now. Nothing is being sent; messages wait.")
    said = []
    if default := ", ".join(f"“{profile.name}”" for profile in carried if profile.is_default):
        said.append(
            _("The default server is %(names)s: its messages go another way, or wait.") % {"names": default}
        )
    known = facts.facts_for([profile.pk for profile in carried])
    if pinned := sum(one.pinned for one in known.values()):
        sentence = ngettext(
            "%(n)s message may go no other way: it waits until its profile is enabled again.",
            "%(n)s messages may go no other way: they wait until their profile is enabled again.",
            pinned,
        )
        said.append(sentence % {"n": f"{pinned:,}"})
    return " ".join(said)


def _is_in_use(profile: SMTPProfile) -> bool:
    return profile.enabled and not profile.is_draft and standing.standing_of(profile).is_live


def _kept_secret(profile: SMTPProfile) -> EffectiveSecret:
    """Return the secret in the row, for a save that leaves it there. Raises SealingError."""
    secret = stored_secret(profile)
    return EffectiveSecret(SecretSource.STORED, secret) if secret is not None else NO_SECRET


def _broken_rule(profile: SMTPProfile) -> str:
    """Return what the form would say of the values as they are; what is allowed may have changed since."""
    values = vars(profile) | {"oauth_credential": profile.oauth_credential_id}
    for rule in rules.broken(values, is_draft=False):
        return str(rule.sentence)
    where = {"transport": profile.transport, "port": str(profile.port)}
    found = stops(where, Known(allowed_ports=allowed_ports()))
    return next((stop.sentence for stop in found if stop.field == "port"), "")
