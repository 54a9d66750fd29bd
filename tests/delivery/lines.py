"""What the tests of a connection share: a session that streams, a line with nothing behind it, its messages.

    desk = Desk()
    desk.give("a", "b", "c")
    desk.carry()
    assert desk.transport.announced == [("a", "b"), ("b", "c"), ("c", None)]
    assert desk.fates() == {"a": "sent", "b": "sent", "c": "sent"}

Messages are known by their subjects.
"""

import asyncio
import re
from dataclasses import dataclass, field

from django.utils import timezone

from delivery.dispatcher import clock
from delivery.dispatcher.connections.blobs import Blobs
from delivery.dispatcher.connections.line import Line
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.recording.journal import Journal
from delivery.dispatcher.servers.server import Server
from delivery.dispatcher.servers.sizes import Sizes
from delivery.queue import ProfileStateRow, SmallState
from smtp_settings.policy import Policies
from tests.delivery import works
from tests.delivery.works import NOW, WAY
from transports.base import Outcome, Phase
from transports.errors import ConnectionLost
from transports.memory import MemorySession, MemoryTransport


def a_work(subject, *, way=WAY, **changes):
    """A claimed message, known by its subject."""
    return works.a_work(way, subject=subject, message_id=abs(hash(subject)), **changes)


def subject_in(content):
    """The subject of a message on the wire."""
    return re.search(rb"^Subject: (.*?)\r$", b"".join(content.segments), re.MULTILINE)[1].decode()


@dataclass
class StreamingTransport(MemoryTransport):
    """Sessions that take an envelope along with the dot, and insist on its content next.

    `acts` are coroutine functions by subject, run with the session when that message's turn comes; one that
    returns an outcome decides it. `opening` is one that runs with each session before it is handed out.
    """

    #: Each message as it was begun, and the one announced with it.
    announced: list = field(default_factory=list)
    #: The number of the session each message was given to, in the order of the turns.
    turns: list = field(default_factory=list)
    acts: dict = field(default_factory=dict)
    opening: object = None
    streams: bool = True
    opened: list = field(default_factory=list)
    #: What open() was told about speaking one command at a time.
    sequential: list = field(default_factory=list)

    async def open(self, observer=None, *, sequential=False):
        self.sessions += 1
        self.sequential.append(sequential)
        if self.open_error is not None:
            raise self.open_error
        session = StreamingSession(self, self.sessions, streams=self.streams and not sequential)
        self.opened.append(session)
        if self.opening is not None:
            await self.opening(session)
        return session


class StreamingSession(MemorySession):
    """`waits_for`: the message whose envelope was taken; `ended`: how its end came."""

    def __init__(self, transport, number, *, streams):
        super().__init__(transport)
        self.number = number
        self.waits_for = None
        self.ended = ""
        self.heard = asyncio.Event()  # set at its end
        self._streams = streams

    @property
    def streams(self):
        return self._streams and self.is_usable

    async def deliver(self, envelope, content, *, following=None, before_dot=None, after_dot=None):
        waited_for, self.waits_for = self.waits_for, None
        assert waited_for is None or waited_for.content is content, "the server waits for another message"
        subject, transport = subject_in(content), self._transport
        transport.turns.append((subject, self.number))
        transport.announced.append((subject, subject_in(following.content) if following else None))
        act = transport.acts.get(subject)
        try:
            decided = await act(self) if act is not None else None
        except BaseException:
            self.abort()
            raise
        if decided is not None:
            return decided
        outcome = await super().deliver(envelope, content, before_dot=before_dot, after_dot=after_dot)
        if outcome.phase is Phase.DOT and self.is_usable:
            self.waits_for = following
        return outcome

    def lose(self, phase=Phase.MAIL, *, uncertain=False):
        """End it as a server does that goes away; return what came of the message."""
        self._is_open = False
        return Outcome(phase, error=ConnectionLost("gone", phase=phase), uncertain=uncertain)

    def _end(self, how):
        self.ended = self.ended or how
        self.heard.set()

    async def close(self):
        self._end("closed")
        await super().close()

    def abort(self):
        self._end("aborted")
        super().abort()


class NoDatabase:
    async def call(self, work):
        raise AssertionError("no statement is wanted here")


class Desk:
    """What a drain is to its lines, without a database: it keeps the results."""

    def __init__(self, way=WAY, **state):
        self.transport = StreamingTransport()
        row = ProfileStateRow(way.profile_id, **state)
        self.server = Server(way, row, batch_size=100, clock=lambda: NOW)
        self.server.slots = {1, 2, 3, 4}
        self.server.health.is_open = True
        self.lease = Lease(1, begun_at=clock.now())
        self.journal = Journal(self.lease)
        self.blobs = Blobs(NoDatabase())
        self.recorder = self
        self.policies = Policies()
        self.sizes = Sizes(self.forget, timezone.now)
        self.results = []
        self.taken_back = []
        self.learned = []
        self.ended = []

    def give(self, *works):
        """Put messages into the server's hands; a string is an ordinary one."""
        for work in works:
            self.server.give(a_work(work, way=self.server.way) if isinstance(work, str) else work)

    def carry(self, lines=1, **acts):
        """Let so many connections carry what is in hand, with what happens at each message's turn."""
        self.transport.acts |= acts
        asyncio.run(self._carry(lines))

    async def _carry(self, lines):
        tasks = [self.start(slot) for slot in range(1, lines + 1)]
        await asyncio.wait(tasks, timeout=10)
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                raise task.exception()

    def start(self, slot):
        """Begin a connection, as a drain does."""
        self.server.lines.add(slot)
        self.server.starting += 1
        task = asyncio.create_task(Line(self, self.server, slot).run())
        task.add_done_callback(lambda _task: self.server.lines.discard(slot))
        return task

    async def forget(self, write):
        """Write nothing down."""

    def take_back(self):
        """Do what a park does when the server is not to be used any more."""
        self.taken_back += self.server.take_back()

    def fates(self):
        """What became of each message, and that nothing happened twice or was lost."""
        ends = [(result.work.claimed.subject, _fate(result)) for result in self.results]
        ends += [(work.claimed.subject, "taken back") for work in self.taken_back]
        held = self.server.held - len(self.taken_back)
        left = self.server.take_back()
        ends += [(work.claimed.subject, "in hand") for work in left]
        assert len(ends) == len(dict(ends)), f"something came twice: {ends}"
        assert (held, self.server.starting, self.server.leaving) == (len(left), 0, 0)
        assert self.server.health.healthy == 0
        assert all(session.ended for session in self.transport.opened)
        return dict(ends)

    # What a line asks (`office.Office`), and of its recorder

    def add(self, result):
        self.results.append(result)
        self.server.let_go()

    async def has_room(self):
        pass

    async def transport_of(self, server):
        return self.transport

    async def learn(self, server, judgement, work, ms, *, is_pipelined):
        self.learned.append((work.claimed.subject, judgement.sign, is_pipelined))

    async def session_ended(self, server, messages, *, opened_at, words):
        self.ended.append((messages, words))

    async def takes_others(self, work, code):
        return False

    def next_server(self, work, *, is_too_large=False):
        return None

    def sizes_in_words(self, work):
        return "too large"

    def count(self, server, result, *, ms=0.0):
        pass


def _fate(result):
    if result.finished is not None:
        return {SmallState.SENT: "sent", SmallState.EXPIRED: "expired", SmallState.FAILED: "failed"}.get(
            result.finished.state, "held"
        )
    if result.settled.uncertain:
        return "uncertain"
    return "put off" if result.settled.counted or result.settled.dropped else "released"
