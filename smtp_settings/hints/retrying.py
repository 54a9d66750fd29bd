"""When a message would be tried again, in a sentence."""

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

_MINUTE = 60
_HOUR = 3600


def steps(retry_delay: int, retry_cap: int, *, is_exponential: bool) -> list[int]:
    """Return the delays in seconds as they grow, each once; every later retry waits as long as the last.

    Before jitter. Both numbers are at least 1.

    >>> steps(60, 300, is_exponential=True)
    [60, 120, 240, 300]
    """
    found = [min(retry_delay, retry_cap)]
    while is_exponential and found[-1] < retry_cap:
        found.append(min(found[-1] * 2, retry_cap))
    return found


def sentence(
    retry_delay: int, retry_cap: int, *, is_exponential: bool, max_retries: int | None, give_up_hours: int
) -> str:
    """Say when retries come and what ends them: their number, or the age of the message."""
    if max_retries == 0:
        return _("Never tried again.")
    delays = steps(retry_delay, retry_cap, is_exponential=is_exponential)
    if max_retries is None or _total(delays, max_retries) >= give_up_hours * _HOUR:
        ending = ngettext("given up after %(n)d hour", "given up after %(n)d hours", give_up_hours)
        return _joined(_times(_before_the_end(delays, give_up_hours)), ending % {"n": give_up_hours})
    ending = ngettext("given up after %(n)d retry", "given up after %(n)d retries", max_retries)
    is_once = max_retries == 1
    return _joined(_times(delays[:max_retries], is_once=is_once), ending % {"n": max_retries})


def _joined(times: str, ending: str) -> str:
    return _("Tried again %(times)s, %(ending)s.") % {"times": times, "ending": ending}


def _total(delays: list[int], retries: int) -> int:
    """Return the seconds that so many retries take."""
    return sum(delays[:retries]) + max(0, retries - len(delays)) * delays[-1]


def _before_the_end(delays: list[int], give_up_hours: int) -> list[int]:
    """Leave out the delays that would begin after a message was given up."""
    begins = [sum(delays[:n]) for n in range(len(delays))]
    return [delay for delay, begin in zip(delays, begins, strict=True) if begin < give_up_hours * _HOUR]


def _times(delays: list[int], *, is_once: bool = False) -> str:
    """Show delays: "every 5 minutes", "after 1, 2, 4 minutes", "after 1, 2, 4 … 240 minutes"."""
    if len(delays) == 1 and not is_once:
        if delays[0] in (1, _MINUTE):
            return _("every minute") if delays[0] == _MINUTE else _("every second")
        return _("every %(time)s") % {"time": _spelled(delays)}
    if len(delays) <= 4:
        return _("after %(times)s") % {"times": _spelled(delays)}
    first, last = delays[:3], delays[-1:]
    if _unit(first) == _unit(last):
        times = f"{', '.join(map(_shown, first, [_unit(first)] * 3))} … {_spelled(last)}"
    else:
        times = f"{_spelled(first)} … {_spelled(last)}"
    return _("after %(times)s") % {"times": times}


def _spelled(delays: list[int]) -> str:
    """Show some delays with their unit once, behind the last."""
    unit = _unit(delays)
    shown = {"times": ", ".join(_shown(delay, unit) for delay in delays)}
    number = delays[-1] // unit if len(delays) == 1 else 2  # several are many
    if unit == _MINUTE:
        return ngettext("%(times)s minute", "%(times)s minutes", number) % shown
    return ngettext("%(times)s second", "%(times)s seconds", number) % shown


def _unit(delays: list[int]) -> int:
    return _MINUTE if all(delay % _MINUTE == 0 for delay in delays) else 1


def _shown(seconds: int, unit: int) -> str:
    return str(number_format(seconds // unit, force_grouping=True))
