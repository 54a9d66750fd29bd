"""Saving profiles: the only writer of `cleared_fingerprint`, and of the columns of the secret.

Every function is one transaction that ends in an Event. A save that may go live asks the gate again under the
row's lock, so that nothing can change between the answer and the write.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.contrib.sites.models import Site
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from smtp_settings import key_check, sealing
from smtp_settings.clearance import audit, verdicts
from smtp_settings.clearance.candidate import (
    NO_SECRET,
    EffectiveSecret,
    effective_secret,
    fingerprints_of,
    is_live,
    stored_secret,
    verdict_for,
)
from smtp_settings.gate import Reason, Verdict
from smtp_settings.models import SMTPProfile, TestRun
from smtp_settings.sealing.binding import destination_of
from smtp_settings.secret_source import PasswordNeeded, SecretSource

__all__ = [
    "NO_SECRET",
    "EffectiveSecret",
    "GateShut",
    "PasswordNeeded",
    "StaleProfile",
    "clear",
    "effective_secret",
    "fingerprint_of",
    "is_live",
    "loses_default",
    "renew_clearance",
    "save_draft",
    "save_profile",
    "save_untested",
    "verdict_for",
]

_DEFAULT_LOCK = 0x6D61696C  # advisory, "mail": two saves at once cannot both become the default


class GateShut(Exception):
    """These settings have not passed a test that counts; `verdict` says why. Nothing was saved."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdicts.why(verdict))
        self.verdict = verdict


class StaleProfile(Exception):
    """Somebody saved the profile after it was opened; `current` is their row. Nothing was saved."""

    def __init__(self, current: SMTPProfile | None) -> None:
        super().__init__(_("This profile was changed or deleted after it was opened."))
        self.current = current


def fingerprint_of(profile: SMTPProfile) -> str:
    """Return the fingerprint of a saved row under the primary key. Raises SealingError."""
    return fingerprints_of(profile, stored_secret(profile))[0]


def save_profile(
    profile: SMTPProfile,
    effective: EffectiveSecret,
    *,
    user: AbstractBaseUser | None,
    sites: Iterable[Site] | None = None,
    run: TestRun | None = None,
) -> Verdict:
    """Save the values and make them live, in one transaction.

    `profile.version` is the one the person opened. `sites` None leaves them as they are. Raises GateShut,
    StaleProfile, PasswordNeeded or SealingError; then nothing is saved.
    """
    with transaction.atomic():
        row = _lock(profile)
        verdict = verdict_for(profile, effective.secret, user_id=_id(user), run=run)
        if not verdict.is_open:
            raise GateShut(verdict)
        profile.is_draft = False
        before = audit.snapshot(row)
        lost_default = _store(profile, row, effective, user=user, sites=sites)
        if verdict.reason is Reason.PASSED:
            _write_clearance(profile, user=user, reason="")
        said = _said(before, profile, lost_default) | {"reason": str(verdict.reason)}
        audit.record("profile.saved", profile, user, **said)
    return verdict


def save_untested(
    profile: SMTPProfile,
    effective: EffectiveSecret,
    *,
    user: AbstractBaseUser,
    reason: str,
    sites: Iterable[Site] | None = None,
) -> None:
    """Save the values and make them live without a test, for a typed reason ("Save anyway").

    The edge checks the permission. The reason stays on the row until a test passes.
    """
    if not reason.strip():
        raise ValueError("A reason is needed.")
    with transaction.atomic():
        row = _lock(profile)
        profile.is_draft = False
        before = audit.snapshot(row)
        lost_default = _store(profile, row, effective, user=user, sites=sites)
        _write_clearance(profile, user=user, reason=reason.strip())
        said = _said(before, profile, lost_default) | {"reason": reason.strip()}
        audit.record("profile.saved_untested", profile, user, level="warning", **said)


def save_draft(
    profile: SMTPProfile,
    effective: EffectiveSecret = NO_SECRET,
    *,
    user: AbstractBaseUser | None,
    sites: Iterable[Site] | None = None,
    copy_of: str = "",
) -> None:
    """Save the values as a draft: disabled, not live, whatever it was before. Needs no test.

    `copy_of` names the profile it was made from, for the event log.
    """
    with transaction.atomic():
        row = _lock(profile)
        was_live = row is not None and row.enabled and is_live(row)
        profile.is_draft, profile.enabled, profile.is_default = True, False, False
        before = audit.snapshot(row)
        _store(profile, row, effective, user=user, sites=sites)
        said = _said(before, profile, []) | ({"copy_of": copy_of} if copy_of else {})
        if was_live:
            said["off_the_air"] = True
        audit.record("profile.draft", profile, user, level="warning" if was_live else "info", **said)


def clear(profile: SMTPProfile, *, run: TestRun | None, user: AbstractBaseUser | None) -> Verdict:
    """Make a saved row live as it is, on the evidence of a passed test. Raises GateShut, StaleProfile."""
    with transaction.atomic():
        row = _lock(profile)
        if row is None:
            raise StaleProfile(None)
        verdict = verdict_for(row, stored_secret(row), user_id=_id(user), run=run)
        if not verdict.is_open:
            raise GateShut(verdict)
        if verdict.reason is Reason.PASSED:
            row.is_draft = False
            row.save(update_fields=["is_draft"])
            _write_clearance(row, user=user, reason="")
            audit.record("profile.cleared", row, user, reason=str(verdict.reason))
    profile.refresh_from_db()
    return verdict


def renew_clearance(row: SMTPProfile, secret: sealing.Secret | None) -> bool:
    """Write the fingerprint of a live row anew under the primary key; whether that was needed.

    For `manage.py rotate_keys`, under the row's lock. A row that is not live stays as it is.
    """
    primary, *others = fingerprints_of(row, secret)
    if row.cleared_fingerprint not in others or row.cleared_fingerprint == primary:
        return False
    SMTPProfile.objects.filter(pk=row.pk).update(
        cleared_fingerprint=primary, cleared_key=sealing.current_keyring().primary.mark
    )
    return True


def loses_default(profile: SMTPProfile, sites: Iterable[Site] | None) -> QuerySet[SMTPProfile]:
    """Return the profiles that stop being a default when this one becomes it: one global, one a site."""
    others = SMTPProfile.objects.filter(is_default=True).exclude(pk=profile.pk)
    if sites is None:
        sites = profile.sites.all() if profile.pk else ()
    wanted = [site.pk for site in sites]
    scope = Q(sites__in=wanted) if wanted else Q(sites=None)
    return others.filter(pk__in=others.filter(scope).values("pk"))


def _lock(profile: SMTPProfile) -> SMTPProfile | None:
    """Lock and return the present row; None for a new profile. Raises StaleProfile for another version."""
    if not profile.pk:
        twin = SMTPProfile.objects.filter(uuid=profile.uuid).first()  # the same form, sent twice
        if twin is not None:
            raise StaleProfile(twin)
        return None
    row = SMTPProfile.objects.select_for_update(no_key=True).filter(pk=profile.pk).first()
    if row is None or row.version != profile.version:
        raise StaleProfile(row)
    profile.uuid = row.uuid  # before the gate is asked: evidence belongs to one profile
    return row


def _store(
    profile: SMTPProfile,
    row: SMTPProfile | None,
    effective: EffectiveSecret,
    *,
    user: AbstractBaseUser | None,
    sites: Iterable[Site] | None,
) -> list[str]:
    """Write the values and the secret; the gate's columns only ever get emptied here.

    Returns the names of those that stop being the default.
    """
    key_check.confirm()
    _own_columns(profile, row, user)
    _place_secret(profile, row, effective, user)
    lost_default = _take_default(profile, sites) if profile.is_default else []
    profile.save()
    if sites is not None:
        profile.sites.set(sites)
    return lost_default


def _own_columns(profile: SMTPProfile, row: SMTPProfile | None, user: AbstractBaseUser | None) -> None:
    """Set what no form and no caller may bring along."""
    keeps = row is not None and not profile.is_draft
    profile.cleared_fingerprint = row.cleared_fingerprint if row is not None and keeps else ""
    profile.cleared_key = row.cleared_key if row is not None and keeps else ""
    for name in ("cleared_at", "cleared_by_id", "secret_set_at", "secret_set_by_id"):
        setattr(profile, name, getattr(row, name, None))
    profile.cleared_without_test = row.cleared_without_test if row is not None and keeps else ""
    profile.changed_by_id = _id(user)
    if row is None:
        profile.created_by_id = _id(user)
        profile.version = 1
        return
    profile.created_at, profile.created_by_id = row.created_at, row.created_by_id
    profile.version = row.version + 1


def _place_secret(
    profile: SMTPProfile, row: SMTPProfile | None, effective: EffectiveSecret, user: AbstractBaseUser | None
) -> None:
    profile.password = row.password if row is not None else None
    profile.secret_version = row.secret_version if row is not None else 0
    if effective.source is SecretSource.STORED:
        if row is not None and destination_of(row) != destination_of(profile):
            raise PasswordNeeded(destination_of(row).differences(destination_of(profile)), row.host)
        return
    if effective.secret is None and profile.password is None:
        return
    profile.secret_version += 1
    profile.secret_set_at, profile.secret_set_by_id = timezone.now(), _id(user)
    profile.password = (
        sealing.seal(effective.secret, sealing.binding_for(profile)) if effective.secret is not None else None
    )


def _take_default(profile: SMTPProfile, sites: Iterable[Site] | None) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_DEFAULT_LOCK])
    losers = dict(loses_default(profile, sites).values_list("pk", "name"))
    SMTPProfile.objects.filter(pk__in=losers).update(is_default=False, version=F("version") + 1)
    return sorted(losers.values())


def _write_clearance(profile: SMTPProfile, *, user: AbstractBaseUser | None, reason: str) -> None:
    """Clear the row as the database holds it; GateShut when that is not what the gate was asked about."""
    saved = SMTPProfile.objects.get(pk=profile.pk)
    saved.cleared_fingerprint = fingerprint_of(saved)
    if saved.cleared_fingerprint != fingerprint_of(profile):
        raise GateShut(Verdict(Reason.NEVER))
    saved.cleared_key = sealing.current_keyring().primary.mark
    saved.cleared_at, saved.cleared_by_id, saved.cleared_without_test = timezone.now(), _id(user), reason
    names = ["cleared_fingerprint", "cleared_key", "cleared_at", "cleared_by_id", "cleared_without_test"]
    saved.save(update_fields=names)
    for name in names:
        setattr(profile, name, getattr(saved, name))


def _said(
    before: audit.Snapshot, profile: SMTPProfile, lost_default: list[str]
) -> dict[str, Any]:  # Any: JSON
    """Return what the event says of a save: the names of the changed fields, and their values."""
    changes = audit.changes(before, profile)
    said: dict[str, Any] = {"fields": [change["field"] for change in changes], "changes": changes}
    return said | ({"default_lost_by": lost_default} if lost_default else {})


def _id(user: AbstractBaseUser | None) -> Any:  # Any: the primary key of whatever user model is set
    return user.pk if user is not None else None
