"""Memory and throughput of large messages: 25 MB on 20 connections at once, against a plain copy of them.

    python -m bench memory [--size-mb 25] [--connections 20] [--turns 4] [--dots]

The message is one large part that all connections share and a front of its own for each, as the engine makes
it. The sink is another process that throws away what it reads; our sessions and sockets that are only written
to take turns at it. `peak_rss_mb` is the most this process ever held (VmHWM), `before_rss_mb` what it held
with the message in memory and nothing sent. With --dots a line in ten begins with a dot, so that every block
is copied to be stuffed.
"""

import argparse
import asyncio
import json
import random
import re
import socket
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path

from bench.sink import GUARD, HOST, a_process
from transports.base import Content, Envelope, Security, Session
from transports.smtp import SMTPSettings, SMTPTransport

MB = 1_000_000
ENVELOPE = Envelope("shop@example.org", ("ann@example.org",))

REPLIES = {
    b"EHLO": b"250-sink\r\n250-SIZE 50000000\r\n250 PIPELINING\r\n",
    b"DATA": b"354 Go ahead\r\n",
    b"QUIT": b"221 Bye\r\n",
}

#: Carries one message, or a copy of one, over each connection.
Turn = Callable[[], Awaitable[None]]


class Sink(asyncio.BufferedProtocol):
    """Reads into one buffer and looks at the last bytes only; `COPY n` announces n bytes that are no mail."""

    buffer = memoryview(bytearray(256 * 1024))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.tail = b""
        self.is_content = False
        self.left = 0
        transport.write(b"220 sink ESMTP\r\n")

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the signature is asyncio's
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        if self.left:
            self.left -= count
            if not self.left:
                self.transport.write(b"250 Ok\r\n")
        elif self.is_content:
            self.tail = (self.tail + bytes(self.buffer[max(0, count - 5) : count]))[-5:]
            if self.tail == b"\r\n.\r\n":
                self.is_content = False
                self.transport.write(b"250 Ok\r\n")
        else:
            self.answer(bytes(self.buffer[:count]).splitlines())

    def answer(self, lines: list[bytes]) -> None:
        if lines[0].startswith(b"COPY"):
            self.left = int(lines[0].split()[1])
            self.transport.write(b"250 Ok\r\n")
            return
        self.is_content = lines[-1] == b"DATA"
        self.transport.write(b"".join(REPLIES.get(line[:4], b"250 Ok\r\n") for line in lines))


async def serve(pipe: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, HOST, 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def sink_process(pipe: Connection) -> None:
    asyncio.run(serve(pipe))


def a_part(size_bytes: int, *, dots: bool) -> bytes:
    """Return a large part: lines of base64, every tenth with a dot in front where wanted."""
    data = b64encode(random.Random(3).randbytes(57 * 1000))
    lines = [data[at : at + 76] for at in range(0, len(data), 76)]
    lines = [b"." + line[1:] if dots and number % 10 == 0 else line for number, line in enumerate(lines)]
    block = b"".join(line + b"\r\n" for line in lines)
    return block * (size_bytes // len(block))


async def ours(port: int, part: bytes, connections: int) -> tuple[Turn, list[Session]]:
    settings = SMTPSettings(host=HOST, port=port, security=Security.NONE, guard=GUARD)
    sessions: list[Session] = [await SMTPTransport(settings).open() for _ in range(connections)]
    contents = [
        Content((b"Subject: bench %d\r\n\r\n" % number, part, b"end\r\n")) for number in range(connections)
    ]

    async def carry(session: Session, content: Content) -> None:
        outcome = await session.deliver(ENVELOPE, content)
        assert outcome.accepted, outcome

    async def turn() -> None:
        await asyncio.gather(*map(carry, sessions, contents))

    return turn, sessions


async def plain_copy(port: int, part: bytes, connections: int) -> tuple[Turn, list[socket.socket]]:
    loop = asyncio.get_running_loop()
    sockets = [socket.create_connection((HOST, port)) for _ in range(connections)]
    for sock in sockets:
        sock.settimeout(0)
        await loop.sock_recv(sock, 100)

    async def copy(sock: socket.socket) -> None:
        await loop.sock_sendall(sock, b"COPY %d\r\n" % len(part))
        await loop.sock_recv(sock, 100)
        await loop.sock_sendall(sock, part)
        await loop.sock_recv(sock, 100)

    async def turn() -> None:
        await asyncio.gather(*map(copy, sockets))

    return turn, sockets


def memory_mb(key: str) -> float:
    """Return what the kernel counts for this process: VmRSS now, VmHWM at the most."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    assert found is not None
    return round(int(found[1]) * 1024 / MB, 1)


async def seconds(turn: Turn) -> float:
    started = time.perf_counter()
    await turn()
    return time.perf_counter() - started


async def measure(port: int, options: argparse.Namespace) -> dict[str, object]:
    part = a_part(int(options.size_mb * MB), dots=options.dots)
    send, sessions = await ours(port, part, options.connections)
    copy, sockets = await plain_copy(port, part, options.connections)
    before = memory_mb("VmRSS")
    spent, spent_copying = 0.0, 0.0
    for _ in range(options.turns):
        spent += await seconds(send)
        spent_copying += await seconds(copy)
    for session in sessions:
        await session.close()
    for sock in sockets:
        sock.close()
    megabytes = len(part) / MB * options.connections * options.turns
    return {
        "peak_rss_mb": memory_mb("VmHWM"),
        "before_rss_mb": before,
        "mb_per_s": round(megabytes / spent),
        "socket_copy_mb_per_s": round(megabytes / spent_copying),
        "ratio": round(spent_copying / spent, 2),
        "connections": options.connections,
        "size_mb": round(len(part) / MB, 1),
        "messages": options.connections * options.turns,
        "dots": options.dots,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size-mb", type=float, default=25.0)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--dots", action="store_true", help="begin a line in ten with a dot")
    parser.add_argument("--json", action="store_true", help="the output is JSON in any case")
    options = parser.parse_args()
    with a_process(sink_process) as pipe:
        print(json.dumps(asyncio.run(measure(pipe.recv(), options))), flush=True)


if __name__ == "__main__":
    main()
