"""A server that accepts everything, in a process of its own: the other end of every measurement.

It answers what came in one packet with one packet, after the delay of a round trip, and is written to cost
less than the clients it measures.
"""

import asyncio
import multiprocessing
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from tempfile import NamedTemporaryFile

import trustme

HOST = "127.0.0.1"

EHLO = b"250-sink\r\n250-SIZE 50000000\r\n250 PIPELINING\r\n"
EHLO_STARTTLS = EHLO.replace(b"250 PIPELINING", b"250-STARTTLS\r\n250 PIPELINING")
REPLIES = {
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


class Sink(asyncio.Protocol):
    """One connection. Content is not kept: only its end is looked for."""

    accepted = 0
    delay = 0.0
    context: ssl.SSLContext | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.buffer = b""
        self.in_content = False
        self.is_encrypted = False
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        replies, position = [], 0
        while True:
            mark = b"\r\n.\r\n" if self.in_content else b"\r\n"
            end = data.find(mark, position)
            if end < 0:
                break
            if self.in_content:
                Sink.accepted += 1
                self.in_content = False
                replies.append(b"250 2.0.0 Ok: queued as %X\r\n" % Sink.accepted)
            else:
                replies.append(self.answer(data[position : position + 4].upper()))
            position = end + len(mark)
        # Of content no more than the start of its end is needed.
        self.buffer = data[max(position, len(data) - 4) :] if self.in_content else data[position:]
        if replies:
            self.say(b"".join(replies))

    def answer(self, verb: bytes) -> bytes:
        if verb == b"DATA":
            self.in_content = True
        elif verb == b"EHLO":
            return EHLO_STARTTLS if self.context and not self.is_encrypted else EHLO
        elif verb == b"STAR":
            self.upgrading = asyncio.ensure_future(self.start_tls())
            return b""
        return REPLIES[verb]

    async def start_tls(self) -> None:
        self.transport.write(b"220 2.0.0 Go ahead\r\n")
        self.is_encrypted = True
        loop = asyncio.get_running_loop()
        assert self.context is not None
        encrypted = await loop.start_tls(self.transport, self, self.context, server_side=True)
        assert isinstance(encrypted, asyncio.Transport)
        self.transport = encrypted

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
    await asyncio.to_thread(pipe.recv)
    pipe.send(Sink.accepted)


def sink_process(pipe: Connection, delay: float, pem: bytes) -> None:
    asyncio.run(serve(pipe, delay, pem))


@contextmanager
def a_sink(
    delay: float = 0.0, *, certificate: trustme.LeafCert | None = None
) -> Iterator[tuple[int, Callable[[], int]]]:
    """Run a sink that answers after `delay` seconds, with a certificate one that offers STARTTLS.

    Gives its port and a way to end it that returns how many messages it took.
    """
    ours, theirs = multiprocessing.Pipe()
    pem = certificate.private_key_and_cert_chain_pem.bytes() if certificate is not None else b""
    process = multiprocessing.get_context("spawn").Process(target=sink_process, args=(theirs, delay, pem))
    process.start()

    def end() -> int:
        ours.send("end")
        return int(ours.recv())

    yield ours.recv(), end
    process.join(10)
