"""Low-water marks: where to begin reading a lane whose head is full of dead rows.

While somebody holds an old snapshot (a dump, a long report), nothing that ended since can be vacuumed, and
every claim walks over the index entries of all of it: 80,000 of them make 1.7 ms into 6.7, measured, and
beginning behind the last row claimed makes it 1.2. But rows do land below the mark: a transaction that
commits late, a person's *retry now*, what another session gives back. So a mark is used only while claims are
slow, and never for longer than a second without a look at everything.
"""

from collections.abc import Sequence
from datetime import datetime

from delivery.queue import Claimed, Lane

#: A claim is slow from so many times its usual on, and never below the floor: that is noise.
_SLOW = 3.0
_FLOOR_SECONDS = 0.005
#: At least so often a claim goes without marks.
PROBE_SECONDS = 1.0
#: What a claim costs beside its rows, in rows (1.0 ms against 46 µs, measured), and bytes worth a row.
_ROWS = 20
_BYTES = 16 * 1024
#: Dead rows pile up slowly: the usual follows claims that get slower no faster than double in ten minutes.
_DOUBLE_SECONDS = 600.0


class Pace:
    """What a claim usually costs, in seconds a row; it outlives the drain, which may begin in the middle."""

    def __init__(self) -> None:
        self._usual: float | None = None
        self._at = 0.0

    def is_slow(self, seconds: float, rows: float, now: float) -> bool:
        """Whether this claim was slow; learn from it how long they take."""
        cost, usual, since = seconds / (_ROWS + rows), self._usual, now - self._at
        self._at = now
        if usual is None:
            self._usual = cost
            return False
        self._usual = (
            usual + (cost - usual) / 10 if cost < usual else min(cost, usual * 2 ** (since / _DOUBLE_SECONDS))
        )
        return seconds > _FLOOR_SECONDS and cost > _SLOW * usual


#: This process's.
PACE = Pace()


class Marks:
    """The last row claimed of each lane (pool, priority), and whether claims begin there at present."""

    def __init__(self, pace: Pace = PACE) -> None:
        self._pace = pace
        self._marks: dict[tuple[int, int], tuple[datetime, int]] = {}
        self._probe_at: float | None = None  # None: claims are as fast as ever, and use no mark
        #: How often claims became slow.
        self.activations = 0

    def lanes(self, keys: Sequence[tuple[int, int]], now: float) -> list[Lane]:
        """Return the lanes as the next claim is to read them; `now` is of the monotonic clock."""
        if self._probe_at is None or now >= self._probe_at:
            return [Lane(*key) for key in keys]
        return [Lane(*key, *self._marks.get(key, (None, 0))) for key in keys]

    def learn(
        self, lanes: Sequence[Lane], found: Sequence[Claimed], *, wanted: int, seconds: float, now: float
    ) -> None:
        """Hear how the claim of these lanes went, which was for `wanted` messages and took so long."""
        # Down as well as up: what a claim without marks found below one is where to go on.
        rows_of = sorted(found, key=lambda claimed: (claimed.ready_at, claimed.message_id))
        self._marks |= {
            (claimed.pool_id, claimed.priority): (claimed.ready_at, claimed.message_id) for claimed in rows_of
        }
        if any(lane.mark_at for lane in lanes):
            if len(found) < wanted:  # there may be more below
                self._probe_at = now
            return
        rows = len(found) + sum(len(claimed.data) for claimed in found) / _BYTES
        if not self._pace.is_slow(seconds, rows, now):
            self._probe_at = None
            return
        self.activations += self._probe_at is None
        self._probe_at = now + PROBE_SECONDS
