"""What a connection asks of the drain it belongs to."""

from typing import Protocol

from delivery.classification import Judgement
from delivery.dispatcher.connections.blobs import Blobs
from delivery.dispatcher.connections.unsent import Others
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.recording.journal import Journal
from delivery.dispatcher.recording.outcomes import Result
from delivery.dispatcher.recording.recorder import Recorder
from delivery.dispatcher.servers.server import Server
from delivery.dispatcher.servers.sizes import Sizes
from delivery.dispatcher.work import Work
from smtp_settings.policy import Policies
from transports.base import Transport


class Office(Others, Protocol):
    """The drain, as its connections see it: `desk.Desk`."""

    lease: Lease
    recorder: Recorder
    blobs: Blobs
    journal: Journal
    sizes: Sizes

    @property
    def policies(self) -> Policies:
        """What may leave, as far as is known now."""

    async def transport_of(self, server: Server) -> Transport:
        """Return the transport of the server's present version; raises NotLive."""

    async def learn(
        self, server: Server, judgement: Judgement, work: Work, ms: float, *, is_pipelined: bool
    ) -> None:
        """Take in what a result says about the server."""

    async def session_ended(self, server: Server, messages: int, *, opened_at: float, words: str) -> None:
        """Take in that the server ended a session after so many messages, and what it said, if anything."""

    async def takes_others(self, work: Work, code: int) -> bool:
        """Whether the server took other mail since it last gave this message this code."""

    def count(self, server: Server, result: Result | None, *, ms: float = 0.0) -> None:
        """Count a result, or with None a connection."""
