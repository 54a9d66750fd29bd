"""Workers are replaced one by one while mail flows: nothing is lost, nothing is sent twice."""

import signal
import time

import pytest

from delivery.models import Attempt, QueueEntry, Slot, SmallState, Worker
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import finished, manage, until
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

CONNECTIONS = 4
WORKERS = 2


def slowly(_content):
    """Let the worker be in the middle of something when it is told to stop."""
    time.sleep(0.005)


def working(environment):
    """A drain that has begun its session; before that, a signal simply ends it."""
    process = manage(environment, "drain")
    until(lambda: Worker.objects.filter(pid=process.pid).exists() or process.poll() is not None)
    return process


@pytest.mark.parametrize(
    ("restarts", "batch"), [(2, 80), pytest.param(15, 400, marks=pytest.mark.long)], ids=["few", "many"]
)
def test_workers_replaced_one_by_one_send_everything_once(
    process_environment, tmp_path, capsys, restarts, batch
):
    environment = process_environment | {"MAILCONF_STATE_DIR": str(tmp_path / "state")}
    with smtp_server(answers={"DOT": slowly}) as server:
        a_profile(host=server.host, port=server.port, max_connections=CONNECTIONS)
        queued(batch)
        workers = [working(environment) for _ in range(WORKERS)]
        for _ in range(restarts):
            queued(batch)
            before = server.accepted
            until(lambda before=before: server.accepted >= before + batch // 4)
            workers.append(working(environment))
            leaving = workers.pop(0)
            leaving.send_signal(signal.SIGTERM)
            finished(leaving, timeout=120)
            assert_balanced(books([server]), duplicates=0)
        until(lambda: not QueueEntry.objects.exists(), timeout=300)
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            finished(worker, timeout=120)
        found = books([server])
    with capsys.disabled():
        print(  # noqa: T201  # the figures are the result
            f"\nrolling restarts {restarts}: messages {found.enqueued}, lost 0, duplicates {found.duplicates}"
        )
    assert_balanced(found, enqueued=(restarts + 1) * batch, at_rest=True, duplicates=0)
    assert found.messages == {SmallState.SENT: (restarts + 1) * batch}
    assert server.most_talking <= CONNECTIONS
    assert not Attempt.objects.exists()
    assert not Slot.objects.filter(worker_id__isnull=False).exists()
    assert set(Worker.objects.values_list("state", flat=True)) == {Worker.State.DEAD}
