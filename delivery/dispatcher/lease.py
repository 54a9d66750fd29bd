"""A worker session's right to the messages it took, on the clock of this process."""

from delivery.dispatcher import clock
from delivery.queue import STALE

#: A dot is written at the latest this long before others may take the message over.
MARGIN = 10.0


class LeaseLost(Exception):
    """The session may have been declared dead: no message may be completed under it any more."""

    def __init__(self) -> None:
        super().__init__("This worker session may have been declared dead.")


class Lease:
    """The lease, good until its last heartbeat is nearly stale.

    Leases are judged by the database's clock. A process that was frozen (SIGSTOP, a paused machine) wakes up
    without knowing; the clock that goes on meanwhile tells it before it completes a message that another
    session holds.
    """

    def __init__(self, lease_id: int, *, begun_at: float) -> None:
        self.id = lease_id
        self.is_dead = False
        self.renew(begun_at)

    def renew(self, at: float) -> None:
        """Count from a heartbeat; `at` is the moment (`clock.now`) before its statement was sent."""
        self._good_until = at + STALE.total_seconds() - MARGIN

    @property
    def is_good(self) -> bool:
        """Whether the last heartbeat is recent enough to complete something."""
        return not self.is_dead and clock.now() <= self._good_until

    def check(self) -> None:
        """Raise LeaseLost when it is too late to complete anything."""
        if not self.is_good:
            raise LeaseLost
