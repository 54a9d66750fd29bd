"""Messages per second over the wire: ours against a bare aiosmtplib.sendmail() loop, in one run.

    python -m bench.wire [--messages 4000] [--size 5000] [--connections 1,16] [--delay-ms 0]

The server is a sink in a process of its own that answers as fast as Python can. One JSON object a line.
"""

import argparse
import asyncio
import json
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from multiprocessing.connection import Connection

import aiosmtplib

from transports.base import Content, Envelope, Security
from transports.resolve import AddressGuard
from transports.smtp import SMTPSettings, SMTPTransport

SENDER, RECIPIENT = "shop@example.org", "ann@example.org"
GUARD = AddressGuard(allowed_networks=(ip_network("127.0.0.0/8"),), allowed_ports=(range(1024, 65536),))

REPLIES = {
    b"EHLO": b"250-sink\r\n250-SIZE 50000000\r\n250 PIPELINING\r\n",
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


class Sink(asyncio.Protocol):
    """Accepts everything; answers what came together in one packet, after the delay of a round trip."""

    delay = 0.0
    accepted = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.buffer = b""
        self.in_content = False
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        answers = b"".join(self.answers())
        if answers and self.delay:
            asyncio.get_running_loop().call_later(self.delay, self.transport.write, answers)
        elif answers:
            self.transport.write(answers)

    def answers(self) -> Iterator[bytes]:
        while True:
            mark = b"\r\n.\r\n" if self.in_content else b"\r\n"
            line, found, rest = self.buffer.partition(mark)
            if not found:
                return
            self.buffer = rest
            if self.in_content:
                self.in_content = False
                Sink.accepted += 1
                yield b"250 2.0.0 Ok: queued as %X\r\n" % Sink.accepted
            else:
                self.in_content = line[:4] == b"DATA"
                yield REPLIES[line[:4].upper()]


async def serve(pipe: Connection, delay: float) -> None:
    Sink.delay = delay
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await asyncio.to_thread(pipe.recv)
    pipe.send(Sink.accepted)


def sink_process(pipe: Connection, delay: float) -> None:
    asyncio.run(serve(pipe, delay))


@contextmanager
def a_sink(delay: float) -> Iterator[tuple[int, Callable[[], int]]]:
    """Run a sink; gives its port and a way to end it that returns how many messages it took."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=sink_process, args=(theirs, delay))
    process.start()

    def end() -> int:
        ours.send("end")
        return int(ours.recv())

    yield ours.recv(), end
    process.join(10)


async def bare(port: int, messages: int, content: bytes) -> None:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, local_hostname="bench")
    await client.connect()
    for _ in range(messages):
        await client.sendmail(SENDER, [RECIPIENT], content)
    await client.quit()


def ours(pipelining: str) -> Callable[[int, int, bytes], Awaitable[None]]:
    async def run(port: int, messages: int, content: bytes) -> None:
        settings = SMTPSettings(
            host="127.0.0.1", port=port, security=Security.NONE, pipelining=pipelining, guard=GUARD
        )
        session = await SMTPTransport(settings).open()
        envelope, whole = Envelope(SENDER, (RECIPIENT,)), Content((content,))
        for _ in range(messages):
            outcome = await session.deliver(envelope, whole)
            assert outcome.accepted, outcome
        await session.close()

    return run


WAYS: dict[str, Callable[[int, int, bytes], Awaitable[None]]] = {
    "aiosmtplib.sendmail": bare,
    "transports.smtp sequential": ours("sequential"),
    "transports.smtp grouped": ours("grouped"),
}


async def measure(
    way: str, port: int, *, messages: int, connections: int, content: bytes
) -> dict[str, object]:
    each = messages // connections
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(WAYS[way](port, each, content) for _ in range(connections)))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    count = each * connections
    return {
        "way": way,
        "connections": connections,
        "messages": count,
        "size_bytes": len(content),
        "seconds": round(seconds, 3),
        "messages_per_s": round(count / seconds),
        "cpu_us_per_message": round(cpu / count * 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--size", type=int, default=5000)
    parser.add_argument("--connections", default="1,16")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    options = parser.parse_args()
    line = b"x" * 76 + b"\r\n"
    content = b"Subject: bench\r\n\r\n" + line * (options.size // len(line))
    for connections in map(int, options.connections.split(",")):
        for way in WAYS:
            with a_sink(options.delay_ms / 1000) as (port, end):
                result = asyncio.run(
                    measure(way, port, messages=options.messages, connections=connections, content=content)
                )
                assert end() == result["messages"], "the sink counted other than we did"
            print(json.dumps({**result, "delay_ms": options.delay_ms}), flush=True)


if __name__ == "__main__":
    main()
