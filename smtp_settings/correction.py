"""A change of settings offered at one click: by a diagnosis, by a hint, by a preset.

A correction travels through a page as the value of a button, so what comes back is hostile: `decode` lets
through only fields a correction may touch. None of them is a secret, and the form judges the values as if
they had been typed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

#: The fields a correction may set.
FIELDS = frozenset(
    {
        "auth", "bounce_address", "ca", "ehlo_name", "from_address", "host", "ip_version", "max_connections",
        "max_size", "mechanism", "messages_per_connection", "per_day", "per_hour", "per_minute", "port",
        "region", "retry_delay", "security", "username", "verification",
    }
)  # fmt: skip

#: More characters than any correction has; a chain of certificates is the longest.
_LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class Correction:
    """`changes` maps form fields to the texts they get; `label` is the button's."""

    label: str
    changes: Mapping[str, str]

    def __post_init__(self) -> None:
        if unknown := set(self.changes) - FIELDS:
            raise ValueError(f"A correction does not touch {', '.join(sorted(unknown))}.")


def encode(changes: Mapping[str, str]) -> str:
    """Return changes as the value of a button.

    >>> encode({"security": "tls", "port": "465"})
    'security=tls&port=465'
    """
    return urlencode(changes)


def decode(text: str) -> dict[str, str]:
    """Return the changes a button asked for; what no correction may touch is left out.

    >>> decode("security=tls&port=465&enabled=on")
    {'security': 'tls', 'port': '465'}
    """
    if len(text) > _LONGEST:
        return {}
    return {name: value for name, value in parse_qsl(text, keep_blank_values=True) if name in FIELDS}
