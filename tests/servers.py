"""Real SMTP servers on loopback for the tests: an asyncio server in a thread of its own, on a real TCP port.

    with smtp_server(security="starttls", auth=("user", "password")) as server:
        ...                       # connect to server.host, server.port; trust server.ca_pem
        server.wait_for(1)
        assert server.messages[0].content.startswith(b"From:")

A server records what it was given and changes the answer to one command when told:
`smtp_server(answers={"RCPT": "550 5.1.1 No such user"})`, or a callable that gets the command's argument and
returns a reply or None for the ordinary one. Keys are the verbs, "BANNER" for the greeting and "DOT" for the
reply to the content. Replies are held back while more commands are buffered, as RFC 2920 wants, so that a
pipelined group is answered in one packet. aiosmtpd is not used: it cannot hold back, its greeting is fixed.
"""

import asyncio
import base64
import binascii
import re
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache

import trustme

#: What stands in for the ordinary answer to a command.
Answer = str | Callable[[str], str | None]

_PATH = re.compile(r"(FROM|TO):<([^>]*)>(.*)", re.IGNORECASE)


@cache
def authority() -> trustme.CA:
    """Return the certificate authority of this test run."""
    return trustme.CA()


def authority_pem() -> str:
    """Return the authority's certificate, as it goes into a profile's own CA certificates."""
    return authority().cert_pem.bytes().decode()


def server_context(*names: str, ca: trustme.CA | None = None) -> ssl.SSLContext:
    """Return a TLS context for a server called `names`, by default the loopback ones."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    (ca or authority()).issue_cert(*(names or ("localhost", "127.0.0.1", "::1"))).configure_cert(context)
    return context


@dataclass(frozen=True)
class Received:
    """One message as the server accepted it: envelope, un-stuffed bytes, number of its session."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes
    session: int
    #: When its last line was here, on the monotonic clock.
    at: float = 0.0


class Server:
    """What a running server offers and what it was given so far; safe to read from any thread."""

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        security: str = "none",
        auth: tuple[str, str] | None = None,
        pipelining: bool = True,
        answers: Mapping[str, Answer] | None = None,
        size_limit: int = 50_000_000,
        names: tuple[str, ...] = (),
        keep: bool = True,
        session_messages: int | None = None,
        farewell: str = "421 4.7.0 Bye",
        at_dot: Callable[[bytes], Awaitable[None]] | None = None,
        bearer: Callable[[str, str], bool] | None = None,
    ) -> None:
        self.port = 0
        self.security = str(security)
        self.auth = auth
        #: Whether it takes this user with this token: a server that signs people in by XOAUTH2 alone.
        self.bearer = bearer
        #: EHLO keywords; may be changed while the server runs.
        self.offers = [f"SIZE {size_limit}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        if pipelining:
            self.offers.append("PIPELINING")
        self.size_limit = size_limit
        self.tls = None if self.security == "none" else server_context(*names)
        #: May be changed while the server runs.
        self.answers: dict[str, Answer] = dict(answers or {})
        #: False: only count messages (for measuring).
        self.keep = keep
        #: Messages of one session, and how it ends: with this answer to the next MAIL, or "" without a word.
        self.session_messages = session_messages
        self.farewell = farewell
        #: Awaited with each content before it is answered: a server that thinks, beside the others.
        self.at_dot = at_dot
        self.messages: list[Received] = []
        #: Command lines of all sessions in the order of arrival: "MAIL FROM:<a@example.org> SIZE=120".
        self.commands: list[str] = []
        #: Messages accepted, connections accepted, connections open now.
        self.accepted = 0
        self.sessions = 0
        self.open = 0
        #: Sessions between the banner and the last reply, and the most at once: a client that has that reply
        #: may have opened another before the end of the connection is seen here.
        self.talking = 0
        self.most_talking = 0
        self.changed = threading.Condition()
        #: Ends every open connection without a word, as a server does with idle ones.
        self.drop_connections: Callable[[], None] = lambda: None

    @property
    def ca_pem(self) -> str:
        """The authority that signed the server's certificate."""
        return authority_pem()

    def verbs(self) -> list[str]:
        """Return the first words of the commands: ["EHLO", "MAIL", ...]."""
        return [command.split(" ")[0] for command in self.commands]

    def forget(self) -> None:
        """Have got nothing yet."""
        with self.changed:
            self.messages, self.commands, self.accepted = [], [], 0

    def wait_for(self, count: int, *, timeout: float = 60.0) -> list[Received]:
        """Return the messages as soon as there are `count`; AssertionError when they do not come in time."""
        with self.changed:
            arrived = self.changed.wait_for(lambda: self.accepted >= count, timeout)
        assert arrived, f"{self.accepted} of {count} messages arrived within {timeout} s"
        return self.messages

    def wait_until_closed(self, *, timeout: float = 60.0) -> None:
        """Return when no connection is open any more; AssertionError when one stays open."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.open == 0, timeout), (
                f"{self.open} connections stay open"
            )

    def answer_to(self, verb: str, argument: str) -> str | None:
        """Return the answer that stands in for the ordinary one, None for the ordinary one."""
        answer = self.answers.get(verb)
        return answer(argument) if callable(answer) else answer


class _Connection:
    """One client's connection: reads a command, answers it, one method a verb."""

    def __init__(
        self, server: Server, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.number = number
        self.reader = reader
        self.writer = writer
        self.encrypted = server.security == "tls"
        self.signed_in = server.auth is None and server.bearer is None
        self.mail_from: str | None = None
        self.rcpt_to: list[str] = []
        self.replies = bytearray()
        self.carried = 0

    async def serve(self) -> None:
        """Talk until the client or an answer of 221 or 421 ends it."""
        code = self.say(self.server.answer_to("BANNER", "") or "220 sink.example.org ESMTP ready")
        while code not in {"221", "421"}:
            line = (await self.read_line()).rstrip(b"\r\n").decode("utf-8", "replace")
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            if self.server.keep:
                self.server.commands.append(f"{verb} {argument}".rstrip())
            method = getattr(self, f"do_{verb.lower()}", None)
            answer = self.server.answer_to(verb, argument)
            if answer is None:
                answer = "500 5.5.2 Unknown command" if method is None else await method(argument)
            code = self.say(answer)
        self.flush()

    async def read_line(self) -> bytes:
        """Return the next line; flushes the replies first unless a whole line is waiting."""
        if b"\n" not in self.reader._buffer:
            self.flush()
        return await self.reader.readuntil(b"\n")

    def say(self, answer: str) -> str:
        """Give a reply, sent with the next flush. Returns its code."""
        self.replies += answer.encode("utf-8", "surrogateescape") + b"\r\n"
        return answer[:3]

    def flush(self) -> None:
        """Write the replies given so far in one packet."""
        self.writer.write(bytes(self.replies))
        self.replies.clear()

    async def do_ehlo(self, argument: str) -> str:
        self.mail_from, self.rcpt_to = None, []
        offers = list(self.server.offers)
        if self.server.security == "starttls" and not self.encrypted:
            offers.append("STARTTLS")
        elif self.server.bearer is not None:
            offers.append("AUTH XOAUTH2")
        elif self.server.auth is not None:
            offers.append("AUTH PLAIN LOGIN")
        lines = ["sink.example.org", *offers]
        return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    async def do_helo(self, argument: str) -> str:
        self.mail_from, self.rcpt_to = None, []
        return "250 sink.example.org"

    async def do_starttls(self, argument: str) -> str:
        assert self.server.tls is not None
        self.say("220 2.0.0 Go ahead")
        self.flush()
        await self.writer.drain()
        await self.writer.start_tls(self.server.tls)
        self.encrypted = True
        line = await self.read_line()
        assert line.upper().startswith(b"EHLO"), "after STARTTLS the client starts again (RFC 3207)"
        return await self.do_ehlo("")

    async def do_auth(self, argument: str) -> str:
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() == "XOAUTH2":
            return await self.take_token(initial)
        try:
            if mechanism.upper() == "PLAIN":
                given = _decoded(initial or await self.ask("")).split("\0")[1:]
            else:
                given = [
                    _decoded(initial or await self.ask("Username:")),
                    _decoded(await self.ask("Password:")),
                ]
        except binascii.Error:
            return "501 5.5.2 Cannot decode"
        if self.server.auth is None or tuple(given) != self.server.auth:
            return "535 5.7.8 Authentication credentials invalid"
        self.signed_in = True
        return "235 2.7.0 Authentication succeeded"

    async def take_token(self, initial: str) -> str:
        """Sign in as Google and Microsoft do: a refusal is a 334, an empty line, and then the 535."""
        user, bearer, *rest = _decoded(initial).split("\x01")
        assert (user[:5], bearer[:12], rest) == ("user=", "auth=Bearer ", ["", ""]), "XOAUTH2 as described"
        if self.server.bearer is not None and self.server.bearer(user[5:], bearer[12:]):
            self.signed_in = True
            return "235 2.7.0 Authentication succeeded"
        assert await self.ask('{"status":"401","schemes":"bearer"}') == "", "a refusal is acknowledged"
        return "535 5.7.8 Authentication credentials invalid"

    async def ask(self, challenge: str) -> str:
        self.say("334 " + base64.b64encode(challenge.encode()).decode())
        return (await self.read_line()).strip().decode()

    async def do_mail(self, argument: str) -> str:
        if self.carried == self.server.session_messages:
            if self.server.farewell:
                return self.server.farewell
            self.flush()
            raise ConnectionResetError
        if not self.signed_in:
            return "530 5.7.0 Authentication required"
        if self.mail_from is not None:
            return "503 5.5.1 Nested MAIL command"
        path = _PATH.fullmatch(argument)
        if path is None:
            return "501 5.5.4 Syntax: MAIL FROM:<address>"
        size = re.search(r"SIZE=(\d+)", path[3])
        if size is not None and int(size[1]) > self.server.size_limit:
            return "552 5.3.4 Message size exceeds fixed limit"
        self.mail_from = path[2]
        return "250 2.1.0 Ok"

    async def do_rcpt(self, argument: str) -> str:
        path = _PATH.fullmatch(argument)
        if self.mail_from is None:
            return "503 5.5.1 Need MAIL command"
        if path is None or not path[2]:
            return "501 5.1.3 Bad recipient address syntax"
        self.rcpt_to.append(path[2])
        return "250 2.1.5 Ok"

    async def do_data(self, argument: str) -> str:
        if self.mail_from is None:
            return "503 5.5.1 Need MAIL command"
        if not self.rcpt_to:
            return "554 5.5.1 No valid recipients"
        self.say("354 End data with <CR><LF>.<CR><LF>")
        self.flush()
        # With a line end in front the end mark is the same for every content, the empty one too.
        self.reader._buffer[0:0] = b"\r\n"
        stuffed = await self.reader.readuntil(b"\r\n.\r\n")
        at = time.monotonic()
        content = stuffed[:-3].replace(b"\r\n..", b"\r\n.")[2:]
        if self.server.at_dot is not None:
            await self.server.at_dot(content)
        answer = self.server.answer_to("DOT", content.decode("utf-8", "replace"))
        if answer is None or answer.startswith("2"):
            answer = answer or f"250 2.0.0 Ok: queued as {self.server.accepted + 1:06X}"
            self.accept(content, at)
        self.mail_from, self.rcpt_to = None, []
        return answer

    def accept(self, content: bytes, at: float) -> None:
        assert self.mail_from is not None
        server = self.server
        self.carried += 1
        with server.changed:
            if server.keep:
                received = Received(self.mail_from, tuple(self.rcpt_to), content, self.number, at)
                server.messages.append(received)
            server.accepted += 1
            server.changed.notify_all()

    async def do_rset(self, argument: str) -> str:
        self.mail_from, self.rcpt_to = None, []
        return "250 2.0.0 Ok"

    async def do_noop(self, argument: str) -> str:
        return "250 2.0.0 Ok"

    async def do_quit(self, argument: str) -> str:
        return "221 2.0.0 Bye"


def _decoded(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()


async def _connected(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one client and keep the counts."""
    with server.changed:
        server.sessions += 1
        server.open += 1
        server.talking += 1
        server.most_talking = max(server.most_talking, server.talking)
        number = server.sessions
    try:
        try:
            await _Connection(server, number, reader, writer).serve()
        finally:
            server.talking -= 1  # nothing ran since the last reply was written
        await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass  # the client went away, or refused our certificate
    finally:
        try:
            with suppress(TimeoutError, OSError):
                writer.close()
                await asyncio.wait_for(writer.wait_closed(), 1)
        finally:
            writer.transport.abort()  # a TLS client may never say good-bye
            with server.changed:
                server.open -= 1
                server.changed.notify_all()


@contextmanager
def smtp_server(port: int = 0, **options: object) -> Iterator[Server]:
    """Run a server until the block ends.

    `security` is "none", "starttls" or "tls"; `auth` a (user name, password); `pipelining` whether it is
    offered; `answers` the stand-in answers; `size_limit` in bytes; `names` those of the certificate (by
    default loopback's); `keep=False` only counts the messages; `at_dot` is awaited before each is answered;
    `bearer` says whether a user name and an access token are taken, by XOAUTH2 alone.
    """
    server = Server(**options)  # type: ignore[arg-type]  # the options are Server's own
    with loop_in_a_thread() as loop:
        clients: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(_connected(server, reader, writer))
            clients.add(task)
            task.add_done_callback(clients.discard)

        async def start() -> asyncio.Server:
            return await asyncio.start_server(
                connected,
                server.host,
                port,
                ssl=server.tls if server.security == "tls" else None,
                limit=1 << 26,
                backlog=200,
            )

        async def drop() -> None:
            for task in clients:
                task.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

        async def stop() -> None:
            listening.close()
            await drop()

        listening = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        server.port = listening.sockets[0].getsockname()[1]
        server.drop_connections = lambda: asyncio.run_coroutine_threadsafe(drop(), loop).result(10)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(stop(), loop).result(60)


@contextmanager
def loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop beside the test, so that tests may block."""
    loop = asyncio.new_event_loop()
    # A client that refuses our certificate is a test's business, not the console's.
    loop.set_exception_handler(lambda _loop, _context: None)
    thread = threading.Thread(target=loop.run_forever, name="smtp-server", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        # Two rounds, so that closed transports let go of their sockets.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
