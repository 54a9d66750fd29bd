"""When a drain's time is over: at a quiet point, and not while it waits for one slow server alone.

A server may take ten minutes to answer a final dot (RFC 5321 section 4.5.3.2.6), and whoever does not wait
makes a duplicate. Where this process is the only one, all other mail would wait with it.
"""

import time
from collections.abc import Iterable, Sequence

from delivery.dispatcher.servers.server import Server

#: From the deadline on nothing is taken for so long: what is on the wire is through by then, nearly always.
QUIET_SECONDS = 5.0
#: What is waited for then takes so long at most: the time for the answer to a final dot.
OVERTIME_SECONDS = 600.0


class Deadline:
    """The end of a drain's time, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds
        self._waits_for: Sequence[Server] | None = None  # None: not looked for yet

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is to be taken at the moment, so that what is on the wire comes to its end."""
        return self._waits_for is None and time.monotonic() > self._at

    def is_over(self, servers: Iterable[Server]) -> bool:
        """Whether the drain is to end.

        Servers that keep a message waiting at the end of the quiet are left (`Server.is_left`): they get no
        more of this drain, which goes on with the others until they have answered.
        """
        late = time.monotonic() - self._at
        if late <= 0:
            return False
        if self._waits_for is None:
            busy = [server for server in servers if server.on_the_wire]
            if late <= QUIET_SECONDS and busy:
                return False
            for server in busy:
                server.is_left = True
            self._waits_for = busy
        is_too_late = late > QUIET_SECONDS + OVERTIME_SECONDS
        return is_too_late or not any(server.on_the_wire for server in self._waits_for)
