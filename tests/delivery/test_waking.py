"""Idle drains hear of new mail through the database: LISTEN and NOTIFY."""

import threading
from contextlib import contextmanager

import pytest
from django.core.mail import EmailMessage
from django.db import OperationalError, connection, transaction

from delivery import queue, tasks
from delivery.dispatcher import drain
from delivery.dispatcher.claims import claiming
from delivery.dispatcher.recording import recorder
from delivery.handover import send
from delivery.models import Message
from delivery.queue import waking
from delivery.queue.statements import run
from tests.acceptance.processes import until
from tests.builders import a_profile
from tests.delivery.engine import draining
from tests.delivery.queueing import in_threads
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


def send_one():
    send(EmailMessage("Report", "Hello.", "shop@example.com", ["bo@example.com"]))


def listening():
    """The processes of the database whose connection listens; what it last said is the only trace."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state = 'idle' AND query LIKE '%%worker%%'"
        )
        return [pid for (pid,) in cursor.fetchall()]


@pytest.fixture
def blind(monkeypatch):
    """Drains that look by themselves every five minutes only."""
    monkeypatch.setattr(drain, "FIRST_LOOK_SECONDS", 300.0)
    monkeypatch.setattr(claiming, "FIRST_LOOK_SECONDS", 300.0)
    monkeypatch.setattr(claiming, "LOOK_SECONDS", 300.0)
    monkeypatch.setattr(drain, "LOOK_SECONDS", 300.0)


@contextmanager
def an_idle_drain():
    """A drain that has sent one message and waits for the next; gives its server."""
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        send_one()
        stop = threading.Event()
        with draining(until_empty=False, linger=300.0, stop=stop):
            try:
                server.wait_for(1)
                yield server
            finally:
                stop.set()
                queue.wake_drains()  # it looks at the flag when it looks for mail


def test_an_idle_drain_hears_of_a_message_at_once(blind):
    with an_idle_drain() as server:
        send_one()
        server.wait_for(2)
        send_one()
        server.wait_for(3)


def test_what_is_said_while_a_drain_writes_an_outcome_is_heard_too(blind, monkeypatch):
    """It comes with the answer to that statement, and nothing is left to be heard afterwards."""
    write, said = recorder.write, []

    def as_another_says_so(*args, **options):
        if not said:
            said.append(True)
            in_threads(send_one)
        return write(*args, **options)

    monkeypatch.setattr(recorder, "write", as_another_says_so)
    with an_idle_drain() as server:
        server.wait_for(2)


def test_a_drain_that_lost_its_connection_listens_again(blind):
    with an_idle_drain() as server:
        until(listening)
        killed = listening()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [killed])
        until(lambda: set(listening()) - set(killed))
        send_one()
        server.wait_for(2)


def test_within_a_transaction_nobody_is_told():
    with transaction.atomic(), connection.execute_wrapper(_nothing_may_be_said):
        queue.wake_drains()


def test_a_message_is_handed_over_though_nobody_can_be_told(caplog):
    with connection.execute_wrapper(_no_notify):
        send_one()
    assert Message.objects.count() == 1
    assert "Idle workers could not be told" in caplog.text


def test_telling_waits_for_no_disk():
    """It would hold the one lock of all that notify for the time of a write."""
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
    with transaction.atomic():
        run(waking._NOTIFY)
        assert run("SHOW synchronous_commit") == [("off",)]
    assert run("SHOW synchronous_commit") == [("on",)], "afterwards commits wait as before"


def test_a_ring_in_a_loop_leaves_it_to_the_broker():
    import asyncio

    async def in_a_loop():
        tasks.ring()

    asyncio.run(in_a_loop())


def _nothing_may_be_said(*_args):
    raise AssertionError("a statement was run")


def _no_notify(execute, sql, params, many, context):
    if "pg_notify" in sql:
        raise OperationalError("no notifications here")
    return execute(sql, params, many, context)
