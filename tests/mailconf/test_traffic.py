"""The charts of the dashboard: their numbers are the database's, and what is missing is said."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.cache import cache
from django.db import DatabaseError
from django.urls import reverse
from django.utils import timezone

from delivery import queue, stats
from delivery.models import Backlog
from mailconf import traffic
from mailconf.periods import Period, starts
from tests.builders import a_profile
from tests.delivery.queueing import claimed, enqueued, statements
from tests.pages import assert_strict, client_of, text_of

pytestmark = pytest.mark.django_db

HOME = reverse("admin:index")
#: A cell that is not a column's head, tags left out.
CELL = re.compile(r"<t[dh][^>]*>([^<]*)</t[dh]>")


@pytest.fixture(autouse=True)
def past_the_first_steps(request):
    """A message has left: before, a checklist stands where the charts are."""
    cache.clear()
    if "first_steps" in request.node.name:
        return
    profile, lease = a_profile(name="EU relay"), queue.register_worker()
    enqueued(1)
    message = claimed(lease, profile_id=profile.pk)[0].message_id
    queue.finish(lease, [queue.Finished(message, queue.SmallState.SENT, 1, profile.pk, 250)])


def page(period="24h", role="viewer", **options):
    cache.clear()
    answer = client_of(role, **options).get(HOME, {"period": period})
    assert answer.status_code == 200
    assert_strict(answer)
    return answer


def section(answer):
    """The HTML of the section with the charts; "" where there is none."""
    found = re.search(
        r'<section class="mc-card" id="traffic".*?</section>', answer.content.decode(), re.DOTALL
    )
    return found[0] if found else ""


def rows(answer):
    """The table, newest first: its name and three numbers each."""
    body = re.search(r"<tbody>.*?</tbody>", section(answer), re.DOTALL)[0]
    return [CELL.findall(row) for row in body.split("<tr>")[1:]]


def sent(number, failed=0, *, hours=0, profile=7, worker=1):
    minute = timezone.now().replace(second=0, microsecond=0) - timedelta(hours=hours)
    queue.add_stats([queue.StatRow(minute, profile, worker, sent=number, failed=failed)])


def waited(number, *, hours=0):
    Backlog.objects.create(minute=timezone.now() - timedelta(hours=hours), waiting=number)


def test_without_traffic_the_page_says_so():
    waited(0)
    html = section(page())
    assert "No traffic in this period." in html
    assert "mc-plot " not in html
    assert "Show as table" not in html


def test_the_first_steps_stand_in_their_place():
    sent(3)
    assert section(page()) == ""


def test_one_row_is_a_chart_a_sentence_and_a_row_of_the_table():
    sent(3, 1)
    waited(5)

    answer = page()

    html = section(answer)
    assert html.count('role="img"') == 2
    assert 'aria-label="Messages per hour, last 24 hours: 3 sent, 1 failed. The most: ' in html
    assert html.count('class="is-failed" fill=') == 1
    assert rows(answer)[0][1:] == ["3", "1", "5"]
    assert [row[1:] for row in rows(answer)[1:]] == [["0", "0", "-"]] * 23


@pytest.mark.parametrize(("period", "spans"), [("24h", 24), ("7d", 28), ("30d", 30)])
def test_the_numbers_are_those_of_the_database(period, spans):
    for hours in (0, 2, 2, 23, 100, 500):
        for profile in (7, 8):
            sent(10 + hours, 1, hours=hours, profile=profile)
            sent(1000, worker=2, profile=profile)
    begun = starts(Period(period), timezone.localtime())
    expected = stats.traffic(begun)

    answer = page(period)

    assert len(rows(answer)) == spans
    told = [(int(row[1].replace(",", "")), int(row[2])) for row in reversed(rows(answer))]
    assert told == [(one.sent, one.failed) for one in expected]
    total = f"{sum(one.sent for one in expected):,}"
    assert f"Sent <strong>{total}</strong>" in section(answer)
    assert f'href="?period={period}#traffic" aria-current="true"' in section(answer)


@pytest.mark.parametrize("period", ["", "zz", "24H", "30d;--", "<script>", "7d\x00", "9" * 500])
def test_a_period_that_is_none_is_a_day(period):
    sent(3)
    answer = page(period)
    assert 'href="?period=24h#traffic" aria-current="true"' in section(answer)
    assert "<script>" not in section(answer)


def test_huge_numbers_are_drawn_and_said():
    for worker in range(1, 4):
        sent(2**31 - 1, 2**31 - 1, worker=worker)
    Backlog.objects.create(minute=timezone.now(), waiting=2**31 - 1)
    assert rows(page())[0][1:] == ["6,442,450,941", "6,442,450,941", "2,147,483,647"]


def broken(*_args):
    raise DatabaseError("statement timeout")


def test_a_broken_aggregate_is_told_and_the_other_is_drawn(monkeypatch, caplog):
    sent(3)
    waited(5)
    monkeypatch.setattr(stats, "waiting", broken)
    answer = page()
    assert "Not available" in section(answer)
    assert section(answer).count('role="img"') == 1
    assert rows(answer)[0][1:] == ["3", "0", "-"]

    monkeypatch.setattr(stats, "traffic", broken)
    answer = page()
    assert "Not available" in section(answer)
    assert 'role="img"' not in section(answer)
    assert "statement timeout" not in text_of(answer)
    assert "not available" in caplog.text


def test_what_nobody_noted_is_a_gap_and_no_zero():
    sent(3)
    assert "Not noted in this period." in section(page())
    waited(0)
    assert "Nothing waited in this period." in section(page())
    waited(4, hours=3)
    answer = page()
    assert [row[3] for row in rows(answer)[:5]] == ["0", "-", "-", "4", "-"]
    assert re.search(r'class="is-level" d="M20 0.0H21M23 160.0H24"', section(answer))


def test_only_who_may_see_messages_sees_how_many_there_are():
    sent(3)
    assert section(page(role="staff")) == ""
    assert section(page(role="staff", permissions=["smtp_settings.view_smtpprofile"])) == ""
    seen = section(page(role="staff", permissions=["delivery.view_message"]))
    assert "Sent <strong>3</strong>" in seen
    assert "EU relay" not in seen


def test_the_charts_read_the_minutes_only_and_are_drawn_once_for_a_while():
    sent(3)
    cache.clear()
    with statements() as seen:
        first = traffic.drawn(Period.WEEK)
        assert traffic.drawn(Period.WEEK) == first

    asked = [sql for sql in seen if "SAVEPOINT" not in sql]
    assert len(asked) == 2
    assert not re.search("queueentry|delivery_message|failure", " ".join(asked))


def test_an_hour_that_comes_twice_is_two_rows_named_by_their_clock():
    now = datetime(2026, 10, 25, 4, 10, tzinfo=ZoneInfo("Europe/Berlin"))
    begun = starts(Period.DAY, now)
    for number, at in enumerate(begun):
        queue.add_stats([queue.StatRow(at + timedelta(minutes=5), 7, 1, sent=number)])

    assert [one.sent for one in stats.traffic(begun)] == list(range(24))
    local = [at.astimezone(now.tzinfo) for at in begun]
    assert traffic._axis(Period.DAY, local).names[-4:] == [
        "Sun 02:00 CEST\N{EN DASH}02:00 CET",
        "Sun 02:00\N{EN DASH}03:00",
        "Sun 03:00\N{EN DASH}04:00",
        "Sun, since 04:00",
    ]


@pytest.mark.parametrize(
    ("period", "marks"),
    [
        (Period.DAY, ["20:00", "00:00", "04:00", "08:00", "12:00", "16:00"]),
        (Period.WEEK, ["Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Mon"]),
        (Period.MONTH, ["4 Oct", "9 Oct", "14 Oct", "19 Oct", "24 Oct", "29 Oct"]),
    ],
)
def test_the_axis_has_few_names_in_the_readers_zone(period, marks):
    now = datetime(2026, 10, 31, 16, 5, tzinfo=ZoneInfo("Asia/Kolkata"))
    now += timedelta(days=2 if period is Period.WEEK else 0)
    local = [at.astimezone(now.tzinfo) for at in starts(period, now)]
    found = traffic._axis(period, local).marks
    assert [mark for mark in found if mark] == marks


def test_the_zone_of_the_reader_cuts_the_days():
    minute = timezone.now().replace(minute=0, second=0, microsecond=0)
    queue.add_stats([queue.StatRow(minute, 7, 1, sent=3)])
    for zone in ("Asia/Kolkata", "America/Los_Angeles"):
        with timezone.override(zone):
            found = traffic.drawn(Period.DAY)
            assert f"since {timezone.localtime().replace(minute=0):%H:%M}" in found.rows
