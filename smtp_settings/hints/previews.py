"""What numbers of the form come to, in a sentence each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from smtp_settings.hints import retrying
from smtp_settings.hints.hint import Known, Seen, see
from smtp_settings.hints.limits import is_above


@dataclass(frozen=True, slots=True)
class Preview:
    """A sentence below a field; `is_over`: it is more than the provider allows."""

    field: str
    sentence: str
    is_over: bool = False


def previews(values: Mapping[str, str]) -> list[Preview]:
    """Return the sentences for the rates, the send offset and the retries that the form holds now.

    A number that is missing or cannot be read gives no sentence.
    """
    seen = see(values, Known())
    return [*_rate(seen), *_offset(seen), *_retries(seen)]


def _rate(seen: Seen) -> Iterator[Preview]:
    """Say what a limit comes to over longer times, unless one of those has a lower limit of its own."""
    minute, hour, day = (seen.number(name) for name in ("per_minute", "per_hour", "per_day"))
    if minute and not 0 < hour < minute * 60 and not 0 < day < minute * 60:
        yield _preview(seen, "per_minute", minute, _per_minute(minute, day))
    if hour and not day and not 0 < minute * 60 < hour:
        sentence = _("%(n)s per hour is about %(day)s a day.") % {"n": _n(hour), "day": _n(hour * 24)}
        yield _preview(seen, "per_hour", hour, sentence)


def _per_minute(minute: int, day: int) -> str:
    said = {"n": _n(minute), "hour": _n(minute * 60), "day": _n(minute * 60 * 24)}
    if day and day < minute * 60 * 24:
        return _("%(n)s per minute is about %(hour)s an hour.") % said
    return _("%(n)s per minute is about %(hour)s an hour, %(day)s a day.") % said


def _preview(seen: Seen, field: str, number: int, sentence: str) -> Preview:
    return Preview(field, sentence, bool(seen.preset and is_above(field, number, seen.preset)))


def _offset(seen: Seen) -> Iterator[Preview]:
    """How many messages a send offset lets through in an hour."""
    if seconds := seen.number("send_offset"):
        said = {"seconds": _n(seconds), "n": _n(3600 // seconds)}
        if seconds > 3600:
            sentence = _("One message every %(seconds)s seconds: less than one an hour.")
        elif seconds == 1:
            sentence = _("One message every second: at most %(n)s an hour.")
        else:
            sentence = _("One message every %(seconds)s seconds: at most %(n)s an hour.")
        yield Preview("send_offset", sentence % said)


def _retries(seen: Seen) -> Iterator[Preview]:
    delay, cap, hours = (seen.number(name) for name in ("retry_delay", "retry_cap", "give_up_hours"))
    limit = seen.values.get("max_retries", "").strip()
    is_readable = not limit or (limit.isascii() and limit.isdigit() and len(limit) < 6)
    if not is_readable or not 0 < delay <= cap or hours < 1:
        return
    is_exponential = seen.values.get("backoff", "exponential") == "exponential"
    said = retrying.sentence(
        delay,
        cap,
        is_exponential=is_exponential,
        max_retries=int(limit) if limit else None,
        give_up_hours=hours,
    )
    yield Preview("retry_delay", said)


def _n(number: int) -> str:
    return str(number_format(number, force_grouping=True))
