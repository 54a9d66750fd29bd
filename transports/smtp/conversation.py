"""What was said of one message, put together only when somebody asks; until then references are kept.

A line of its own costs more than a message may; so do escaping and splitting. Nearly every message is
accepted, and then nobody asks.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from transports.base import Direction, Reply, TranscriptLine
from transports.smtp.transcript import MAX_LINES, escape, left_out, split

#: One look at what came: its moment of the monotonic clock, the replies with their bytes, secrets taken out.
Reading = tuple[float, Sequence[tuple[bytes, Reply]]]


class Exchange(NamedTuple):
    """What was written at a moment, and the answers to it.

    `heard` may be filled while it is kept. `skipped`: so many answers at its start belong to what was written
    with it; `taken`: only so many belong to this.
    """

    at: float
    direction: Direction
    data: bytes
    heard: Sequence[Reading]
    skipped: int = 0
    taken: int | None = None


def conversation(exchanges: Sequence[Exchange], *notes: str) -> tuple[TranscriptLine, ...]:
    """Return the lines of these exchanges, at most 200 of them, and what nobody said at their end.

    Times count from the first line. Nothing for nothing said.
    """
    if not exchanges:
        return ()
    told = [line for exchange in exchanges for line in _lines(exchange)]
    began, ended = told[0][0], told[-1][0]
    told += [(ended, Direction.NOTE, note.encode()) for note in notes]
    surplus = len(told) - MAX_LINES
    if surplus > 0:
        half = MAX_LINES // 2
        told[half : half + surplus + 1] = [(told[half][0], Direction.NOTE, left_out(surplus + 1).encode())]
    return tuple(TranscriptLine(direction, escape(line), (at - began) * 1000) for at, direction, line in told)


def _lines(exchange: Exchange) -> Iterator[tuple[float, Direction, bytes]]:
    for line in split(exchange.data):
        yield exchange.at, exchange.direction, line
    answers = chain.from_iterable(((at, raw) for raw, _ in replies) for at, replies in exchange.heard)
    stop = None if exchange.taken is None else exchange.skipped + exchange.taken
    for at, raw in islice(answers, exchange.skipped, stop):
        for line in split(raw):
            yield at, Direction.SERVER, line
