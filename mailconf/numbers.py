"""Numbers and spans as pages show them; one that cannot be had is "-"."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from django.core.cache import cache
from django.db import DatabaseError, transaction
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from delivery import stats

logger = logging.getLogger("mailconf.pages")
T = TypeVar("T")

#: A worker unheard of for longer is an alert: beat wakes one every 15 s, and a session is silent after 45 s.
SILENCE = timedelta(seconds=90)
#: So old a number may be: pages are reloaded more often than numbers change their meaning.
KEPT_SECONDS = 10
#: The command that starts what sends, without containers.
WORKER_COMMAND = "celery --app mailconf.celery worker --beat --queues mail,work"


def available(question: Callable[[], T]) -> T | None:
    """Return the answer, or None where the database did not give one."""
    try:
        with transaction.atomic():  # a failed statement spoils nothing else
            return question()
    except DatabaseError:
        logger.exception("A number of the dashboard is not available")
        return None


def kept(name: str, question: Callable[[], T]) -> T | None:
    """Return the answer to a question, at most ten seconds old in this process; None as `available`."""
    return remembered(name, lambda: available(question), KEPT_SECONDS)


def remembered(name: str, make: Callable[[], T | None], seconds: int) -> T | None:
    """Return what was made at most so many seconds ago in this process; None is not kept."""
    key = f"mailconf.numbers.{name}.{get_language()}"
    known: T | None = cache.get(key)
    if known is None:
        known = make()
        if known is not None:
            cache.set(key, known, seconds)
    return known


def oldest_age() -> timedelta | None:
    """Return how long the oldest due message has waited; None when none is due, or it is not known."""
    at = kept("oldest", stats.oldest_ready_at)
    return max(timezone.now() - min(at.values()), timedelta()) if at else None


def shown(number: int | None) -> str:
    """Show a number with separators; a capped one says that there are more, one not to be had is "-"."""
    if number is None:
        return "-"
    return f"{stats.CAP - 1:,}+" if number >= stats.CAP else f"{number:,}"


def span(age: timedelta) -> str:
    """Show a time span in its largest unit.

    >>> span(timedelta(seconds=40)), span(timedelta(minutes=47)), span(timedelta(hours=30))
    ('40 s', '47 min', '30 h')
    """
    seconds = int(age.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 120:  # an hour and a half is clearer in minutes
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else _("%(n)d days") % {"n": hours // 24}
