"""A scripted SMTP server on a real socket: at any stage it does something other than an honest server.

    async with evil_server({"dot": [say("250 2.0.0 Ok"), hang]}) as server: ...

A plan maps a stage to an action, or to a list of actions taken in turn; when they are used up, and at every
other stage, the server is honest. Stages are those of STAGES. An action gets the peer and the honest reply.
Its ledger holds what it accepted, as a client that reads its words must understand them.
"""

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import pytest

from tests.servers import loop_in_a_thread, server_context

STAGES = (
    "tcp", "banner", "ehlo", "starttls", "handshake", "ehlo2", "auth", "auth_step", "mail", "rcpt", "data",
    "body", "dot", "after_250", "rset", "quit",
)  # fmt: skip

BANNER = b"220 evil.example.org ESMTP\r\n"
EHLO = ("250-evil.example.org", "250-PIPELINING", "250-SIZE 1000000", "250-AUTH PLAIN LOGIN", "250 SMTPUTF8")
UNPIPELINED = tuple(line for line in EHLO if "PIPELINING" not in line)

#: For tests of what holds however the commands travel.
both_modes = pytest.mark.parametrize("ehlo", [EHLO, UNPIPELINED], ids=["grouped", "sequential"])


#: What a client must take for an acceptance: one complete line of a bearable length.
_TAKEN = re.compile(rb"2[0-9]{2}( [^\n]{0,8000})?\r?\n")


class Gone(Exception):
    """The action ended the connection."""


@dataclass(frozen=True)
class Accepted:
    """One acceptance: the number of the connection, the envelope, the content un-stuffed."""

    connection: int
    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int = 0) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        #: What was written at this stage.
        self.said = b""
        #: The sender of the open transaction, None when there is none, and who was accepted.
        self.mail_from: str | None = None
        self.rcpt_to: list[str] = []

    def take(self, verb: str, line: str) -> None:
        """Take in what was said to a command, as RFC 5321 wants it."""
        path = line[line.find("<") + 1 : line.rfind(">")]
        if verb in ("EHLO", "HELO", "RSET"):
            self.forget()
        elif verb == "MAIL" and self.said[:1] == b"2":
            self.mail_from = path
        elif verb == "RCPT" and self.said[:1] == b"2":
            self.rcpt_to.append(path)

    def forget(self) -> None:
        """End the transaction."""
        self.mail_from, self.rcpt_to = None, []

    async def write(self, data: bytes) -> None:
        self.said += data
        self.writer.write(data)
        await self.writer.drain()


Action = Callable[[Peer, bytes], Awaitable[None]]


def say(*lines: str | bytes) -> Action:
    """Answer this instead, in one packet."""
    data = b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in lines)

    async def act(peer: Peer, honest: bytes) -> None:
        await peer.write(data)

    return act


def raw(data: bytes) -> Action:
    """Write exactly these bytes."""

    async def act(peer: Peer, honest: bytes) -> None:
        await peer.write(data)

    return act


def and_then(*lines: str) -> Action:
    """Answer honestly and add these lines, in one packet."""

    async def act(peer: Peer, honest: bytes) -> None:
        await peer.write(honest + b"".join(line.encode() + b"\r\n" for line in lines))

    return act


def say_and_go(line: str) -> Action:
    """Answer this and close: "421 4.3.2 Shutting down"."""

    async def act(peer: Peer, honest: bytes) -> None:
        await peer.write(line.encode() + b"\r\n")
        raise Gone

    return act


def say_and_reset(line: str) -> Action:
    """Answer this and reset the connection in the same breath."""

    async def act(peer: Peer, honest: bytes) -> None:
        await peer.write(line.encode() + b"\r\n")
        await rst(peer, honest)

    return act


async def honestly(peer: Peer, honest: bytes) -> None:
    """Answer as an honest server; for lists."""
    await peer.write(honest)


async def fin(peer: Peer, honest: bytes) -> None:
    """Close politely without an answer."""
    raise Gone


async def rst(peer: Peer, honest: bytes) -> None:
    """Reset the connection."""
    sock = peer.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.writer.transport.abort()
    raise Gone


async def hang(peer: Peer, honest: bytes) -> None:
    """Say nothing more, until the client goes."""
    while await peer.reader.read(1 << 16):
        pass
    raise Gone


async def stop_reading(peer: Peer, honest: bytes) -> None:
    """Keep the connection and read nothing; the end of the test ends it."""
    peer.writer.transport.pause_reading()
    await asyncio.Event().wait()


async def flood(peer: Peer, honest: bytes) -> None:
    """Answer with lines that never end the reply."""
    line = honest[:3] + b"-" + b"x" * 500 + b"\r\n"
    for _ in range(1000):
        await peer.write(line)


async def one_long_line(peer: Peer, honest: bytes) -> None:
    """Answer with a line of a megabyte."""
    await peer.write(honest[:4] + b"x" * 1_000_000 + b"\r\n")


async def drip(peer: Peer, honest: bytes) -> None:
    """Answer one byte at a time: each comes well within the limit of a wait, all of them do not."""
    for byte in honest:
        await peer.write(bytes([byte]))
        await asyncio.sleep(0.06)


class EvilServer:
    """What the server heard, over all its connections."""

    host = "127.0.0.1"

    def __init__(
        self,
        plan: Mapping[str, Action | list[Action]],
        *,
        ehlo: tuple[str, ...],
        tls: object,
        remembers: bool,
    ) -> None:
        assert set(plan) <= set(STAGES), "an unknown stage"
        self.plan = {
            stage: list(actions) if isinstance(actions, list) else actions for stage, actions in plan.items()
        }
        self.ehlo = ehlo
        self.tls = tls
        self.remembers = remembers
        #: Whether RSET ends the transaction, or is only answered as if.
        self.resets = True
        self.port = 0
        #: Command lines as they came.
        self.heard: list[str] = []
        #: Every acceptance.
        self.ledger: list[Accepted] = []
        #: Everything read as content, as it came, whatever the answer.
        self.contents: list[bytes] = []
        #: Connections so far, and those that are open now.
        self.connections = 0
        self.open = 0
        #: What the loop had to complain about: exceptions nobody looked at, tasks destroyed.
        self.complaints: list[str] = []

    @property
    def accepted(self) -> list[bytes]:
        """The contents that were accepted."""
        return [entry.content for entry in self.ledger]

    def verbs(self) -> list[str]:
        return [line.split(" ")[0] for line in self.heard]

    async def do(self, stage: str, peer: Peer, honest: bytes) -> None:
        """Act at a stage: as planned, else honestly."""
        planned = self.plan.get(stage)
        if isinstance(planned, list):
            planned = planned.pop(0) if planned else None
        peer.said = b""
        await (planned or honestly)(peer, honest)

    async def serve(self, peer: Peer) -> None:
        """Talk with one client."""
        await self.do("tcp", peer, b"")
        await self.do("banner", peer, BANNER)
        encrypted = False
        while line := await peer.reader.readline():
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            self.heard.append(text)
            verb = text.split(" ")[0].upper()
            if verb == "EHLO":
                offers = (
                    self.ehlo
                    if encrypted or self.tls is None
                    else (*self.ehlo[:-1], "250-STARTTLS", self.ehlo[-1])
                )
                reply = "".join(f"{offer}\r\n" for offer in offers).encode()
                await self.do("ehlo2" if encrypted else "ehlo", peer, reply)
            elif verb == "STARTTLS":
                await self.do("starttls", peer, b"220 Go ahead\r\n")
                await self.do("handshake", peer, b"")
                await peer.writer.start_tls(self.tls)
                encrypted = True
            elif verb == "AUTH":
                await self.auth(peer, text)
            elif verb == "DATA":
                await self.do("data", peer, self.honest_reply(peer, verb))
                if b"354" in peer.said:
                    await self.read_content(peer)
            elif verb == "QUIT":
                await self.do("quit", peer, b"221 Bye\r\n")
                return
            else:
                stage = verb.lower() if verb in ("MAIL", "RCPT", "RSET") else "none"
                await self.do(stage, peer, self.honest_reply(peer, verb))
                self.remember(peer, verb, text)

    def remember(self, peer: Peer, verb: str, line: str) -> None:
        """Take in a command, as it was answered."""
        if verb != "RSET" or self.resets:
            peer.take(verb, line)

    def honest_reply(self, peer: Peer, verb: str) -> bytes:
        """Return what a server says that `remembers`; any other is content with everything.

        As Postfix does after a restriction at the end of the data, it keeps a refused transaction open.
        """
        if self.remembers:
            if verb == "MAIL" and peer.mail_from is not None:
                return b"503 5.5.1 Nested MAIL\r\n"
            if verb in ("RCPT", "DATA") and peer.mail_from is None:
                return b"503 5.5.1 MAIL first\r\n"
            if verb == "DATA" and not peer.rcpt_to:
                return b"554 5.5.1 No valid recipients\r\n"
        return b"354 Go ahead\r\n" if verb == "DATA" else b"250 2.0.0 Ok\r\n"

    async def auth(self, peer: Peer, line: str) -> None:
        if line.upper() == "AUTH LOGIN":
            await self.do("auth", peer, b"334 VXNlcm5hbWU6\r\n")
            self.heard.append((await peer.reader.readline()).decode().strip())
            await self.do("auth_step", peer, b"334 UGFzc3dvcmQ6\r\n")
            self.heard.append((await peer.reader.readline()).decode().strip())
            await peer.write(b"235 2.7.0 Ok\r\n")
        else:
            await self.do("auth", peer, b"235 2.7.0 Ok\r\n")

    async def read_content(self, peer: Peer) -> None:
        """Read content, if the client believes that it was asked for any."""
        first = await peer.reader.read(1)
        if not first:
            raise Gone
        await self.do("body", peer, b"")
        peer.reader._buffer[0:0] = b"\r\n" + first
        stuffed = await peer.reader.readuntil(b"\r\n.\r\n")
        self.contents.append(stuffed[2:-3])
        entry = Accepted(
            peer.number,
            peer.mail_from or "",
            tuple(peer.rcpt_to),
            stuffed[:-3].replace(b"\r\n..", b"\r\n.")[2:],
        )
        try:
            await self.do("dot", peer, b"250 2.0.0 Ok\r\n")
        finally:
            if _TAKEN.match(peer.said):
                self.ledger.append(entry)
                peer.forget()
        if "after_250" in self.plan:
            await self.do("after_250", peer, b"")


@asynccontextmanager
async def evil_server(plan=(), *, ehlo=EHLO, starttls=False, implicit=False, context=None, remembers=False):
    """Run a server in this test's own loop; `context` is its TLS context, by default an honest one."""
    tls = (context or server_context()) if starttls or implicit else None
    server = EvilServer(dict(plan), ehlo=ehlo, tls=tls if starttls else None, remembers=remembers)
    async with listening(server, server.serve, tls=tls if implicit else None):
        yield server


@asynccontextmanager
async def listening(server, serve, *, tls=None):
    """Listen on a free port, which `server.port` is then, and let `serve` talk with every peer."""
    tasks: set[asyncio.Task] = set()
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader, writer):
        server.connections += 1
        server.open += 1
        try:
            await serve(Peer(reader, writer, server.connections))
        except (Gone, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            server.open -= 1
            writer.close()

    def connected(reader, writer):
        task = asyncio.ensure_future(handle(reader, writer))
        writers.append(writer)
        tasks.add(task)

    # A client that refuses our certificate is what the test wants, not news; a test may want to know.
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: server.complaints.append(context["message"]))
    socket_server = await asyncio.start_server(connected, server.host, 0, ssl=tls, limit=1 << 26)
    server.port = socket_server.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        socket_server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)  # lets the aborted transports close their sockets


@contextmanager
def evil_server_beside(plan=(), **options) -> Iterator[EvilServer]:
    """Run a server in a thread of its own, for tests that block."""
    with loop_in_a_thread() as loop:
        running = evil_server(plan, **options)
        server = asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result(10)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(running.__aexit__(None, None, None), loop).result(10)
