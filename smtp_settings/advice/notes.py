"""What will stop working one day although it works now: certificates, old passwords, sign-ins that end.

One place for the panel after a pass, the form, and the dashboard.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings import presets
from smtp_settings.models import Auth, DeliveryMethod, SMTPProfile, TestRun
from smtp_settings.secret_age import password_is_old

#: A certificate that ends within this is spoken of, ...
CERTIFICATE_SOON = timedelta(days=30)
#: ... and within this, with a warning: the renewal of a 90-day certificate is late by then.
CERTIFICATE_VERY_SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence. `kind` is "certificate", "password" or "sign-in"; `tone` "is-warn" or "is-info".

    `field` is the form field it is about, "" for none.
    """

    kind: str
    tone: str
    sentence: str
    field: str = ""


def notes_for(
    profile: SMTPProfile, run: TestRun | None = None, *, now: datetime | None = None
) -> tuple[Note, ...]:
    """Return the notes of a profile's values, saved or not; `run` is the test whose certificate counts.

    Touches no table.
    """
    now = now or timezone.now()
    steps: Sequence[Mapping[str, Any]] = run.steps if run is not None else ()  # Any: JSON of `TestRun.steps`
    found = (_certificate(steps, now), _password(profile, now), _sign_in(profile, now))
    return tuple(note for note in found if note is not None)


def notes_of(profiles: Iterable[SMTPProfile]) -> dict[int, tuple[Note, ...]]:
    """Return the notes of saved profiles by id, each with its last passed test; one query for all."""
    rows = list(profiles)
    runs = (
        TestRun.objects.filter(
            profile_id__in=[row.pk for row in rows], kind=TestRun.Kind.SEND, state=TestRun.State.PASSED
        )
        .order_by("profile_id", "-id")
        .distinct("profile_id")
        .only("profile_id", "steps")
    )
    latest = {run.profile_id: run for run in runs}
    return {row.pk: notes_for(row, latest.get(row.pk)) for row in rows}


def _certificate(steps: Sequence[Mapping[str, Any]], now: datetime) -> Note | None:  # Any: as above
    ends = certificate_ends_at(steps)
    if ends is None or ends - now >= CERTIFICATE_SOON:
        return None
    day = date_format(timezone.localtime(ends), "j F Y")
    if ends <= now:
        sentence = _("The certificate of the server expired on %(day)s.") % {"day": day}
        return Note("certificate", "is-warn", sentence)
    days = (ends - now).days
    sentence = ngettext(
        "The certificate of the server expires on %(day)s, in %(days)d day. Its owner has to renew it.",
        "The certificate of the server expires on %(day)s, in %(days)d days. Its owner has to renew it.",
        days,
    ) % {"day": day, "days": days}
    return Note("certificate", "is-warn" if ends - now < CERTIFICATE_VERY_SOON else "is-info", sentence)


def certificate_ends_at(steps: Sequence[Mapping[str, Any]]) -> datetime | None:  # Any: as above
    """Return when the certificate a test saw expires; None when it saw none."""
    for step in steps:
        text = str((step.get("evidence") or {}).get("certificate_expires_at") or "")
        try:
            ends = datetime.fromisoformat(text)
        except ValueError:
            continue
        return ends if ends.tzinfo is not None else None
    return None


def _password(profile: SMTPProfile, now: datetime) -> Note | None:
    if profile.auth != Auth.PASSWORD or profile.secret_set_at is None:
        return None
    if not password_is_old(profile.secret_set_at, now, settings.MAILCONF_PASSWORD_AGE_DAYS):
        return None
    days = (now - profile.secret_set_at).days
    sentence = _("The password was set %(days)d days ago. Make a new one at the provider and enter it here.")
    return Note("password", "is-info", sentence % {"days": days}, "password")


def _sign_in(profile: SMTPProfile, now: datetime) -> Note | None:
    """Say that the provider ends, or ended, sign-in with a password; day and words are its preset's."""
    if profile.transport != DeliveryMethod.SMTP or profile.auth != Auth.PASSWORD:
        return None
    preset = presets.preset_of(profile.preset, profile.host)
    if preset is None or preset.password_end is None:
        return None
    end = preset.password_end
    is_over = timezone.localdate(now) > end.on
    return Note("sign-in", "is-warn", _(end.after if is_over else end.before), "auth")
