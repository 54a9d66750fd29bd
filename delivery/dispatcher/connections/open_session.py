"""A session a connection holds open for its server: how it is opened, what it may carry, when it is worn."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from delivery.dispatcher.servers.server import Server
from smtp_settings.models import Pipelining
from smtp_settings.sealing import SealingError
from smtp_settings.wire import MethodNotAvailable, NotLive
from transports.base import MailObject, Phase, Session, Transport
from transports.errors import TransportError

logger = logging.getLogger(__name__)

#: A limit in time as well: by count alone, a slow server would keep its connections for ever.
AGE_SECONDS = 300.0


class NotUsable(Exception):
    """The server cannot be opened now, for a reason on our side; nothing is counted."""


@dataclass(slots=True)
class OpenSession:
    """An open session and what was done with it. `version`: of the settings it was opened with."""

    session: Session
    version: str
    #: Whether commands travel together on it.
    is_pipelined: bool
    opened_at: float = field(default_factory=time.monotonic)
    messages: int = 0
    #: When it was last used, and the seconds it had idled before that.
    used_at: float = field(default_factory=time.monotonic)
    idled: float = 0.0
    is_healthy: bool = False
    #: The message that was announced with the one before: the server may be waiting for its content.
    announced: MailObject | None = None

    def may_carry(self, mail: MailObject, server: Server) -> bool:
        """Whether this message may go over it: an announced one and no other, else any until it is worn."""
        if not self.session.is_usable or self.version != server.way.version:
            return False
        if self.announced is not None:
            return self.announced is mail
        return self.messages < server.messages_per_connection and not self._is_old

    def may_announce(self, server: Server) -> bool:
        """Whether the message after the next one may go over it too, and would save a round trip."""
        is_worn = self.messages + 2 > server.messages_per_connection or self._is_old
        return self.session.streams and self.version == server.way.version and not is_worn

    def begin(self) -> None:
        """Note that a message is given to it."""
        now = time.monotonic()
        self.idled, self.used_at = now - self.used_at, now

    def carried(self) -> None:
        """Count a message."""
        self.messages += 1
        self.used_at = time.monotonic()

    @property
    def _is_old(self) -> bool:
        return time.monotonic() - self.opened_at > AGE_SECONDS


async def open_session(
    server: Server, transport_of: Callable[[Server], Awaitable[Transport]], *, sequential: bool
) -> OpenSession:
    """Open a session with the server's present settings. Raises TransportError, NotUsable."""
    version, may_pipeline = server.way.version, server.way.pipelining != Pipelining.SEQUENTIAL
    try:
        transport = await transport_of(server)
        session = await transport.open(sequential=sequential)
    except NotLive as error:
        server.is_live = False
        raise NotUsable(str(error)) from error
    except (MethodNotAvailable, SealingError) as error:
        server.is_live, server.unusable_version = False, version
        raise NotUsable(str(error)) from error
    except TransportError:
        raise
    except Exception as error:
        # A bug of ours or a fault of this machine, but no message's: all of them would be held for it.
        logger.exception("%s could not be opened.", server.way.name)
        sentence = f"Internal error: {type(error).__name__}"
        raise TransportError(sentence, phase=Phase.CONNECT) from error
    is_pipelined = may_pipeline and not sequential and "PIPELINING" in session.capabilities
    return OpenSession(session, version, is_pipelined)
