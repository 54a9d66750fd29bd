"""A TCP connection to one of the pinned addresses."""

import asyncio
import errno
import socket

from transports.base import Phase
from transports.errors import ConnectionRefused, ConnectTimeout, CouldNotConnect, TransportError
from transports.resolve import Address, Destination

#: What the errno of a failed connection says, as `CouldNotConnect` has it.
_REASONS = {
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.EAFNOSUPPORT: "unreachable",  # no IPv6 on this machine
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
    errno.ECONNRESET: "forbidden",
    errno.EMFILE: "exhausted",
    errno.ENFILE: "exhausted",
    errno.EADDRNOTAVAIL: "exhausted",
}


async def dial(
    destination: Destination,
    *,
    timeout: float,  # noqa: ASYNC109
    source_address: str = "",
    failed: list[Address] | None = None,
) -> socket.socket:
    """Return a connected socket to the first address that answers; `timeout` is for all of them together.

    Each address gets its share of the time that is left, so that a dead first one does not use it up. Those
    that did not answer are added to `failed`. Raises CouldNotConnect or one of its kinds, the one of the last
    address.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    left = len(destination.addresses)
    failure: TransportError = CouldNotConnect("The server has no address.", phase=Phase.CONNECT)
    for address in destination.addresses:
        try:
            share = (deadline - loop.time()) / left
            return await _dial_one(address, destination.port, share, source_address)
        except TransportError as error:
            failure = error
            if failed is not None:
                failed.append(address)
        left -= 1
    raise failure


async def _dial_one(address: Address, port: int, seconds: float, source_address: str) -> socket.socket:
    sock = _socket(address, port)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the name says it
        if source_address:
            _bind(sock, source_address)
        # Not wait_for(): before Python 3.12 it loses a cancellation that comes together with the connection.
        async with asyncio.timeout(max(seconds, 0.0)):
            await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):  # TimeoutError is one
            raise _translated(error, address, port) from error
        raise
    return sock


def _socket(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        # With the protocol named asyncio sets TCP_NODELAY, without it does not.
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:  # no IPv6 on this machine, no file descriptor left
        raise _translated(error, address, port) from error


def _bind(sock: socket.socket, source_address: str) -> None:
    try:
        sock.bind((source_address, 0))
    except OSError as error:
        sentence = f"The source address {source_address} is not one of this machine."
        raise CouldNotConnect(sentence, phase=Phase.CONNECT, reason="source-address") from error


def _translated(error: OSError, address: Address, port: int) -> CouldNotConnect:
    evidence = {"address": str(address), "port": str(port)}
    if isinstance(error, TimeoutError):
        sentence = f"{address} did not answer on port {port} in time."
        return ConnectTimeout(sentence, phase=Phase.CONNECT, evidence=evidence)
    if isinstance(error, ConnectionRefusedError):
        sentence = f"{address} answers, but nothing listens on port {port}."
        return ConnectionRefused(sentence, phase=Phase.CONNECT, evidence=evidence)
    sentence = f"{address} cannot be reached on port {port}."
    reason = _REASONS.get(error.errno or 0, "")
    return CouldNotConnect(sentence, phase=Phase.CONNECT, evidence=evidence, reason=reason)
