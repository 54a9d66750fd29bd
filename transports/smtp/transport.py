"""The way out by SMTP: opens signed-in sessions with fixed settings."""

import ssl
from functools import cached_property

from transports.base import Observer, Security, Session
from transports.smtp.auth import sign_in
from transports.smtp.connect import connect
from transports.smtp.redaction import Redactor
from transports.smtp.session import SMTPSession
from transports.smtp.settings import SMTPSettings
from transports.smtp.tls import make_context
from transports.smtp.transcript import Trace


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
        trace = Trace(observer) if observer is not None else None
        connection = await connect(self.settings, self._context, trace, self._redactor)
        try:
            await sign_in(
                connection.protocol,
                self.settings,
                connection.capabilities,
                is_encrypted=connection.is_encrypted,
                trace=trace,
            )
        except BaseException:
            connection.protocol.abort()
            raise
        finally:
            self._redactor = connection.protocol.redactor
        offered = "PIPELINING" in connection.capabilities
        return SMTPSession(
            connection.protocol,
            connection.capabilities,
            pipelined=offered and not sequential and self.settings.pipelining != "sequential",
            may_stream=self.settings.pipelining == "auto",
            timeouts=self.settings.timeouts,
            trace=trace,
        )
