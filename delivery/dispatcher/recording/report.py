"""What a drain did: totals for whoever started it, and the rows of the statistics."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from delivery.dispatcher.recording.outcomes import Result
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

    def plus(self, later: "Report") -> "Report":
        """Add what a later session did; how it ended is how both ended."""
        return replace(
            later,
            sent=self.sent + later.sent,
            deferred=self.deferred + later.deferred,
            failed=self.failed + later.failed,
            uncertain=self.uncertain + later.uncertain,
            statements=self.statements + later.statements,
            seconds=self.seconds + later.seconds,
        )


Progress = Callable[[Report], None]

_DONE = {
    SmallState.SENT: "sent",
    SmallState.FAILED: "failed",
    SmallState.EXPIRED: "failed",
    SmallState.HELD: "failed",
}


class Tally:
    """Counts results in total and per profile; the latter are taken out and written now and then."""

    def __init__(self) -> None:
        self._total: Counter[str] = Counter()
        self._rows: defaultdict[int, Counter[str]] = defaultdict(Counter)

    @property
    def total(self) -> Report:
        """Everything since the beginning."""
        count = self._total
        return Report(count["sent"], count["deferred"], count["failed"], count["uncertain"])

    def connected(self, profile_id: int) -> None:
        """Count a connection."""
        self._rows[profile_id]["connects"] += 1

    def add(self, result: Result, *, ms: float) -> None:
        """Count one attempt's result."""
        kind = kind_of(result)
        if kind is None:
            return
        self._total[kind] += 1
        row = self._rows[result.work.way.profile_id]
        row[kind] += 1
        row["bytes"] += result.work.claimed.size if kind == "sent" else 0
        row["ms"] += round(ms)

    def take(self, *, minute: datetime, worker_id: int) -> list[StatRow]:
        """Return the rows since the last call."""
        rows, self._rows = self._rows, defaultdict(Counter)
        return [StatRow(minute, profile_id, worker_id, **counts) for profile_id, counts in rows.items()]


def kind_of(result: Result) -> str | None:
    """Return which count a result belongs to; None for a message given back without a try of its own."""
    if result.finished is not None:
        is_uncertain = result.finished.cause == "uncertain"
        return "uncertain" if is_uncertain else _DONE[result.finished.state]
    if result.settled is not None and result.settled.uncertain:
        return "uncertain"
    return "deferred" if result.settled is not None and result.settled.counted else None
