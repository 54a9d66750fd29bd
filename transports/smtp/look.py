"""A second look at a server that failed, for a person's test, to find out what would have worked.

Only at the address that was judged and connected already, for a few seconds, and nothing is said there but
the beginning of TLS. The queue never looks: its settings have passed a test.
"""

import asyncio
import ssl
from ipaddress import ip_address

from transports.errors import TransportError
from transports.resolve import Destination, resolve
from transports.smtp.dialing import dial
from transports.smtp.settings import SMTPSettings

#: Seconds for one look.
LIMIT = 3.0

#: So many names of a certificate are looked up.
MOST_NAMES = 3


async def answers_tls(address: str, settings: SMTPSettings) -> bool:
    """Whether the port answers the beginning of a handshake: by going through with it, or by an alert."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is said on this connection
    try:
        destination = Destination(settings.host, settings.port, (ip_address(address.partition("%")[0]),))
        async with asyncio.timeout(LIMIT):
            sock = await dial(destination, timeout=LIMIT, source_address=settings.source_address)
            transport, _ = await asyncio.get_running_loop().create_connection(
                asyncio.Protocol, sock=sock, ssl=context, server_hostname=settings.host
            )
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, TransportError, ValueError):  # TimeoutError is an OSError
        return False
    transport.abort()
    return True


async def name_of_same_server(names: str, destination: Destination, settings: SMTPSettings) -> str:
    """Return the first of a certificate's names (", " between them) that leads to this server, else ""."""
    wanted = [name for name in names.split(", ") if _is_plain_name(name)][:MOST_NAMES]
    try:
        async with asyncio.timeout(LIMIT):
            for name in wanted:
                if set(await _addresses(name, settings)) & set(destination.addresses):
                    return name
    except TimeoutError:
        pass
    return ""


async def _addresses(name: str, settings: SMTPSettings) -> tuple[object, ...]:
    try:
        found = await resolve(name, settings.port, guard=settings.guard, ip_version=settings.ip_version)
    except TransportError:
        return ()
    return found.addresses


def _is_plain_name(name: str) -> bool:
    return name.replace(".", "").replace("-", "").isalnum() and not name.replace(".", "").isdigit()
