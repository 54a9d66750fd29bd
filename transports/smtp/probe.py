"""A look at what listens on a port: greeting, EHLO, encryption, and what is offered then. Nothing else.

No credentials, no envelope: a probe knows none. Nor does it tell what a server that speaks no SMTP said.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property

from transports.base import Phase, Security, Step, StepVerdict, TranscriptLine
from transports.errors import (
    AddressNotAllowed,
    CertificateRefused,
    ConnectTimeout,
    ReplyTimeout,
    TLSNotOffered,
    TransportError,
)
from transports.resolve import AddressGuard, Destination
from transports.smtp.connect import reach
from transports.smtp.settings import SMTPSettings, Timeouts
from transports.smtp.tls import make_context
from transports.smtp.transcript import Trace

#: Seconds for one probe with all it says.
LIMIT = 4.0


@dataclass(frozen=True, slots=True)
class Probed:
    """What one port turned out to be.

    `security` is what the session had in the end: a server asked for STARTTLS that does not offer it is NONE.
    `error` is why there is no answer, None when a mail server answered; `certificate_error` why its
    certificate was refused, None when it was accepted or none was seen. `capabilities` are those of the last
    EHLO, `evidence` what `transports.smtp.tls.describe` says of the encryption; `ms` is the time of it all.
    """

    host: str
    port: int
    security: Security
    error: TransportError | None = None
    certificate_error: CertificateRefused | None = None
    capabilities: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)
    ms: float = 0.0


@dataclass
class _Notebook:
    """An observer: keeps what the steps found out, for a session that ends before it is ours."""

    evidence: dict[str, str] = field(default_factory=dict)
    last: Phase = Phase.DNS

    def step(self, step: Step) -> None:
        if step.verdict is not StepVerdict.FAILED:
            self.last = step.phase
        self.evidence |= step.evidence

    def line(self, line: TranscriptLine) -> None:
        """Words are not kept."""


class Prober:
    """Probes any number of ports; TLS contexts are made once (17 ms each)."""

    def __init__(self, guard: AddressGuard, *, ip_version: str = "any") -> None:
        self.guard = guard
        self.ip_version = ip_version

    async def probe(self, destination: Destination, security: Security) -> Probed:
        """Look at one port, at most `LIMIT` seconds. Never raises for what the server does."""
        started = time.monotonic()
        notebook = _Notebook()
        try:
            async with asyncio.timeout(LIMIT):
                found = await self._probe(destination, security, notebook)
        except TransportError as error:
            found = Probed(destination.host, destination.port, security, error)
        except TimeoutError:
            found = Probed(destination.host, destination.port, security, _late(notebook.last, security))
        return replace(found, ms=(time.monotonic() - started) * 1000)

    async def _probe(self, destination: Destination, security: Security, notebook: _Notebook) -> Probed:
        host, port = destination.host, destination.port
        if not self.guard.allows_port(port):
            raise AddressNotAllowed(
                f"Port {port} is not one that may be used.", phase=Phase.DNS, reason="port"
            )
        refused = None
        capabilities: Mapping[str, str] = {}
        try:
            capabilities = await self._look(destination, security, notebook, verify=True)
        except CertificateRefused as error:
            refused, notebook.evidence = error, dict(error.evidence)
            # Once more without a check, to see the rest: nothing secret is said. That it is a mail server is
            # not known of implicit TLS before.
            with suppress(TransportError if security is Security.STARTTLS else TLSNotOffered):
                capabilities = await self._look(destination, security, notebook, verify=False)
        except TLSNotOffered:
            security, capabilities = Security.NONE, _offered(notebook)
        return Probed(
            host,
            port,
            security,
            certificate_error=refused,
            capabilities=capabilities,
            evidence=notebook.evidence,
        )

    async def _look(
        self, destination: Destination, security: Security, notebook: _Notebook, *, verify: bool
    ) -> Mapping[str, str]:
        """Return what is offered after the last EHLO, and say QUIT."""
        settings = SMTPSettings(
            destination.host,
            destination.port,
            security,
            verify=verify,
            timeouts=_PATIENCE,
            guard=self.guard,
        )
        context = None
        if security is not Security.NONE:
            context = self._checking if verify else self._trusting
        connection = await reach(destination, settings, context, Trace(notebook))
        protocol = connection.protocol
        protocol.trace = None
        try:
            await protocol.exchange(b"QUIT\r\n", (Phase.QUIT,))
        finally:
            protocol.abort()
        return connection.capabilities

    @cached_property
    def _checking(self) -> ssl.SSLContext:
        return make_context(SMTPSettings("", 0))

    @cached_property
    def _trusting(self) -> ssl.SSLContext:
        return make_context(SMTPSettings("", 0, verify=False))


#: Each phase may take as long as the whole; a QUIT is not waited for long.
_PATIENCE = Timeouts(connect=LIMIT, tls=LIMIT, banner=LIMIT, ehlo=LIMIT, quit=0.5)


def _offered(notebook: _Notebook) -> dict[str, str]:
    """Return what a server offered that was left after its EHLO."""
    names = filter(None, notebook.evidence.get("capabilities", "").split(", "))
    found = dict.fromkeys(names, "")
    if found.get("SIZE") is not None:
        found["SIZE"] = notebook.evidence.get("size", "")
    if found.get("AUTH") is not None:
        found["AUTH"] = notebook.evidence.get("mechanisms", "")
    return found


def _late(last: Phase, security: Security) -> TransportError:
    """Say what was waited for."""
    if last is Phase.DNS:
        return ConnectTimeout("Nothing answered in time.", phase=Phase.CONNECT)
    phase = Phase.TLS if security is Security.TLS else Phase.BANNER
    return ReplyTimeout("It did not answer in time.", phase=phase if last is Phase.CONNECT else Phase.EHLO)
