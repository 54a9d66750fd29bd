"""Memory and throughput of large messages: 25 MB on 20 connections at once, against a plain copy of them.

    python -m bench memory [--size-mb 25] [--connections 20] [--turns 4] [--dots] [--json]
    python -m bench memory --messages 200000 [--size 1000] [--connections 16] [--json]

The message is one large part that all connections share and a front of its own for each, as the engine makes
it. The sink is another process that throws away what it reads; our sessions and sockets that are only written
to take turns at it. `peak_rss_mb` is the most this process ever held (VmHWM), `before_rss_mb` what it held
with the message in memory and nothing sent. With --dots a line in ten begins with a dot, so that every block
is copied to be stuffed.

With --messages instead: what one worker process holds (VmRSS) while it empties a queue of so many small
messages, looked at twice a second. `rss_mb_at_tenth` and `rss_mb_at_end` are the medians of what was seen
between 5 and 15 % and in the last 10 % of the messages; flat means that they are alike.
"""

import argparse
import asyncio
import random
import socket
import statistics
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

from bench import rig
from bench.rig import MB, memory_mb
from bench.sink import GUARD, HOST, a_process, a_sink
from transports.base import Content, Envelope, Security, Session
from transports.smtp import SMTPSettings, SMTPTransport

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


def over_time(messages: int, size: int, connections: int) -> dict[str, object]:
    """Measure one worker over a long queue."""
    with rig.a_database(), a_sink() as (port, end):
        rig.only_profile(port, connections=connections)
        rig.fill(messages, rig.an_eml(size))
        done = rig.drain()
        assert end() == done.sent == messages
    early = [mb for sent, mb in done.rss_mb if 0.05 <= sent / messages <= 0.15]
    late = [mb for sent, mb in done.rss_mb if sent / messages >= 0.9]
    return {
        "messages": messages,
        "size_bytes": size,
        "rss_mb_at_tenth": round(statistics.median(early), 1) if early else None,
        "rss_mb_at_end": round(statistics.median(late), 1) if late else None,
        "peak_rss_mb": done.peak_rss_mb,
        "msgs_per_s": round(messages / done.seconds),
    }


def main() -> None:
    parser = rig.parser(__doc__)
    parser.add_argument("--size-mb", type=float, default=25.0)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--dots", action="store_true", help="begin a line in ten with a dot")
    parser.add_argument("--messages", type=int, help="watch one worker over so many small messages")
    parser.add_argument("--size", type=int, default=1000, help="bytes of each of those")
    options = parser.parse_args()
    if options.messages:
        rig.tell("memory", **over_time(options.messages, options.size, options.connections))
        return
    with a_process(sink_process) as pipe:
        rig.tell("memory", **asyncio.run(measure(pipe.recv(), options)))


if __name__ == "__main__":
    main()
