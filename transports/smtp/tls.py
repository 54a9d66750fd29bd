"""TLS: the context of a profile, and what a connection turned out to be."""

import hashlib
import ssl
import time
from collections.abc import Mapping
from typing import Any

from cryptography import x509

from transports.base import Phase
from transports.errors import TLSFailed
from transports.smtp.reply import clean
from transports.smtp.settings import SMTPSettings

#: Certificates a server may send; real chains have two to five.
MOST_CERTIFICATES = 8

#: Characters of a subject, an issuer or a list of names that are kept.
MAX_TEXT = 500


class RefusedCertificate(ssl.SSLCertVerificationError):
    """The peer's certificate was refused; `der` is that certificate, None where it cannot be had."""

    der: bytes | None = None


class ChainTooLong(RefusedCertificate):
    """The peer sent more certificates than are looked at."""


class HandshakeTimeout(TimeoutError):
    """The handshake of implicit TLS did not end within its limit."""


class WatchedSSLObject(ssl.SSLObject):
    """Knows when its handshake ended, and keeps the certificate that a handshake was broken off for.

    With implicit TLS the greeting follows in the same call of aiosmtplib, so nobody else can look at the
    clock. And the certificate a person has to see is gone with the handshake; a second one without checks
    would be needed to look at it.
    """

    handshake_ended: float | None = None

    def do_handshake(self) -> None:
        """Shake hands and look at the clock. Raises RefusedCertificate in the place of ssl's own error."""
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            refused = RefusedCertificate(*error.args)
            refused.verify_code, refused.verify_message = error.verify_code, error.verify_message
            refused.der = next(iter(self._unverified_chain()), None)
            raise refused from error
        if len(chain := self._unverified_chain()) > MOST_CERTIFICATES and self.context.verify_mode:
            too_long = ChainTooLong(1, "certificate chain too long")
            too_long.der = chain[0]
            raise too_long
        self.handshake_ended = time.monotonic()

    def _unverified_chain(self) -> list[bytes]:
        """Return the certificates the peer sent, its own first; public in Python since 3.13 only."""
        public = getattr(self, "get_unverified_chain", None)
        if public is not None:
            return list(public() or ())
        private = getattr(getattr(self, "_sslobj", None), "get_unverified_chain", None)
        return [bytes(one.public_bytes(_DER)) for one in (private() or ())] if private is not None else []


#: OpenSSL's name for the binary form, as `_ssl.ENCODING_DER`.
_DER = 2


def make_context(settings: SMTPSettings) -> ssl.SSLContext:
    """Build the context of these settings: costs 17 ms, so once for each version of a profile.

    Raises TLSFailed when the profile's own certificates cannot be read.
    """
    context = ssl.create_default_context()
    context.sslobject_class = WatchedSSLObject
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if settings.minimum_tls == "1.3" else ssl.TLSVersion.TLSv1_2
    )
    if settings.ca_pem:
        try:
            context.load_verify_locations(cadata=settings.ca_pem)
        except (ssl.SSLError, ValueError) as error:
            sentence = "The profile's own CA certificates cannot be read."
            raise TLSFailed(sentence, phase=Phase.TLS, reason="own-ca") from error
        # So that a single server's certificate can be trusted without its authority.
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def describe(ssl_object: ssl.SSLObject | ssl.SSLSocket) -> dict[str, str]:
    """Return what people want to know about a connection: version, cipher, certificate."""
    cipher = ssl_object.cipher()
    certificate = ssl_object.getpeercert(binary_form=True)
    return {
        "tls_version": ssl_object.version() or "",
        "cipher": cipher[0] if cipher else "",
        **(describe_certificate(certificate) if certificate else {}),
    }


def describe_certificate(der: bytes) -> Mapping[str, str]:
    """Return subject, names, issuer, dates and SHA-256 of a certificate; only the hash of an odd one."""
    digest = hashlib.sha256(der).hexdigest().upper()
    known = {"certificate_sha256": ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))}
    try:
        certificate = x509.load_der_x509_certificate(der)
        known |= {
            "certificate_subject": _text(certificate.subject.rfc4514_string()),
            "certificate_names": _text(", ".join(_names(certificate))),
            "certificate_issuer": _text(certificate.issuer.rfc4514_string()),
            "certificate_starts_at": certificate.not_valid_before_utc.isoformat(),
            "certificate_expires_at": certificate.not_valid_after_utc.isoformat(),
        }
    except (ValueError, x509.DuplicateExtension):
        pass  # OpenSSL took it, a stricter parser does not
    return known


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    values: list[Any] = [name.value for name in names]  # each kind of name has its own type of value
    return [str(value) for value in values]


def _text(text: str) -> str:
    return clean(text.encode("utf-8", "replace"))[:MAX_TEXT]
