"""Hosts whose clock is an hour wrong: due times, limits of validity and leases are the database's."""

import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from delivery.models import Attempt, Message, QueueEntry, SmallState, Worker
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import finished, manage, until
from tests.builders import a_profile
from tests.delivery.engine import entry_of, queued, state_of
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = 3600

# Python reads this before anything else: the whole process, not one module, has the wrong time of day.
WRONG_CLOCK = """
import datetime, os, time

SHIFT = float(os.environ["CLOCK_SHIFT"])
_time, _time_ns, _real = time.time, time.time_ns, datetime.datetime
time.time = lambda: _time() + SHIFT
time.time_ns = lambda: _time_ns() + int(SHIFT * 1e9)

class _Meta(type):
    def __instancecheck__(cls, value):
        return isinstance(value, _real)

    def __subclasscheck__(cls, other):
        return issubclass(other, _real)

class datetime_(_real, metaclass=_Meta):
    @classmethod
    def now(cls, tz=None):
        return _real.now(tz) + datetime.timedelta(seconds=SHIFT)

    @classmethod
    def utcnow(cls):
        return _real.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=SHIFT)

datetime_.__name__ = datetime_.__qualname__ = "datetime"
datetime_.__module__ = "datetime"
datetime.datetime = datetime_
"""


@pytest.fixture
def host(process_environment, tmp_path):
    """The environment of a host whose clock is so many seconds wrong."""
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "sitecustomize.py").write_text(WRONG_CLOCK)
    path = os.pathsep.join(filter(None, [str(tmp_path / "wrong"), os.environ.get("PYTHONPATH")]))

    def environment(shift):
        return process_environment | {
            "PYTHONPATH": path,
            "CLOCK_SHIFT": str(shift),
            "MAILCONF_STATE_DIR": str(tmp_path / f"state{shift}"),
            "MAILCONF_VAR": str(tmp_path / f"var{shift}"),
        }

    return environment


def database_clock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        return cursor.fetchone()[0]


@pytest.mark.parametrize("shift", [-HOUR, HOUR])
def test_a_worker_with_the_wrong_time_is_neither_early_nor_late(host, shift):
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        (due,) = queued()
        now = timezone.now()
        (later,) = queued(send_at=now + timedelta(minutes=30))
        (valid,) = queued(expires_at=now + timedelta(minutes=30))
        (over,) = queued(expires_at=now + timedelta(days=1))
        Message.objects.filter(pk=over).update(expires_at=now - timedelta(seconds=1))
        finished(manage(host(shift), "drain", "--until-empty"), timeout=120)
        found = books([server])
    states = [state_of(message_id) for message_id in (due, later, valid, over)]
    assert states == [SmallState.SENT, SmallState.QUEUED, SmallState.SENT, SmallState.EXPIRED]
    assert_balanced(found, at_rest=True, duplicates=0)


@pytest.mark.parametrize("shift", [-HOUR, HOUR])
def test_a_retry_is_due_by_the_databases_clock(host, shift):
    with smtp_server(answers={"DOT": "451 4.3.0 Try later"}) as server:
        a_profile(host=server.host, port=server.port, retry_delay=600, retry_cap=600)
        (message_id,) = queued()
        before = database_clock()
        finished(manage(host(shift), "drain", "--until-empty"), timeout=120)
        after = database_clock()
    ready_at = entry_of(message_id).ready_at
    assert before + timedelta(seconds=480) <= ready_at <= after + timedelta(seconds=720)


@pytest.mark.parametrize("shift", [-HOUR, HOUR])
def test_what_a_host_with_the_wrong_time_hands_over_is_due_at_once(host, tmp_path, shift):
    letter = Path(tmp_path, "report.eml")
    letter.write_bytes(b"From: shop@example.com\r\nTo: bo@example.com\r\nSubject: Hello\r\n\r\nHello.\r\n")
    finished(manage(host(shift), "enqueue", str(letter)))
    entry = QueueEntry.objects.get()
    assert abs(database_clock() - entry.ready_at) < timedelta(minutes=10)


def test_hosts_two_hours_apart_leave_each_others_leases_alone(host):
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_connections=4)
        workers = [manage(host(shift), "drain") for shift in (-HOUR, HOUR)]
        until(lambda: Worker.objects.filter(state=Worker.State.LIVE).count() == 2)
        for _ in range(5):
            queued(100)
            until(lambda: not QueueEntry.objects.exists())
        assert Worker.objects.filter(state=Worker.State.LIVE).count() == 2
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
            finished(worker, timeout=120)
        found = books([server])
    assert_balanced(found, enqueued=500, at_rest=True, duplicates=0)
    assert not Attempt.objects.exists()
