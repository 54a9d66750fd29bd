"""The fingerprint: a keyed hash over what shapes a session, and nothing else.

Two profiles never share one (the row's UUID is part of it), and the secret is in it by a keyed hash of its
value, so that another password needs another test and typing the tested one again does not.

The key is a subkey of a key of the keyring, not a random value in the database: who holds only a dump of the
database can neither guess passwords against a fingerprint nor forge one. `manage.py rotate_keys` writes the
fingerprints of live profiles anew under the new primary key; until it has, every key at hand is tried.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping

#: The fields of every method. `uuid`, `secret` and `oauth` are keys of the settings that are no form fields.
_COMMON = ("uuid", "transport", "from_address", "bounce_address")
_METHOD = {
    "smtp": (
        "host", "port", "security", "verification", "minimum_tls", "ca", "ip_version", "source_address",
        "ehlo_name", "auth", "mechanism", "username", "secret", "oauth", "accepts_clear_auth", "pipelining",
    ),
    "sendmail": ("program", "program_arguments", "line_ends"),
    "pickup": ("directory", "file_style"),
    "mailgun": ("api_domain", "region", "secret"),
    "ses": ("region", "uses_machine_role", "username", "secret", "configuration_set"),
}  # fmt: skip


def shaping_fields(transport: str) -> tuple[str, ...]:
    """Name what counts for a method, in the order of the form."""
    return _COMMON + _METHOD.get(transport, ())


def uses_secret(settings: Mapping[str, object]) -> bool:
    """Whether the profile's own stored secret takes part in a session."""
    transport = settings.get("transport")
    if transport == "smtp":
        return settings.get("auth") == "password"
    return transport == "mailgun" or (transport == "ses" and not settings.get("uses_machine_role"))


def fingerprint(settings: Mapping[str, object], key: bytes) -> str:
    """Return 64 hexadecimal digits for these settings; `secret` holds the result of `secret_digest`.

    >>> a = fingerprint({"transport": "pickup", "directory": "/srv/out"}, b"k")
    >>> a == fingerprint({"transport": "pickup", "directory": "/srv/out", "notes": "new"}, b"k")
    True
    """
    shape = {
        name: _canonical(settings.get(name)) for name in shaping_fields(str(settings.get("transport", "")))
    }
    text = json.dumps({"v": 1, **shape}, sort_keys=True, separators=(",", ":"))
    return hmac.digest(key, b"settings\0" + text.encode(), hashlib.sha256).hex()


def secret_digest(value: str, key: bytes) -> str:
    """Return what stands for a secret in the settings: a keyed hash, "" for none."""
    return hmac.digest(key, b"secret\0" + value.encode(), hashlib.sha256).hex() if value else ""


def changed_fields(tested: Mapping[str, object], present: Mapping[str, object]) -> tuple[str, ...]:
    """Name the fields that shape a session and differ, in the order of the form."""
    names = dict.fromkeys(
        (*shaping_fields(str(present.get("transport"))), *shaping_fields(str(tested.get("transport"))))
    )
    return tuple(name for name in names if _canonical(tested.get(name)) != _canonical(present.get(name)))


def _canonical(value: object) -> object:
    """Make equal what means the same: None and "", a memo with other line ends."""
    if value is None:
        return ""
    if isinstance(value, str):
        return "\n".join(value.split("\r\n")).strip()
    return value
