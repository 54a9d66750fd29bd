"""What will stop working one day although it works now: certificates, old passwords, sign-ins that end.

One wording for the panel after a pass, the form, and the dashboard.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F
from django.db.models.fields.json import KT
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
#: What a test saw longer ago may have been renewed since.
_FRESH = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Note:
    """Some sentences about one fact. `kind` is "certificate", "password" or "sign-in".

    `tone` is "is-warn" when it is time to act, else "is-info"; `field` the form field it is about, or "".
    """

    kind: str
    tone: str
    sentence: str
    field: str = ""


def notes_for(
    profile: SMTPProfile, run: TestRun | None = None, *, now: datetime | None = None
) -> tuple[Note, ...]:
    """Return the notes of a profile; `run` is the test whose certificate counts. Touches no table."""
    now = now or timezone.now()
    certificate = certificate_note(run, now) if run is not None else None
    found = (certificate, password_note(profile, now), _sign_in(profile, now))
    return tuple(note for note in found if note is not None)


def notes_of(profiles: Iterable[SMTPProfile]) -> dict[int, tuple[Note, ...]]:
    """Return the notes of saved profiles by id; one query for all.

    The certificate is that of the last passed test through the profile's own server: a test of values that
    were never saved saw somebody else's.
    """
    rows = list(profiles)
    latest = latest_runs(rows)
    return {row.pk: notes_for(row, latest.get(row.pk)) for row in rows}


def latest_runs(profiles: Iterable[SMTPProfile]) -> dict[int, TestRun]:
    """Return the last passed test or check of each saved profile's own server, by profile; one query."""
    ids = [row.pk for row in profiles]
    runs = (
        TestRun.objects.filter(
            profile_id__in=ids,
            kind__in=(TestRun.Kind.SEND, TestRun.Kind.CONNECT),
            state=TestRun.State.PASSED,
        )
        .annotate(tested_host=KT("settings__host"))
        .filter(tested_host=F("profile__host"))
        .order_by("profile_id", "-id")
        .distinct("profile_id")
        .only("profile_id", "steps", "settings", "finished_at")
    )
    return {run.profile_id: run for run in runs if run.profile_id is not None} if ids else {}


def certificate_note(run: TestRun, now: datetime) -> Note | None:
    """Return what to say at `now` of the certificate a test saw; None while it is good, or saw none."""
    ends = certificate_ends_at(run.steps)
    if ends is None or ends - now >= CERTIFICATE_SOON:
        return None
    tone = "is-warn" if ends - now < CERTIFICATE_VERY_SOON else "is-info"
    advice = _("Tell the server's owner.")
    if run.finished_at is not None and now - run.finished_at > _FRESH:
        seen = date_format(timezone.localtime(run.finished_at), "j F Y")
        advice = _("A test saw it on %(day)s; a new one shows whether it was renewed.") % {"day": seen}
    return Note("certificate", tone, f"{_expiry((run.settings or {}).get('host', ''), ends, now)} {advice}")


def _expiry(host: str, ends: datetime, now: datetime) -> str:
    said = {"host": host, "day": date_format(timezone.localtime(ends), "j F Y"), "days": (ends - now).days}
    if ends <= now:
        return _("Certificate of %(host)s expired on %(day)s.") % said
    if not said["days"]:
        return _("Certificate of %(host)s expires within a day, on %(day)s.") % said
    return (
        ngettext(
            "Certificate of %(host)s expires in %(days)d day, on %(day)s.",
            "Certificate of %(host)s expires in %(days)d days, on %(day)s.",
            (ends - now).days,
        )
        % said
    )


def certificate_ends_at(steps: Sequence[Mapping[str, Any]]) -> datetime | None:  # Any: JSON
    """Return when the certificate a test saw expires; None when it saw none."""
    for step in steps:
        text = str((step.get("evidence") or {}).get("certificate_expires_at") or "")
        try:
            ends = datetime.fromisoformat(text)
        except ValueError:
            continue
        return ends if ends.tzinfo is not None else None
    return None


def password_note(profile: SMTPProfile, now: datetime) -> Note | None:
    """Return what to say of a saved password that is in use for too long; None for any other."""
    if profile.auth != Auth.PASSWORD or profile.password is None or profile.secret_set_at is None:
        return None
    if not password_is_old(profile.secret_set_at, now, settings.MAILCONF_PASSWORD_AGE_DAYS):
        return None
    days = (now - profile.secret_set_at).days
    sentence = ngettext(
        "The saved password is %(days)d day old. Make a new one at the provider and replace it.",
        "The saved password is %(days)d days old. Make a new one at the provider and replace it.",
        days,
    )
    return Note("password", "is-info", sentence % {"days": days}, "password")


def _sign_in(profile: SMTPProfile, now: datetime) -> Note | None:
    """Say that the provider ends, or ended, sign-in with a password: the words of the form's hint."""
    if profile.transport != DeliveryMethod.SMTP or profile.auth != Auth.PASSWORD:
        return None
    preset = presets.preset_of(profile.preset, profile.host)
    if preset is None or preset.password_end is None:
        return None
    end, today = preset.password_end, timezone.localdate(now)
    return Note("sign-in", "is-warn" if end.is_near(today) else "is-info", _(end.words(today)), "auth")
