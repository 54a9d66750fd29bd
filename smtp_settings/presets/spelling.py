"""How far apart two names are."""

import re


def distance(one: str, other: str, *, most: int = 2) -> int:
    """Return the letters to add, drop, change or swap (neighbours) between two names; over `most`: most + 1.

    The optimal string alignment distance (Damerau 1964), row by row.

    >>> distance("smtp.gmial.com", "smtp.gmail.com")
    1
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        earlier, before, row = before, row, [i]
        for j, facing in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != facing))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == facing:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def is_near(one: str, other: str) -> bool:
    """Whether a name looks like another with one or two letters wrong.

    Short names are near to many: they may have one wrong letter. Names with other digits are siblings
    (`mail1`, `mail2`), not mistakes; the same digits in another order may be one (`office356`).
    """
    if one == other or _are_siblings(one, other):
        return False
    allowed = 1 if len(other) < 12 else 2
    return distance(one, other, most=allowed) <= allowed


def _are_siblings(one: str, other: str) -> bool:
    digits = [sorted(re.findall("[0-9]", name)) for name in (one, other)]
    return digits[0] != digits[1] and re.sub("[0-9]", "", one) == re.sub("[0-9]", "", other)
