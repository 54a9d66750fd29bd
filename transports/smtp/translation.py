"""The one place where foreign exceptions become ours: ssl's, asyncio's and aiosmtplib's."""

import ssl

import aiosmtplib

from transports.base import Phase, Reply
from transports.errors import (
    CertificateRefused,
    ConnectionLost,
    ProtocolError,
    ReplyRefused,
    ReplyTimeout,
    TLSFailed,
    TLSNotOffered,
    TransportError,
)
from transports.smtp.reply import parse

#: Everything that opening a connection may raise; what is not here is a bug of ours.
FOREIGN = (aiosmtplib.SMTPException, OSError, ValueError)

#: OpenSSL's X509_V_ERR_* numbers.
_REASONS = {
    10: "expired",
    62: "name",
    63: "name",
    64: "name",
    18: "unknown",
    19: "unknown",
    20: "unknown",
    21: "unknown",
}

_CERTIFICATE_SENTENCES = {
    "expired": "The server's certificate has expired.",
    "name": "The server's certificate is for another name.",
    "unknown": "The server's certificate is not signed by a known authority.",
    "other": "The server's certificate is not acceptable",
}

_GREETINGS = (
    ("SSH-", "SSH"),
    ("HTTP/", "HTTP"),
    ("<", "HTTP"),
    ("+OK", "POP3"),
    ("* OK", "IMAP"),
    ("* BYE", "IMAP"),
    ("-ERR", "Redis"),
    ("+PONG", "Redis"),
)

_WORDS = {
    Phase.BANNER: "before its greeting",
    Phase.TLS: "during the TLS handshake",
    Phase.EHLO: "after EHLO",
}


def translate(error: BaseException, phase: Phase) -> TransportError:
    """Return our error for a foreign one of `phase`.

    The order matters: ssl.SSLCertVerificationError is an OSError and a ValueError; with STARTTLS it comes as
    it is, with implicit TLS inside an SMTPConnectError (measured with aiosmtplib 5.1.3).
    """
    for tls_error in (error, error.__cause__):
        if isinstance(tls_error, ssl.SSLError):
            return _tls(tls_error)
    if phase is Phase.BANNER and _is_before_the_greeting(error):
        phase = Phase.TLS
    if isinstance(error, aiosmtplib.SMTPTimeoutError) or isinstance(error.__cause__, ConnectionAbortedError):
        return ReplyTimeout(f"The server did not answer in time {_WORDS[phase]}.", phase=phase)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _response(error, phase)
    if isinstance(error, OSError):
        kind = TLSFailed if phase is Phase.TLS else ConnectionLost
        return kind(f"The server closed the connection {_WORDS[phase]}.", phase=phase)
    if isinstance(error, aiosmtplib.SMTPException) and phase is Phase.TLS:
        return TLSNotOffered("The server does not offer STARTTLS on this port.", phase=phase)
    return TransportError(f"The settings cannot be used: {error}", phase=phase)


def _is_before_the_greeting(error: BaseException) -> bool:
    """Whether connecting ended in the handshake of implicit TLS; the socket was connected already."""
    return (
        isinstance(error, aiosmtplib.SMTPConnectError)
        and not isinstance(error, aiosmtplib.SMTPResponseException)
        and not isinstance(error.__cause__, aiosmtplib.SMTPException)
    )


def _tls(error: ssl.SSLError) -> TLSFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = _REASONS.get(error.verify_code, "other")
        sentence = _CERTIFICATE_SENTENCES[reason]
        if reason == "other":
            sentence += f" ({error.verify_message})."
        return CertificateRefused(sentence, phase=Phase.TLS, reason=reason)
    if error.reason == "WRONG_VERSION_NUMBER":
        return TLSFailed("The server does not speak TLS on this port.", phase=Phase.TLS)
    detail = (error.reason or "no reason given").replace("_", " ").lower()
    return TLSFailed(f"The TLS handshake failed: {detail}.", phase=Phase.TLS)


def _response(error: aiosmtplib.SMTPResponseException, phase: Phase) -> TransportError:
    if 400 <= error.code <= 599:
        what = {Phase.BANNER: "this machine", Phase.TLS: "STARTTLS"}.get(phase, phase.upper())
        return ReplyRefused(
            f"The server refuses {what}.", phase=phase, reply=reply_of(error.code, error.message)
        )
    if phase is Phase.BANNER:
        return ProtocolError(_not_smtp(error.message), phase=phase)
    return ProtocolError(f"The server's answer {_WORDS[phase]} is not one.", phase=phase)


def _not_smtp(message: str) -> str:
    """Name the protocol, never repeat its words: a test must not be a banner reader."""
    line = message.removeprefix("Malformed SMTP response line: ").lstrip()
    for start, protocol in _GREETINGS:
        if line.startswith(start):
            return f"This is not a mail sending server: it speaks {protocol}."
    return "The greeting is not that of an SMTP server."


def lines_of(code: int, message: str) -> bytes:
    """Return a reply as it was on the wire, from what aiosmtplib kept of it."""
    lines = message.split("\n")
    marks = ["-"] * (len(lines) - 1) + [" "]
    text = "".join(f"{code}{mark}{line}\r\n" for mark, line in zip(marks, lines, strict=True))
    return text.encode("utf-8", "surrogateescape")


def reply_of(code: int, message: str) -> Reply:
    """Return our value for a reply that aiosmtplib read."""
    return parse(lines_of(code, message))
