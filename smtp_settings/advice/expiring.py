"""What of the profiles in use stops working one day, and when: for those who are told before.

Certificates as the last test or daily check saw them, passwords by the age at which this installation calls
them old, OAuth credentials, and the day a provider ends sign-in with a password.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

from django.conf import settings

from smtp_settings import presets
from smtp_settings.advice.notes import certificate_ends_at, latest_runs
from smtp_settings.models import Auth, DeliveryMethod, OAuthCredential, SMTPProfile
from smtp_settings.oauth.expiry import endings_of

#: Nothing further away is spoken of.
HORIZON = timedelta(days=30)


class What(StrEnum):
    """What ends."""

    CERTIFICATE = "certificate"
    PASSWORD = "password"  # noqa: S105  # what ends, not a password
    SIGN_IN = "sign_in"
    OAUTH = "oauth"


@dataclass(frozen=True, slots=True)
class Ending:
    """Something that ends at `ends_at`; `subject` names it among its kind, `name` for people."""

    what: What
    subject: str
    name: str
    ends_at: datetime
    profile_id: int | None = None


def endings(now: datetime) -> list[Ending]:
    """Return what ends within the horizon or has ended, soonest first; four queries."""
    profiles = list(SMTPProfile.objects.filter(enabled=True, is_draft=False).defer("notes", "ca"))
    used = [
        row.oauth_credential_id for row in profiles if row.auth == Auth.OAUTH2 and row.oauth_credential_id
    ]
    credentials = OAuthCredential.objects.filter(pk__in=used) if used else []
    found = [*_of_profiles(profiles), *_of_credentials(credentials)]
    return sorted((one for one in found if one.ends_at <= now + HORIZON), key=lambda one: one.ends_at)


def _of_profiles(profiles: list[SMTPProfile]) -> Iterator[Ending]:
    runs = latest_runs(profiles)
    for row in profiles:
        seen = certificate_ends_at(runs[row.pk].steps) if row.pk in runs else None
        for what, ends_at in (
            (What.CERTIFICATE, seen),
            (What.PASSWORD, password_ends_at(row)),
            (What.SIGN_IN, _sign_in_ends_at(row)),
        ):
            if ends_at is not None:
                yield Ending(what, f"profile {row.pk}", row.name, ends_at, row.pk)


def _of_credentials(credentials: Iterable[OAuthCredential]) -> Iterator[Ending]:
    for credential in credentials:
        for one in endings_of(credential)[:1]:  # what ends first is what stops the mail
            yield Ending(What.OAUTH, f"credential {credential.pk}", credential.name, one.ends_at)


def password_ends_at(profile: SMTPProfile) -> datetime | None:
    """Return when a saved password is called old; None when there is none, or it never is."""
    days = settings.MAILCONF_PASSWORD_AGE_DAYS
    if profile.auth != Auth.PASSWORD or profile.password is None or profile.secret_set_at is None or not days:
        return None
    return profile.secret_set_at + timedelta(days=days)


def _sign_in_ends_at(profile: SMTPProfile) -> datetime | None:
    if profile.transport != DeliveryMethod.SMTP or profile.auth != Auth.PASSWORD:
        return None
    preset = presets.preset_of(profile.preset, profile.host)
    if preset is None or preset.password_end is None:
        return None
    return datetime.combine(preset.password_end.on, time(), tzinfo=UTC)
