"""Which secret a person means who left the password field empty, typed one, or asked for its removal."""

from enum import StrEnum

from django.utils.translation import gettext as _

from smtp_settings.sealing.binding import Destination


class SecretSource(StrEnum):
    """Where the secret of a candidate comes from."""

    TYPED = "typed"
    TESTED = "tested"
    STORED = "stored"
    NONE = "none"


class PasswordMissing(Exception):
    """These values sign in with a password and there is none; str() says what to do."""

    def __init__(self, sentence: str = "") -> None:
        super().__init__(sentence or _("Enter the password, or choose “None”."))


class PasswordNeeded(PasswordMissing):
    """The stored secret was entered for another destination.

    `changed` names what differs, `host` is the server it was entered for.
    """

    def __init__(self, changed: tuple[str, ...], host: str) -> None:
        sentence = _("The saved password was entered for %(host)s. Enter the password again.")
        super().__init__(sentence % {"host": host or _("other settings")})
        self.changed = changed
        self.host = host


def choose(
    *,
    wanted: Destination,
    stored: Destination | None = None,
    tested: Destination | None = None,
    typed: bool = False,
    remove: bool = False,
    uses_secret: bool = True,
) -> SecretSource:
    """Decide whose secret it is; None for `stored` and `tested` means there is none.

    A typed one always counts. An empty field means the one just tested or the stored one, and only for
    exactly the destination it was entered for (E1-E3); otherwise PasswordNeeded.
    """
    if not uses_secret:
        return SecretSource.NONE
    if typed:
        return SecretSource.TYPED
    if remove:
        return SecretSource.NONE
    if tested is not None and tested == wanted:
        return SecretSource.TESTED
    if stored is None:
        return SecretSource.NONE
    if stored != wanted:
        raise PasswordNeeded(stored.differences(wanted), stored.host)
    return SecretSource.STORED
