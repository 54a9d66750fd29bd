"""The transports of the servers: one for all connections of a server, made anew with each version of it."""

import asyncio

from delivery.dispatcher.database import Database
from delivery.dispatcher.servers.server import Server
from smtp_settings import wire
from transports.base import Transport


class Transports:
    """Those of the present versions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[int, tuple[str, asyncio.Future[Transport]]] = {}

    async def of(self, server: Server) -> Transport:
        """Return the transport of the server's present version; raises what `wire.transport_of` does."""
        profile_id, version = server.profile_id, server.way.version
        known = self._known.get(profile_id)
        if known is None or known[0] != version:
            made = self._database.call(lambda: wire.transport_of(profile_id, version))
            known = self._known[profile_id] = (version, asyncio.ensure_future(made))
        try:
            return await asyncio.shield(known[1])
        except Exception:
            self._known.pop(profile_id, None)
            raise
