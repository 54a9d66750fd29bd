"""The key check values: a wrong key is found at start, not at night when a password is needed."""

from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings import sealing
from smtp_settings.models import KeyCheck, OAuthCredential, SMTPProfile


def confirm() -> None:
    """Make sure that the primary key is the one known by its name; remember it when it is new.

    Raises WrongKey, so that nothing is ever sealed with a key that was mixed up. A caller may call it in each
    transaction: one statement when the key is known.
    """
    mistaken = wrong_keys()
    if mistaken:
        raise sealing.WrongKey(wrong_key_sentence(mistaken), kid=mistaken[0])
    for key in sealing.current_keyring().keys:
        KeyCheck.objects.get_or_create(kid=key.kid, defaults={"value": key.check_value})


def wrong_keys() -> list[str]:
    """Name the keys at hand that differ from those used under these names before; one query."""
    keys = {key.kid: key.check_value for key in sealing.current_keyring().keys}
    known = KeyCheck.objects.filter(kid__in=keys).values_list("kid", "value")
    return [kid for kid, value in known if bytes(value) != keys[kid]]


def wrong_key_sentence(kids: list[str]) -> str:
    """Say which keys are not the ones they are named after."""
    return _("The key named %(kids)s is not the key that sealed the stored passwords under this name.") % {
        "kids": ", ".join(f"“{kid}”" for kid in kids)
    }


def missing_keys() -> Counter[str]:
    """Count profiles and OAuth credentials by the key they need and that is not among the keys; two queries.

    A profile in use needs the key it was cleared under, too. Test runs are left out: their secrets are
    forgotten after half an hour.
    """
    at_hand = {key.kid for key in sealing.current_keyring().keys}
    return Counter(kid for needed in _needed_keys() for kid in needed - at_hand)


def missing_key_sentence(kid: str, rows: int) -> str:
    """Say which key is missing, and how much it is missed."""
    sentence = ngettext(
        "%(rows)d profile or OAuth credential needs the key “%(kid)s”, which is not among the keys.",
        "%(rows)d profiles or OAuth credentials need the key “%(kid)s”, which is not among the keys.",
        rows,
    )
    return sentence % {"rows": rows, "kid": kid}


def remedy(error: sealing.SealingError, *, command: str = "") -> str:
    """Return why a stored password does not open and what to do; `command` is what enters it, if one does."""
    if isinstance(error, sealing.KeyUnusable) or (isinstance(error, sealing.KeyMissing) and not error.kid):
        return str(error)  # it says itself where keys come from
    what = _("Enter the password again")
    if isinstance(error, sealing.KeyMissing):
        what = _("Put the file with that key back, or enter the password again")
    return f"{error} {what}: {command}." if command else f"{error} {what}."


def _needed_keys() -> Iterator[set[str]]:
    """Yield the keys each row needs."""
    for password, cleared_key, enabled in SMTPProfile.objects.values_list(
        "password", "cleared_key", "enabled"
    ):
        yield _kids(password) | ({cleared_key.partition(":")[0]} if enabled and cleared_key else set())
    columns = ("client_secret", "access_token", "refresh_token")
    for secrets in OAuthCredential.objects.values_list(*columns):
        yield _kids(*secrets)


def _kids(*sealed: bytes | memoryview | None) -> set[str]:
    """Name the keys of sealed secrets; what is none has no key (`manage.py verify_secrets` tells)."""
    found = set()
    for value in sealed:
        try:
            if value is not None:
                found.add(sealing.kid_of(bytes(value)))
        except sealing.SealBroken:
            continue
    return found
