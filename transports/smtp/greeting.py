"""From a connected socket to a connection of ours: greeting, EHLO, STARTTLS, and the takeover.

aiosmtplib reads the replies until the last EHLO and is dropped then: it cannot pipeline, and its `sendmail()`
can report a refused message as accepted when replies arrive together. STARTTLS is said and encrypted by us.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar, cast

import aiosmtplib

from transports.base import Phase, Reply, Security, StepVerdict
from transports.errors import (
    ConnectionLost,
    ProtocolError,
    ReplyRefused,
    ReplyTimeout,
    TLSFailed,
    TLSNotOffered,
    TransportError,
)
from transports.resolve import Destination
from transports.smtp.capabilities import read_capabilities
from transports.smtp.client import Client, within
from transports.smtp.look import answers_tls
from transports.smtp.protocol import SMTPProtocol
from transports.smtp.redaction import Redactor
from transports.smtp.settings import SMTPSettings
from transports.smtp.tls import WatchedSSLObject, describe
from transports.smtp.transcript import Stage, Trace, stage
from transports.smtp.translation import FOREIGN, lines_of, reply_of, translate

#: Characters of one piece of evidence that are kept: a server may offer 10,000 things.
MAX_EVIDENCE = 1000

#: The evidence of a second look: whether TLS was answered where plain text had been expected.
TLS_FIRST = "tls_from_the_first_byte"

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """A greeted connection that is ours now."""

    protocol: SMTPProtocol
    capabilities: dict[str, str]
    is_encrypted: bool


class Greeting:
    """One connected socket on its way to become a session."""

    def __init__(
        self,
        settings: SMTPSettings,
        destination: Destination,
        sock: socket.socket,
        context: ssl.SSLContext | None,
        trace: Trace | None,
        redactor: Redactor | None = None,
    ) -> None:
        self.settings = settings
        self.destination = destination
        self.context = context
        self.trace = trace
        self.redactor = redactor
        self.ehlo_name = settings.ehlo_name or _address_literal(sock)
        self.address = _peer(sock)
        self.client = Client(
            hostname=destination.host,
            port=None,
            sock=sock,
            use_tls=settings.security is Security.TLS,
            # Never None, its default: with STARTTLS stripped that signs in in clear (measured).
            start_tls=False,
            tls_context=context,
            local_hostname=self.ehlo_name,
        )
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

    # The greeting

    async def greet(self) -> None:
        """Read the greeting; with implicit TLS the handshake comes first, in the same call."""
        is_tls = self.settings.security is Security.TLS
        with stage(self.trace, Phase.BANNER) as it:
            try:
                response = await (self.greeted_or_looked() if self.looks_for_tls else self.greeted())
            except (ReplyTimeout, ConnectionLost) as error:
                if is_tls:
                    raise
                if self.looks_for_tls and TLS_FIRST not in error.evidence:
                    error.evidence[TLS_FIRST] = "yes" if await self.finds_tls() else "no"
                raise _with_a_hint(error) from error.__cause__
            finally:
                if is_tls:
                    it.since = self.report_implicit_tls(it.since)
            self.refuse_surplus(Phase.BANNER)
            it.reply = self.hear(response.code, response.message)
            it.evidence["greeting"] = it.reply.text

    async def greeted(self) -> aiosmtplib.SMTPResponse:
        """Read the greeting, and shake hands before it where TLS comes first."""
        greeted = self.client.greeted(
            tls_limit=self.settings.timeouts.tls, limit=self.settings.banner_timeout
        )
        return await self.translated(greeted, Phase.BANNER)

    @property
    def looks_for_tls(self) -> bool:
        """Whether a server that does not greet is asked for TLS on a second connection."""
        return self.settings.looks_closer and self.settings.security is not Security.TLS

    async def greeted_or_looked(self) -> aiosmtplib.SMTPResponse:
        """Read the greeting; after a few silent seconds look whether the server waits for us to begin TLS.

        A person waits, and a server's greeting may take minutes. Raises ReplyTimeout as soon as it is known.
        """
        greeted = asyncio.create_task(self.greeted())
        try:
            await asyncio.wait({greeted}, timeout=self.settings.timeouts.look)
            if not greeted.done() and await self.finds_tls() and not greeted.done():
                sentence = "The server did not answer in time before its greeting."
                raise ReplyTimeout(sentence, phase=Phase.BANNER, evidence={TLS_FIRST: "yes"})
            return await greeted
        finally:
            if not greeted.done():
                greeted.cancel()
                await asyncio.wait({greeted})

    async def finds_tls(self) -> bool:
        """Look, and tell an observer."""
        found = await answers_tls(self.address, self.settings)
        if self.trace is not None:
            answer = "The port answers" if found else "The port does not answer"
            self.trace.note(f"{answer} TLS from the first byte (second connection).")
        return found

    def report_implicit_tls(self, since: float) -> float:
        """Report a handshake that went through as the step it was; returns when it ended."""
        ssl_object = self.client.latest_ssl_object
        if self.trace is None or ssl_object is None:
            return since
        until = self.trace.at_ms(cast(WatchedSSLObject, ssl_object).handshake_ended)  # our context's class
        verdict, detail = self.certificate_verdict()
        evidence = describe(ssl_object)
        self.trace.step(Phase.TLS, verdict, since=since, until=until, detail=detail, evidence=evidence)
        return until

    def certificate_verdict(self) -> tuple[StepVerdict, str]:
        """Return what to say about a handshake that went through."""
        if self.settings.verify:
            return StepVerdict.DONE, ""
        return StepVerdict.WARNING, "The certificate was not checked (as configured)."

    # EHLO

    async def say_ehlo(self, it: Stage) -> None:
        """Introduce ourselves and read what is offered; HELO only where nothing else is wanted."""
        limit = self.settings.timeouts.ehlo
        self.record_command(f"EHLO {self.ehlo_name}")
        try:
            response = await self.translated(within(limit, self.client.ehlo(timeout=None)), Phase.EHLO)
        except ReplyRefused as error:
            not_known = error.reply is not None and error.reply.code in (500, 502)
            if not not_known or self.settings.needs_esmtp:
                raise
            self.record_command(f"HELO {self.ehlo_name}")
            response = await self.translated(within(limit, self.client.helo(timeout=None)), Phase.EHLO)
            self.hear(response.code, response.message)
        else:
            self.hear(response.code, response.message)
            self.capabilities = read_capabilities(response.message.split("\n"))
        self.refuse_surplus(Phase.EHLO)
        it.evidence |= {
            "capabilities": self.shown(", ".join(self.capabilities)),
            "size": self.capabilities.get("SIZE", ""),
            "mechanisms": self.shown(self.capabilities.get("AUTH", "")),
        }

    # STARTTLS

    async def start_tls(self) -> None:
        """Encrypt, then start again: what was said before is forgotten (RFC 3207 section 4.2).

        Not by aiosmtplib's `starttls()`: that one discards plain text behind the 220 and goes on.
        """
        with stage(self.trace, Phase.TLS) as it:
            if "STARTTLS" not in self.capabilities:
                raise TLSNotOffered("The server does not offer STARTTLS on this port.", phase=Phase.TLS)
            limit = self.settings.timeouts.tls
            self.record_command("STARTTLS")
            response = await self.translated(within(limit, self.ask_for_tls(None)), Phase.TLS)
            self.hear(response.code, response.message)
            self.refuse_surplus(Phase.TLS)
            await self.translated(self.shake_hands(limit), Phase.TLS)
            it.verdict, it.detail = self.certificate_verdict()
            if self.trace is not None:
                it.evidence |= describe(cast(ssl.SSLObject, self.client.latest_ssl_object))
                self.trace.note("TLS begins")
            await self.say_ehlo_again(it)

    async def ask_for_tls(self, limit: float | None) -> aiosmtplib.SMTPResponse:
        """Say STARTTLS; any answer but 220 is an error, in aiosmtplib's own form."""
        response = await self.client.execute_command(b"STARTTLS", timeout=limit)
        if response.code != 220:
            raise aiosmtplib.SMTPResponseException(response.code, response.message)
        return response

    async def shake_hands(self, limit: float) -> None:
        """Put TLS between aiosmtplib's protocol and the socket."""
        theirs, transport = self.client.protocol, self.client.transport
        if theirs is None or transport is None or self.context is None or transport.is_closing():
            # asyncio would shake hands with nobody, and say nothing.
            sentence = "The server closed the connection after STARTTLS."
            raise TLSFailed(sentence, phase=Phase.TLS, reason="cut")
        encrypted = await asyncio.get_running_loop().start_tls(
            cast(asyncio.WriteTransport, transport),
            theirs,
            self.context,
            server_hostname=self.destination.host,
            ssl_handshake_timeout=limit,
        )
        self.client.transport = theirs.transport = encrypted

    async def say_ehlo_again(self, it: Stage) -> None:
        """Say EHLO on the encrypted connection; its failure is not one of TLS."""
        ended = self.trace.now_ms() if self.trace is not None else 0.0
        offered = Stage(ended)
        self.capabilities = {}
        try:
            await self.say_ehlo(offered)
        except TransportError:
            if self.trace is not None:
                self.trace.step(
                    Phase.TLS, it.verdict, since=it.since, until=ended, detail=it.detail, evidence=it.evidence
                )
            it.since, it.evidence = ended, offered.evidence
            raise
        it.evidence |= offered.evidence

    # The takeover

    def take_over(self) -> Connection:
        """Put our protocol in the place of aiosmtplib's."""
        theirs, transport = self.client.protocol, self.client.transport
        if theirs is None or transport is None:
            raise ConnectionLost("The server closed the connection after EHLO.", phase=Phase.EHLO)
        stream = cast(asyncio.Transport, transport)  # that of a TCP or TLS connection, always
        protocol = SMTPProtocol(stream, self.settings.timeouts.of, trace=self.trace)
        protocol.redactor = self.redactor
        stream.set_protocol(protocol)
        return Connection(protocol, self.capabilities, stream.get_extra_info("ssl_object") is not None)

    def refuse_surplus(self, phase: Phase) -> None:
        """Raise ProtocolError when more came with the last reply than a reply.

        Before TLS that would be somebody's plain text; elsewhere it would be read as the answer to what is
        said next, and shift every later reply by one.
        """
        theirs = self.client.protocol
        if theirs is not None and theirs._buffer:  # noqa: SLF001 - nothing public tells it
            raise ProtocolError("The server said more than it was asked.", phase=phase, reason="surplus")

    # Foreign errors, and what an observer hears

    async def translated(self, call: Awaitable[T], phase: Phase) -> T:
        """Await one of aiosmtplib's calls, errors translated and replies recorded."""
        try:
            return await call
        except FOREIGN as error:
            ours = translate(error, phase, self.redactor)
            if ours.reply is not None and isinstance(error, aiosmtplib.SMTPResponseException):
                self.hear(error.code, error.message)
        raise ours  # outside, so that the server's own words are not its context

    def record_command(self, line: str) -> None:
        """Show an observer what we say."""
        if self.trace is not None:
            self.trace.client(line.encode())

    def hear(self, code: int, message: str) -> Reply:
        """Return what the server said as our value, and show it to an observer."""
        if self.trace is not None:
            self.trace.server(lines_of(code, message, self.redactor))
        return reply_of(code, message, self.redactor)

    def shown(self, text: str) -> str:
        """Return a server's words as evidence: secrets taken out, not longer than a person reads."""
        if self.redactor is not None:
            text = self.redactor.redact(text.encode()).decode()
        return text if len(text) <= MAX_EVIDENCE else text[: MAX_EVIDENCE - 1] + "…"


def _with_a_hint(error: ReplyTimeout | ConnectionLost) -> TransportError:
    """Say why a server may not greet: both sides wait, it for the beginning of a handshake."""
    hint = "Perhaps this port expects TLS from the start, as 465 does."
    return type(error)(f"{error} {hint}", phase=error.phase, evidence=error.evidence)


def _peer(sock: socket.socket) -> str:
    """Return the address at the other end, "" when there is none (any more)."""
    try:
        address, *_ = sock.getpeername() or ("",)
    except OSError:
        return ""
    return str(address)


def _address_literal(sock: socket.socket) -> str:
    """Introduce us by our address: the machine's name is nobody's business (RFC 5321 section 4.1.4)."""
    address = ip_address(sock.getsockname()[0])
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"
