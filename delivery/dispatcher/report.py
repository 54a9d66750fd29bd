"""What a drain did: totals for whoever started it, and the rows of the statistics."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from delivery.dispatcher.outcomes import Result
from delivery.queue import SmallState, StatRow


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of attempts by how they ended, statements and seconds.

    `is_work_left`: due messages wait that this drain did not get to. `was_fenced`: it was declared dead and
    stopped.
    """

    sent: int = 0
    deferred: int = 0
    failed: int = 0
    uncertain: int = 0
    statements: int = 0
    seconds: float = 0.0
    is_work_left: bool = False
    was_fenced: bool = False


Progress = Callable[[Report], None]

_DONE = {
    SmallState.SENT: "sent",
    SmallState.FAILED: "failed",
    SmallState.EXPIRED: "failed",
    SmallState.HELD: "failed",
}


_LATER = datetime.fromtimestamp(0, UTC)  # the minute is set when the rows are taken


class Tally:
    """Counts results in total and per profile; the latter are taken out and written now and then."""

    def __init__(self) -> None:
        self.total = Report()
        self._rows: dict[int, StatRow] = {}

    def connected(self, profile_id: int) -> None:
        """Count a connection."""
        self._add(profile_id, connects=1)

    def add(self, result: Result, *, ms: float) -> None:
        """Count one attempt's result."""
        kind = kind_of(result)
        if kind is None:
            return
        self.total = replace(self.total, **{kind: getattr(self.total, kind) + 1})
        size = result.work.claimed.size if kind == "sent" else 0
        self._add(result.work.way.profile_id, **{kind: 1}, bytes=size, ms=round(ms))

    def take(self, *, minute: datetime, worker_id: int) -> list[StatRow]:
        """Return the rows since the last call."""
        rows, self._rows = self._rows, {}
        return [replace(row, minute=minute, worker_id=worker_id) for row in rows.values()]

    def _add(self, profile_id: int, **counts: int) -> None:
        row = self._rows.get(profile_id) or StatRow(_LATER, profile_id, 0)
        added = {name: getattr(row, name) + count for name, count in counts.items()}
        self._rows[profile_id] = replace(row, **added)


def kind_of(result: Result) -> str | None:
    """Return which count a result belongs to; None for a message given back without a try of its own."""
    if result.finished is not None:
        is_uncertain = result.finished.cause == "uncertain"
        return "uncertain" if is_uncertain else _DONE[result.finished.state]
    if result.settled is not None and result.settled.uncertain:
        return "uncertain"
    return "deferred" if result.settled is not None and result.settled.counted else None
