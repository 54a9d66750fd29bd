"""What the charts of the dashboard show, in words and pictures: mail sent and failed, and how much waited.

From the minutes' rows only. Drawn once and kept as the numbers are, for all who may see messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from html import escape
from itertools import pairwise

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from delivery import stats
from mailconf import charts
from mailconf.charts import Span
from mailconf.numbers import KEPT_SECONDS, available, remembered
from mailconf.periods import Period, starts

_SENT, _FAILED = 'class="is-sent"', 'class="is-failed" fill="url(#mc-failed)"'
_TO = "\N{EN DASH}"
_NOTHING_DRAWN = SafeString()
_EACH: dict[Period, Promise] = {
    Period.DAY: gettext_lazy("per hour"),
    Period.WEEK: gettext_lazy("per 6 hours"),
    Period.MONTH: gettext_lazy("per day"),
}
_NAMES: dict[Period, tuple[Promise, Promise]] = {
    Period.DAY: (gettext_lazy("24 h"), gettext_lazy("last 24 hours")),
    Period.WEEK: (gettext_lazy("7 d"), gettext_lazy("last 7 days")),
    Period.MONTH: (gettext_lazy("30 d"), gettext_lazy("last 30 days")),
}
#: A month is read from up to a million rows, and looks no different a minute later.
_KEPT_SECONDS = {Period.DAY: KEPT_SECONDS, Period.WEEK: 60, Period.MONTH: 60}


@dataclass(frozen=True, slots=True)
class Key:
    """What a look in a chart stands for, and its number over the whole period."""

    look: str
    word: str
    number: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: `label` says in a sentence what `drawing` shows; without one, `note` says why."""

    title: str
    label: str = ""
    drawing: SafeString = _NOTHING_DRAWN
    note: str = ""
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Drawn:
    """Both charts of a period, their numbers as rows of a table, newest first; `note`: why there is none."""

    charts: tuple[Chart, ...] = ()
    rows: SafeString = _NOTHING_DRAWN
    note: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A period as a link."""

    label: str
    word: str
    is_current: bool


def choices(current: Period) -> list[Choice]:
    """Return the periods there are."""
    return [Choice(str(_NAMES[one][0]), one.value, one is current) for one in Period]


def drawn(period: Period) -> Drawn:
    """Return the charts of a period that ends now, by the clock of the reader's zone."""
    name = f"traffic.{period}.{timezone.get_current_timezone_name()}"
    found = remembered(name, partial(_drawn, period), _KEPT_SECONDS[period])
    return found or Drawn(note=_("Not available"))


def _drawn(period: Period) -> Drawn | None:
    now = timezone.localtime()
    begun = starts(period, now)
    traffic = available(lambda: stats.traffic(begun))
    waiting = available(lambda: stats.waiting(begun))
    if traffic is None and waiting is None:
        return None
    if not any(waiting or ()) and traffic is not None and not any(one.sent or one.failed for one in traffic):
        return Drawn(note=_("No traffic in this period."))
    axis = _axis(period, [at.astimezone(now.tzinfo) for at in begun])
    return Drawn((_traffic(axis, traffic), _waiting(axis, waiting)), _rows(axis, traffic, waiting))


# The two charts


@dataclass(frozen=True, slots=True)
class _Axis:
    """The spans of a period: their names, and those of them that stand below the chart, "" for the others."""

    period: Period
    names: Sequence[str]
    marks: Sequence[str]

    @property
    def is_centred(self) -> bool:
        return self.period is Period.MONTH


def _traffic(axis: _Axis, numbers: Sequence[stats.Traffic] | None) -> Chart:
    title = _("Messages %(each)s") % {"each": _EACH[axis.period]}
    if numbers is None:
        return Chart(title, note=_("Not available"))
    sent, failed = sum(one.sent for one in numbers), sum(one.failed for one in numbers)
    if not sent and not failed:
        return Chart(title, note=_("No traffic in this period."))
    said = _("%(when)s: %(sent)s sent, %(failed)s failed")
    spans = [
        Span(said % {"when": name, "sent": f"{one.sent:,}", "failed": f"{one.failed:,}"}, values, mark)
        for name, one, mark in zip(axis.names, numbers, axis.marks, strict=True)
        for values in [(one.sent, one.failed)]
    ]
    whole = said % {"when": _NAMES[axis.period][1], "sent": f"{sent:,}", "failed": f"{failed:,}"}
    keys = (Key("is-sent", _("Sent"), f"{sent:,}"), Key("is-failed", _("Failed"), f"{failed:,}"))
    drawing = charts.bars(spans, (_SENT, _FAILED), centred=axis.is_centred)
    return Chart(title, _label(f"{title}, {whole}", spans), SafeString(drawing), keys=keys)


def _waiting(axis: _Axis, numbers: Sequence[int | None] | None) -> Chart:
    title = _("Messages waiting")
    if numbers is None:
        return Chart(title, note=_("Not available"))
    known = [number for number in numbers if number is not None]
    if not any(known):
        never = _("Not noted in this period. Workers do so once a minute.")
        return Chart(title, note=_("Nothing waited in this period.") if known else never)
    said, unknown = _("%(when)s: %(n)s at most"), _("%(when)s: not noted")
    spans = [
        Span(unknown % {"when": name}, None, mark)
        if number is None
        else Span(said % {"when": name, "n": f"{number:,}"}, (number,), mark)
        for name, number, mark in zip(axis.names, numbers, axis.marks, strict=True)
    ]
    keys = (Key("is-waiting", _("At most"), f"{max(known):,}"),)
    drawing = charts.steps(spans, centred=axis.is_centred)
    label = _label(f"{title}, {_NAMES[axis.period][1]}", spans)
    return Chart(title, label, SafeString(drawing), keys=keys)


def _label(whole: str, spans: Sequence[Span]) -> str:
    most = max(spans, key=lambda span: sum(span.values or ()))
    return _("%(whole)s. The most: %(span)s.") % {"whole": whole, "span": most.title}


# The same as a table


def _rows(
    axis: _Axis, traffic: Sequence[stats.Traffic] | None, waiting: Sequence[int | None] | None
) -> SafeString:
    """Return a row for each span: sent, failed, waiting; "-" for what is not known."""
    unknown: list[int | None] = [None] * len(axis.names)
    columns = (
        unknown if traffic is None else [one.sent for one in traffic],
        unknown if traffic is None else [one.failed for one in traffic],
        unknown if waiting is None else waiting,
    )
    rows = [
        _ROW.format(escape(name), *map(_number, numbers))
        for name, *numbers in zip(axis.names, *columns, strict=True)
    ]
    return SafeString("".join(reversed(rows)))


_CELL = '<td class="mc-num">{}</td>'
_ROW = f'<tr><th scope="row">{{}}</th>{_CELL * 3}</tr>'


def _number(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


# Times


def _axis(period: Period, local: Sequence[datetime]) -> _Axis:
    return _Axis(period, _names(period, local), _marks(period, local))


def _names(period: Period, local: Sequence[datetime]) -> list[str]:
    """Name the spans by when they begin and end; the last one is not over."""
    day = cache(lambda date: date_format(date, "D" if period is Period.DAY else "D j M"))
    if period is Period.MONTH:
        return [day(at.date()) for at in local]
    between = "" if period is Period.DAY else ","
    names = [
        f"{day(at.date())}{between} {_clock(at, end)}{_TO}{_clock(end, at)}" for at, end in pairwise(local)
    ]
    last = _("%(day)s, since %(at)s") % {"day": day(local[-1].date()), "at": f"{local[-1]:%H:%M}"}
    return [*names, last]


def _clock(at: datetime, other: datetime) -> str:
    """Return the time of day, with the name of its zone where the clocks change until or since the other."""
    return f"{at:%H:%M}" if at.utcoffset() == other.utcoffset() else f"{at:%H:%M %Z}"


def _marks(period: Period, local: Sequence[datetime]) -> list[str]:
    """Name some of the spans on the axis: as many as fit on a phone."""
    if period is Period.MONTH:
        return [date_format(at, "j M") if number % 5 == 2 else "" for number, at in enumerate(local)]
    marks, before = [], local[0]
    for at in local:
        if period is Period.DAY:
            is_named = at.hour % 4 == 0 and (at.hour != before.hour or at is before)
            marks.append(f"{at:%H:%M}" if is_named else "")
        else:
            is_named = at.date() != before.date() or (at is before and at.hour < 6)
            marks.append(date_format(at, "D") if is_named else "")
        before = at
    return marks
