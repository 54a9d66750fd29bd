"""The broker of one machine under several who read and write at the same moment."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty

import pytest
from celery import Celery
from django.conf import settings

from mailconf import file_broker
from mailconf.celery import configuration
from tests.settings import TEST_VAR

COUNT = 400


@pytest.fixture
def open_channel(tmp_path):
    """Opens one more channel to a broker of the test's own, as one more process does."""
    with Celery("test", set_as_current=False) as app:
        app.config_from_object(configuration("filesystem://localhost//", tmp_path))
        connections = []

        def opened():
            connections.append(app.connection_for_write())
            return connections[-1].channel()

        yield opened
        for connection in connections:
            connection.release()


def test_celery_takes_this_broker_where_there_is_no_other(open_channel):
    assert type(open_channel()) is file_broker.Channel


def test_every_message_is_taken_whole_and_once_by_readers_that_wait_for_it(open_channel):
    done = threading.Event()

    def write(channel, part):
        for number in range(COUNT):
            channel._put("work", {"body": [part, number] * 200})

    def read(channel):
        found = []
        while True:
            is_last = done.is_set()
            try:
                found.append(channel._get("work")["body"])
            except Empty:
                if is_last:
                    return found

    with ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(read, open_channel()) for _ in range(2)]
        writers = [threads.submit(write, open_channel(), part) for part in range(2)]
        try:
            for writer in writers:
                writer.result()
        finally:
            done.set()
        found = [body for reader in readers for body in reader.result()]

    assert sorted(body[:2] for body in found) == [[part, no] for part in range(2) for no in range(COUNT)]
    assert {len(body) for body in found} == {400}


def test_queues_bound_at_the_same_moment_are_all_in_the_table(open_channel):
    together = threading.Barrier(4)

    def bind(channel, part):
        for number in range(50):
            together.wait(60)
            channel._queue_bind(f"work{number}", "", "", f"queue{part}")

    with ThreadPoolExecutor(4) as threads:
        for bound in [threads.submit(bind, open_channel(), part) for part in range(4)]:
            bound.result()

    channel = open_channel()
    tables = [{row.queue for row in channel.get_table(f"work{number}")} for number in range(50)]
    assert tables == [{"queue0", "queue1", "queue2", "queue3"}] * 50


def test_what_a_power_cut_left_empty_is_passed_over(open_channel, tmp_path):
    broker = Path(tmp_path, "broker")
    channel = open_channel()
    (broker / "messages" / "1_cut.work.msg").touch()
    (broker / "control" / "work.exchange").touch()

    channel._put("work", {"body": 1})
    channel._queue_bind("work", "", "", "work")

    assert channel._get("work") == {"body": 1}
    assert [row.queue for row in channel.get_table("work")] == ["work"]
    with pytest.raises(Empty):
        channel._get("work")
    assert not list((broker / "messages").iterdir())


def test_processes_that_test_at_the_same_time_have_a_broker_each():
    assert settings.MAILCONF_VAR.name == os.environ.get("PYTEST_XDIST_WORKER", "var")
    assert settings.MAILCONF_VAR.parent == TEST_VAR
