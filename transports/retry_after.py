"""HTTP's Retry-After as words of a reply, where the wait that a server asks for is looked for."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

#: No header asks for more: six digits of seconds are eleven days.
_MOST = 999_999


def with_wait(text: str, headers: Mapping[str, str]) -> str:
    """Add the wait that an answer asks for, in seconds; `headers` have lower-case names.

    A date counts from the server's own clock, so that neither has to be right.

    >>> with_wait("Slow down", {"retry-after": "120"})
    'Slow down (Retry-After: 120)'
    >>> at = {"date": "Fri, 20 Nov 2026 12:00:00 GMT", "retry-after": "Fri, 20 Nov 2026 12:05:00 GMT"}
    >>> with_wait("Slow down", at)
    'Slow down (Retry-After: 300)'
    """
    seconds = _seconds(headers.get("retry-after", "").strip(), headers.get("date", ""))
    return text if seconds is None else f"{text} (Retry-After: {seconds})".strip()


def _seconds(wait: str, date: str) -> int | None:
    if wait.isascii() and wait.isdecimal():
        return min(int(wait[:12]), _MOST)
    until = _moment(wait)
    if until is None:
        return None
    now = _moment(date)
    seconds = until - (time.time() if now is None else now)
    return min(int(seconds), _MOST) if seconds > 0 else None


def _moment(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
