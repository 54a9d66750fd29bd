"""The order of the tests: those that wait stand beside those that work, in every process.

pytest-django sorts by what a test does with the database, so all that wait for workers, browsers and servers
would stand in one piece, and whoever gets it leaves the processors idle for minutes. What `spread` returns is
cut into equal parts by `pytest -n … --dist worksteal`; who has done his takes from the end of another's part.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import chain, groupby
from typing import TypeVar

Item = TypeVar("Item")

#: Tests of one file stay together in runs of so many: what a file keeps in memory is made a few times only.
_RUN = 20
#: The tests that wait stand in this share of a part; the others behind them even out who ends first.
_SHARE = 0.8


def spread(
    items: Sequence[Item],
    parts: int,
    *,
    waits: Callable[[Item], bool],
    file_of: Callable[[Item], Hashable],
    is_whole: Callable[[Item], bool],
) -> list[Item]:
    """Deal the tests out to so many parts, as they stand, and mix those that wait evenly into each.

    The tests of a file that `is_whole` stay together: they share what takes long to make.
    """
    runs = list(_runs(filter(waits, items), file_of, is_whole, 1))
    patient = [runs[number::parts] for number in range(parts)]
    sizes = [sum(map(len, part)) for part in patient]
    busy: list[list[list[Item]]] = [[] for _ in range(parts)]
    for run in _runs((item for item in items if not waits(item)), file_of, is_whole, _RUN):
        smallest = sizes.index(min(sizes))
        busy[smallest].append(run)
        sizes[smallest] += len(run)
    return [item for waiting, working in zip(patient, busy, strict=True) for item in _mixed(waiting, working)]


def _runs(items, file_of, is_whole, most) -> Iterator[list]:
    """Cut into runs of one file each."""
    for _file, found in groupby(items, file_of):
        run = list(found)
        size = len(run) if is_whole(run[0]) else most
        yield from (run[start : start + size] for start in range(0, len(run), size))


def _mixed(waiting, working) -> Iterator:
    """Put the runs that wait at even distances between the others."""
    places = [
        *(((number + 0.5) / len(waiting) * _SHARE, run) for number, run in enumerate(waiting)),
        *(((number + 0.5) / len(working), run) for number, run in enumerate(working)),
    ]
    return chain.from_iterable(run for _place, run in sorted(places, key=lambda place: place[0]))
