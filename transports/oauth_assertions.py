"""Signed assertions instead of a secret: a service account's, and a client's certificate (RFC 7523)."""

import base64
import json
import secrets
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from transports.base import Secret

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

#: Seconds an assertion holds; Google takes at most an hour, Microsoft recommends five to ten minutes.
HOLDS = 600
#: It begins a little earlier, for a clock that is behind ours.
EARLIER = 10


class KeyNotUsable(ValueError):
    """What is stored is no key that can sign; str() is one sentence, without anything of it."""


def is_key(secret: Secret) -> bool:
    """Whether a secret is a key in PEM form, to sign with, and not a word to say."""
    return "-----BEGIN " in secret.reveal() and not secret.reveal().lstrip().startswith("{")


def service_account(
    secret: Secret, *, issuer: str, subject: str, scope: str, audience: str, now: float
) -> str:
    """Return the assertion of a service account that speaks for a mailbox.

    `secret` is Google's JSON file or the key in it. Raises KeyNotUsable.
    """
    key, kid = _service_key(secret)
    claims = {"iss": issuer, "sub": subject, "scope": scope, "aud": audience}
    return _signed(key, claims, now=now, headers={"kid": kid} if kid else {}, algorithm="RS256")


def signed_client(secret: Secret, *, client_id: str, audience: str, now: float) -> dict[str, str]:
    """Return the form fields by which a client proves itself with its certificate. Raises KeyNotUsable.

    PS256 and the certificate's SHA-256 are what Microsoft asks for.
    """
    text = secret.reveal()
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        raise KeyNotUsable("The certificate is missing: the key and the certificate go together.") from None
    key = _private_key(text)
    if key.public_key() != certificate.public_key():
        raise KeyNotUsable("The key is not that of the certificate.")
    mark = base64.urlsafe_b64encode(certificate.fingerprint(SHA256())).rstrip(b"=").decode()
    claims = {"iss": client_id, "sub": client_id, "aud": audience, "jti": secrets.token_urlsafe(16)}
    algorithm = "PS256" if isinstance(key, RSAPrivateKey) else "ES256"
    signed = _signed(key, claims, now=now, headers={"x5t#S256": mark}, algorithm=algorithm)
    return {"client_assertion_type": _CLIENT_JWT, "client_assertion": signed}


def facts_of_service_account(secret: Secret) -> dict[str, str]:
    """Return who a service account's JSON file is of (`client_email`, `token_uri`); {} when it is none."""
    try:
        said = json.loads(secret.reveal())
    except ValueError:
        return {}
    if not isinstance(said, dict) or said.get("type") != "service_account":
        return {}
    return {name: str(said.get(name) or "") for name in ("client_email", "token_uri")}


def certificate_ends(secret: Secret) -> Any:  # Any: an aware datetime, or None
    """Return when the certificate beside a key ends, None where there is none."""
    try:
        return x509.load_pem_x509_certificate(secret.reveal().encode()).not_valid_after_utc
    except ValueError:
        return None


def _service_key(secret: Secret) -> tuple[RSAPrivateKey, str]:
    text, kid = secret.reveal(), ""
    if text.lstrip().startswith("{"):
        try:
            said = json.loads(text)
            text, kid = str(said["private_key"]), str(said.get("private_key_id") or "")
        except (ValueError, KeyError, TypeError):
            raise KeyNotUsable("This is not the JSON file of a service account.") from None
    key = _private_key(text)
    if not isinstance(key, RSAPrivateKey):
        raise KeyNotUsable("The key of a service account must be an RSA key.")
    return key, kid


def _private_key(text: str) -> RSAPrivateKey | EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):  # TypeError: it has a passphrase
        raise KeyNotUsable(
            "The private key cannot be read. It must be in PEM form, without a passphrase."
        ) from None
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise KeyNotUsable("The private key must be an RSA or an EC key.")
    return key


def _signed(
    key: RSAPrivateKey | EllipticCurvePrivateKey,
    claims: dict[str, str],
    *,
    now: float,
    headers: dict[str, str],
    algorithm: str,
) -> str:
    moment = int(now)
    times = {"iat": moment - EARLIER, "nbf": moment - EARLIER, "exp": moment + HOLDS}
    try:
        return jwt.encode(claims | times, key, algorithm=algorithm, headers=headers)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise KeyNotUsable(
            "The private key cannot sign: it must have 2048 bits, or be on the curve P-256."
        ) from None
