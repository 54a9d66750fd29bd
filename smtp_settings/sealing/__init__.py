"""Secrets at rest: sealed with a key from outside the database, bound to their row and destination.

A sealed secret opens only for the row, the field and the destination it was sealed for, so that a changed
server, a copied row or an edited ciphertext never sends a password anywhere. Everything that can go wrong is
a `SealingError` with one sentence for people and no secret in it.
"""

from smtp_settings.sealing.binding import Binding, Destination, binding_for, normal_host
from smtp_settings.sealing.envelope import kid_of, open_sealed, seal
from smtp_settings.sealing.errors import KeyMissing, KeyUnusable, SealBroken, SealingError, WrongKey
from smtp_settings.sealing.keyring import Key, Keyring, current_keyring, new_key, parse_keys
from transports.base import Secret

__all__ = [
    "Binding",
    "Destination",
    "Key",
    "KeyMissing",
    "KeyUnusable",
    "Keyring",
    "SealBroken",
    "SealingError",
    "Secret",
    "WrongKey",
    "binding_for",
    "current_keyring",
    "kid_of",
    "new_key",
    "normal_host",
    "open_sealed",
    "parse_keys",
    "seal",
]
