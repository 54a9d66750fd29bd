"""What results mean for a server's row: breaker, pause, what is learned; written on transitions only."""

import random
import re
from dataclasses import replace
from datetime import timedelta
from functools import partial

from django.db import transaction

from delivery import learned, notices, queue
from delivery.classification import SIGN_IN_GARBLED, Action, Judgement, Sign
from delivery.dispatcher.database import Database
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.servers.health import Change
from delivery.dispatcher.servers.park import Park
from delivery.dispatcher.servers.server import Server
from delivery.queue import Breaker, Claimed, Paused
from transports.base import Phase

#: How servers say that a session has had its number of messages.
_SAYS_MESSAGES = re.compile(
    r"(too many|maximum|limit)\b.{0,30}\b(messages|mails|transactions)"
    r"|(messages|mails|transactions)\b.{0,30}\b(limit|maximum|per (session|connection))",
    re.IGNORECASE,
)

#: Where a server refuses whoever is there, before it knows for what.
_GREETINGS = frozenset({Phase.BANNER, Phase.EHLO})
#: A reason that is a reply with a final code.
_REFUSAL = re.compile(r"5\d\d\b")


class Consequences:
    """Carries what `Health` concludes to the database, and back to the servers."""

    def __init__(self, database: Database, lease: Lease, park: Park) -> None:
        self._database = database
        self._lease = lease
        self._park = park

    async def learn(
        self, server: Server, judgement: Judgement, *, claimed: Claimed, ms: float, is_pipelined: bool
    ) -> None:
        """Write what a result means for the server's row, and act on it.

        `is_pipelined`: commands travelled together in that session, so that their answers may have mixed.
        """
        message_id, mail_from = claimed.message_id, claimed.mail_from
        change = server.health.learn(
            judgement, message_id=message_id, mail_from=mail_from, ms=ms, ramp=server.state.ramp
        )
        if change is Change.NONE and judgement.sign is Sign.SUCCESS and judgement.action is Action.SENT:
            return  # as nearly always
        reason = _reason(judgement)
        if (taken := judgement.recipients_taken) is not None:
            await self._learn_recipients(server, taken, reason)
        if is_pipelined and judgement.sign is Sign.DESYNC:
            await self._end_pipelining(server, reason)
        change = _graver(change, server, judgement, reason)
        if change is not Change.NONE:
            is_refused = judgement.phase in _GREETINGS and judgement.reply is not None and _is_refusal(reason)
            await self._act(change, server, reason, at_least=judgement.rest, is_refused=is_refused)
            self._park.empty_if_unusable(server)

    async def _act(
        self, change: Change, server: Server, reason: str, *, at_least: timedelta | None, is_refused: bool
    ) -> None:
        match change:
            case Change.NONE:
                return
            case Change.CLOSE:
                await self._close_breaker(server)
            case Change.OPEN:
                await self._open_breaker(server, reason, at_least=at_least, is_refused=is_refused)
            case Change.PAUSE:
                await self._pause(server, reason)
            case Change.LOWER:
                await self._lower(server, reason, at_least=at_least)
            case Change.SPEED_UP:
                await self._speed_up(server)

    async def _open_breaker(
        self, server: Server, reason: str, *, at_least: timedelta | None = None, is_refused: bool = False
    ) -> None:
        if server.state.breaker is Breaker.OPEN:
            return
        server.state = replace(server.state, breaker=Breaker.OPEN)  # for the other connections, from now on
        server.health.is_probing = False
        profile_id, lease = server.profile_id, self._lease.id
        is_news = is_refused and not _is_refusal(server.state.reason)  # else it was told

        def write() -> None:
            jitter = random.uniform(-1, 1)  # noqa: S311  # spreads the tries
            with transaction.atomic():
                opened = queue.open_breaker(
                    profile_id, reason=reason, lease=lease, jitter=jitter, at_least=at_least or timedelta(0)
                )
                if opened is not None:
                    _note("server.breaker_opened", profile_id, lease, reason)
                    if is_news:
                        notices.server_refuses(profile_id)

        await self._database.call(write)
        await self._park.reread(server)

    async def _close_breaker(self, server: Server) -> None:
        profile_id, lease = server.profile_id, self._lease.id

        def write() -> None:
            if queue.close_breaker(profile_id, lease):
                queue.add_event("server.breaker_closed", profile_id=profile_id, worker_id=lease)

        server.health.probe_succeeded()
        await self._database.call(write)
        await self._park.reread(server)

    async def _pause(self, server: Server, reason: str) -> None:
        if server.state.paused is not Paused.NO:
            return
        server.state = replace(server.state, paused=Paused.FAULT, reason=reason)
        profile_id, lease, version = server.profile_id, self._lease.id, server.way.version
        is_news = server.state.fault_version != version  # else the pause had ended for one try only

        def write() -> None:
            with transaction.atomic():
                if queue.pause(profile_id, Paused.FAULT, reason=reason, version=version):
                    _note("server.paused", profile_id, lease, reason)
                    if is_news:
                        notices.server_paused(profile_id, reason)

        await self._database.call(write)
        await self._park.reread(server)
        if server.state.paused is Paused.NO:
            self._park.has_old_settings(server)

    async def _end_pipelining(self, server: Server, reason: str) -> None:
        """Say one command at a time from the next session on; those that are open may finish."""
        if server.is_sequential:
            return
        fingerprint, until = server.way.fingerprint, self._park.db_now + queue.SEQUENTIAL
        server.state = replace(server.state, sequential_until=until, sequential_fingerprint=fingerprint)
        profile_id, lease = server.profile_id, self._lease.id

        def write() -> None:
            if queue.learn_sequential(profile_id, fingerprint=fingerprint):
                _note("server.sequential", profile_id, lease, reason)

        await self._database.call(write)
        await self._park.reread(server)

    async def _lower(self, server: Server, reason: str, *, at_least: timedelta | None) -> None:
        fewer, known_at = learned.fewer(server.limit), server.state.connections_at
        profile_id, fingerprint, lease = server.profile_id, server.way.fingerprint, self._lease.id

        def write() -> None:
            if queue.learn_connections(profile_id, fewer, fingerprint=fingerprint, known_at=known_at):
                _note("server.learned", profile_id, lease, reason, connections=fewer)

        await self._database.call(write)
        await self._park.reread(server)
        if at_least is not None:  # longer than a worker's own rest, and for all of them
            await self._open_breaker(server, reason, at_least=at_least)

    async def session_ended(self, server: Server, messages: int, *, opened_at: float, words: str) -> None:
        """Learn after how many messages a server ends its sessions, if that shows by now.

        `words`: what it said, "" when it closed the connection without a word.
        """
        is_told = _SAYS_MESSAGES.search(words) is not None
        limit = server.health.session_ended(messages, opened_at=opened_at, is_told=is_told)
        if limit is None or limit >= server.messages_per_connection:
            return
        profile_id, fingerprint, lease = server.profile_id, server.way.fingerprint, self._lease.id

        def write() -> None:
            if queue.learn_session_messages(profile_id, limit, fingerprint=fingerprint):
                _note("server.learned", profile_id, lease, words, session_messages=limit)

        await self._database.call(write)
        await self._park.reread(server)

    async def _learn_recipients(self, server: Server, taken: int, reason: str) -> None:
        if taken >= server.most_recipients:
            return
        profile_id, fingerprint, lease = server.profile_id, server.way.fingerprint, self._lease.id

        def write() -> None:
            if queue.learn_recipients(profile_id, taken, fingerprint=fingerprint):
                _note("server.learned", profile_id, lease, reason, recipients_taken=taken)

        await self._database.call(write)
        await self._park.reread(server)

    async def _speed_up(self, server: Server) -> None:
        """Go on with a slow start, over all workers: who ends a round first doubles the connections."""
        ramp, most, profile_id = server.state.ramp, server.way.max_connections, server.profile_id
        if ramp is None:
            return
        await self._database.call(lambda: queue.speed_up(profile_id, ramp, most=most))
        await self._park.reread(server)

    async def ease(self) -> None:
        """After a clean minute forgive one opening of the breaker.

        The minute counts from the row's last change: most sessions are shorter, and many may look on.
        """
        for server in self._park:
            if server.state.penalty and self._is_clean(server):
                await self._database.call(partial(queue.forgive, server.profile_id))
                await self._park.reread(server)

    def _is_clean(self, server: Server) -> bool:
        changed_at = server.state.changed_at
        if changed_at is None or not server.is_in_use:
            return False
        return server.health.is_clean(self._park.db_now - changed_at)


def _reason(judgement: Judgement) -> str:
    """Say why, a reply with its codes: by them the pages tell a refused sign-in."""
    return str(judgement.reply) if judgement.reply is not None else judgement.words or str(judgement.phase)


def _is_refusal(reason: str) -> bool:
    """Whether a breaker opened for a 5xx: no weather, a person has to speak with the server's owner."""
    return _REFUSAL.match(reason) is not None


def _graver(change: Change, server: Server, judgement: Judgement, reason: str) -> Change:
    """Pause for a second garbled sign-in in a row: one is weather, two are the settings.

    The row knows the first: what its breaker was last opened for. The process that met it may be gone.
    """
    is_second = judgement.cause == SIGN_IN_GARBLED and server.state.reason == reason
    return Change.PAUSE if change is Change.OPEN and is_second else change


def _note(kind: str, profile_id: int, worker_id: int, reason: str, **data: int) -> None:
    known = data | {"reason": reason}
    queue.add_event(kind, level="warning", profile_id=profile_id, worker_id=worker_id, data=known)
