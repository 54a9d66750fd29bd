"""System checks: what is wrong with keys or presets, in a sentence, before either is needed."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import DatabaseError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings import key_check, presets, sealing

TAG = "mailconf"
_HINT = gettext_lazy(
    "Until there is one, mail is kept and none is sent. “manage.py generate_key --file PATH” makes one."
)


@register(TAG)
def check_keys(**_kwargs: Any) -> list[CheckMessage]:  # Any: the registry's own signature
    """E001 without a key, E003 for one that is no random key."""
    try:
        sealing.current_keyring()
    except sealing.KeyUnusable as error:
        return [Error(str(error), id="mailconf.E003", hint=_("Keys come from “manage.py generate_key”."))]
    except sealing.KeyMissing as error:
        return [Error(str(error), id="mailconf.E001", hint=str(_HINT))]
    return []


@register(TAG)
def check_presets(**_kwargs: Any) -> list[CheckMessage]:  # Any: as above
    """W002 for a file of the operators' own providers that cannot be used."""
    try:
        presets.check_operators_file()
    except presets.PresetFileError as error:
        hint = _("Until then only the providers that come with mailconf are offered.")
        return [CheckWarning(str(error), id="mailconf.W002", hint=hint)]
    return []


@register(TAG, Tags.database)
def check_key_values(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """E002 when a key is not the one used under its name before, or one that is needed is missing."""
    # Any: as above
    if not databases:
        return []
    try:
        mistaken, missing = key_check.wrong_keys(), key_check.missing_keys()
    except (
        sealing.SealingError,
        DatabaseError,
    ):  # E001 or E003 says the first; before `migrate` there is no table
        return []
    return [*_wrong(mistaken), *_missing(missing)]


def _wrong(kids: list[str]) -> list[CheckMessage]:
    if not kids:
        return []
    hint = _(
        "Put the right key back. If it is lost, give the new key a new name and enter the passwords again."
    )
    return [Error(key_check.wrong_key_sentence(kids), id="mailconf.E002", hint=hint)]


def _missing(rows_by_kid: Mapping[str, int]) -> list[CheckMessage]:
    hint = _(
        "Put the file with the key “%(kid)s” back, or enter the passwords again; profiles without a password "
        "are tested and saved again."
    )
    return [
        Error(key_check.missing_key_sentence(kid, rows), id="mailconf.E002", hint=hint % {"kid": kid})
        for kid, rows in sorted(rows_by_kid.items())
    ]
