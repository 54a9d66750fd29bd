"""Rows move in chunks: locked, stored as messages, marked, committed.

In one database all of that is one transaction. From another database ours commits first and the mark after
it; a crash between them leaves a row that is taken again, and its idempotency key gives the message that is
there already. So each row becomes one message, and none is lost, whenever the command is stopped.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.utils import CursorWrapper

from delivery import handover
from delivery.handover import IdempotencyConflict, Outgoing
from delivery.takeover.package import NotTaken, Package, Reason, Row, Wishes, size_of

_CHUNK = 50
#: Contents held in memory at once, in bytes.
_BYTES = 16 * 1024 * 1024
#: Rows that stay are named so far; the rest are counted.
_NAMED = 20


@dataclass(slots=True)
class Tally:
    """How the rows fared. `found` is how many waited at the start, `busy` how many somebody else holds."""

    found: int = 0
    taken: int = 0
    taken_before: int = 0
    busy: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    sentences: list[tuple[int, Reason, str]] = field(default_factory=list)  #: row, why; the first ones

    @property
    def seen(self) -> int:
        """How many rows were looked at."""
        return self.taken + self.taken_before + self.skipped.total()

    @property
    def left(self) -> int:
        """How many rows still wait there and could go; what has expired could not."""
        return self.busy + self.skipped.total() - self.skipped[Reason.EXPIRED]


_Batch = list[tuple[Row, Outgoing]]


def carry(
    package: Package,
    wishes: Wishes,
    *,
    using: str = DEFAULT_DB_ALIAS,
    is_dry: bool = False,
    watch: Callable[[Tally], None] = lambda _tally: None,
) -> Tally:
    """Take over every waiting row of a package's tables in the database `using`.

    With `is_dry` everything is done and rolled back. `watch` is told after each chunk. Open no transaction
    around it.
    """
    tally = Tally()
    with connections[using].cursor() as cursor:
        tally.found = package.count(cursor)
    after = 0
    while True:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            rows = package.lock(cursor, after=after, limit=_CHUNK)
            for batch in _batches(package, cursor, rows, wishes, tally):
                for row, message_id in _stored(batch, tally, is_dry=is_dry):
                    if not is_dry:
                        package.mark(cursor, row, message_id)
            if is_dry:
                transaction.set_rollback(True, using=using)
        watch(tally)
        if not rows:
            break
        after = rows[-1]["id"]
    with connections[using].cursor() as cursor:
        tally.busy = max(0, package.count(cursor) - (tally.seen if is_dry else tally.skipped.total()))
    return tally


def _batches(
    package: Package, cursor: CursorWrapper, rows: Sequence[Row], wishes: Wishes, tally: Tally
) -> Iterator[_Batch]:
    batch: _Batch = []
    size_bytes = 0
    for row in rows:
        try:
            outgoing = package.outgoing(cursor, row, wishes)
        except NotTaken as why:
            _skip(tally, row, why.reason, str(why))
            continue
        batch.append((row, outgoing))
        if not isinstance(outgoing.message, bytes):
            size_bytes += size_of(outgoing.message)
        if size_bytes > _BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _stored(batch: _Batch, tally: Tally, *, is_dry: bool) -> Iterator[tuple[Row, int]]:
    """Hand a batch over, together or, when one is refused, one by one; yield each row's message."""
    try:
        with transaction.atomic():
            answers = handover.send_many((outgoing for _row, outgoing in batch), caller_waits=False)
            if is_dry:
                transaction.set_rollback(True)
    except ValueError as error:
        if len(batch) > 1:
            for one in batch:
                yield from _stored([one], tally, is_dry=is_dry)
        elif isinstance(error, IdempotencyConflict):  # taken in a run that was cut off, rendered otherwise
            tally.taken_before += 1
            yield batch[0][0], error.message_id
        else:
            _skip(tally, batch[0][0], Reason.REFUSED, str(error))
        return
    for (row, _outgoing), answer in zip(batch, answers, strict=True):
        tally.taken += answer.created
        tally.taken_before += not answer.created
        yield row, answer.id


def _skip(tally: Tally, row: Row, reason: Reason, sentence: str) -> None:
    tally.skipped[reason] += 1
    if len(tally.sentences) < _NAMED:
        tally.sentences.append((row["id"], reason, sentence))
