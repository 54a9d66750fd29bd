"""What an address asks of a list: numbers, since when, and which replies; read, and said in words."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from delivery import jobs
from delivery.showing import clock

#: What no number of a row passes.
_LARGEST_INT = 2**31 - 1
#: The spans that are offered.
PERIODS = {"hour": _("Last hour"), "today": _("Today"), "week": _("Last 7 days")}
#: The classes of replies that are offered.
REPLIES = {"4": _("4xx: temporary"), "5": _("5xx: permanent"), jobs.NO_REPLY: _("No reply")}


def number_of(text: str, *, most: int = _LARGEST_INT) -> int | None:
    """Read a number of a row; None for anything else."""
    is_number = text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if is_number and int(text) <= most else None


def since_of(text: str) -> datetime | None:
    """Read since when: a span's word, or a moment with its zone; None for anything else."""
    now = timezone.now()
    match text:
        case "hour":
            return now - timedelta(hours=1)
        case "today":
            return timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
        case "week":
            return now - timedelta(days=7)
        case _:
            return _moment_of(text)


def _moment_of(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus that nobody has quoted
    except ValueError:
        return None
    return moment if moment.tzinfo is not None and moment.year > 1 else None


def reply_of(text: str) -> str:
    """Read a class of replies or a code; "" for anything else."""
    return text if text == jobs.NO_REPLY or jobs.reply_range(text) is not None else ""


def period_words(since: datetime | None) -> str:
    """Say since when."""
    return gettext("since %(moment)s") % {"moment": clock(since)} if since else gettext("Any time")


def reply_words(reply: str) -> str:
    """Say which replies."""
    return str(REPLIES.get(reply, reply))
