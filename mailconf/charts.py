"""Numbers -> SVG: the inside of a chart, drawn in one pass; pure.

Widths are shares of whatever width the page has and heights are pixels, so text and lines keep their size on
a phone and on a wide window. Colours are classes (dashboard.css): nothing here needs a style attribute. What
is drawn is for the eyes: the page says it in a label and in a table, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

#: Of the plot without its labels, pixels.
HEIGHT = 160
#: What is there is seen: one failure beside ten thousand messages, pixels.
_LEAST = 2.5
#: The share of a span that its bar fills.
_FILLED = 0.74
_MOST_STEPS = 5
_UNITS = tuple((1000**power, letter) for power, letter in zip(range(6, 0, -1), "EPTGMk", strict=True))


@dataclass(frozen=True, slots=True)
class Span:
    """One span of time: `title` is its tooltip, `mark` its name on the axis, "" for none.

    `values` are numbers from the bottom up; None where nobody knows them.
    """

    title: str
    values: tuple[int, ...] | None
    mark: str = ""


def bars(spans: Sequence[Span], looks: Sequence[str], *, centred: bool = False) -> str:
    """Draw a bar for each span, its values one on the other, each with the attributes of its look.

    A mark stands at the beginning of its span, with a line, or `centred` below it.
    """
    levels = ticks(max((sum(span.values or ()) for span in spans), default=0))
    top = levels[-1]
    width = 100 / max(len(spans), 1)
    bar = _share(width * _FILLED)
    drawn = [*_frame(spans, levels, centred=centred)]
    for number, span in enumerate(spans):
        x = _share((number + (1 - _FILLED) / 2) * width)
        foot, parts = float(HEIGHT), []
        for value, look in zip(span.values or (), looks, strict=False):
            if value:
                high = max(value * HEIGHT / top, _LEAST)
                foot -= high
                parts.append(f'<rect {look} x="{x}%" y="{foot:.1f}" width="{bar}%" height="{high:.1f}"/>')
        drawn.append(_column(number, width, span.title, "".join(parts)))
    return "".join(drawn)


def steps(spans: Sequence[Span], *, centred: bool = False) -> str:
    """Draw a level, flat over each span, with the ground below it; where it is not known there is a gap."""
    values = [span.values[0] if span.values else None for span in spans]
    levels = ticks(max((value for value in values if value is not None), default=0))
    top = levels[-1]
    width = 100 / max(len(spans), 1)
    line, ground = [], []
    for first, run in _runs(values):
        heights = [f"{HEIGHT - value * HEIGHT / top:.1f}" for value in run]
        path = "V".join(f"{y}H{first + number}" for number, y in enumerate(heights, 1))
        line.append(f"M{first} {path}")
        ground.append(f"M{first} {HEIGHT}V{path}V{HEIGHT}Z")
    level = (
        f'<svg width="100%" height="{HEIGHT}" viewBox="0 0 {max(len(spans), 1)} {HEIGHT}"'
        ' preserveAspectRatio="none" overflow="visible">'
        f'<path class="is-ground" d="{"".join(ground)}"/>'
        f'<path class="is-level" d="{"".join(line)}" vector-effect="non-scaling-stroke"/></svg>'
    )
    columns = [_column(number, width, span.title, "") for number, span in enumerate(spans)]
    return "".join([*_frame(spans, levels, centred=centred), level, *columns])


def ticks(most: int) -> list[int]:
    """Return round numbers from 0 to at least `most`: at most five steps of 1, 2, 5, 10, 20 and so on.

    >>> ticks(0), ticks(3), ticks(1130)
    ([0, 1], [0, 1, 2, 3], [0, 500, 1000, 1500])
    """
    most = max(most, 1)
    least = -(-most // _MOST_STEPS)
    power = 10 ** (len(str(least)) - 1)
    step = next(round_one * power for round_one in (1, 2, 5, 10) if round_one * power >= least)
    return list(range(0, most + step, step))


def short(levels: Sequence[int]) -> list[str]:
    """Write round numbers in few characters, all in the unit of the largest.

    >>> short([0, 500, 1000]), short([0, 5000, 10_000]), short([0, 500_000, 1_000_000])
    (['0', '500', '1,000'], ['0', '5k', '10k'], ['0', '0.5M', '1M'])
    """
    unit, letter = 1, ""
    if levels[-1] >= 10_000:
        unit, letter = next((unit, letter) for unit, letter in _UNITS if levels[-1] >= unit)
    return [f"{level / unit:,.7g}{letter}" if level else "0" for level in levels]


def _frame(spans: Sequence[Span], levels: Sequence[int], *, centred: bool) -> Iterator[str]:
    """Draw the lines of the round numbers and the names of the spans."""
    for level, written in zip(levels, short(levels), strict=True):
        y = f"{HEIGHT - level * HEIGHT / levels[-1]:.1f}"
        kind = "is-line" if level else "is-base"
        yield f'<line class="{kind}" x2="100%" y1="{y}" y2="{y}"/><text class="is-number" x="-8" y="{y}">'
        yield f"{written}</text>"
    spare = " is-spare is-long" if centred else " is-spare"  # every second one is left out on small phones
    named = [(number, span.mark) for number, span in enumerate(spans) if span.mark]
    for place, (number, mark) in enumerate(named):
        x = _share((number + centred / 2) * 100 / len(spans))
        if not centred:
            yield f'<line class="is-tick" x1="{x}%" x2="{x}%" y1="{HEIGHT}" y2="{HEIGHT + 5}"/>'
        kind = f"is-mark{spare}" if place % 2 else "is-mark"
        yield f'<text class="{kind}" x="{x}%" y="{HEIGHT + 19}">{escape(mark)}</text>'


def _column(number: int, width: float, title: str, parts: str) -> str:
    """Draw what is in one span; the whole of its column has its tooltip."""
    return (
        f'<g class="is-span"><title>{escape(title)}</title>'
        f'<rect class="is-column" x="{_share(number * width)}%" width="{_share(width)}%" height="{HEIGHT}"/>'
        f"{parts}</g>"
    )


def _runs(values: Sequence[int | None]) -> Iterator[tuple[int, list[int]]]:
    """Yield what is known in one piece, each with where it begins."""
    run: list[int] = []
    for number, value in enumerate([*values, None]):
        if value is not None:
            run.append(value)
        elif run:
            yield number - len(run), run
            run = []


def _share(percent: float) -> str:
    return f"{percent:.3f}".rstrip("0").rstrip(".")
