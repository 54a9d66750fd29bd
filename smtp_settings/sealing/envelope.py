"""The sealed form of one secret: `MC1 | kid length | kid | salt 16 | nonce 12 | ciphertext and tag`.

AES-256-GCM with a subkey per record (HKDF-SHA256 over a random salt), so that no nonce is ever used twice
with a key. The associated data are the header and the binding. The plaintext carries its length and is padded
to blocks of 64, so that the size tells nothing about a password. Fernet was rejected: it has no associated
data, so rows can be swapped.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.utils.translation import gettext as _

from smtp_settings.sealing.binding import Binding
from smtp_settings.sealing.errors import SealBroken
from smtp_settings.sealing.keyring import Key, Keyring, current_keyring
from transports.base import Secret

_MAGIC = b"MC1"
_SALT = 16
_NONCE = 12
_BLOCK = 64
_LONGEST = 16_000  # bytes; a password has at most 1,024 characters, an OAuth token some thousand
_PURPOSE = "mailconf/secret/v1"


def seal(secret: Secret, binding: Binding, keyring: Keyring | None = None) -> bytes:
    """Seal a secret for one row, field and destination, with the primary key.

    Raises KeyMissing without a key; ValueError for a secret longer than any real one.
    """
    key = (keyring or current_keyring()).primary
    header = _MAGIC + bytes([len(key.kid)]) + key.kid.encode() + os.urandom(_SALT + _NONCE)
    return header + _cipher(key, header).encrypt(
        header[-_NONCE:], _padded(secret.reveal().encode()), header + binding.associated_data()
    )


def open_sealed(sealed: bytes, binding: Binding, keyring: Keyring | None = None) -> Secret:
    """Open a sealed secret for the row, field and destination it was sealed for.

    Raises KeyMissing when its key is not at hand, and SealBroken when it does not open.
    """
    sealed = bytes(sealed)
    kid = kid_of(sealed)
    end = len(_MAGIC) + 1 + len(kid) + _SALT + _NONCE
    header, ciphertext = sealed[:end], sealed[end:]
    key = (keyring or current_keyring()).get(kid)
    try:
        padded = _cipher(key, header).decrypt(
            header[-_NONCE:], ciphertext, header + binding.associated_data()
        )
    except (InvalidTag, ValueError):
        raise _broken() from None
    return Secret(padded[2 : 2 + int.from_bytes(padded[:2])].decode())


def kid_of(sealed: bytes) -> str:
    """Return the name of the key a secret is sealed with; SealBroken when it is no sealed secret."""
    sealed = bytes(sealed)
    start = len(_MAGIC) + 1
    if not sealed.startswith(_MAGIC) or len(sealed) < start + _SALT + _NONCE + _BLOCK:
        raise _broken()
    kid = sealed[start : start + sealed[len(_MAGIC)]]
    if not kid.isascii() or len(sealed) < start + len(kid) + _SALT + _NONCE + _BLOCK:
        raise _broken()
    return kid.decode()


def _cipher(key: Key, header: bytes) -> AESGCM:
    return AESGCM(key.subkey(_PURPOSE, salt=header[-_SALT - _NONCE : -_NONCE]))


def _padded(value: bytes) -> bytes:
    if len(value) > _LONGEST:
        raise ValueError("The secret is too long.")
    framed = len(value).to_bytes(2) + value
    return framed + bytes(-len(framed) % _BLOCK)


def _broken() -> SealBroken:
    return SealBroken(
        _("The stored secret does not open for these settings: it was entered for others, or was altered.")
    )
