"""Arrays as PostgreSQL reads them, for statements that record a hundred messages at once.

psycopg asks each element for its type and dumps it by itself, which costs 8 % of a drain for the eleven
arrays of `finish`. Here one type is known for all.
"""

from collections.abc import Iterable
from datetime import datetime


def numbers(values: Iterable[int | None]) -> str:
    """Return the array of these numbers or truths; None is NULL.

    >>> numbers([1, None, True])
    '{1,NULL,True}'
    """
    return _array("NULL" if value is None else str(value) for value in values)


def moments(values: Iterable[datetime | None]) -> str:
    """Return the array of these moments, which know their zone; None is NULL."""
    return _array("NULL" if value is None else value.isoformat() for value in values)


def texts(values: Iterable[str | None]) -> str:
    r"""Return the array of these texts, whatever a server wrote into them; None is NULL.

    >>> print(texts(['say "no"', "NULL", None]))
    {"say \"no\"","NULL",NULL}
    """
    return _array("NULL" if value is None else _quoted(value) for value in values)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _array(elements: Iterable[str]) -> str:
    return f"{{{','.join(elements)}}}"
