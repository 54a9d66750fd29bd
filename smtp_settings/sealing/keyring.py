"""The keys that seal secrets: read from a file or the environment, strict, never from SECRET_KEY.

One key is `kid:base64`, 32 random bytes as `manage.py generate_key` prints them; the first is the primary,
the others open what was sealed before a rotation. A key made from SECRET_KEY is refused, because rotating
SECRET_KEY must not take the mail down.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from smtp_settings.sealing.errors import KeyMissing, KeyUnusable

KEY_BYTES = 32
_KID = re.compile(r"[A-Za-z0-9_-]{1,32}")
#: Of 32 random bytes, fewer than 16 differ about once in 10^12 keys; in a typed pattern nearly always.
_LEAST_DISTINCT = 16


@dataclass(frozen=True, slots=True)
class Key:
    """One master key. Only subkeys of it are used."""

    kid: str
    master: bytes = field(repr=False)

    def subkey(self, purpose: str, salt: bytes = b"") -> bytes:
        """Derive 32 bytes for one purpose (HKDF-SHA256, RFC 5869)."""
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt or None, info=purpose.encode()).derive(
            self.master
        )

    @property
    def check_value(self) -> bytes:
        """Eight bytes that tell two keys apart and nothing else."""
        return hmac.digest(self.subkey("mailconf/key-check/v1"), self.kid.encode(), "sha256")[:8]

    @property
    def mark(self) -> str:
        """The name with the check value, `kid:hex`: tells two keys of one name apart."""
        return f"{self.kid}:{self.check_value.hex()}"


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys at hand; the first seals, every one opens. Never empty."""

    keys: tuple[Key, ...]

    @property
    def primary(self) -> Key:
        """The key that seals."""
        return self.keys[0]

    def get(self, kid: str) -> Key:
        """Return a key by its name; KeyMissing says which one is wanted."""
        for key in self.keys:
            if key.kid == kid:
                return key
        raise KeyMissing(
            _("The key “%(kid)s”, with which this was sealed, is not among the keys.") % {"kid": kid}, kid=kid
        )


def new_key() -> str:
    """Return a fresh random key as `kid:base64`; the name starts with the day."""
    kid = f"{timezone.now():%Y%m%d}-{secrets.token_hex(2)}"
    return f"{kid}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def parse_keys(text: str, *, secret_key: str) -> Keyring:
    """Read keys separated by commas or line ends; `#` starts a comment line.

    Raises KeyMissing when there is none and KeyUnusable for one that is no 32 random bytes. The sentence
    names the key, never shows it.
    """
    entries = [line for line in text.splitlines() if not line.strip().startswith("#")]
    parts = [part.strip() for line in entries for part in line.split(",")]
    keys = tuple(_parse_key(part, secret_key) for part in parts if part)
    if not keys:
        raise KeyMissing(
            _(
                "There is no key for stored passwords. Make one with “manage.py generate_key --file PATH” "
                "and set MAILCONF_KEYS_FILE to that path."
            )
        )
    if len({key.kid for key in keys}) < len(keys):
        raise KeyUnusable(_("Two keys have the same name."))
    return Keyring(keys)


def current_keyring() -> Keyring:
    """Return the configured keys; read again only when the file or the setting has changed."""
    path = getattr(settings, "MAILCONF_KEYS_FILE", "")
    if not path:
        return _parsed(getattr(settings, "MAILCONF_KEYS", ""), settings.SECRET_KEY)
    try:
        stat = Path(path).stat()
        return _parsed_file(str(path), (stat.st_mtime_ns, stat.st_size, stat.st_ino), settings.SECRET_KEY)
    except (OSError, UnicodeDecodeError) as error:
        raise KeyMissing(
            _("The key file %(path)s cannot be read: %(reason)s.")
            % {"path": path, "reason": getattr(error, "strerror", None) or _("it is not text")}
        ) from None


@lru_cache(maxsize=4)
def _parsed(text: str, secret_key: str) -> Keyring:
    return parse_keys(text, secret_key=secret_key)


@lru_cache(maxsize=4)
def _parsed_file(path: str, _changed: tuple[int, ...], secret_key: str) -> Keyring:
    return parse_keys(Path(path).read_text(encoding="utf-8"), secret_key=secret_key)


def _parse_key(text: str, secret_key: str) -> Key:
    kid, colon, encoded = text.partition(":")
    if not colon or not _KID.fullmatch(kid):
        raise KeyUnusable(_("A key must look like “name:base64”, as “manage.py generate_key” prints it."))
    try:
        master = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        master = b""
    if len(master) != KEY_BYTES:
        raise KeyUnusable(
            _("The key “%(kid)s” is not 32 random bytes in base64. Make one with “manage.py generate_key”.")
            % {"kid": kid},
            kid=kid,
        )
    if _is_made_from(secret_key, encoded, master):
        raise KeyUnusable(
            _("The key “%(kid)s” is made from SECRET_KEY. It needs to be a random key of its own.")
            % {"kid": kid},
            kid=kid,
        )
    if len(set(master)) < _LEAST_DISTINCT or all(32 <= byte < 127 for byte in master):
        raise KeyUnusable(
            _("The key “%(kid)s” is a word or a pattern, not random bytes.") % {"kid": kid}, kid=kid
        )
    return Key(kid, master)


def _is_made_from(secret_key: str, encoded: str, master: bytes) -> bool:
    """Whether a key is SECRET_KEY itself, its first bytes, or its hash."""
    raw = secret_key.encode()
    return bool(raw) and (
        encoded == secret_key
        or master == raw[:KEY_BYTES]
        or master == hashlib.sha256(raw).digest()
        or master == hashlib.blake2b(raw, digest_size=KEY_BYTES).digest()
    )
