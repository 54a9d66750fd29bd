"""Which part of a server's connections this worker may have while others want some too.

Each worker says with its heartbeat which servers it has mail for, and all compute the same parts from that.
The rows of the slots keep the limit whatever anybody computes; the parts only make it fair.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import datetime

from delivery import assignment
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.servers.server import Server
from delivery.queue import Peer

#: A worker with connections, or one that wants some, beats this often: so soon those who have too many know.
BEAT_SECONDS = 2.0
#: Where there are fewer connections than workers, the next ones have them after this long.
TURN_SECONDS = 30.0
#: A server counts as wanted so long after there was mail for it: a few heartbeats.
_WANTED_SECONDS = 12.0


class Sharing:
    """What the peers want, and what is left for this worker."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._peers: Sequence[Peer] = ()
        self._told: frozenset[int] = frozenset()
        self._turn = 0

    def tell(self, servers: Iterable[Server]) -> list[int]:
        """Return the profiles this worker has mail for, for its peers to hear with the heartbeat."""
        wanted = [server.profile_id for server in servers if _is_wanted(server)]
        self._told = frozenset(wanted)
        return wanted

    def is_unheard(self, server: Server) -> bool:
        """Whether it has too few connections, and its peers were not told that it wants some."""
        return len(server.slots) < server.connections and server.profile_id not in self._told

    def hear(self, peers: Sequence[Peer]) -> None:
        """Take in which workers want what."""
        self._peers = peers

    def is_new_turn(self, now: datetime) -> bool:
        """Whether others are to have the connections now that do not suffice for all."""
        turn = _turn(now)
        is_new, self._turn = turn != self._turn, turn
        return is_new

    def part(self, server: Server, now: datetime) -> int:
        """Return how many connections of the server this worker may have now."""
        own, profile_id = self._lease.id, server.profile_id
        wanting = {peer.id for peer in self._peers if profile_id in peer.wants} - {own}
        if not wanting:
            return server.limit
        if not _is_wanted(server):
            return 0
        return assignment.part(server.limit, wanting | {own}, own, profile_id=profile_id, turn=_turn(now))


def _is_wanted(server: Server) -> bool:
    return server.held > 0 or time.monotonic() - server.wanted_at < _WANTED_SECONDS


def _turn(now: datetime) -> int:
    return int(now.timestamp() // TURN_SECONDS)
