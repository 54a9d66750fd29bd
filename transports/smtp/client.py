"""aiosmtplib's client with clocks of our own: it connects, greets and introduces us.

It is given no time limit anywhere: it waits with asyncio.wait_for(), which before Python 3.12 drops a
cancellation that comes together with an answer, and it knows one limit for handshake and greeting.
"""

import asyncio
import ssl
from collections.abc import Awaitable
from typing import TypeVar

import aiosmtplib

from transports.smtp.tls import HandshakeTimeout, WatchedSSLObject

T = TypeVar("T")


async def within(limit: float, call: Awaitable[T]) -> T:
    """Await one of the client's calls for at most `limit` seconds. Raises TimeoutError."""
    async with asyncio.timeout(limit):
        return await call


class Client(aiosmtplib.SMTP):
    """Remembers the TLS of the connection it drops: a greeting may fail after a good handshake."""

    _dropped: ssl.SSLObject | None = None

    @property
    def latest_ssl_object(self) -> ssl.SSLObject | None:
        """What is known of the encryption; None where there is none, or the handshake did not end."""
        return self._dropped if self.transport is None else self.transport.get_extra_info("ssl_object")

    def close(self) -> None:
        """Drop the connection."""
        self._dropped = self.latest_ssl_object
        super().close()

    async def greeted(self, *, tls_limit: float, limit: float) -> aiosmtplib.SMTPResponse:
        """Shake hands, where TLS comes first, and read the greeting, each within its own limit.

        Raises HandshakeTimeout and TimeoutError.
        """
        if not self.use_tls:
            return await within(limit, self.connect(timeout=None))
        loop = asyncio.get_running_loop()
        handshake_until = loop.time() + tls_limit
        clock = asyncio.timeout(None)
        try:
            async with clock:

                def look() -> None:
                    """Give the greeting its limit once the handshake ended; at least once in that limit."""
                    ssl_object = self.latest_ssl_object
                    left = handshake_until - loop.time()
                    if isinstance(ssl_object, WatchedSSLObject) and ssl_object.handshake_ended is not None:
                        clock.reschedule(ssl_object.handshake_ended + limit)
                    elif left <= 0:
                        clock.reschedule(loop.time())
                    else:
                        timers[:] = [loop.call_later(min(left, limit), look)]

                timers: list[asyncio.TimerHandle] = []
                look()
                try:
                    return await self.connect(timeout=None)
                finally:
                    for timer in timers:  # none, when the limit was over at the first look
                        timer.cancel()
        except TimeoutError:
            if clock.expired() and self.latest_ssl_object is None:
                raise HandshakeTimeout from None
            raise
