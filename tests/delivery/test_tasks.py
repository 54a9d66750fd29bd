"""The doorbell: it never blocks, never raises, and its last ring always counts."""

import multiprocessing
import os
import threading
import time
from itertools import pairwise

import pytest

from delivery import tasks
from tests.delivery.engine import until


@pytest.fixture
def published(monkeypatch):
    """The moments at which a task reached the broker."""
    moments = []
    monkeypatch.setattr(tasks.drain, "apply_async", lambda **_options: moments.append(time.monotonic()))
    return moments


def test_a_ring_is_published_at_once(published):
    tasks.ring()
    until(lambda: published)


def test_many_rings_become_few_and_the_last_one_counts(published):
    began = time.monotonic()
    for _ in range(1000):
        tasks.ring()
    until(lambda: published)
    first = len(published)
    tasks.ring()
    until(lambda: len(published) > first)
    assert len(published) <= 3 + (time.monotonic() - began) / tasks.GAP_SECONDS
    assert all(later - earlier >= 0.45 for earlier, later in pairwise(published))


def test_a_broker_that_hangs_does_not_hold_the_caller(monkeypatch):
    hanging, reached, answered = threading.Event(), threading.Event(), threading.Event()

    def hang(**_options):
        reached.set()
        hanging.wait(60)
        answered.set()

    monkeypatch.setattr(tasks.drain, "apply_async", hang)
    try:
        tasks.ring()
        assert reached.wait(60)
        for _ in range(100):
            tasks.ring()
        assert not answered.is_set()
    finally:
        hanging.set()


def test_a_broker_that_refuses_is_logged_and_the_bell_lives_on(monkeypatch, caplog):
    calls = []

    def refuse(**_options):
        calls.append(1)
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(tasks.drain, "apply_async", refuse)
    tasks.ring()
    until(lambda: calls)
    tasks.ring()
    until(lambda: len(calls) >= 2)
    until(lambda: "The workers could not be woken" in caplog.text)


def _ring_in_a_child(queue):
    tasks.drain.apply_async = lambda **_options: queue.put(os.getpid())
    tasks.ring()
    time.sleep(60)  # the parent ends this process when it has heard the ring


def test_the_bell_works_in_a_process_forked_after_the_first_ring(published):
    tasks.ring()
    until(lambda: published)
    context = multiprocessing.get_context("fork")
    heard = context.Queue()
    child = context.Process(target=_ring_in_a_child, args=(heard,))
    child.start()
    try:
        assert heard.get(timeout=60) == child.pid
    finally:
        child.terminate()
        child.join()
