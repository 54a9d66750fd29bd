"""Message-IDs: the row's id behind a mask, so that a bounce's is found without an index and tells no numbers.

The mask is drawn before the row has its id, so that the database can finish the name in the statement that
draws the id (`delivery_enqueue`): `<id XOR mask, in hexadecimal . salt @ domain>`.
"""

import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from django.conf import settings
from django.utils.encoding import force_bytes

_LOCAL = re.compile(r"<([0-9a-f]{1,16})\.([0-9a-f]+)@")
_WIDTH = 64
_ALL = 2**_WIDTH - 1
#: Random bytes of a name: two installations with one From domain, or one restored from a backup, number their
#: rows alike; and two names with one salt would tell by how much their ids differ.
_SALT_BYTES = 6


@dataclass(frozen=True, slots=True)
class Name:
    """A Message-ID that lacks its row's id; `mask` is signed, as the database's 64-bit numbers are."""

    mask: int
    tail: str

    def of(self, row_id: int) -> str:
        """Return the header's value, with its angle brackets."""
        return f"<{(row_id ^ self.mask) & _ALL:x}{self.tail}"


def new_name(domain: str) -> Name:
    """Draw the name of a new message."""
    salt = secrets.token_hex(_SALT_BYTES)
    return Name(_mask(salt, settings.SECRET_KEY), f".{salt}@{domain}>")


def make_message_id(row_id: int, domain: str) -> str:
    """Make the header's value for a new message that has its id already."""
    return new_name(domain).of(row_id)


def rows_of(message_id: str) -> list[int]:
    """Read out of a Message-ID of ours which row it may be, by each of the secret keys; none of others.

    The row may be gone, or have another Message-ID: whoever asks compares.
    """
    found = _LOCAL.match(message_id)
    if found is None:
        return []
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    ids = (int(found[1], 16) ^ _mask(found[2], key) & _ALL for key in keys)
    return [row_id for row_id in ids if row_id >> (_WIDTH - 1) == 0]


def _mask(salt: str, secret: str | bytes) -> int:
    digest = blake2b(salt.encode(), key=_key(secret), digest_size=_WIDTH // 8).digest()
    return int.from_bytes(digest, "big", signed=True)


@lru_cache(maxsize=4)
def _key(secret: str | bytes) -> bytes:
    return blake2b(force_bytes(secret), person=b"mailconf-msgid", digest_size=32).digest()
