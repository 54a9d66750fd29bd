r"""Servers that differ in what they take for the end of a line, over real sockets in the test's own loop.

    async with receiver(BARE_LF) as server: ...; server.messages[0]

One reads strictly, one takes a bare LF for a line end too, one a bare CR: each reads the whole conversation
so, commands and content. Content that one of them sees end early makes it see a second message.
"""

import asyncio
import re
from contextlib import asynccontextmanager

from tests.wire.clients import until

STRICT, BARE_LF, BARE_CR = rb"\r\n", rb"\r?\n", rb"\r\n?"
LINE_ENDS = {"strict": STRICT, "bare LF": BARE_LF, "bare CR": BARE_CR}
#: How each takes out the dots that stand first in a line.
UNSTUFF = {
    STRICT: lambda stuffed: stuffed.replace(b"\r\n.", b"\r\n"),
    BARE_LF: lambda stuffed: stuffed.replace(b"\n.", b"\n"),
    BARE_CR: lambda stuffed: re.sub(rb"(\r\n?)\.", rb"\1", stuffed),
}

EHLO = ("250-receiver.example.org", "250-PIPELINING", "250 SIZE 100000000")


class Receiver:
    """What a server was given over all its connections; `forget()` empties it."""

    host = "127.0.0.1"

    def __init__(self, line_end: bytes, ehlo: tuple[str, ...]) -> None:
        self.port = 0
        self.ehlo = "".join(f"{line}\r\n" for line in ehlo).encode()
        self.line = re.compile(line_end)
        self.end_mark = re.compile(rb"(?:%b)\.(?:%b)" % (line_end, line_end))
        self.unstuff = UNSTUFF[line_end]
        #: The server's ends of the connections that are open.
        self.open: set[asyncio.Transport] = set()
        self.forget()

    def forget(self) -> None:
        #: Contents with the dots taken out again, as each was read to its end.
        self.messages: list[bytes] = []
        #: Command lines, as bytes.
        self.heard: list[bytes] = []

    def connected(self) -> asyncio.Protocol:
        return _Conversation(self)


class _Conversation(asyncio.Protocol):
    """One connection. The buffer holds what was not understood yet."""

    def __init__(self, server: Receiver) -> None:
        self.server = server
        self.buffer = bytearray()
        self.searched = 0
        self.is_content = False
        self.replies: list[bytes] = []

    def connection_made(self, transport):
        self.transport = transport
        self.server.open.add(transport)
        transport.write(b"220 receiver.example.org\r\n")

    def connection_lost(self, error):
        self.server.open.discard(self.transport)

    def data_received(self, data):
        self.buffer += data
        while self.take_content() if self.is_content else self.take_command():
            pass
        self.transport.write(b"".join(self.replies))
        self.replies.clear()

    def take_command(self) -> bool:
        found = self.server.line.search(self.buffer)
        if found is None:
            return False
        line = bytes(self.buffer[: found.start()]).removeprefix(b"\n")  # of a CRLF that was cut in two
        del self.buffer[: found.end()]
        if line:
            self.server.heard.append(line)
            self.answer(line[:4].upper())
        return True

    def answer(self, verb: bytes) -> None:
        if verb == b"DATA":
            self.is_content = True
            # With a line end in front the end mark is the same for every content, the empty one too.
            self.buffer[0:0] = b"\r\n"
            self.searched = 0
        replies = {b"EHLO": self.server.ehlo, b"DATA": b"354 Go ahead\r\n", b"QUIT": b"221 Bye\r\n"}
        self.replies.append(replies.get(verb, b"250 Ok\r\n"))

    def take_content(self) -> bool:
        found = self.server.end_mark.search(self.buffer, self.searched)
        if found is None:
            self.searched = max(0, len(self.buffer) - 5)
            return False
        stuffed = bytes(self.buffer[: found.start()]) + b"\r\n"
        self.server.messages.append(self.server.unstuff(stuffed)[2:])
        del self.buffer[: found.end()]
        self.is_content = False
        self.replies.append(b"250 Ok\r\n")
        return True


@asynccontextmanager
async def receiver(line_end=STRICT, *, ehlo=EHLO):
    """Run a server until the block ends."""
    server = Receiver(line_end, ehlo)
    listening = await asyncio.get_running_loop().create_server(server.connected, server.host, 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for transport in server.open:
            transport.abort()
        await until(lambda: not server.open)
