"""Periods cut into spans by the clock of a zone, and numbers drawn as SVG: tables, no database."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailconf import charts
from mailconf.charts import HEIGHT, Span, bars, short, steps, ticks
from mailconf.periods import Period, starts

LOOKS = ('class="is-sent"', 'class="is-failed"')
#: The clocks go forward and back, by an hour or half of one, at two or at midnight; and a day that never was.
CHANGES = [
    ("Europe/Berlin", "2026-03-29 12:34:00"),
    ("Europe/Berlin", "2026-10-25 02:30:00"),
    ("Europe/Berlin", "2026-10-25 12:34:00"),
    ("Australia/Lord_Howe", "2026-04-05 01:45:00"),
    ("Australia/Lord_Howe", "2026-10-04 02:40:00"),
    ("America/Sao_Paulo", "2017-10-15 01:05:00"),
    ("America/Havana", "2026-11-01 00:20:00"),
    ("Pacific/Apia", "2011-12-31 06:00:00"),
    ("Asia/Kolkata", "2026-01-01 00:00:00"),
    ("UTC", "2026-02-28 23:59:59"),
]


def drawn(svg):
    """The elements of what was drawn, which has to be well-formed."""
    return list(ET.fromstring(f"<svg>{svg}</svg>").iter())


def of_class(svg, name):
    return [one for one in drawn(svg) if one.get("class") == name]


def spans_of(*values):
    return [Span(f"zz{number}", value, "") for number, value in enumerate(values)]


# Periods


@pytest.mark.parametrize("word", ["", "zz", "24H", "7d ", "30d'--", "0", None])
def test_an_unknown_period_is_a_day(word):
    assert Period.of(word) is Period.DAY
    assert [Period.of(one.value) for one in Period] == list(Period)


@pytest.mark.parametrize(("zone", "wall"), CHANGES)
@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(("period", "number"), [(Period.DAY, 24), (Period.WEEK, 28), (Period.MONTH, 30)])
def test_spans_follow_each_other_up_to_now_whatever_the_clocks_do(zone, wall, fold, period, number):
    now = datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo(zone), fold=fold)

    found = starts(period, now)

    assert len(found) == number
    assert all(a <= b for a, b in pairwise(found))
    longest = {Period.DAY: 1.5, Period.WEEK: 7, Period.MONTH: 25}[period]  # of Lord Howe, of the others
    assert timedelta() <= now.astimezone(UTC) - found[-1] < timedelta(hours=longest)


def test_an_hour_that_comes_twice_has_two_spans_and_one_that_is_missing_none():
    def clocks(month, day):
        now = datetime(2026, month, day, 4, 10, tzinfo=ZoneInfo("Europe/Berlin"))
        return [f"{at.astimezone(now.tzinfo):%H:%M %Z}" for at in starts(Period.DAY, now)[-4:]]

    assert clocks(10, 25) == ["02:00 CEST", "02:00 CET", "03:00 CET", "04:00 CET"]
    assert clocks(3, 29) == ["00:00 CET", "01:00 CET", "03:00 CEST", "04:00 CEST"]


def test_a_day_of_25_hours_is_one_span_from_midnight_to_midnight():
    zone = ZoneInfo("Europe/Berlin")
    found = starts(Period.MONTH, datetime(2026, 10, 26, 9, 0, tzinfo=zone))
    assert [at.astimezone(zone).hour for at in found] == [0] * 30
    assert found[-1] - found[-2] == timedelta(hours=25)
    assert found[-2] - found[-3] == timedelta(hours=24)


def test_an_hour_of_a_zone_between_hours_begins_by_its_own_clock():
    now = datetime(2026, 1, 1, 10, 40, tzinfo=ZoneInfo("Asia/Kolkata"))
    assert starts(Period.DAY, now)[-1] == datetime(2026, 1, 1, 4, 30, tzinfo=UTC)


# Round numbers


@given(st.integers(0, 2**70))
def test_a_scale_is_round_covers_its_number_and_has_few_lines(most):
    found = ticks(most)
    assert found[0] == 0
    assert most <= found[-1] <= max(2.5 * most, 1)
    assert 2 <= len(found) <= 6
    assert {b - a for a, b in pairwise(found)} == {found[1]}
    assert str(found[1]).rstrip("0") in {"1", "2", "5"}
    assert len(set(short(found))) == len(found)
    assert max(map(len, short(found))) <= 8


@pytest.mark.parametrize(
    ("most", "written"),
    [
        (0, ["0", "1"]),
        (4, ["0", "1", "2", "3", "4"]),
        (640, ["0", "200", "400", "600", "800"]),
        (3_398, ["0", "1,000", "2,000", "3,000", "4,000"]),
        (9_700, ["0", "2k", "4k", "6k", "8k", "10k"]),
        (10**6, ["0", "0.2M", "0.4M", "0.6M", "0.8M", "1M"]),
        (2**63, ["0", "2E", "4E", "6E", "8E", "10E"]),
    ],
)
def test_round_numbers_are_short_and_in_one_unit(most, written):
    assert short(ticks(most)) == written


# Drawing


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None],
        [(0, 0)],
        [(1, 0)],
        [(0, 1)],
        [(10**18, 1), (1, 10**18), None, (0, 0)],
        [(number, number % 3) for number in range(30)],
    ],
)
def test_bars_stand_on_each_other_within_the_plot_and_what_is_there_is_seen(values):
    svg = bars(spans_of(*values), LOOKS)

    assert len(of_class(svg, "is-span")) == len(values)
    shown = [number for value in values for number in value or () if number]
    parts = of_class(svg, "is-sent") + of_class(svg, "is-failed")
    assert len(parts) == len(shown)
    for part in parts:
        assert float(part.get("height")) >= 2
        assert -5 <= float(part.get("y")) < HEIGHT
        assert 0 < float(part.get("x")[:-1]) < 100
    for span in of_class(svg, "is-span"):
        stack = [part for part in span if part.get("class") != "is-column" and part.tag == "rect"]
        feet = [float(part.get("y")) + float(part.get("height")) for part in stack]
        assert feet == pytest.approx(
            [HEIGHT, *(float(part.get("y")) for part in stack)][: len(feet)], abs=0.2
        )


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([None, None], ""),
        ([(5,)], "M0 0.0H1"),
        ([(0,), (4,), (2,)], "M0 160.0H1V0.0H2V80.0H3"),
        ([(1,), None, None, (2,), None], "M0 80.0H1M3 0.0H4"),
        ([None, (10**18,)], "M1 0.0H2"),
    ],
)
def test_a_level_has_a_step_for_each_span_and_a_gap_where_it_is_not_known(values, line):
    (path,) = of_class(steps(spans_of(*values)), "is-level")
    assert path.get("d") == line


def test_words_on_a_chart_are_words():
    hostile = '<script>"&'
    for svg in (bars([Span(hostile, (1, 2), hostile)], LOOKS), steps([Span(hostile, (1,), hostile)])):
        assert "<script" not in svg
        assert [one.text for one in drawn(svg) if one.tag == "title"] == [hostile]
        assert of_class(svg, "is-mark")[0].text == hostile


def test_a_name_stands_where_its_span_begins_or_below_its_middle():
    spans = [Span("zz", (1, 0), mark) for mark in ("", "Mon", "", "")]
    at_the_start, below = bars(spans, LOOKS), bars(spans, LOOKS, centred=True)
    assert [mark.get("x") for svg in (at_the_start, below) for mark in of_class(svg, "is-mark")] == [
        "25%",
        "37.5%",
    ]
    assert [len(of_class(svg, "is-tick")) for svg in (at_the_start, below)] == [1, 0]


def test_every_second_name_can_be_left_out_where_there_is_no_room():
    spans = [Span("zz", (1,), mark) for mark in ("Mon", "", "Tue", "", "Wed")]
    for centred, spare in ((False, "is-mark is-spare"), (True, "is-mark is-spare is-long")):
        svg = steps(spans, centred=centred)
        assert [one.text for one in of_class(svg, "is-mark")] == ["Mon", "Wed"]
        assert [one.text for one in of_class(svg, spare)] == ["Tue"]


def test_nothing_drawn_has_a_style_of_its_own():
    svg = bars(spans_of((3, 1), None), LOOKS) + steps(spans_of((3,), None))
    assert "style=" not in svg
    assert charts.HEIGHT == 160  # the template's height has room for the names below
