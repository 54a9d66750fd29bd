"""What was read becomes a profile's values, as strictly as in the form; what does not fit is said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from smtp_settings import field_values, presets
from smtp_settings.entries import judges, pasted
from smtp_settings.importing.elsewhere import SMTP, instead_of
from smtp_settings.importing.mailer import Habit, Mailer
from smtp_settings.models import SMTPProfile
from smtp_settings.sealing import Secret

_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off", "none"})
_ENCRYPTIONS = {"starttls": "starttls", "none": "none", "null": "none", "smtp": "", "": ""}
_TLS_PORTS, _STARTTLS_PORTS, _CLEAR_PORT = (465, 2465), (587, 2525, 2587), 25
_PORTS = {"starttls": 587, "tls": 465, "none": _CLEAR_PORT}
#: Django's DEFAULT_FROM_EMAIL when nobody chose one.
_NOBODY = "webmaster@localhost"


class NotTaken(ValueError):
    """Nothing here can become a profile; str() says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A profile not saved yet, the secret it signs in with, and sentences on what was left out."""

    label: str
    profile: SMTPProfile
    secret: Secret | None = field(repr=False, default=None)
    notes: tuple[str, ...] = ()


def judged(mailer: Mailer) -> Judged:
    """Make a profile of what was read. Raises NotTaken."""
    if mailer.backend not in SMTP:
        names = {preset.key: preset.name for preset in presets.all_presets()}
        raise NotTaken(instead_of(mailer.backend, names))
    notes = list(mailer.notes)
    profile = SMTPProfile(name=mailer.name[:100])
    values = mailer.values
    profile.host = _host(values)
    profile.port, profile.security = _connection(mailer, notes)
    if preset := presets.preset_of("", profile.host):
        profile.preset = preset.key
        for name, number in preset.fills.items():
            setattr(profile, name, number)
    secret = _sign_in(profile, values, notes)
    _sender(profile, values, notes)
    _timeout(profile, values, notes)
    if values.get("ssl_certfile") or values.get("ssl_keyfile"):
        notes.append(_("The client certificate was left out: mailconf signs in with a password or a token."))
    return Judged(mailer.label, profile, secret, tuple(notes))


def _host(values: Mapping[str, Any]) -> str:  # Any: as in the settings
    text = str(values.get("host") or "")
    try:
        host = judges.host_name(pasted.server(text).host)
    except ValidationError as error:
        raise NotTaken(_("The server is refused: %(why)s") % {"why": " ".join(error.messages)}) from None
    if not host:
        raise NotTaken(_("It names no server."))
    return host


def _connection(mailer: Mailer, notes: list[str]) -> tuple[int, str]:
    """Return port and security; each may decide the other where it was not said."""
    said = mailer.values.get("port") or pasted.server(str(mailer.values.get("host") or "")).port
    port = _number(said, 1, 65535)
    if said and port is None:
        notes.append(_("The port is no number from 1 to 65535; it was left out."))
    security = _security(mailer, port, notes)
    if port is None:
        port = _CLEAR_PORT if mailer.habit is Habit.DJANGO else _PORTS[security]
    return port, security


def _security(mailer: Mailer, port: int | None, notes: list[str]) -> str:
    values = mailer.values
    tls, ssl = _flag("use_tls", values, notes), _flag("use_ssl", values, notes)
    if tls and ssl:
        notes.append(_("STARTTLS and TLS from the first byte were both asked for; the port decided."))
        return "tls" if port in _TLS_PORTS else "starttls"
    if ssl or tls:
        return "tls" if ssl else "starttls"
    encryption = str(values.get("encryption") or "").strip().lower()
    if encryption in ("tls", "ssl", "smtps"):  # words that mean either
        default = "starttls" if encryption == "tls" else "tls"
        return "tls" if port in _TLS_PORTS else "starttls" if port in _STARTTLS_PORTS else default
    if encryption not in _ENCRYPTIONS:
        notes.append(_("The encryption is not understood; the port decided."))
    if known := _ENCRYPTIONS.get(encryption, ""):
        return known
    if mailer.habit is Habit.DJANGO:
        return "none"
    return _by_port(port, has_user=bool(values.get("username")))


def _by_port(port: int | None, *, has_user: bool) -> str:
    """Choose for a program that said nothing: never plain text where somebody signs in, but on port 25."""
    if port in _TLS_PORTS:
        return "tls"
    if port == _CLEAR_PORT or (port not in _STARTTLS_PORTS and not has_user):
        return "none"
    return "starttls"


def _flag(name: str, values: Mapping[str, Any], notes: list[str]) -> bool:  # Any: as in the settings
    word = str(values.get(name) or "").strip().lower()
    if word not in _TRUE | _FALSE:
        notes.append(_("%(name)s is neither true nor false; it was left out.") % {"name": name})
    return word in _TRUE


def _number(value: Any, lowest: int, highest: int) -> int | None:  # Any: as in the settings
    text = str(value or "").strip()
    return int(text) if text.isascii() and text.isdigit() and lowest <= int(text) <= highest else None


def _sign_in(
    profile: SMTPProfile, values: Mapping[str, Any], notes: list[str]
) -> Secret | None:  # Any: ditto
    user, password = str(values.get("username") or ""), str(values.get("password") or "")
    profile.auth = "password" if user else "none"
    if not user:
        if password:
            notes.append(
                _("There is a password and no user name; it was left out, since nobody would sign in.")
            )
        return None
    try:
        field_values.assign(profile, {"username": user})
        typed = judges.password(pasted.password(password, profile.host))
    except ValidationError:  # its words may hold what was read
        raise NotTaken(_("The user name or the password cannot be used.")) from None
    if not typed:
        notes.append(_("There is a user name and no password. Enter it in the draft."))
        return None
    if profile.security == "none":
        notes.append(_("The password would be sent without encryption; the draft asks you to confirm it."))
    return Secret(typed)


def _sender(profile: SMTPProfile, values: Mapping[str, Any], notes: list[str]) -> None:  # Any: ditto
    written = str(values.get("from_email") or "")
    if not written or written == _NOBODY:
        return
    name, address = parseaddr(written)
    name = str(values.get("from_name") or name)
    texts = {"from_address": address or written, "from_name": name}
    for column, text in texts.items():
        try:
            field_values.assign(profile, {column: text})
        except ValidationError as error:
            why = " ".join(error.messages).removeprefix(f"{column}: ")
            notes.append(_("The sender was left out: %(why)s") % {"why": why})
            profile.from_address = profile.from_name = ""
            return


def _timeout(profile: SMTPProfile, values: Mapping[str, Any], notes: list[str]) -> None:  # Any: ditto
    if not values.get("timeout"):
        return
    text = str(values["timeout"]).partition(".")[0]
    seconds = _number(text, 1, 300)
    if seconds is None:
        notes.append(_("The timeout is no number of seconds from 1 to 300; it was left out."))
    else:
        profile.connect_timeout = seconds
