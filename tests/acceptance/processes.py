"""Real processes for the acceptance tests: drains and Celery workers on the test's database."""

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from celery import Celery

from delivery.models import Worker
from mailconf.celery import configuration
from mailconf.env import BASE_DIR


def manage(environment, *arguments):
    """Start `manage.py` with these arguments."""
    return subprocess.Popen(
        [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
        env=environment,
        cwd=BASE_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process, *, timeout=120):
    """Wait for the end; its standard output. The process must not have failed."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return out


@contextmanager
def celery_worker(environment, *, queues="mail", concurrency=1, beat=None):
    """Run a Celery worker; it is stopped at the end of the block, and killed if that takes too long."""
    command = [sys.executable, "-m", "celery", "--app", "mailconf.celery", "worker", "--queues", queues]
    command += ["--concurrency", str(concurrency), "--loglevel", "WARNING", "--hostname", "test@local"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    command += ["--beat", "--schedule", str(beat)] if beat else []
    worker = subprocess.Popen(
        command, env=environment, cwd=BASE_DIR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield worker
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.communicate()


@contextmanager
def drains(environment, count, *options):
    """Run so many `manage.py drain --json`, all at work when the block begins; they end with it, cleanly.

    Yields the processes; their `report` is there after the block.
    """
    before = set(Worker.objects.values_list("pk", flat=True))
    processes = [manage(environment, "drain", "--json", *options) for _ in range(count)]
    try:
        live = Worker.objects.exclude(pk__in=before).filter(state=Worker.State.LIVE)
        until(lambda: live.count() == count or any(process.poll() is not None for process in processes))
        assert all(process.poll() is None for process in processes), processes[0].communicate()
        yield processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        try:
            for process in processes:
                process.report = json.loads(finished(process, timeout=120))
        finally:
            for process in processes:
                process.kill()


def children_of(process):
    """The processes a process has started and that are not buried yet (Linux)."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text(encoding="ascii").split()]


def ring_at(environment, count=1, **options):
    """Ring for the workers of this environment's file broker, as a process does that hands mail over."""
    with Celery("rings", set_as_current=False) as app:
        app.config_from_object(configuration("filesystem://", Path(environment["MAILCONF_VAR"])))
        for _ in range(count):
            app.send_task("mailconf.drain", **options)


def until(condition, *, timeout=120.0, why=lambda: "the condition did not come true"):
    """Wait until a condition holds; `why` says what stood in its way."""
    give_up_at = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < give_up_at, why()
        time.sleep(0.02)
