"""The session a connection keeps from one message to the next: opened when one is wanted, and its end."""

from delivery.dispatcher.connections.office import Office
from delivery.dispatcher.connections.open_session import OpenSession, open_session
from delivery.dispatcher.servers.server import Server
from delivery.dispatcher.work import Work
from transports.base import MailObject, Outcome, Phase, Reply
from transports.errors import ConnectionLost

#: A session that ends after so much idling says nothing about messages.
_IDLED_SECONDS = 5.0


class KeptSession:
    """One slot's session with its server, or none at the moment."""

    def __init__(self, office: Office, server: Server) -> None:
        self._office = office
        self._server = server
        #: The session, None where none is open. It may be over: that shows when it is used.
        self.current: OpenSession | None = None

    async def fit_for(self, work: Work, mail: MailObject) -> OpenSession:
        """Return a session that may carry the message, opening one if needed.

        Raises TransportError, NotUsable, TooLarge: the last by what the new session announced.
        """
        current = self.current
        if current is not None:
            if current.may_carry(mail, self._server):
                return current
            if not current.session.is_usable:
                current.begin()
                await self.tell_of_the_end(current.messages)
        await self.close()
        server, sizes = self._server, self._office.sizes
        opened = await open_session(server, self._office.transport_of, sequential=server.is_sequential)
        self.current = opened
        server.health.heard()
        self._office.count(server, None)
        sizes.announced(server, opened.session.capabilities)
        sizes.check(server, work, mail.content.size_bytes)  # before a byte of it is sent
        return opened

    async def tell_of_the_end(self, messages: int, reply: Reply | None = None) -> None:
        """Say after how many messages the server ended the session, unless it had idled."""
        ended = self.current
        if ended is not None and ended.idled < _IDLED_SECONDS:
            words = "" if reply is None else str(reply)
            await self._office.session_ended(self._server, messages, opened_at=ended.opened_at, words=words)

    async def close(self) -> None:
        """End the session politely: QUIT has five seconds, and no result waits for it."""
        current = self._let_go()
        if current is not None:
            await current.session.close()

    def abort(self) -> None:
        """End the session at once."""
        current = self._let_go()
        if current is not None:
            current.session.abort()

    def _let_go(self) -> OpenSession | None:
        current, self.current = self.current, None
        if current is not None and current.is_healthy:
            self._server.health.healthy -= 1
        return current


def was_over(outcome: Outcome) -> bool:
    """Whether the session was at its end before the message was begun, with a 421 or without a word.

    On one that was used that is nobody's fault: a new one tells whether the server is crowded.
    """
    if outcome.phase is not Phase.MAIL:
        return False
    if outcome.reply is not None:
        return outcome.reply.code == 421
    return isinstance(outcome.error, ConnectionLost)
