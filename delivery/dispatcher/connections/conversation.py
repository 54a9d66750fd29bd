"""A conversation with a server as an attempt keeps it: a line each, "C: ", "S: " or "- " before it.

Plain text, because it says as much as JSON in a third of the room.
"""

from collections.abc import Sequence

from transports.base import Direction, TranscriptLine

#: UTF-8 octets that are kept: the first half and the last.
MOST_BYTES = 8192
#: Longer waits are told.
WAIT_MS = 1000.0

_MARKS = {Direction.CLIENT: "C: ", Direction.SERVER: "S: ", Direction.NOTE: "- "}
_GAP = "- {} lines are left out."


def written(lines: Sequence[TranscriptLine]) -> str:
    """Return the lines as one text of at most 8 KB; its middle goes first."""
    told: list[str] = []
    before = lines[0].at_ms if lines else 0.0
    for line in lines:
        if (wait := line.at_ms - before) >= WAIT_MS:
            told.append(f"- {wait / 1000:.1f} s later")
        told.append(_MARKS[line.direction] + line.text)
        before = line.at_ms
    return "\n".join(_shortened(told))


def _shortened(told: list[str]) -> list[str]:
    if _size(told) <= MOST_BYTES:
        return told
    half = (MOST_BYTES - len(_GAP) - 10) // 2
    first = _fitting(told, half)
    last = _fitting(told[: first - 1 : -1] if first else told[::-1], half)
    end = len(told) - last
    return [*told[:first], _GAP.format(end - first), *told[end:]]


def _fitting(told: Sequence[str], most_bytes: int) -> int:
    """Return how many lines from the start have room."""
    for count, line in enumerate(told):
        most_bytes -= _size([line])
        if most_bytes < 0:
            return count
    return len(told)


def _size(told: Sequence[str]) -> int:
    return sum(len(line.encode()) + 1 for line in told)
