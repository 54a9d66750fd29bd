"""Low-water marks: a claim stays cheap while a long transaction holds back vacuum (QUEUE T4)."""

import json
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone

from delivery import models, queue
from delivery.dispatcher.claims.marks import PROBE_SECONDS, Marks, Pace
from delivery.queue.claim import _CLAIM
from tests.delivery.queueing import enqueued, entry, lanes

USUAL, SLOW = 0.002, 0.1
KEY = (1, 2)


@pytest.mark.parametrize(
    ("claims", "is_slow"),
    [
        ([0.002, 0.002], False),
        ([0.002, 0.0059], False),
        ([0.002, 0.0061], True),
        ([0.0001, 0.0045], False),  # noise
        ([0.1, 0.1], False),  # a slow machine
        ([0.002, 0.1, 0.1], True),  # it does not become usual at once
    ],
)
def test_a_claim_is_slow_from_three_times_its_usual_on(claims, is_slow):
    pace = Pace()
    assert [pace.is_slow(seconds, 0, now) for now, seconds in enumerate(claims)][-1] == is_slow


def test_what_stays_slow_becomes_usual_in_time():
    pace = Pace()
    pace.is_slow(USUAL, 0, 0)
    assert pace.is_slow(SLOW, 0, 1)
    assert [pace.is_slow(SLOW, 0, 10_000 + now) for now in range(3)] == [True, False, False]


def test_more_messages_may_take_longer():
    pace = Pace()
    pace.is_slow(0.01, 0, 0)
    assert not pace.is_slow(0.06, 100, 1)


@pytest.mark.django_db
class TestMarks:
    """The decision, with the clock as an argument, on claims of the database."""

    @pytest.fixture
    def marks(self):
        marks = Marks(Pace())
        marks.learn([queue.Lane(*KEY)], [], wanted=1, seconds=USUAL, now=0)
        return marks

    def claim(self, marks, *, now, seconds, wanted=1):
        keys = [(lane.pool_id, lane.priority) for lane in lanes()]
        read = marks.lanes(keys, now)
        found = queue.claim(queue.register_worker(), read, [7] * wanted)
        marks.learn(read, found, wanted=wanted, seconds=seconds, now=now)
        return [claimed.message_id for claimed in found], any(lane.mark_at for lane in read)

    def test_fast_claims_use_none(self, marks):
        first, second = enqueued(2)
        assert self.claim(marks, now=1, seconds=USUAL) == ([first], False)
        assert self.claim(marks, now=2, seconds=USUAL) == ([second], False)
        assert marks.activations == 0

    def test_after_a_slow_claim_the_next_begins_behind_the_last_row(self, marks):
        first, second = enqueued(2)
        assert self.claim(marks, now=1, seconds=SLOW) == ([first], False)
        assert self.claim(marks, now=1.1, seconds=USUAL) == ([second], True)
        assert marks.activations == 1

    def test_a_row_below_the_mark_leaves_within_the_probe_interval(self, marks):
        _first, late, *_rest = ids = enqueued(5)
        models.QueueEntry.objects.filter(pk=late).update(ready_at=timezone.now() + timedelta(hours=1))
        self.claim(marks, now=1, seconds=SLOW)
        models.QueueEntry.objects.filter(pk=late).update(ready_at=entry(ids[2]).ready_at - timedelta(hours=1))

        assert self.claim(marks, now=1.1, seconds=USUAL) == ([ids[2]], True)
        assert self.claim(marks, now=1 + PROBE_SECONDS - 0.01, seconds=USUAL) == ([ids[3]], True)
        assert self.claim(marks, now=1 + PROBE_SECONDS, seconds=SLOW) == ([late], False)

    def test_what_a_probe_finds_is_where_it_goes_on(self, marks):
        ids = enqueued(3)
        self.claim(marks, now=1, seconds=SLOW)
        late = enqueued(2)
        models.QueueEntry.objects.filter(pk__in=late).update(
            ready_at=entry(ids[1]).ready_at - timedelta(hours=1)
        )

        assert self.claim(marks, now=3, seconds=SLOW) == ([late[0]], False)
        assert self.claim(marks, now=3.1, seconds=USUAL) == ([late[1]], True)

    def test_a_claim_that_falls_short_is_followed_by_one_without_marks(self, marks):
        first, second = enqueued(2)
        self.claim(marks, now=1, seconds=SLOW)
        assert self.claim(marks, now=1.1, seconds=USUAL, wanted=2) == ([second], True)
        models.QueueEntry.objects.filter(pk=first).update(lease_id=None)
        assert self.claim(marks, now=1.2, seconds=USUAL) == ([first], False)

    def test_a_probe_that_is_fast_again_ends_it(self, marks):
        enqueued(4)
        self.claim(marks, now=1, seconds=SLOW)
        assert self.claim(marks, now=1 + PROBE_SECONDS, seconds=USUAL)[1] is False
        assert self.claim(marks, now=1 + PROBE_SECONDS + 0.1, seconds=USUAL)[1] is False


# What it is for


@contextmanager
def an_old_snapshot():
    """Another session that has been reading for long: a dump, a report."""
    found = connection.settings_dict
    host = found["HOST"] or found["OPTIONS"].get("host", "")
    access = {
        "host": host,
        "port": found["PORT"] or None,
        "user": found["USER"],
        "password": found["PASSWORD"],
    }
    with psycopg.connect(dbname=found["NAME"], **access) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("SELECT count(*) FROM delivery_pool").fetchone()
        yield
        other.rollback()


def buffers_of_a_claim(lane, limit=100):
    """Pages a claim reads; undone afterwards."""
    values = {
        "lease": 1,
        "pools": [lane.pool_id],
        "priorities": [lane.priority],
        "mark_at": [lane.mark_at.isoformat() if lane.mark_at else "-infinity"],
        "mark_id": [lane.mark_id],
        "limit": limit,
        "seats": [7] * limit,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + _CLAIM, values)
        found = cursor.fetchone()[0]
        plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        transaction.set_rollback(True)
    assert "Seq Scan" not in [
        node["Node Type"] for node in nodes(plan) if "entry" in node.get("Relation Name", "")
    ]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def nodes(plan):
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def churned(pool_id, count):
    """Let so many entries pass through a lane."""
    table = models.QueueEntry._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (message_id, pool_id, priority, ready_at)"
            " SELECT 1000000000 + n, %s, 2, now() - interval '1 hour' + n * interval '1 ms'"
            " FROM generate_series(1, %s) n",
            [pool_id, count],
        )
        cursor.execute(f"DELETE FROM {table} WHERE message_id > 1000000000")


@pytest.mark.django_db(transaction=True)
def test_dead_rows_below_the_mark_cost_nothing():
    ids = enqueued(300)
    first = entry(ids[0])
    lane = queue.Lane(first.pool_id, first.priority)
    fresh = buffers_of_a_claim(lane, limit=1)

    with an_old_snapshot():
        churned(first.pool_id, 30_000)
        without = buffers_of_a_claim(lane, limit=1)
        marked = buffers_of_a_claim(
            queue.Lane(lane.pool_id, lane.priority, first.ready_at, first.message_id), limit=1
        )

    assert without > 5 * fresh, "the dead rows are gone: this proves nothing"
    assert marked < 2 * fresh


def later(count, pool_id):
    """Fill the table with entries that are due some day."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {models.QueueEntry._meta.db_table} (message_id, pool_id, priority, ready_at)"
            " SELECT 1000000000 + n, %s, 1 + n %% 3, now() + n * interval '1 s' + interval '1 hour'"
            " FROM generate_series(1, %s) n",
            [pool_id, count],
        )


@pytest.mark.django_db
def test_one_due_message_among_150_000_future_ones_is_found_at_once():  # T2
    (due,) = enqueued()
    row = entry(due)
    later(150_000, row.pool_id)

    assert buffers_of_a_claim(queue.Lane(row.pool_id, row.priority)) <= 250


@pytest.mark.long
@pytest.mark.django_db
@pytest.mark.parametrize("count", [200_000, 1_000_000])
def test_a_claim_reads_as_little_whatever_waits(count):  # T3; the planner still believes in an empty table
    ids = enqueued(300)
    row = entry(ids[0])
    lane = queue.Lane(row.pool_id, row.priority)
    fresh = buffers_of_a_claim(lane)
    later(count, row.pool_id)

    assert buffers_of_a_claim(lane) <= 1.5 * fresh + 20
