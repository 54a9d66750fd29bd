"""The key check values: a wrong key is found at start, not at night when a password is needed."""

from django.utils.translation import gettext as _

from smtp_settings import sealing
from smtp_settings.models import KeyCheck


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
