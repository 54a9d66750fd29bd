"""A server that accepts everything, in a process of its own: the other end of every measurement.

It answers what came in one packet with one packet, after the delay of a round trip, and is written to cost
less than the clients it measures.
"""

import asyncio
import multiprocessing
import selectors
import ssl
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import ip_network
from multiprocessing.connection import Connection
from tempfile import NamedTemporaryFile

import trustme

from transports.resolve import AddressGuard

HOST = "127.0.0.1"
#: Lets our side reach it.
GUARD = AddressGuard(allowed_networks=(ip_network("127.0.0.0/8"),), allowed_ports=(range(1024, 65536),))

EHLO = b"250-sink\r\n250-SIZE 50000000\r\n250 PIPELINING\r\n"
EHLO_STARTTLS = EHLO.replace(b"250 PIPELINING", b"250-STARTTLS\r\n250 PIPELINING")
REPLIES = {
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


END = b"\r\n.\r\n"
DATA = b"DATA\r\n"


def _is_data(commands: bytes) -> bool:
    """Whether the last command is DATA; smtplib says it in small letters."""
    return commands[-len(DATA) :].upper() == DATA


@lru_cache
def replies_to(commands: bytes) -> bytes:
    """Return one reply a command: the same envelope comes message after message."""
    return b"".join(REPLIES[command[:4].upper()] for command in commands.splitlines())


class Sink(asyncio.Protocol):
    """One connection. Content is not kept: only its end is looked for."""

    accepted_at = array("d")  # on the monotonic clock, which all processes of a machine share
    delay = 0.0
    context: ssl.SSLContext | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.buffer = b""
        self.in_content = False
        self.is_encrypted = self.is_upgrading = False
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data
        if self.is_upgrading:  # the client may be ready before we are
            self.buffer = data
            return
        replies = b""
        while data:
            if self.in_content:
                end = data.find(END)
                if end < 0:
                    data = data[1 - len(END) :]  # no more than the start of its end is needed
                    break
                data = data[end + len(END) :]
                Sink.accepted_at.append(time.monotonic())
                self.in_content = False
                replies += b"250 2.0.0 Ok: queued as %X\r\n" % len(Sink.accepted_at)
            else:
                end = data.rfind(b"\r\n") + 2 if _is_data(data) else data.find(b"\r\n") + 2
                if end < 2:
                    break
                replies += self.answer(data[:end])
                data = data[end:]
        self.buffer = data
        if replies:
            self.say(replies)

    def answer(self, commands: bytes) -> bytes:
        """Answer one command, or several of which DATA is the last."""
        verb = commands[:4].upper()
        self.in_content = _is_data(commands)
        if verb == b"EHLO":
            return EHLO_STARTTLS if self.context and not self.is_encrypted else EHLO
        if verb == b"STAR":
            self.is_upgrading = True
            self.upgrade = asyncio.ensure_future(self.start_tls())
            return b""
        return replies_to(commands)

    async def start_tls(self) -> None:
        self.transport.write(b"220 2.0.0 Go ahead\r\n")
        loop = asyncio.get_running_loop()
        assert self.context is not None
        encrypted = await loop.start_tls(self.transport, self, self.context, server_side=True)
        assert isinstance(encrypted, asyncio.Transport)
        self.transport, self.is_encrypted, self.is_upgrading = encrypted, True, False
        self.data_received(b"")

    def say(self, data: bytes) -> None:
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self.transport.write, data)
        else:
            self.transport.write(data)


async def serve(pipe: Connection, delay: float, pem: bytes) -> None:
    Sink.delay = delay
    if pem:
        Sink.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with NamedTemporaryFile() as file:
            file.write(pem)
            file.flush()
            Sink.context.load_cert_chain(file.name)
    server = await asyncio.get_running_loop().create_server(Sink, HOST, 0)
    pipe.send(server.sockets[0].getsockname()[1])
    while await asyncio.to_thread(pipe.recv) != "end":
        pipe.send(list(Sink.accepted_at))
    pipe.send(len(Sink.accepted_at))


def sink_process(pipe: Connection, delay: float, pem: bytes) -> None:
    # epoll waits whole milliseconds, which would lengthen each round trip; select() does not.
    selector = selectors.SelectSelector() if delay else selectors.DefaultSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(serve(pipe, delay, pem))


@contextmanager
def a_process(target: Callable[..., None], *args: object) -> Iterator[Connection]:
    """Run the other end in a process of its own until the block ends; gives the pipe to it.

    `target` gets its end of the pipe, then `args`.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=target, args=(theirs, *args))
    process.start()
    try:
        yield ours
    finally:
        process.terminate()
        process.join(10)


class End:
    """Ends a sink: a call returns how many messages it took. `accepted_at` asks when, before that."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def __call__(self) -> int:
        self._pipe.send("end")
        return int(self._pipe.recv())

    def accepted_at(self) -> list[float]:
        """Return the monotonic moment of each acceptance so far."""
        self._pipe.send("when")
        return list(self._pipe.recv())


@contextmanager
def a_sink(delay: float = 0.0, *, certificate: trustme.LeafCert | None = None) -> Iterator[tuple[int, End]]:
    """Run a sink that answers after `delay` seconds, with a certificate one that offers STARTTLS.

    Gives its port and what ends it.
    """
    pem = certificate.private_key_and_cert_chain_pem.bytes() if certificate is not None else b""
    with a_process(sink_process, delay, pem) as pipe:
        yield pipe.recv(), End(pipe)
