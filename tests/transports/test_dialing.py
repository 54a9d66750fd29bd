import asyncio
import errno
import socket
import struct
from contextlib import contextmanager, suppress
from ipaddress import ip_address, ip_network

import pytest

from transports.base import Security
from transports.errors import ConnectionRefused, ConnectTimeout, CouldNotConnect, TransportError
from transports.resolve import AddressGuard, Destination
from transports.smtp import SMTPSettings, SMTPTransport, connect
from transports.smtp.dialing import dial

LOOPBACK = ip_address("127.0.0.1")


@contextmanager
def a_full_listener(address="127.0.0.1"):
    """A port that does not answer: nobody accepts, and the kernel's queue is full."""
    with socket.socket() as listener:
        listener.bind((address, 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for sock in waiting:
                sock.close()


@contextmanager
def a_listener(port=0):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen(5)
        yield listener.getsockname()[1]


def to(port, *addresses):
    return Destination("smtp.example.org", port, addresses or (LOOPBACK,))


async def test_nagle_is_off():
    with a_listener() as port:
        sock = await dial(to(port), timeout=5)
        with sock:
            assert sock.proto == socket.IPPROTO_TCP


async def test_silence_has_a_limit():
    with a_full_listener() as port, pytest.raises(ConnectTimeout, match="in time"):
        await dial(to(port), timeout=0.1)


async def test_a_dead_address_leaves_its_share_of_the_time_to_the_next():
    """WIRE D28: an address, of IPv6 as a rule, that is announced and goes nowhere."""
    with a_full_listener("127.0.0.2") as port, a_listener(port):
        async with asyncio.timeout(5):
            sock = await dial(to(port, ip_address("127.0.0.2"), LOOPBACK), timeout=0.4)
        with sock:
            assert sock.getpeername()[0] == "127.0.0.1"


async def test_a_cancelled_connect_leaves_no_socket():
    with a_full_listener() as port:
        task = asyncio.ensure_future(dial(to(port), timeout=30))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_port_nobody_listens_on():
    with a_listener() as port:
        pass
    with pytest.raises(ConnectionRefused, match="nothing listens"):
        await dial(to(port), timeout=5)


async def test_every_address_is_tried_in_turn_and_gets_its_share_of_the_time():
    with a_listener() as port:
        sock = await dial(to(port, ip_address("127.0.0.2"), LOOPBACK), timeout=5)
        with sock:
            assert sock.getpeername()[0] in ("127.0.0.1", "127.0.0.2")


async def test_a_source_address_of_another_machine_is_named():
    with a_listener() as port, pytest.raises(CouldNotConnect, match="source address"):
        await dial(to(port), timeout=5, source_address="192.0.2.77")


async def test_what_cannot_be_reached_is_said():
    with pytest.raises(CouldNotConnect, match="cannot be reached"):
        await dial(to(25, ip_address("255.255.255.255")), timeout=5)


async def test_no_address_is_no_connection():
    with pytest.raises(CouldNotConnect, match="no address"):
        await dial(Destination("smtp.example.org", 25, ()), timeout=5)


async def test_a_machine_without_ipv6_goes_on_with_ipv4(monkeypatch):
    real = socket.socket

    def without_ipv6(family=-1, *args, **kwargs):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *args, **kwargs)

    with a_listener() as port:
        monkeypatch.setattr(socket, "socket", without_ipv6)
        sock = await dial(to(port, ip_address("::1"), LOOPBACK), timeout=5)
        with sock:
            assert sock.getpeername()[0] == "127.0.0.1"


async def test_a_connection_reset_at_once_is_a_lost_one(monkeypatch):
    async def dial_and_be_reset(destination, **options):
        sock = await dial(destination, **options)
        peer, _ = listener.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        with suppress(OSError):  # until the reset is here
            while True:
                sock.getpeername()
        return sock

    monkeypatch.setattr(connect, "dial", dial_and_be_reset)
    guard = AddressGuard(allowed_networks=(ip_network("127.0.0.0/8"),), allowed_ports=(range(1024, 65536),))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = SMTPSettings(host="127.0.0.1", port=port, security=Security.NONE, guard=guard)
        with pytest.raises(TransportError):
            await SMTPTransport(settings).open()
