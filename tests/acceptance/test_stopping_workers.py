"""SIGTERM lets what is on the wire finish, twice cuts it off: nothing is sent twice, the slots are free."""

import os
import signal
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from delivery.dispatcher.recording.journal import NAMES
from delivery.models import Attempt, Message, QueueEntry, Slot, SmallState, Worker
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import celery_worker, children_of, finished, manage, ring_at, until
from tests.builders import a_profile
from tests.delivery.engine import drained, due_again, queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGES = 30
CONNECTIONS = 2


@pytest.fixture
def environment(process_environment, tmp_path):
    """Processes with a broker and journals of their own."""
    own = {"MAILCONF_VAR": str(tmp_path), "MAILCONF_STATE_DIR": str(tmp_path / "state"), "REDIS_URL": ""}
    return process_environment | own


class Held:
    """Holds the server's answers to the first dots back until the test says so."""

    def __init__(self):
        self.asked, self.answered = threading.Event(), threading.Event()

    def __call__(self, _content):
        self.asked.set()
        assert self.answered.wait(120)


@contextmanager
def a_server_that_thinks():
    held = Held()
    try:
        with smtp_server(answers={"DOT": held}) as server:
            a_profile(host=server.host, port=server.port, max_connections=CONNECTIONS)
            yield server, held
            held.answered.set()
    finally:
        held.answered.set()


def more_is_held_than_the_wire():
    """Whether a claim has come that fills the worker's hands: the first, of an unknown server, is small."""
    return QueueEntry.objects.filter(lease_id__isnull=False).count() > CONNECTIONS


def only_the_wire_is_held():
    """Whether all that was not begun was given back."""
    return 1 <= QueueEntry.objects.filter(lease_id__isnull=False).count() <= CONNECTIONS


def nobody_holds_anything():
    leased = QueueEntry.objects.filter(lease_id__isnull=False).exists()
    return not leased and not Slot.objects.filter(worker_id__isnull=False).exists()


def left_clean(environment):
    assert nobody_holds_anything()
    assert set(Worker.objects.values_list("state", flat=True)) == {Worker.State.DEAD}
    assert not list(Path(environment["MAILCONF_STATE_DIR"]).glob(NAMES))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_told_to_stop_waits_for_the_answers_it_is_owed(environment, number):
    with a_server_that_thinks() as (server, held):
        queued(MESSAGES)
        process = manage(environment, "drain")
        assert held.asked.wait(60)
        until(more_is_held_than_the_wire)
        process.send_signal(number)
        until(only_the_wire_is_held)
        held.answered.set()
        finished(process, timeout=120)
        found = books([server])
    left_clean(environment)
    assert_balanced(found, enqueued=MESSAGES, at_rest=True, duplicates=0)
    assert 1 <= found.recipients[SmallState.SENT] <= CONNECTIONS
    assert not Attempt.objects.exists()


def test_a_drain_told_twice_waits_for_nothing_and_says_what_it_does_not_know(environment):
    with a_server_that_thinks() as (server, held):
        queued(MESSAGES)
        process = manage(environment, "drain")
        assert held.asked.wait(60)
        until(more_is_held_than_the_wire)
        process.send_signal(signal.SIGTERM)
        until(only_the_wire_is_held)
        process.send_signal(signal.SIGTERM)
        finished(process, timeout=50)  # the grace is sixty; the server has not answered
        left_clean(environment)
        unsure = list(QueueEntry.objects.filter(uncertain=True).values_list("pk", flat=True))
        assert 1 <= len(unsure) <= CONNECTIONS
        held.answered.set()
        due_again(*unsure)
        drained()
        server.wait_for(MESSAGES)
        found = books([server])
    assert_balanced(found, enqueued=MESSAGES, at_rest=True, duplicates=len(unsure))
    assert found.messages == {SmallState.SENT: MESSAGES}


def all_are_sent_by_a_ring(environment):
    """Ring as beat does every 15 s, and look whether that was enough."""
    ring_at(environment)
    with suppress(AssertionError):
        until(lambda: not Message.objects.exclude(state=SmallState.SENT).exists(), timeout=15)
    return not Message.objects.exclude(state=SmallState.SENT).exists()


@pytest.mark.parametrize("whom", ["the main process", "its children", "the group"])
def test_a_celery_worker_told_to_stop_sends_nothing_twice(environment, whom):
    with a_server_that_thinks() as (server, held):
        queued(MESSAGES)
        with celery_worker(environment, concurrency=2) as worker:
            ring_at(environment)
            assert held.asked.wait(120)
            until(more_is_held_than_the_wire)
            children = children_of(worker)
            told = [worker.pid] if whom != "its children" else []
            for pid in told + (children if whom != "the main process" else []):
                os.kill(pid, signal.SIGTERM)
            until(only_the_wire_is_held)
            held.answered.set()
            until(nobody_holds_anything)
            if whom == "its children":  # the worker goes on with new ones
                until(lambda: not set(children) & set(children_of(worker)))
                until(lambda: all_are_sent_by_a_ring(environment))  # a child that ends may take one with it
                worker.send_signal(signal.SIGTERM)
            worker.communicate(timeout=120)
        found = books([server])
    left_clean(environment)
    assert_balanced(found, at_rest=True, duplicates=0)
    assert not Attempt.objects.exists()


def test_a_celery_worker_told_twice_waits_for_nothing(environment):
    with a_server_that_thinks() as (server, held):
        queued(MESSAGES)
        with celery_worker(environment, concurrency=2) as worker:
            ring_at(environment)
            assert held.asked.wait(120)
            until(more_is_held_than_the_wire)
            worker.send_signal(signal.SIGTERM)
            until(only_the_wire_is_held)
            worker.send_signal(signal.SIGTERM)
            worker.communicate(timeout=150)
        left_clean(environment)
        unsure = QueueEntry.objects.filter(uncertain=True).count()
        assert 1 <= unsure <= CONNECTIONS
        held.answered.set()
        server.wait_until_closed()
        assert_balanced(books([server]), at_rest=True, duplicates=unsure)
