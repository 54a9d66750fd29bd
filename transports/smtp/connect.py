"""Opening a connection: look-up, TCP, greeting, TLS, EHLO, and the takeover by our own protocol.

aiosmtplib talks until the last EHLO and is dropped then: it cannot pipeline, and its `sendmail()` can report
a refused message as accepted when replies arrive together.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import cast

import aiosmtplib

from transports.base import Phase, Security, StepVerdict
from transports.errors import ConnectionLost, ProtocolError, TLSNotOffered
from transports.resolve import Destination, resolve
from transports.smtp.capabilities import read_capabilities
from transports.smtp.dialing import dial
from transports.smtp.protocol import SMTPProtocol
from transports.smtp.settings import SMTPSettings
from transports.smtp.tls import TimedSSLObject, describe
from transports.smtp.transcript import Stage, Trace, stage
from transports.smtp.translation import FOREIGN, lines_of, reply_of, translate


@dataclass(frozen=True)
class Connection:
    """A greeted connection that is ours now."""

    protocol: SMTPProtocol
    capabilities: dict[str, str]
    is_encrypted: bool


async def connect(settings: SMTPSettings, context: ssl.SSLContext | None, trace: Trace | None) -> Connection:
    """Reach the server up to the last EHLO. Raises TransportError; nothing stays open then."""
    with stage(trace, Phase.DNS) as it:
        destination = await resolve(
            settings.host, settings.port, guard=settings.guard, ip_version=settings.ip_version
        )
        it.evidence["addresses"] = ", ".join(map(str, destination.addresses))
    with stage(trace, Phase.CONNECT) as it:
        sock = await dial(
            destination, timeout=settings.timeouts.connect, source_address=settings.source_address
        )
        with suppress(OSError):  # reset already: reading the greeting will say so
            it.evidence["address"] = sock.getpeername()[0]
        it.evidence["port"] = str(settings.port)
    try:
        return await _Greeting(settings, destination, sock, context, trace).run()
    except BaseException:
        # Not close(): a TLS connection would wait for the peer's good-bye.
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        raise


class _Greeting:
    """What aiosmtplib does for us on one connected socket."""

    def __init__(
        self,
        settings: SMTPSettings,
        destination: Destination,
        sock: socket.socket,
        context: ssl.SSLContext | None,
        trace: Trace | None,
    ) -> None:
        self.settings = settings
        self.trace = trace
        self.ehlo_name = settings.ehlo_name or _address_literal(sock)
        try:
            self.client = aiosmtplib.SMTP(
                hostname=destination.host,
                port=None,
                sock=sock,
                use_tls=settings.security is Security.TLS,
                # Never None, its default: with STARTTLS stripped that signs in in clear (measured).
                start_tls=False,
                tls_context=context,
                local_hostname=self.ehlo_name,
            )
        except ValueError as error:
            sock.close()
            raise translate(error, Phase.EHLO) from error
        self.capabilities: dict[str, str] = {}

    async def run(self) -> Connection:
        """Go from the greeting to the takeover; closes what it opened when it fails."""
        try:
            await self.greet()
            with stage(self.trace, Phase.EHLO) as it:
                await self.say_ehlo(it)
            if self.settings.security is Security.STARTTLS:
                await self.start_tls()
            elif self.settings.security is Security.NONE and self.trace is not None:
                with stage(self.trace, Phase.TLS) as it:
                    it.verdict, it.detail = StepVerdict.WARNING, "Not encrypted (as configured)."
            return self.take_over()
        except BaseException:
            if self.client.transport is not None:
                cast(asyncio.Transport, self.client.transport).abort()  # a stream transport, always
            self.client.close()
            raise

    async def greet(self) -> None:
        """Read the greeting; with implicit TLS the handshake comes first, in the same call."""
        since = self.trace.now_ms() if self.trace is not None else 0.0
        with stage(self.trace, Phase.BANNER) as it:
            limit = self.settings.banner_timeout
            response = await self.translated(self.client.connect(timeout=limit), Phase.BANNER)
            self.refuse_surplus(Phase.BANNER)
            it.reply = reply_of(response.code, response.message)
            it.evidence["greeting"] = it.reply.text
            if self.trace is None:
                return
            if self.settings.security is Security.TLS:
                it.since = self.report_implicit_tls(self.trace, since)
            self.trace.server(lines_of(response.code, response.message))

    def report_implicit_tls(self, trace: Trace, since: float) -> float:
        """Report the handshake as the step it was; returns when it ended."""
        ssl_object = self.client.get_transport_info("ssl_object")
        ended = trace.at_ms(cast(TimedSSLObject, ssl_object).handshake_ended)  # the context's own class
        verdict, detail = self.certificate_verdict()
        trace.step(Phase.TLS, verdict, since=since, until=ended, detail=detail, evidence=describe(ssl_object))
        return ended

    def certificate_verdict(self) -> tuple[StepVerdict, str]:
        """Return what to say about a handshake that went through."""
        if self.settings.verify:
            return StepVerdict.DONE, ""
        return StepVerdict.WARNING, "The certificate was not checked (as configured)."

    async def say_ehlo(self, it: Stage) -> None:
        """Introduce ourselves and read what is offered; HELO only where nothing else is wanted."""
        limit = self.settings.timeouts.ehlo
        self.record_command(f"EHLO {self.ehlo_name}")
        try:
            response = await self.client.ehlo(timeout=limit)
        except aiosmtplib.SMTPHeloError as error:
            self.record_reply(error.code, error.message)
            if error.code not in (500, 502) or self.settings.needs_esmtp:
                raise translate(error, Phase.EHLO) from error
            self.record_command(f"HELO {self.ehlo_name}")
            response = await self.translated(self.client.helo(timeout=limit), Phase.EHLO)
            self.record_reply(response.code, response.message)
        except FOREIGN as error:
            raise translate(error, Phase.EHLO) from error
        else:
            self.record_reply(response.code, response.message)
            self.capabilities = read_capabilities(response.message.split("\n"))
        self.refuse_surplus(Phase.EHLO)
        it.evidence |= {
            "capabilities": ", ".join(self.capabilities),
            "size": self.capabilities.get("SIZE", ""),
            "mechanisms": self.capabilities.get("AUTH", ""),
        }

    async def start_tls(self) -> None:
        """Encrypt, then start again: what was said before is forgotten (RFC 3207 section 4.2)."""
        with stage(self.trace, Phase.TLS) as it:
            if "STARTTLS" not in self.capabilities:
                raise TLSNotOffered("The server does not offer STARTTLS on this port.", phase=Phase.TLS)
            self.record_command("STARTTLS")
            limit = self.settings.timeouts.tls
            response = await self.translated(self.client.starttls(timeout=limit), Phase.TLS)
            self.record_reply(response.code, response.message)
            it.verdict, it.detail = self.certificate_verdict()
            if self.trace is not None:
                it.evidence |= describe(self.client.get_transport_info("ssl_object"))
                self.trace.note("TLS begins")
            await self.say_ehlo(it)

    def take_over(self) -> Connection:
        """Put our protocol in the place of aiosmtplib's."""
        theirs, transport = self.client.protocol, self.client.transport
        if theirs is None or transport is None:
            raise ConnectionLost("The server closed the connection after EHLO.", phase=Phase.EHLO)
        stream = cast(asyncio.Transport, transport)  # that of a TCP or TLS connection, always
        protocol = SMTPProtocol(stream, self.settings.timeouts.of, trace=self.trace)
        stream.set_protocol(protocol)
        return Connection(protocol, self.capabilities, self.settings.security is not Security.NONE)

    def refuse_surplus(self, phase: Phase) -> None:
        """Raise ProtocolError when more came with a reply: it would be read as the answer to the next command."""
        theirs = self.client.protocol
        if theirs is not None and theirs._buffer:  # noqa: SLF001 - nothing public tells
            raise ProtocolError("The server said more than it was asked.", phase=phase)

    async def translated(
        self, call: Awaitable[aiosmtplib.SMTPResponse], phase: Phase
    ) -> aiosmtplib.SMTPResponse:
        """Await one of aiosmtplib's calls, errors translated and replies recorded."""
        try:
            return await call
        except FOREIGN as error:
            ours = translate(error, phase)
            if ours.reply is not None and isinstance(error, aiosmtplib.SMTPResponseException):
                self.record_reply(error.code, error.message)
            raise ours from error

    def record_command(self, line: str) -> None:
        """Show an observer what we say."""
        if self.trace is not None:
            self.trace.client(line.encode())

    def record_reply(self, code: int, message: str) -> None:
        """Show an observer what the server said."""
        if self.trace is not None:
            self.trace.server(lines_of(code, message))


def _address_literal(sock: socket.socket) -> str:
    """Introduce us by our address: the machine's name is nobody's business (RFC 5321 section 4.1.4)."""
    address = ip_address(sock.getsockname()[0])
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"
