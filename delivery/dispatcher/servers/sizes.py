"""What is too large for a server is not begun there: what is known of its limit, and how it is learned.

Learning never waits: the session's own knowledge changes at once, the row is written behind it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

from delivery import fitting, queue
from delivery.classification import Judgement
from delivery.dispatcher.servers.server import Server
from delivery.dispatcher.work import Work
from delivery.fitting import Room, Size
from delivery.queue import ProfileStateRow
from smtp_settings.test_send import announced
from smtp_settings.wire import WayOut

#: The cause the classification gives a refusal for size, and ours for what was not even tried.
REFUSED, TOO_LARGE = "size", "too_large"
#: A 552 may speak of a full mailbox; only one that speaks of sizes says something about others.
_SAYS_SIZE = re.compile(r"\bsize|too (?:large|big|long)", re.IGNORECASE)
_SIZE_CODES = frozenset({"5.3.4", "5.2.3"})


class TooLarge(Exception):
    """The message is larger than this server takes, as far as is known."""


class Sizes:
    """What this worker knows of the limits; `call` runs statements in the database thread."""

    def __init__(
        self, call: Callable[[Callable[[], object]], Awaitable[object]], now: Callable[[], datetime]
    ) -> None:
        self._call = call
        self._now = now
        self._writing: set[asyncio.Future[object]] = set()

    def room_of(self, server: Server) -> Room:
        """Return what a server takes."""
        way = server.way
        known = fitting.limit_of(server.state, fingerprint=way.fingerprint, now=self._now())
        return Room(way.name, way.max_size * fitting.MEGABYTE, known)

    def check(self, server: Server, work: Work, message_bytes: int) -> None:
        """Raise TooLarge when it is known that the server does not take a message of so many octets.

        Asked of every message, so it says at once what small mail is: no limit of ours is below 64 KiB, and
        a server's that is stops it in the session.
        """
        if message_bytes <= fitting.LEAST_BYTES:
            return
        if not self.room_of(server).takes(Size(work.claimed.attachments_bytes, message_bytes)):
            raise TooLarge

    def takes(self, server: Server, work: Work) -> bool:
        """Whether nothing is known against sending it there."""
        return self.room_of(server).takes(_size_of(work))

    def is_known(self, server: Server) -> bool:
        """Whether the server's own limit is known."""
        return self.room_of(server).message_bytes is not None

    def words(self, work: Work, servers: Iterable[Server]) -> str:
        """Say how large it is and what these servers take."""
        return fitting.words(_size_of(work), [self.room_of(server) for server in servers])

    def announced(self, server: Server, capabilities: Mapping[str, str]) -> None:
        """Take in what a session was told; a server that names no limit has none."""
        self._learn(server, int(capabilities.get("SIZE") or 0), is_refusal=False)

    def refused(self, server: Server, work: Work, judgement: Judgement) -> bool:
        """Take in a refusal for size; False when it says nothing about other messages."""
        reply, size_bytes = judgement.reply, work.claimed.size
        if reply is None or judgement.cause != REFUSED or size_bytes <= fitting.LEAST_BYTES:
            return False
        if reply.enhanced not in _SIZE_CODES and not _SAYS_SIZE.search(reply.text):
            return False
        self._learn(server, size_bytes - 1, is_refusal=True)
        return True

    def _learn(self, server: Server, limit: int, *, is_refusal: bool) -> None:
        fingerprint, now = server.way.fingerprint, self._now()
        if not fitting.is_news(server.state, limit, is_refusal=is_refusal, fingerprint=fingerprint, now=now):
            return
        server.state = _with(server.state, limit, is_refusal=is_refusal, fingerprint=fingerprint, now=now)
        write = partial(
            queue.learn_size, server.profile_id, limit, is_refusal=is_refusal, fingerprint=fingerprint
        )
        writing = asyncio.ensure_future(self._call(write))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def written(self) -> None:
        """Wait until all that was learned is written."""
        await asyncio.gather(*self._writing, return_exceptions=True)


def remember_tests(ways: Iterable[WayOut], states: Mapping[int, ProfileStateRow], now: datetime) -> bool:
    """Write down what the last tests were told by servers nothing is known of; whether there was any.

    For the database thread, before the first session: a message too large for one server then opens none.
    """
    unknown = {
        way.profile_id: way.fingerprint
        for way in ways
        if fitting.limit_of(states[way.profile_id], fingerprint=way.fingerprint, now=now) is None
    }
    found = announced.sizes(unknown)
    for profile_id, limit in found.items():
        queue.learn_size(profile_id, limit, is_refusal=False, fingerprint=unknown[profile_id])
    return bool(found)


def _size_of(work: Work) -> Size:
    return Size(work.claimed.attachments_bytes, work.claimed.size)


def _with(
    state: ProfileStateRow, limit: int, *, is_refusal: bool, fingerprint: str, now: datetime
) -> ProfileStateRow:
    return replace(
        state,
        size_limit=limit,
        size_is_refusal=is_refusal,
        size_until=now + fitting.BELIEVED,
        size_fingerprint=fingerprint,
    )
