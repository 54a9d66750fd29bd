"""The settings of one way out by SMTP, and the limits in seconds of every wait."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from transports.base import Phase, Secret, Security
from transports.errors import CredentialsNotUsable, TransportError
from transports.resolve import AddressGuard


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait in each phase: RFC 5321 section 4.5.3.2, except where no client waits that long.

    `dot` is never shorter: giving up on a server that is still accepting makes a duplicate (RFC 1047).
    """

    connect: float = 30
    tls: float = 30
    #: Five times as long on port 25, where servers delay their greeting on purpose.
    banner: float = 60
    ehlo: float = 300
    auth: float = 60
    #: So much silence before a test looks whether TLS is expected from the first byte.
    look: float = 5
    #: RSET has nothing to do, and the verdict on a message may wait for its reply.
    rset: float = 30
    mail: float = 300
    rcpt: float = 300
    data: float = 120
    #: For each 64 KiB of content.
    block: float = 180
    dot: float = 600
    quit: float = 5

    def of(self, phase: Phase) -> float:
        """Return the limit of one reply in this phase."""
        return self._by_phase[phase]

    @cached_property
    def _by_phase(self) -> dict[Phase, float]:
        return {
            Phase.CONNECT: self.connect,
            Phase.TLS: self.tls,
            Phase.BANNER: self.banner,
            Phase.EHLO: self.ehlo,
            Phase.AUTH: self.auth,
            Phase.RSET: self.rset,
            Phase.MAIL: self.mail,
            Phase.RCPT: self.rcpt,
            Phase.DATA: self.data,
            Phase.BODY: self.block,
            Phase.DOT: self.dot,
            Phase.QUIT: self.quit,
        }


@dataclass(frozen=True)
class SMTPSettings:
    """How to reach a server and sign in.

    `ca_pem` is added to the system's authorities. `ehlo_name` "" introduces us by our address (RFC 5321
    section 4.1.4), never by the machine's name. `auth` is "none", "password" or "oauth"; the opener of a
    `password` is called at AUTH and its result dropped there. `token` is called in a thread before anything
    is connected, because it may have to be fetched; `renew_token` gets one that a server refused and returns
    another, once a session. Both may raise TransportError. `mechanism` "auto" never means CRAM-MD5.
    `looks_closer` is for a person's test: after a failure it finds out what would have worked
    (`transports.smtp.look`).
    """

    host: str
    port: int
    security: Security = Security.STARTTLS
    verify: bool = True
    minimum_tls: str = "1.2"
    ca_pem: str = ""
    ip_version: str = "any"
    source_address: str = ""
    ehlo_name: str = ""
    auth: str = "none"
    mechanism: str = "auto"
    username: str = ""
    password: Callable[[], Secret] | None = field(default=None, repr=False)
    token: Callable[[], Secret] | None = field(default=None, repr=False)
    renew_token: Callable[[Secret], Secret] | None = field(default=None, repr=False)
    allow_clear_auth: bool = False
    pipelining: str = "auto"
    timeouts: Timeouts = Timeouts()
    guard: AddressGuard = field(default_factory=AddressGuard)
    looks_closer: bool = False

    @property
    def signs_in(self) -> bool:
        """Whether a session begins with AUTH."""
        return self.auth != "none"

    @property
    def needs_esmtp(self) -> bool:
        """Whether HELO would not do."""
        return self.signs_in or self.security is Security.STARTTLS

    @property
    def banner_timeout(self) -> float:
        """The limit of the greeting."""
        return self.timeouts.banner * (5 if self.port == 25 else 1)

    def refuse_unknown(self) -> None:
        """Raise TransportError for a value this transport does not know how to honour."""
        for name, known, phase in _KNOWN:
            value = getattr(self, name)
            if value not in known:
                raise TransportError(
                    f"This version cannot use “{value}” as {name.replace('_', ' ')}.", phase=phase
                )
        if self.ehlo_name and _EHLO_NAME.fullmatch(self.ehlo_name) is None:
            raise TransportError(
                "The EHLO name is no host name and no address in brackets.", phase=Phase.EHLO
            )
        self._refuse_unusable_sign_in()

    def _refuse_unusable_sign_in(self) -> None:
        if self.auth == "password":
            opener, what, is_fitting = self.password, "password", self.mechanism != "xoauth2"
        elif self.auth == OAUTH:
            opener, what, is_fitting = self.token, "token", self.mechanism in ("auto", "xoauth2")
        else:
            return
        if opener is None:
            sentence = f"The profile signs in, and no {what} is stored."
            raise CredentialsNotUsable(sentence, phase=Phase.AUTH, reason="no-password")
        if not is_fitting:
            raise CredentialsNotUsable(
                f"{self.mechanism.upper()} is not a way to sign in with a {what}.", phase=Phase.AUTH
            )


#: The `auth` of a sign-in with an access token.
OAUTH = "oauth"

#: What can stand on a command line without ending it or adding to it (RFC 5321 section 4.1.1.1).
_EHLO_NAME = re.compile(r"[!-~]{1,255}")

_KNOWN: tuple[tuple[str, tuple[str, ...], Phase], ...] = (
    ("ip_version", ("any", "4", "6"), Phase.DNS),
    ("security", tuple(Security), Phase.CONNECT),
    ("minimum_tls", ("1.2", "1.3"), Phase.TLS),
    ("auth", ("none", "password", OAUTH), Phase.AUTH),
    ("mechanism", ("auto", "plain", "login", "cram-md5", "xoauth2"), Phase.AUTH),
    ("pipelining", ("auto", "grouped", "sequential"), Phase.MAIL),
)
