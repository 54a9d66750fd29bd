"""The way out by SMTP: opens signed-in sessions with fixed settings."""

import asyncio
import ssl
from functools import cached_property

from transports.base import Observer, Phase, Secret, Security, Session
from transports.errors import TransportError
from transports.smtp.auth import sign_in
from transports.smtp.connect import connect
from transports.smtp.greeting import Connection
from transports.smtp.redaction import Redactor
from transports.smtp.session import SMTPSession
from transports.smtp.settings import OAUTH, SMTPSettings
from transports.smtp.tls import make_context
from transports.smtp.transcript import Opening, Trace, stage


class SMTPTransport:
    """See `transports.base.Transport`. Keep it as long as the settings hold: it keeps the TLS context."""

    def __init__(self, settings: SMTPSettings) -> None:
        self.settings = settings
        #: Of the latest sign-in: what a server was told it may say in the next greeting.
        self._redactor: Redactor | None = None

    @cached_property
    def _context(self) -> ssl.SSLContext | None:
        return None if self.settings.security is Security.NONE else make_context(self.settings)

    async def open(self, observer: Observer | None = None, *, sequential: bool = False) -> Session:
        """Reach the server and sign in. Raises TransportError; nothing stays open then."""
        self.settings.refuse_unknown()
        opening = Opening(observer)
        trace = Trace(opening)
        try:
            connection = await self._connect(trace)
        except TransportError as error:
            error.transcript = opening.ended_by(error, trace.now_ms())
            raise
        # An ordinary session is not observed: that would cost more than its messages.
        session_trace = None
        if observer is not None:
            trace.observer, session_trace = observer, trace
        connection.protocol.trace = session_trace
        offered = "PIPELINING" in connection.capabilities
        return SMTPSession(
            connection.protocol,
            connection.capabilities,
            pipelined=offered and not sequential and self.settings.pipelining != "sequential",
            may_stream=self.settings.pipelining == "auto",
            timeouts=self.settings.timeouts,
            trace=session_trace,
        )

    async def _connect(self, trace: Trace) -> Connection:
        """Return a signed-in connection; nothing stays open when that fails."""
        token = await self._token(trace)
        connection = await connect(self.settings, self._context, trace, self._redactor)
        try:
            await sign_in(
                connection.protocol,
                self.settings,
                connection.capabilities,
                is_encrypted=connection.is_encrypted,
                trace=trace,
                token=token,
            )
        except BaseException:
            connection.protocol.abort()
            raise
        finally:
            self._redactor = connection.protocol.redactor
        return connection

    async def _token(self, trace: Trace) -> Secret | None:
        """Get the token to sign in with; before a connection is open, that would wait with us."""
        if self.settings.auth != OAUTH or self.settings.token is None:
            return None
        with stage(trace, Phase.TOKEN):
            return await asyncio.to_thread(self.settings.token)
