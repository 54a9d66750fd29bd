"""From a server's name to the addresses that may be connected: parsed, looked up once, judged, pinned.

The guard keeps a settings form from becoming a scanner of our own network. An address is judged after the
look-up, so `127.1` or `0x7f000001` in the form is what it resolves to; and the socket is connected to the
judged address, so a second look-up cannot change it (DNS rebinding). The real control is an egress allow-list
in the network.
"""

import asyncio
import re
import socket
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from itertools import zip_longest

import idna

from transports.base import Phase
from transports.errors import AddressNotAllowed, NameLookupFailed, NameNotFound

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Submission and relay ports, and the common alternatives of providers.
DEFAULT_PORTS: tuple[range | int, ...] = (25, 465, 587, 2465, 2525, 2587)

#: Seconds for the whole look-up.
LOOKUP_TIMEOUT = 5.0

#: As many as a server with two machines on both families has; a name with fifty is not tried fifty times.
MOST_ADDRESSES = 4

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


#: Cloud metadata services; some lie in ranges that `allow_private` opens, or in public ones.
_METADATA = _networks("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")

_DENIED: tuple[tuple[str, tuple[Network, ...]], ...] = (
    ("a metadata service", _METADATA),
    ("unspecified", _networks("0.0.0.0/8", "::/128")),
    ("loopback", _networks("127.0.0.0/8", "::1/128")),
    ("link-local", _networks("169.254.0.0/16", "fe80::/10")),
    ("multicast", _networks("224.0.0.0/4", "ff00::/8")),
    ("reserved", _networks("192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "100::/64", "64:ff9b:1::/48")),
)

_PRIVATE = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10"
)

#: NAT64 and the IPv4-mapped, -compatible and -translated forms: the IPv4 address is the last 32 bits.
_IPV4_LAST = _networks("::ffff:0:0/96", "::/96", "64:ff9b::/96", "::ffff:0:0:0/96")
_SIX_TO_FOUR = ip_network("2002::/16")
_TEREDO = ip_network("2001::/32")


def embedded_ipv4(address: Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses an IPv6 address stands for, if it is of such a kind.

    `ipaddress` alone does not do: `is_global` is true for NAT64, 6to4 and 224.0.0.1 on Python 3.11.

    >>> embedded_ipv4(ip_address("64:ff9b::7f00:1"))
    (IPv4Address('127.0.0.1'),)
    """
    if isinstance(address, IPv4Address):
        return ()
    bits = int(address)
    last = IPv4Address(bits & 0xFFFFFFFF)
    if any(address in network for network in _IPV4_LAST) or (bits >> 32) & 0xFDFFFFFF == 0x5EFE:  # ISATAP
        return (last,)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(bits >> 80 & 0xFFFFFFFF),)
    if address in _TEREDO:
        return (IPv4Address(bits >> 64 & 0xFFFFFFFF), IPv4Address(int(last) ^ 0xFFFFFFFF))
    return ()


@dataclass(frozen=True)
class AddressGuard:
    """Which addresses and ports a profile may reach.

    `allowed_networks` go before everything else. `allow_private` opens the private ranges (RFC 1918, ULA,
    CGNAT), never loopback, link-local or a metadata service.
    """

    allowed_networks: tuple[Network, ...] = ()
    allowed_ports: tuple[range | int, ...] = DEFAULT_PORTS
    allow_private: bool = False

    def allows_port(self, port: int) -> bool:
        """Whether a profile may use this port."""
        return any(
            port in allowed if isinstance(allowed, range) else port == allowed
            for allowed in self.allowed_ports
        )

    def refusal(self, address: Address) -> str | None:
        """Return what kind of address is refused ("loopback"), None when it is allowed."""
        if any(address in network for network in self.allowed_networks):
            return None
        for kind, networks in _DENIED:
            if any(address in network for network in networks):
                return kind
        if not self.allow_private and any(address in network for network in _PRIVATE):
            return "private"
        return next(filter(None, map(self.refusal, embedded_ipv4(address))), None)


def parse_host(host: str) -> str:
    """Return a server's name in the form it is looked up: A-labels, lower case, no final dot.

    An IPv6 address may stand in brackets. Raises ValueError with one sentence for what is no name: a URL, a
    path, a port behind it, spaces.

    >>> parse_host("Mail.Bücher.example.")
    'mail.xn--bcher-kva.example'
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return str(ip_address(bare))
    except ValueError:
        pass
    name = host.removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise ValueError("The server is not a valid internationalised name.") from None
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError("The server must be a name or an address, such as smtp.example.com.")
    return name.lower()


@dataclass(frozen=True)
class Destination:
    """Where to connect: the name the certificate is checked against, and the pinned addresses in order."""

    host: str
    port: int
    addresses: tuple[Address, ...]


async def resolve(host: str, port: int, *, guard: AddressGuard, ip_version: str = "any") -> Destination:
    """Look a server up once and judge what comes back.

    Raises AddressNotAllowed (port list or guard), NameNotFound and NameLookupFailed.
    """
    if not guard.allows_port(port):
        raise AddressNotAllowed(f"Port {port} is not one that may be used.", phase=Phase.DNS, reason="port")
    try:
        name = parse_host(host)
    except ValueError as error:
        raise NameNotFound(str(error), phase=Phase.DNS, reason="bad-name") from None
    found = [address for address in await _look_up(name) if ip_version in ("any", str(address.version))]
    if not found:
        sentence = f"The name “{name}” has no IPv{ip_version} address."
        raise NameNotFound(sentence, phase=Phase.DNS, reason="no-address")
    refusals = {address: guard.refusal(address) for address in found}
    allowed = [address for address, kind in refusals.items() if kind is None]
    if not allowed:
        kind = refusals[found[0]]
        raise AddressNotAllowed(
            f"The address {found[0]} is not allowed as a mail server ({kind}).", phase=Phase.DNS
        )
    return Destination(name, port, _alternating(allowed)[:MOST_ADDRESSES])


async def _look_up(name: str) -> list[Address]:
    """Ask the system's resolver, in a thread, with a deadline."""
    try:
        return [ip_address(name)]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT):  # wait_for() may lose a cancellation before Python 3.12
            answers = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except TimeoutError:
        raise NameLookupFailed(
            f"The name service did not answer for “{name}” within {LOOKUP_TIMEOUT:.0f} s.", phase=Phase.DNS
        ) from None
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            raise NameNotFound(f"The name “{name}” does not exist.", phase=Phase.DNS) from error
        raise NameLookupFailed(f"The name “{name}” could not be looked up.", phase=Phase.DNS) from error
    # A link-local answer carries its interface after a percent sign; the guard refuses it anyway.
    return list(dict.fromkeys(ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers))


def _alternating(addresses: list[Address]) -> tuple[Address, ...]:
    """Order by turns of the two families, first the one the resolver prefers."""
    first = [address for address in addresses if address.version == addresses[0].version]
    second = [address for address in addresses if address.version != addresses[0].version]
    turns = zip_longest(first, second)
    return tuple(address for turn in turns for address in turn if address is not None)
