"""Lists of any length: no count without a limit, and no page that reads a whole table (QUEUE T32)."""

import json
import re
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from delivery.models import Failure, Message, QueueEntry, SmallState
from smtp_settings.admin.records import bounded
from smtp_settings.models import Event, TestRun
from tests.delivery.queueing import enqueued
from tests.pages import client_of, text_of

pytestmark = pytest.mark.django_db

MESSAGES = reverse("admin:delivery_message_changelist")
EVENTS = reverse("admin:smtp_settings_event_changelist")
RUNS = reverse("admin:smtp_settings_testrun_changelist")
#: Rows one step of a plan may read of a table: the window, the newest messages for the counts, some more.
MOST_ROWS = bounded.WINDOW + 10_000


def events(count, **fields):
    Event.objects.bulk_create(Event(kind="profile.saved", **fields) for _ in range(count))


@pytest.fixture
def small(monkeypatch):
    """Lists of some rows behave as those of millions."""
    monkeypatch.setattr(bounded, "WINDOW", 120)
    monkeypatch.setattr(bounded, "COUNT_LIMIT", 100)


def walked(client, url, **parameters):
    """Follow a list to its end; the numbers of its rows."""
    seen, page, link = [], 1, None
    while True:
        response = client.get(url + link) if link else client.get(url, {**parameters, "p": page})
        assert response.status_code == 200
        rows = response.context["cl"]
        seen += [row.pk for row in rows.result_list]
        if rows.page_num < rows.paginator.num_pages:
            page += 1
            if link:  # the next page of the same part
                link = f"{link.split('&p=')[0]}&p={rows.page_num + 1}"
            continue
        found = getattr(rows, "older", None)
        if found is None:
            found = (rows.next_messages or ("",))[0]
        if not found:
            return seen
        link = found


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 120, 121, 260])
def test_the_event_log_shows_every_row_once_however_long_it_is(small, count):
    client = client_of("administrator")
    Event.objects.all().delete()
    events(count)

    assert walked(client, EVENTS) == sorted(Event.objects.values_list("pk", flat=True), reverse=True)


def test_a_filter_that_finds_little_looks_at_a_window_at_a_time(small):
    client = client_of("administrator")
    Event.objects.all().delete()
    events(1, level="error")
    events(300)
    (rare,) = Event.objects.filter(level="error").values_list("pk", flat=True)

    page = client.get(EVENTS, {"level": "error"})

    assert list(page.context["cl"].result_list) == []
    assert "The newest 120 rows were looked through." in text_of(page)
    assert walked(client, EVENTS, level="error") == [rare]


def test_cancelled_messages_are_found_a_window_at_a_time(small):
    old, *rest = enqueued(300)
    Message.objects.filter(pk__in=rest).update(state=SmallState.SENT)
    Message.objects.filter(pk=old).update(state=SmallState.CANCELLED)
    QueueEntry.objects.all().delete()
    client = client_of("viewer")

    assert list(client.get(MESSAGES, {"state": "cancelled"}).context["cl"].result_list) == []
    assert walked(client, MESSAGES, state="cancelled") == [old]
    assert walked(client, MESSAGES, state="sent") == rest[::-1]


def test_an_old_event_still_has_its_page(small):
    client = client_of("administrator")
    events(1)
    first = Event.objects.order_by("pk").first()
    events(300)

    assert client.get(reverse("admin:smtp_settings_event_change", args=[first.pk])).status_code == 200


# A million rows


def a_million(count=1_000_000):
    """Messages that were sent, with here and there one of every other state, and as many events and tests."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO delivery_message"
            " (message_id, mail_from, rcpt_to, rcpt_first, state, done_at, subject)"
            " SELECT '<' || n || '@example.com>', 'a@example.com', ARRAY['b' || n || '@example.com'],"
            "  'b' || n || '@example.com', CASE WHEN n %% 50000 = 0 THEN 5 WHEN n %% 3 = 0 THEN 3"
            "  WHEN n %% 5 = 0 THEN 1 ELSE 2 END, now(), 'Report' FROM generate_series(1, %s) n",
            [count],
        )
        cursor.execute(
            "INSERT INTO delivery_queueentry (message_id, pool_id, attempts, uncertain)"
            " SELECT id, 1, id %% 2, id %% 100000 = 0 FROM delivery_message WHERE state = 1",
            [],
        )
        cursor.execute(
            "INSERT INTO delivery_failure (message_id, state, pool_id, priority, uncertain)"
            " SELECT id, state, 1, 2, id %% 100000 = 0 FROM delivery_message WHERE state = 3",
            [],
        )
        cursor.execute(
            "INSERT INTO smtp_settings_event (at, kind, level, data)"
            " SELECT now(), 'profile.saved', CASE WHEN n %% 500000 = 0 THEN 'error' ELSE 'info' END,"
            "  jsonb_build_object('name', 'P' || n) FROM generate_series(1, %s) n",
            [count],
        )
        run = TestRun.objects.create(profile_uuid=uuid.uuid4(), settings={}, recipients=[])
        columns = [f.column for f in TestRun._meta.concrete_fields if f.column not in ("id", "uuid")]
        listed = ", ".join(columns)
        cursor.execute(
            f"INSERT INTO smtp_settings_testrun (uuid, {listed})"
            f" SELECT gen_random_uuid(), {listed} FROM smtp_settings_testrun, generate_series(1, %s) n"
            " WHERE id = %s",
            [count // 5, run.pk],
        )
        cursor.execute("ANALYZE")


def rows_read(plan):
    """How many rows each step of a plan read of which table."""
    if table := plan.get("Relation Name"):
        rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        yield table, rows * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from rows_read(part)


@pytest.mark.long
def test_no_list_reads_a_table_from_end_to_end():
    a_million()
    client = client_of("administrator")
    some = Message.objects.order_by("pk").values_list("pk", flat=True)[500_000]
    addresses = [(MESSAGES, {})]
    addresses += [
        (MESSAGES, {"state": state})
        for state in (
            "queued",
            "sending",
            "deferred",
            "sent",
            "failed",
            "held",
            "cancelled",
            "expired",
            "suppressed",
        )
    ]
    addresses += [(MESSAGES, {"q": term}) for term in ("b", "b77777", "nobody", f"#{some}")]
    addresses += [(MESSAGES, {"uncertain": "1"}), (MESSAGES, {"before": some}), (MESSAGES, {"p": 200})]
    addresses += [(EVENTS, {}), (EVENTS, {"level": "error"}), (EVENTS, {"q": "nobody"}), (EVENTS, {"p": 200})]
    addresses += [(RUNS, {}), (RUNS, {"state": "passed"}), (RUNS, {"q": "x"}), (RUNS, {"o": "3"})]

    found = []
    for url, parameters in addresses:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(url, parameters).status_code == 200
        asked = [query["sql"] for query in queries if query["sql"].lstrip().startswith(("SELECT", "WITH"))]
        found += [(url, parameters, sql) for sql in asked]

    assert len({sql for _, _, sql in found}) > len(addresses)
    for url, parameters, sql in found:
        if "COUNT(" in sql.upper() and re.search(r"delivery_message|queueentry|failure|_event|_testrun", sql):
            assert "LIMIT" in sql, (url, parameters, sql)
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql.replace("%", "%%"), [])
            plan = cursor.fetchone()[0]
        for table, rows in rows_read((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]):
            limit = 1_000_000 if table == QueueEntry._meta.db_table else MOST_ROWS  # totals: 51 ms, measured
            assert rows <= limit, (url, parameters, table, rows, sql)
    assert Failure.objects.exists()
