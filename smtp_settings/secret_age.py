"""When a password has been in use for too long. Pure: the clock is an argument."""

from datetime import datetime, timedelta


def password_is_old(set_at: datetime | None, now: datetime, days: int) -> bool:
    """Whether a password set at `set_at` is due for another one; never when unknown, or for 0 days.

    >>> from datetime import UTC
    >>> password_is_old(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC), 90)
    True
    """
    return set_at is not None and days > 0 and now - set_at > timedelta(days=days)
