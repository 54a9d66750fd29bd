"""Signing in (RFC 4954): one mechanism, one try. More tries with one password are what locks accounts."""

import base64
from collections.abc import Mapping

from transports.base import Phase
from transports.errors import AuthNotEncrypted, AuthNotOffered, ProtocolError, ReplyRefused, TransportError
from transports.smtp.protocol import SMTPProtocol
from transports.smtp.redaction import Redactor
from transports.smtp.settings import SMTPSettings

#: In the order of preference: PLAIN needs one round trip.
MECHANISMS = ("PLAIN", "LOGIN")

_HIDDEN = b"<secret>\r\n"


async def sign_in(
    protocol: SMTPProtocol, settings: SMTPSettings, capabilities: Mapping[str, str], *, is_encrypted: bool
) -> str:
    """Sign in and return the mechanism. Raises a TransportError of phase AUTH; only 235 is success."""
    if not is_encrypted and not settings.allow_clear_auth:
        raise AuthNotEncrypted(
            "The connection is not encrypted, and this profile does not allow a sign-in in clear.",
            phase=Phase.AUTH,
        )
    mechanism = choose(settings.mechanism, capabilities)
    password = settings.password().reveal() if settings.password is not None else ""
    if "\0" in settings.username or "\0" in password:
        raise TransportError("The user name or the password holds a NUL character.", phase=Phase.AUTH)
    name, secret = settings.username.encode(), password.encode()
    both = b"\0" + name + b"\0" + secret
    protocol.redactor = Redactor(secret, both)
    if mechanism == "PLAIN":
        await _plain(protocol, _base64(both))
    else:
        await _login(protocol, _base64(name), _base64(secret))
    return mechanism


def choose(wanted: str, capabilities: Mapping[str, str]) -> str:
    """Return the one mechanism to use. Raises AuthNotOffered."""
    offered = capabilities.get("AUTH", "").split()
    if not offered:
        raise AuthNotOffered("The server does not offer a sign-in here.", phase=Phase.AUTH)
    for mechanism in MECHANISMS if wanted == "auto" else (wanted.upper(),):
        if mechanism in offered:
            return mechanism
    raise AuthNotOffered(
        f"The server offers only {', '.join(offered)}, and this profile cannot use that.", phase=Phase.AUTH
    )


async def _plain(protocol: SMTPProtocol, answer: bytes) -> None:
    code = await _say(protocol, b"AUTH PLAIN " + answer + b"\r\n", b"AUTH PLAIN " + _HIDDEN)
    if code == 334:  # a server that overlooked the initial response
        code = await _say(protocol, answer + b"\r\n", _HIDDEN)
    _end(code)


async def _login(protocol: SMTPProtocol, name: bytes, secret: bytes) -> None:
    code = await _say(protocol, b"AUTH LOGIN\r\n", None)
    if code == 334:
        code = await _say(protocol, name + b"\r\n", None)
    if code == 334:
        code = await _say(protocol, secret + b"\r\n", _HIDDEN)
    _end(code)


async def _say(protocol: SMTPProtocol, line: bytes, shown: bytes | None) -> int:
    """Write one line and return the code of the reply, 235 or 334. Raises for everything else."""
    replies = await protocol.exchange(line, (Phase.AUTH,), shown=shown)
    if protocol.error is not None and (not replies or isinstance(protocol.error, ProtocolError)):
        raise protocol.error
    if replies[0].code >= 400:
        raise ReplyRefused("The server refused the sign-in.", phase=Phase.AUTH, reply=replies[0])
    return replies[0].code


def _end(code: int) -> None:
    if code != 235:
        raise ProtocolError("The server asks more than the sign-in has to say.", phase=Phase.AUTH)


def _base64(raw: bytes) -> bytes:
    return base64.b64encode(raw)
