"""Why a profile is not live, for the pages: the gate only knows that it is not."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import repeat

from django.contrib.postgres.fields import ArrayField
from django.db.models import JSONField
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from smtp_settings import sealing
from smtp_settings.clearance.candidate import is_live, stored_secret
from smtp_settings.fields import SealedField
from smtp_settings.models import Auth, SMTPProfile


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
