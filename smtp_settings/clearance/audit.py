"""What of a profile was changed, for the event log: each field with its old and its new value, no secret.

Values stand as they are stored; the pages word them. What may hold a secret or fills a page is only named.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from smtp_settings.clearance.candidate import settings_of
from smtp_settings.models import Event, SMTPProfile

#: Arguments may carry a password, a certificate or a note fills a page.
_NAMED_ONLY = frozenset({"ca", "notes", "program_arguments", "classification_overrides"})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A row before it is written: its values and sites; of a new profile the defaults."""

    values: Mapping[str, Any]  # Any: JSON
    sites: tuple[str, ...]
    secret_version: int
    has_secret: bool
    is_new: bool


def snapshot(row: SMTPProfile | None) -> Snapshot:
    """Take down what a row holds; one query."""
    if row is None:
        return Snapshot(settings_of(SMTPProfile()), (), 0, has_secret=False, is_new=True)
    return Snapshot(settings_of(row), _sites(row), row.secret_version, row.password is not None, is_new=False)


def changes(before: Snapshot, profile: SMTPProfile) -> list[dict[str, Any]]:  # Any: JSON
    """Return the changed fields, in the order of the columns: `field`, and `old` and `new` if for showing.

    Of a new profile: what differs from the defaults. A secret is "set", "changed" or "removed".
    """
    after = settings_of(profile)
    found = [
        {"field": name}
        if name in _NAMED_ONLY
        else {"field": name, "old": before.values.get(name), "new": value}
        for name, value in after.items()
        if before.values.get(name) != value
    ]
    sites = _sites(profile)
    if before.sites != sites:
        found.append({"field": "sites", "old": list(before.sites), "new": list(sites)})
    if before.secret_version != profile.secret_version or (before.is_new and profile.password is not None):
        found.append({"field": "password", "did": _secret_act(before, profile)})
    return found


def _values(before: Snapshot, name: str, value: Any) -> dict[str, Any]:  # Any: JSON
    return {"new": value} if before.is_new else {"old": before.values.get(name), "new": value}


def _secret_act(before: Snapshot, profile: SMTPProfile) -> str:
    if profile.password is None:
        return "removed"
    return "changed" if before.has_secret else "set"


def _sites(profile: SMTPProfile) -> tuple[str, ...]:
    return tuple(profile.sites.order_by("domain").values_list("domain", flat=True))


def record(
    kind: str, profile: SMTPProfile, user: AbstractBaseUser | None, *, level: str = "info", **data: Any
) -> None:  # Any: JSON
    """Write one line about a profile."""
    Event.objects.create(
        kind=kind,
        level=level,
        profile_id=profile.pk,
        user_id=user.pk if user is not None else None,
        data={"name": profile.name, "version": profile.version, **data},
    )
