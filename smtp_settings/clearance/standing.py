"""Why a profile is not live, for the pages: the gate only knows that it is not."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import repeat
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import Func, JSONField, QuerySet, TextField
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from smtp_settings import sealing
from smtp_settings.clearance.candidate import is_live, stored_secret
from smtp_settings.fields import SealedField
from smtp_settings.models import Auth, OAuthCredential, SMTPProfile


class Cause(StrEnum):
    """What keeps a profile from being live; LIVE is nothing."""

    LIVE = "live"
    DIFFERS = "differs"
    UNREADABLE = "unreadable"
    OTHER_KEY = "other_key"
    NO_KEY = "no_key"


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a profile is live, and why not; `kid` names the key that is missing, "" for none."""

    cause: Cause
    kid: str = ""

    @property
    def is_live(self) -> bool:
        """Whether the profile may send."""
        return self.cause is Cause.LIVE


UNREADABLE = _("The saved password cannot be read with the current key. Enter it again.")

_LINES: dict[Cause, str | Promise] = {
    Cause.LIVE: "",
    Cause.DIFFERS: _("Not live: settings differ from the tested ones"),
    Cause.UNREADABLE: UNREADABLE,
    Cause.OTHER_KEY: _("Not live: cleared under a key that is missing; test and save again"),
    Cause.NO_KEY: _("Not live: there is no usable key for stored passwords"),
}
_ALERTS: dict[Cause, str | Promise] = {
    Cause.LIVE: "",
    Cause.DIFFERS: _(
        "%(name)s is not live: its settings are not the tested ones, or its password cannot be read."
    ),
    Cause.UNREADABLE: _(
        "%(name)s is not live: its password was sealed with the key “%(kid)s”, which is missing. Put the "
        "file with that key back, or enter the password again."
    ),
    Cause.OTHER_KEY: _(
        "%(name)s is not live: it was cleared under the key “%(kid)s”, which is missing. Put the file with "
        "that key back, or test and save it again."
    ),
    Cause.NO_KEY: _("%(name)s is not live: there is no usable key for stored passwords."),
}


def standing_of(profile: SMTPProfile) -> Standing:
    """Say whether a saved profile is live, and what is wrong when it is not; reads as little as `is_live`.

    For pages, which ask it of every profile at each view: a secret and a fingerprint take a quarter of a
    millisecond, so the answer is remembered for a row of exactly these values under these keys.
    Workers ask `is_live`, which remembers nothing.
    """
    try:
        keyring = sealing.current_keyring()
    except sealing.SealingError:
        return Standing(Cause.NO_KEY)
    if profile.auth == Auth.OAUTH2:  # what shapes the session is in another row, too
        return _judge(profile, keyring)
    answer = _remembered(keyring, _values_of(profile))
    if not answer:
        answer.append(_judge(profile, keyring))
    return answer[0]


def row_version(profile: str, credential: str) -> str:
    """Return SQL for what is another text whenever a profile's row or its credential's was written.

    The arguments name the two tables in the statement. A tuple is never changed in place: who wrote it and
    where it lies is enough, and costs nothing, where a digest of seventy columns takes as long as the rest.
    """
    return f"concat_ws(' ', {profile}.xmin, {profile}.ctid, {credential}.xmin, {credential}.ctid)"


def standings_of_versions(versions: Mapping[int, str]) -> dict[int, Standing]:
    """Say how profiles stand by the `row_version` of their rows; whole rows are read of new versions only.

    For pages that look at every profile and need nothing else of them. One that is gone by now is left out.
    """
    try:
        keyring = sealing.current_keyring()
    except sealing.SealingError:
        return dict.fromkeys(versions, Standing(Cause.NO_KEY))
    known = _of_versions(keyring)
    found = {pk: known[pk, version] for pk, version in versions.items() if (pk, version) in known}
    if missing := versions.keys() - found.keys():
        if len(known) > _MOST_VERSIONS:
            known.clear()
        for profile in _whole(missing):
            found[profile.pk] = known[profile.pk, profile.row_version] = _judge(profile, keyring)
    return found


def _whole(ids: Collection[int]) -> "QuerySet[Any]":  # Any: a profile with its version
    """Read rows with their versions: what was judged is remembered as what it was at that moment."""
    tables = (f'"{model._meta.db_table}"' for model in (SMTPProfile, OAuthCredential))  # documented
    version: Func = Func(template=row_version(*tables), output_field=TextField())
    rows = SMTPProfile.objects.filter(pk__in=ids).select_related("oauth_credential")
    return rows.annotate(row_version=version)


@lru_cache(maxsize=2)
def _of_versions(_keyring: sealing.Keyring) -> dict[tuple[int, str], Standing]:
    """Return what is remembered under these keys."""
    return {}


_MOST_VERSIONS = 4096


@lru_cache(maxsize=1024)
def _remembered(_keyring: sealing.Keyring, _values: tuple[object, ...]) -> list[Standing]:
    """Return the place for the answer about a row: empty when it is asked about for the first time."""
    return []


def _values_of(profile: SMTPProfile) -> tuple[object, ...]:
    """Return every column of a row, lists as text, its sealed secret as a digest."""
    row, sealed = profile.__dict__, profile.password
    digest = hashlib.sha256(bytes(sealed)).digest() if sealed is not None else None
    lists = repr([row.get(name, _NOT_READ) for name in _LISTS])
    return *map(row.get, _PLAIN, repeat(_NOT_READ)), lists, digest


_NOT_READ = object()
_COLUMNS = SMTPProfile._meta.concrete_fields  # documented model API
_LISTS = [column.attname for column in _COLUMNS if isinstance(column, ArrayField | JSONField)]
_PLAIN = [
    column.attname
    for column in _COLUMNS
    if column.attname not in _LISTS and not isinstance(column, SealedField)
]


def _judge(profile: SMTPProfile, keyring: sealing.Keyring) -> Standing:
    if is_live(profile):
        return Standing(Cause.LIVE)
    keys = keyring.keys
    cleared_by, cleared_elsewhere = profile.cleared_key.partition(":")[0], False
    if profile.cleared_key:
        cleared_elsewhere = profile.cleared_key not in {key.mark for key in keys}
    try:
        stored_secret(profile)
    except sealing.KeyMissing as error:
        return Standing(Cause.UNREADABLE, error.kid)
    except sealing.SealingError:  # entered for other settings, unless the key is another under the old name
        return Standing(Cause.UNREADABLE, cleared_by) if cleared_elsewhere else Standing(Cause.DIFFERS)
    return Standing(Cause.OTHER_KEY, cleared_by) if cleared_elsewhere else Standing(Cause.DIFFERS)


def line(standing: Standing) -> str:
    """Return why a profile is not live, in a line; "" when it is."""
    return str(_LINES[standing.cause])


def alert(profile: SMTPProfile, standing: Standing) -> str:
    """Return why a profile is not live, with its name, the key's, and the remedy; "" when it is."""
    return str(_ALERTS[standing.cause]) % {"name": profile.name, "kid": standing.kid}
