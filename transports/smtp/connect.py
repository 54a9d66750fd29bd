"""Opening a connection: the name is looked up, one of its addresses reached, and the server greeted."""

import socket
import ssl
from contextlib import suppress

from transports.base import Phase
from transports.resolve import Destination, resolve
from transports.smtp.dialing import dial
from transports.smtp.greeting import Connection, Greeting
from transports.smtp.redaction import Redactor
from transports.smtp.settings import SMTPSettings
from transports.smtp.transcript import Trace, stage


async def connect(
    settings: SMTPSettings,
    context: ssl.SSLContext | None,
    trace: Trace | None,
    redactor: Redactor | None = None,
) -> Connection:
    """Reach the server up to the last EHLO. Raises TransportError; nothing stays open then.

    `redactor` knows the secrets the server was told in earlier sessions: it may greet with them.
    """
    with stage(trace, Phase.DNS) as it:
        destination = await resolve(
            settings.host, settings.port, guard=settings.guard, ip_version=settings.ip_version
        )
        it.evidence["addresses"] = ", ".join(map(str, destination.addresses))
    return await reach(destination, settings, context, trace, redactor)


async def reach(
    destination: Destination,
    settings: SMTPSettings,
    context: ssl.SSLContext | None,
    trace: Trace | None,
    redactor: Redactor | None = None,
) -> Connection:
    """Reach a destination that was looked up and judged already; else as `connect`."""
    with stage(trace, Phase.CONNECT) as it:
        sock = await dial(
            destination, timeout=settings.timeouts.connect, source_address=settings.source_address
        )
        with suppress(OSError):  # reset already: reading the greeting will say so
            it.evidence["address"] = sock.getpeername()[0]
        it.evidence["port"] = str(settings.port)
    try:
        greeting = Greeting(settings, destination, sock, context, trace, redactor)
    except BaseException:  # an address of ours that cannot be read, a value aiosmtplib does not take
        sock.close()
        raise
    try:
        return await greeting.run()
    except BaseException:
        # Not close(): a TLS connection would wait for the peer's good-bye.
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        raise
