"""Why a profile is not live, for the pages: the gate only knows that it is not."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from smtp_settings import sealing
from smtp_settings.clearance.candidate import is_live, stored_secret
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
    return _remembered(_Asked(keyring, _values_of(profile), profile))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A row as it was asked about. Rows are told apart by their values, not by their objects."""

    keyring: sealing.Keyring = field(repr=False)
    values: str = field(repr=False)
    profile: SMTPProfile = field(repr=False, compare=False)


@lru_cache(maxsize=1024)
def _remembered(asked: _Asked) -> Standing:
    return _judge(asked.profile, asked.keyring)


def _values_of(profile: SMTPProfile) -> str:
    """Return every column of a row, its sealed secret as a digest, in one text."""
    values = {name: value for name, value in profile.__dict__.items() if name in _COLUMNS}
    sealed = profile.password
    values["password"] = hashlib.sha256(bytes(sealed)).hexdigest() if sealed is not None else None
    return repr(values)


_COLUMNS = frozenset(column.attname for column in SMTPProfile._meta.concrete_fields)  # documented model API


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
