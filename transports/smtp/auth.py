"""Signing in (RFC 4954): one mechanism, one try. More tries with one password are what locks accounts."""

import asyncio
from collections.abc import Mapping, Sequence

from transports.base import Phase, Secret, StepVerdict
from transports.errors import (
    AuthNotEncrypted,
    AuthNotOffered,
    CredentialsNotUsable,
    ProtocolError,
    ReplyRefused,
)
from transports.smtp.mechanisms import MECHANISMS, Attempt, Credentials, Dialogue, Line
from transports.smtp.protocol import SMTPProtocol
from transports.smtp.settings import OAUTH, SMTPSettings
from transports.smtp.transcript import Trace, stage

#: What "auto" takes, in the order of preference: PLAIN needs one round trip. CRAM-MD5 is not among them: the
#: server must keep the password itself, and MD5 is broken; whoever wants it says so.
AUTOMATIC: Mapping[str, tuple[str, ...]] = {"password": ("PLAIN", "LOGIN"), OAUTH: ("XOAUTH2",)}

#: With its CRLF (RFC 4954 section 4).
MAX_LINE_BYTES = 12_288

#: So many of a server's mechanisms are named in a sentence.
MOST_NAMED = 10


async def sign_in(
    protocol: SMTPProtocol,
    settings: SMTPSettings,
    capabilities: Mapping[str, str],
    *,
    is_encrypted: bool,
    trace: Trace | None = None,
    token: Secret | None = None,
) -> None:
    """Sign in, where the settings want it. Raises a TransportError of phase AUTH; only 235 is success.

    The secret is opened here and dropped here; what is kept is the redactor of the connection. A refused
    token is renewed once, and tried on the same connection (RFC 4954 section 4 lets a client go on).
    """
    with stage(trace, Phase.AUTH) as it:
        if not settings.signs_in:
            it.verdict, it.detail = StepVerdict.SKIPPED, "No sign-in."
            return
        if not is_encrypted and not settings.allow_clear_auth:
            raise AuthNotEncrypted(
                "The connection is not encrypted, and this profile does not allow a sign-in in clear.",
                phase=Phase.AUTH,
            )
        mechanism = choose(settings, capabilities, is_encrypted=is_encrypted)
        it.evidence["mechanism"] = mechanism
        credentials = Credentials.of(settings, token)
        protocol.redactor = credentials.redactor()

        def explain(words: str) -> None:
            it.evidence["explanation"] = words
            if trace is not None:
                trace.note(f"The server explains: {words}")

        try:
            await _converse(protocol, MECHANISMS[mechanism](Attempt(credentials, protocol, explain)))
        except ReplyRefused as error:
            if settings.auth != OAUTH and not credentials.key.isascii():
                error.evidence["password_letters"] = "not only English"  # noqa: S105
            renewed = await _renewed(settings, credentials.secret, error)
            if renewed is None:
                raise
            it.evidence["renewed"] = "yes"
            old, credentials = credentials, Credentials.of(settings, renewed)
            protocol.redactor = credentials.redactor(old.key, old.xoauth2)
            await _converse(protocol, MECHANISMS[mechanism](Attempt(credentials, protocol, explain)))


async def _renewed(settings: SMTPSettings, refused: Secret, error: ReplyRefused) -> Secret | None:
    """Return another token than the refused one; None when there is none, or it was not the token."""
    if settings.renew_token is None or error.reply is None or error.reply.code != 535:
        return None
    renewed = await asyncio.to_thread(settings.renew_token, refused)
    return renewed if renewed.reveal() != refused.reveal() else None


def choose(settings: SMTPSettings, capabilities: Mapping[str, str], *, is_encrypted: bool) -> str:
    """Return the one mechanism to use. Raises AuthNotOffered, in words that say what to do about it."""
    if "AUTH" not in capabilities:
        sentence = "The server does not offer a sign-in here."
        if not is_encrypted:
            sentence += " Many servers offer it only on an encrypted connection."
        raise AuthNotOffered(sentence, phase=Phase.AUTH)
    offered = capabilities["AUTH"].split()
    if not offered:
        sentence = "The server offers a sign-in and names no mechanism for it."
        raise AuthNotOffered(sentence, phase=Phase.AUTH, reason="no-mechanism")
    automatic = AUTOMATIC[settings.auth]
    wanted = automatic if settings.mechanism == "auto" else (settings.mechanism.upper(),)
    for mechanism in wanted:
        if mechanism in offered:
            return mechanism
    raise AuthNotOffered(_not_offered(settings, offered), phase=Phase.AUTH, reason="no-mechanism")


def _not_offered(settings: SMTPSettings, offered: Sequence[str]) -> str:
    names = ", ".join(name[:20] for name in offered[:MOST_NAMED])
    names += ", …" if len(offered) > MOST_NAMED else ""
    if settings.mechanism != "auto":
        return f"The server does not offer {settings.mechanism.upper()}. It offers {names}."
    if settings.auth == OAUTH:
        return f"The server takes no OAuth 2.0 token (XOAUTH2). It offers {names}."
    if "CRAM-MD5" in offered:
        return (
            f"The server offers only {names}. CRAM-MD5 is used only when it is chosen: set the sign-in "
            "mechanism to CRAM-MD5 if this server has nothing better."
        )
    if "XOAUTH2" in offered:
        return f"The server offers only {names}: it wants OAuth 2.0, and this profile has a password."
    return f"The server offers only {names}, and this profile cannot use that."


async def _converse(protocol: SMTPProtocol, dialogue: Dialogue) -> None:
    line = next(dialogue)
    while True:
        challenge = await _say(protocol, line)
        if challenge is None:
            return
        try:
            line = dialogue.send(challenge)
        except StopIteration:
            break
    raise ProtocolError("The server asks more than the sign-in has to say.", phase=Phase.AUTH)


async def _say(protocol: SMTPProtocol, line: Line) -> str | None:
    """Write one line; return the server's challenge, None after 235. Raises for everything else."""
    if len(line.data) > MAX_LINE_BYTES:
        raise CredentialsNotUsable(
            f"The sign-in needs a line of {len(line.data)} octets, and {MAX_LINE_BYTES} are the most there "
            "may be: the user name, the password or the token is too long.",
            phase=Phase.AUTH,
        )
    replies = await protocol.exchange(line.data, (Phase.AUTH,), shown=line.shown)
    if protocol.error is not None and (not replies or isinstance(protocol.error, ProtocolError)):
        raise protocol.error
    reply = replies[0]
    if reply.code >= 400:
        raise ReplyRefused("The server refused the sign-in.", phase=Phase.AUTH, reply=reply)
    return None if reply.code == 235 else reply.text
