"""Rings in any number, drains delivered twice, two beats: each message leaves once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from delivery.models import Attempt, QueueEntry, SmallState
from mailconf.env import BASE_DIR
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import celery_worker, finished, ring_at, until
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

STORM = """
import json, time, django
django.setup()
from delivery import tasks
began, rings = time.monotonic(), 0
while rings < 600 or time.monotonic() - began < 2:
    for _ in range(10):
        tasks.ring()
    rings += 10
    time.sleep(0.005)
print(json.dumps([rings, time.monotonic() - began]))
"""


@pytest.fixture
def environment(process_environment, tmp_path):
    """Processes with a broker folder of their own."""
    return process_environment | {"MAILCONF_VAR": str(tmp_path), "REDIS_URL": ""}


def python(environment, program):
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True
    )


def in_the_broker(environment):
    return len(list(Path(environment["MAILCONF_VAR"], "broker", "messages").iterdir()))


def test_a_storm_of_rings_reaches_the_broker_as_few_tasks(environment):
    rings, seconds = json.loads(finished(python(environment, STORM)))
    assert rings >= 600
    assert 2 <= in_the_broker(environment) <= 3 * seconds + 2


def test_drains_delivered_twice_to_two_workers_with_a_beat_each_send_everything_once(environment, tmp_path):
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_connections=4)
        queued(300)
        with (
            celery_worker(environment, concurrency=2, beat=tmp_path / "beat1"),
            celery_worker(environment, concurrency=2, beat=tmp_path / "beat2"),
        ):
            for _ in range(3):
                for n in range(10):
                    ring_at(environment, 2, task_id=f"the same {n}", expires=60)
                queued(100)
            until(lambda: not QueueEntry.objects.exists(), timeout=300)
        found = books([server])
    assert_balanced(found, enqueued=600, at_rest=True, duplicates=0)
    assert found.messages == {SmallState.SENT: 600}
    assert server.most_talking <= 4
    assert not Attempt.objects.exists()
