"""Opening a connection: the name is looked up, one of its addresses reached, and the server greeted."""

import socket
import ssl
from contextlib import suppress

from transports.base import Phase
from transports.errors import CertificateRefused
from transports.resolve import Address, Destination, resolve
from transports.smtp.dialing import dial
from transports.smtp.greeting import Connection, Greeting
from transports.smtp.look import name_of_same_server
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
    failed: list[Address] = []
    with stage(trace, Phase.CONNECT) as it:
        sock = await dial(
            destination,
            timeout=settings.timeouts.connect,
            source_address=settings.source_address,
            failed=failed,
        )
        with suppress(OSError):  # reset already: reading the greeting will say so
            it.evidence["address"] = sock.getpeername()[0]
            it.evidence["our_address"] = sock.getsockname()[0]
        it.evidence["port"] = str(settings.port)
        if failed:
            it.evidence["failed_addresses"] = ", ".join(map(str, failed))
    try:
        greeting = Greeting(settings, destination, sock, context, trace, redactor)
    except BaseException:  # an address of ours that cannot be read, a value aiosmtplib does not take
        sock.close()
        raise
    try:
        return await greeting.run()
    except CertificateRefused as error:
        shut_down(sock)
        if settings.looks_closer and error.reason == "name":
            names = error.evidence.get("certificate_names", "")
            error.evidence["certificate_server"] = await name_of_same_server(names, destination, settings)
        raise
    except BaseException:
        shut_down(sock)
        raise


def shut_down(sock: socket.socket) -> None:
    """End a connection at once: close() would let TLS wait for the peer's good-bye."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
