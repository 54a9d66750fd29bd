import inspect
import ssl

import aiosmtplib
import pytest

from transports.base import Phase
from transports.errors import (
    CertificateRefused,
    ConnectionLost,
    ProtocolError,
    ReplyRefused,
    ReplyTimeout,
    TLSFailed,
    TransportError,
)
from transports.smtp.tls import HandshakeTimeout
from transports.smtp.translation import FOREIGN, lines_of, reply_of, translate


def a_certificate_error(code, message="words of OpenSSL"):
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def a_tls_error(reason):
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def caused(error, cause):
    error.__cause__ = cause
    return error


def unconnected(cause):
    """What connecting raises with implicit TLS."""
    return caused(aiosmtplib.SMTPConnectError("x"), cause)


CASES = [
    (a_certificate_error(10), Phase.TLS, CertificateRefused, Phase.TLS),
    (
        caused(aiosmtplib.SMTPConnectError("x"), a_certificate_error(62)),
        Phase.BANNER,
        CertificateRefused,
        Phase.TLS,
    ),
    (a_certificate_error(9, "certificate is not yet valid"), Phase.TLS, CertificateRefused, Phase.TLS),
    (a_tls_error("WRONG_VERSION_NUMBER"), Phase.TLS, TLSFailed, Phase.TLS),
    (a_tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), Phase.TLS, TLSFailed, Phase.TLS),
    (a_tls_error(None), Phase.TLS, TLSFailed, Phase.TLS),
    (aiosmtplib.SMTPReadTimeoutError("x"), Phase.EHLO, ReplyTimeout, Phase.EHLO),
    (aiosmtplib.SMTPTimeoutError("x"), Phase.TLS, ReplyTimeout, Phase.TLS),
    (caused(aiosmtplib.SMTPConnectTimeoutError("x"), TimeoutError()), Phase.BANNER, ReplyTimeout, Phase.TLS),
    (
        caused(aiosmtplib.SMTPConnectTimeoutError("x"), aiosmtplib.SMTPReadTimeoutError("x")),
        Phase.BANNER,
        ReplyTimeout,
        Phase.BANNER,
    ),
    (
        caused(aiosmtplib.SMTPConnectError("x"), ConnectionAbortedError()),
        Phase.BANNER,
        ReplyTimeout,
        Phase.TLS,
    ),
    (unconnected(ConnectionResetError()), Phase.BANNER, TLSFailed, Phase.TLS),
    (
        caused(aiosmtplib.SMTPConnectError("x"), aiosmtplib.SMTPServerDisconnected("x")),
        Phase.BANNER,
        ConnectionLost,
        Phase.BANNER,
    ),
    (aiosmtplib.SMTPConnectResponseError(554, "no"), Phase.BANNER, ReplyRefused, Phase.BANNER),
    (aiosmtplib.SMTPConnectResponseError(25, "no"), Phase.BANNER, ProtocolError, Phase.BANNER),
    (aiosmtplib.SMTPResponseException(-1, "Response too long"), Phase.BANNER, ProtocolError, Phase.BANNER),
    (aiosmtplib.SMTPHeloError(502, "no"), Phase.EHLO, ReplyRefused, Phase.EHLO),
    (aiosmtplib.SMTPHeloError(354, "no"), Phase.EHLO, ProtocolError, Phase.EHLO),
    (aiosmtplib.SMTPResponseException(454, "no"), Phase.TLS, ReplyRefused, Phase.TLS),
    (aiosmtplib.SMTPServerDisconnected("x"), Phase.EHLO, ConnectionLost, Phase.EHLO),
    (aiosmtplib.SMTPServerDisconnected("x"), Phase.TLS, TLSFailed, Phase.TLS),
    (ConnectionResetError(), Phase.EHLO, ConnectionLost, Phase.EHLO),
    (HandshakeTimeout(), Phase.BANNER, ReplyTimeout, Phase.TLS),
    (TimeoutError(), Phase.BANNER, ReplyTimeout, Phase.BANNER),
    (ConnectionAbortedError(), Phase.TLS, ReplyTimeout, Phase.TLS),
    (aiosmtplib.SMTPException("x"), Phase.TLS, TransportError, Phase.TLS),
    (UnicodeError("ü"), Phase.EHLO, TransportError, Phase.EHLO),
    (ValueError("x"), Phase.EHLO, TransportError, Phase.EHLO),
]


@pytest.mark.parametrize(("error", "phase", "ours", "its_phase"), CASES, ids=range(len(CASES)))
def test_a_foreign_error_becomes_ours(error, phase, ours, its_phase):
    translated = translate(error, phase)
    assert type(translated) is ours
    assert translated.phase is its_phase
    assert str(translated).endswith((".", "?", "x", "ü"))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (10, "expired"),
        (9, "early"),
        (23, "other"),
        (66, "weak"),
        (68, "weak"),
        (22, "long"),
        (62, "name"),
        (64, "name"),
        (18, "self-signed"),
        (19, "unknown"),
        (20, "unknown"),
    ],
)
def test_a_certificate_error_has_a_stable_reason(code, reason):
    assert translate(a_certificate_error(code), Phase.TLS).reason == reason


def _make(kind):
    count = len(inspect.signature(kind.__init__).parameters) - 1
    if issubclass(kind, aiosmtplib.SMTPResponseException):
        return kind(*(550, "no", "somebody")[:count])
    return kind([] if kind is aiosmtplib.SMTPRecipientsRefused else "words")


@pytest.mark.parametrize("name", aiosmtplib.errors.__all__)
@pytest.mark.parametrize("phase", [Phase.BANNER, Phase.TLS, Phase.EHLO])
def test_no_error_of_aiosmtplib_is_missed(name, phase):
    error = _make(getattr(aiosmtplib, name))
    assert isinstance(error, FOREIGN)
    assert isinstance(translate(error, phase), TransportError)


def test_a_reply_is_put_together_again_and_cleaned():
    assert lines_of(250, "a\nb") == b"250-a\r\n250 b\r\n"
    reply = reply_of(554, "5.7.1 no \x00 \udcff\n5.7.1 really")
    assert (reply.code, reply.enhanced, reply.text) == (554, "5.7.1", "no � � really")
