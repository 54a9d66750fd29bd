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
    TransportError,
)
from transports.smtp.redaction import Redactor
from transports.smtp.reply import parse
from transports.smtp.tls import ChainTooLong, HandshakeTimeout, RefusedCertificate, describe_certificate

#: Everything that opening a connection may raise; what is not here is a bug of ours.
FOREIGN = (aiosmtplib.SMTPException, OSError, ValueError)

#: OpenSSL's X509_V_ERR_* numbers.
_REASONS = {
    9: "early",
    10: "expired",
    62: "name",
    63: "name",
    64: "name",
    18: "self-signed",
    19: "unknown",
    20: "unknown",
    21: "unknown",
    22: "long",
    25: "long",
    66: "weak",
    67: "weak",
    68: "weak",
    2: "unknown",
    **dict.fromkeys((24, 26, 32, 34, *range(79, 95)), "form"),
}

_CERTIFICATE_SENTENCES = {
    "early": "The server's certificate is not valid yet. Is the clock of this machine right?",
    "expired": "The server's certificate has expired.",
    "name": "The server's certificate is for another name.",
    "self-signed": "The server's certificate is signed by itself, not by a known authority.",
    "unknown": "The server's certificate is not signed by a known authority.",
    "form": "The server's certificate is made in a way that is no longer accepted.",
    "weak": "The server's certificate has a key or a signature that is too weak.",
    "long": "The server's certificate comes with too many others before a known authority.",
    "other": "The server's certificate is not acceptable",
}

#: What OpenSSL says when the two sides share no version of TLS.
_NO_COMMON_VERSION = frozenset(
    {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"}
)

#: What it says when the other side does not speak TLS at all; the second one since OpenSSL 3.2.
NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})

#: What OpenSSL says when the peer ended the connection or its side of it.
_CUT = frozenset({"UNEXPECTED_EOF_WHILE_READING", "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"})

#: Parts of OpenSSL's reasons that say more than "it failed"; the first that fits.
_TLS_REASONS = (
    ("CERTIFICATE_REQUIRED", "client-certificate"),
    ("PROTOCOL_VERSION", "version"),
    ("VERSION_TOO_LOW", "version"),
    ("DH_KEY", "cipher"),  # its exchange, not its certificate
    ("KEY_TOO_SMALL", "weak"),
    ("HANDSHAKE_FAILURE", "cipher"),
    ("NO_SHARED_CIPHER", "cipher"),
    ("NO_CIPHERS", "cipher"),
    ("LEGACY_RENEGOTIATION", "cipher"),
)

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


def translate(error: BaseException, phase: Phase, redactor: Redactor | None = None) -> TransportError:
    """Return our error for a foreign one of `phase`; the foreign one is its cause, if it quotes nobody.

    Errors of aiosmtplib that carry a reply hold the server's words as they came, and a logged traceback shows
    them: those are no cause, and must not be raised from inside their own `except`.
    """
    ours = _translated(error, phase, redactor)
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        ours.__cause__ = error
    return ours


def _translated(error: BaseException, phase: Phase, redactor: Redactor | None) -> TransportError:
    """Find our error. The order matters.

    ssl.SSLCertVerificationError is an OSError and a ValueError; with STARTTLS it comes as it is, with
    implicit TLS inside an SMTPConnectError (measured with aiosmtplib 5.1.3).
    """
    for inner in (error, error.__cause__):
        if isinstance(inner, ssl.SSLError):
            return _tls(inner)
    if phase is Phase.BANNER and _is_before_the_greeting(error):
        phase = Phase.TLS
    if isinstance(error, TimeoutError) or _gave_up_handshake(error):
        return ReplyTimeout(f"The server did not answer in time {_WORDS[phase]}.", phase=phase)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _response(error, phase, redactor)
    if isinstance(error, OSError):
        sentence = f"The server closed the connection {_WORDS[phase]}."
        if phase is Phase.TLS:
            return TLSFailed(sentence, phase=phase, reason="cut")
        return ConnectionLost(sentence, phase=phase)
    return TransportError(f"The settings cannot be used: {error}", phase=phase)


def _gave_up_handshake(error: BaseException) -> bool:
    """Whether asyncio ended a handshake at its limit: it says so by this kind of error only."""
    return isinstance(error, ConnectionAbortedError) or isinstance(error.__cause__, ConnectionAbortedError)


def _is_before_the_greeting(error: BaseException) -> bool:
    """Whether connecting ended in the handshake of implicit TLS; the socket was connected already."""
    return isinstance(error, HandshakeTimeout) or (
        isinstance(error, aiosmtplib.SMTPConnectError)
        and not isinstance(error, aiosmtplib.SMTPResponseException)
        and not isinstance(error.__cause__, aiosmtplib.SMTPException)
    )


def _tls(error: ssl.SSLError) -> TLSFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error)
    reason = _tls_reason(error.reason or "")
    if reason == "no-tls":
        sentence = "The server does not speak TLS from the start on this port. It may expect STARTTLS."
    elif reason == "version":
        sentence = "The server does not speak a version of TLS that this profile accepts."
    elif reason == "large":
        sentence = "The server's certificates are larger than any real ones."
    else:
        detail = (error.reason or "no reason given").replace("_", " ").lower()
        sentence = f"The TLS handshake failed: {detail}."
    return TLSFailed(sentence, phase=Phase.TLS, reason=reason)


def _tls_reason(theirs: str) -> str:
    """Return our word for OpenSSL's."""
    if theirs in NO_TLS:
        return "no-tls"
    if theirs in _NO_COMMON_VERSION:
        return "version"
    if theirs == "EXCESSIVE_MESSAGE_SIZE":
        return "large"
    if theirs in _CUT:
        return "cut"
    return next((ours for part, ours in _TLS_REASONS if part in theirs), "")


def _certificate(error: ssl.SSLCertVerificationError) -> CertificateRefused:
    der = error.der if isinstance(error, RefusedCertificate) else None
    evidence = describe_certificate(der) if der is not None else None
    reason = "long" if isinstance(error, ChainTooLong) else _REASONS.get(error.verify_code, "other")
    sentence = _CERTIFICATE_SENTENCES[reason]
    if reason == "other":
        sentence += f" ({error.verify_message})."
    pem = ssl.DER_cert_to_PEM_cert(der) if der is not None else ""
    return CertificateRefused(sentence, phase=Phase.TLS, reason=reason, evidence=evidence, pem=pem)


def _response(
    error: aiosmtplib.SMTPResponseException, phase: Phase, redactor: Redactor | None
) -> TransportError:
    if 400 <= error.code <= 599:
        what = {Phase.BANNER: "this machine", Phase.TLS: "STARTTLS"}.get(phase, phase.upper())
        reply = reply_of(error.code, error.message, redactor)
        return ReplyRefused(f"The server refuses {what}.", phase=phase, reply=reply)
    if phase is Phase.BANNER:
        return _not_smtp(error.message)
    return ProtocolError(f"The server's answer {_WORDS[phase]} is not one.", phase=phase)


def _not_smtp(message: str) -> ProtocolError:
    """Name the protocol, never repeat its words: a test must not be a banner reader."""
    line = message.removeprefix("Malformed SMTP response line: ").lstrip()
    for start, protocol in _GREETINGS:
        if line.startswith(start):
            sentence = f"This is not a mail sending server: it speaks {protocol}."
            return ProtocolError(sentence, phase=Phase.BANNER, reason=protocol.lower())
    sentence = "The greeting is not that of an SMTP server."
    return ProtocolError(sentence, phase=Phase.BANNER, reason="not-smtp")


def lines_of(code: int, message: str, redactor: Redactor | None = None) -> bytes:
    """Return a reply as it was on the wire, from what aiosmtplib kept of it; secrets taken out."""
    lines = message.split("\n")
    marks = ["-"] * (len(lines) - 1) + [" "]
    text = "".join(f"{code}{mark}{line}\r\n" for mark, line in zip(marks, lines, strict=True))
    raw = text.encode("utf-8", "surrogateescape")
    return raw if redactor is None else redactor.redact(raw)


def reply_of(code: int, message: str, redactor: Redactor | None = None) -> Reply:
    """Return our value for a reply that aiosmtplib read; secrets taken out."""
    return parse(lines_of(code, message, redactor))
