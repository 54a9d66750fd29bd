"""What a hint is, and what it is made from."""

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from smtp_settings.correction import Correction
from smtp_settings.presets import Preset, all_presets, by_key, preset_of

#: Begins an access key ID of Amazon's; it is a user name there, never a password.
ACCESS_KEY = "AKIA"


class Tone(StrEnum):
    """How much a hint matters: worth knowing, likely trouble, or an error that stops test and save."""

    HINT = "hint"
    WARN = "warn"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Hint:
    """One sentence beside one field, with what would cure it at one click."""

    field: str
    sentence: str
    tone: Tone = Tone.HINT
    corrections: tuple[Correction, ...] = ()


@dataclass(frozen=True, slots=True)
class PasswordShape:
    """What hints may know of a typed password: never a character of it that is secret.

    `prefix` is one that providers put before every key ("SG."), so it tells the kind and not the key.
    """

    length: int = 0
    prefix: str = ""
    starts_with_space: bool = False
    ends_with_space: bool = False
    is_username: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the server side knows. None: not known, so nothing is said about it.

    `allowed_ports` are numbers and ranges; `senders` maps From addresses of other enabled profiles to the
    profile's name; `mx` the hosts that receive for the From domain; `verified_domains` those the provider has
    let through.
    """

    allowed_ports: Collection[int | range] | None = None
    senders: Mapping[str, str] = field(default_factory=dict)
    mx: Collection[str] | None = None
    verified_domains: Collection[str] = ()
    password: PasswordShape = PasswordShape()
    today: date | None = None

    def allows(self, port: int) -> bool:
        """Whether a profile may use a port here."""
        if self.allowed_ports is None:
            return True
        return any(port in one if isinstance(one, range) else port == one for one in self.allowed_ports)


@dataclass(frozen=True, slots=True)
class Seen:
    """The form's values made ready for looking at them.

    `port` is None for what is no number; `preset` is the provider of the server, or the one chosen.
    """

    values: Mapping[str, str]
    known: Known
    host: str
    port: int | None
    security: str
    auth: str
    username: str
    from_address: str
    preset: Preset | None

    @property
    def from_domain(self) -> str:
        """The domain of the From address, "" without one."""
        return domain_of(self.from_address)

    @property
    def is_here(self) -> bool:
        """Whether the server is this machine: nothing leaves it unencrypted."""
        address = ip_of(self.host)
        return self.host == "localhost" or (address is not None and address.is_loopback)

    def number(self, name: str) -> int:
        """Return the number in a field, 0 for none."""
        text = self.values.get(name, "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def see(values: Mapping[str, str], known: Known) -> Seen:
    """Read the values once for all hints."""
    host = values.get("host", "").strip().lower().removesuffix(".")
    port = values.get("port", "").strip()
    return Seen(
        values=values,
        known=known,
        host=host,
        port=int(port) if port.isascii() and port.isdigit() and len(port) < 6 else None,
        security=values.get("security", "starttls"),
        auth=values.get("auth", "password"),
        username=values.get("username", "").strip(),
        from_address=values.get("from_address", "").strip(),
        preset=preset_of(values.get("preset", ""), host) if host else by_key(values.get("preset", "")),
    )


def shape_of(password: str, username: str) -> PasswordShape:
    """Return what hints may know of a typed password.

    >>> shape_of("SG.x", "apikey").prefix
    'SG.'
    """
    return PasswordShape(
        length=len(password),
        prefix=key_prefix(password),
        starts_with_space=password[:1].isspace(),
        ends_with_space=password[-1:].isspace(),
        is_username=bool(password) and password == username.strip(),
    )


def key_prefix(text: str) -> str:
    """Return what providers put before every key, if this begins so; "" for anything else."""
    prefixes = {preset.secret_prefix for preset in all_presets()} - {""} | {ACCESS_KEY}
    return next((prefix for prefix in sorted(prefixes) if text.startswith(prefix)), "")


def domain_of(address: str) -> str:
    """Return the domain of an address in small letters, "" for what is no address."""
    return address.rpartition("@")[2].strip(" >").lower() if "@" in address else ""


def ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a server given as an address, None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
