"""A test run leaves from where mail leaves from: a real worker takes it; a killed one leaves none behind."""

import os
import signal
from pathlib import Path

import pytest

from mailconf import servers
from smtp_settings import carrying, test_send, workers
from smtp_settings.models import TestRun
from tests.acceptance.processes import celery_worker, children_of, until
from tests.builders import a_profile, a_user, unsaved_profile
from tests.servers import smtp_server
from tests.wire.evil import evil_server_beside, hang

pytestmark = pytest.mark.django_db(transaction=True)

TO = ["inbox@example.com"]


@pytest.fixture
def worker(process_environment):
    """A worker on the queue `work`, which counts as alive, on this process's own broker."""
    workers.provide(lambda: True)
    with celery_worker({**process_environment, "REDIS_URL": ""}, queues="work") as process:
        yield process
    workers.provide(servers.worker_is_alive)


def a_run(server):
    return test_send.candidate(unsaved_profile(port=server.port), None, None, TO)


def ended(run, *, timeout=120):
    until(lambda: TestRun.objects.get(pk=run.pk).finished_at, timeout=timeout)
    run.refresh_from_db()
    return run


def test_a_worker_takes_a_test_and_says_where_it_ran(worker):
    with smtp_server() as server:
        run = a_run(server)
        carrying.start(run)
        run = ended(run)
        assert len(server.wait_for(1)) == 1
    assert run.state == TestRun.State.PASSED
    assert run.ran_on.startswith("worker ")


def test_a_worker_hears_a_stop_within_a_moment(worker):
    with evil_server_beside({"ehlo": hang}) as server:
        run = a_run(server)
        carrying.start(run)
        until(lambda: server.heard)
        test_send.stop(run, None)
        assert ended(run).state == TestRun.State.STOPPED  # by itself it would fail, after 45 s
        until(lambda: server.open == 0)


def test_a_worker_carries_a_batch_out(worker):
    with smtp_server() as server:
        profiles = [a_profile(port=server.port) for _number in range(3)]
        batch = test_send.order(profiles, a_user(), TO)
        carrying.start_batch(batch)
        until(lambda: not TestRun.objects.filter(batch=batch, finished_at=None).exists())
        assert len(server.messages) == 3
    assert {run.ran_on[:7] for run in TestRun.objects.filter(batch=batch)} == {"worker "}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_the_run_of_a_killed_worker_is_ended_by_the_page_that_waits(worker):
    with evil_server_beside({"ehlo": hang}) as server:
        run = a_run(server)
        carrying.start(run)
        until(lambda: server.heard)
        for child in children_of(worker):
            os.kill(child, signal.SIGKILL)
        until(lambda: server.open == 0)
        run.refresh_from_db()
        until(lambda: carrying.look_after(run).state == TestRun.State.STOPPED)
    assert "process that ran it was stopped" in run.sentence
    assert run.secret is None
