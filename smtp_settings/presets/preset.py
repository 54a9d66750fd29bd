"""One provider as data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from types import MappingProxyType

#: Numbers of the form a preset may fill or bound, with the form's own defaults.
LIMITS: Mapping[str, int] = MappingProxyType(
    {
        "max_connections": 4,
        "messages_per_connection": 100,
        "per_minute": 0,
        "per_hour": 0,
        "per_day": 0,
        "max_size": 10,
    }
)

#: What a region's name looks like in a host ("eu-west-1", "us-ashburn-1").
_REGION = r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]"


class Kind(StrEnum):
    """What a provider is made for."""

    SERVICE = "service"
    MAILBOX = "mailbox"
    OWN = "own"
    DEVELOPMENT = "development"
    METHOD = "method"


class User(StrEnum):
    """Which user name a provider wants."""

    ADDRESS = "address"
    LOCAL = "local"
    FIXED = "fixed"
    MADE = "made"
    ANY = "any"


class Secret(StrEnum):
    """What a provider calls the secret that goes with the user name."""

    PASSWORD = "password"  # noqa: S105 - the choice, not a password
    APP_PASSWORD = "app_password"  # noqa: S105
    SMTP_PASSWORD = "smtp_password"  # noqa: S105
    API_KEY = "api_key"
    SECRET_KEY = "secret_key"  # noqa: S105
    TOKEN = "token"  # noqa: S105
    CLIENT_SECRET = "client_secret"  # noqa: S105
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Port:
    """A port and the security it expects (`starttls`, `tls`, `none`)."""

    number: int
    security: str


@dataclass(frozen=True, slots=True)
class Region:
    """One of a provider's servers; `name` is "" for a provider that has only one."""

    name: str
    host: str


@dataclass(frozen=True, slots=True)
class DNS:
    """What the From domain publishes for this provider.

    `spf` is the name to include, `dkim` selectors seen in use: hints for a look-up, never proof. With
    `own_bounce` the provider puts a bounce address of its own, so SPF is not judged on the From domain.
    """

    spf: str = ""
    dkim: tuple[str, ...] = ()
    own_bounce: bool = False


@dataclass(frozen=True, slots=True)
class PasswordEnd:
    """A provider's announced end of sign-in by password: the sentences before and after the day."""

    on: date
    before: str
    after: str

    def words(self, today: date | None) -> str:
        """Return what to say on a day, not translated; None for a day nobody knows."""
        return self.after if today is not None and today > self.on else self.before

    def is_near(self, today: date | None) -> bool:
        """Whether it is time to act: the end came, or comes within 30 days."""
        return today is not None and self.on - today < timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A provider. `regions` is in the order to offer; `ports` in the order to try, the first is filled in.

    `fills` are numbers for the form's limits, `most` what the provider allows at most; both by form field.
    `user_name` is the literal of `User.FIXED`, `secret_length` that of every secret, 0 when they differ;
    `company` is who stands behind it, "" for the name itself. `sign_ins` are the form's values, best first.
    `domains` are the From domains of a mailbox provider's own customers, `mx` the hosts that receive for it
    ("*." stands for any labels). Sentences are English: translate them where they are shown.
    """

    key: str
    name: str
    kind: Kind
    transport: str = "smtp"
    regions: tuple[Region, ...] = ()
    host_pattern: str = ""
    ports: tuple[Port, ...] = ()
    user: User = User.ADDRESS
    user_name: str = ""
    secret: Secret = Secret.PASSWORD
    secret_name: str = ""
    secret_prefix: str = ""
    secret_length: int = 0
    company: str = ""
    sign_ins: tuple[str, ...] = ("password",)
    fills: Mapping[str, int] = field(default_factory=dict)
    most: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    warning: str = ""
    password_end: PasswordEnd | None = None
    obsolete: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()
    shares_host_with: str = ""
    dns: DNS = DNS()
    help_url: str = ""
    source: tuple[str, ...] = ()
    checked: date | None = None

    @property
    def host(self) -> str:
        """The server to fill in: the first, or "" when there is none or a person must choose a region."""
        return self.regions[0].host if self.regions and not self.host_pattern else ""

    @property
    def owner(self) -> str:
        """Who decides what this server takes: "Google" for Gmail."""
        return self.company or self.name

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every server that is listed."""
        return tuple(region.host for region in self.regions)

    def has_host(self, host: str) -> bool:
        """Whether this is one of the provider's servers, also in a region that is not listed."""
        if host in self.hosts:
            return True
        return bool(self.host_pattern) and self.region_of(host) != ""

    def region_of(self, host: str) -> str:
        """Return the region a server is in, "" when that is not known."""
        for region in self.regions:
            if region.host == host:
                return region.name
        if not self.host_pattern:
            return ""
        pattern = re.escape(self.host_pattern).replace(r"\{region\}", f"({_REGION})")
        found = re.fullmatch(pattern, host)
        return found[1] if found else ""

    def host_in(self, region: str) -> str:
        """Return the server of a region by its name, "" for one that is not listed."""
        return next((one.host for one in self.regions if one.name == region), "")

    def port_for(self, security: str) -> int | None:
        """Return the first port of a security; None when the provider does not offer it."""
        return next((port.number for port in self.ports if port.security == security), None)

    def security_of(self, port: int) -> str:
        """Return the security a port expects here, "" when it is not one of the provider's."""
        return next((one.security for one in self.ports if one.number == port), "")
