"""A worker whose event loop is stuck gives its messages up, says where it stands, and ends."""

import re
import subprocess
import sys

import pytest

from delivery.dispatcher import database, watchdog
from delivery.models import SmallState, Worker
from mailconf.env import BASE_DIR
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import until
from tests.builders import a_profile
from tests.delivery.engine import drained, due_again, queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

# What a drain reports its progress to runs in the loop's thread; this one never comes back.
STUCK = """
import sys, time, django
django.setup()
from delivery import dispatcher
from delivery.dispatcher import database, watchdog
database.BEAT_SECONDS, database.SILENCE_SECONDS, watchdog.WEDGED_SECONDS = map(float, sys.argv[1:4])

def stuck_here(report):
    if report.sent:
        print("stuck", time.time(), flush=True)
        time.sleep(3600)

dispatcher.run(progress=stuck_here)
"""


@pytest.mark.parametrize(
    ("beat", "silence", "wedged"),
    [
        (0.1, 1.0, 4.0),
        pytest.param(
            database.BEAT_SECONDS,
            database.SILENCE_SECONDS,
            watchdog.WEDGED_SECONDS,
            marks=pytest.mark.long,
        ),
    ],
    ids=["hurried", "as it is"],
)
def test_a_stuck_loop_stops_the_heartbeat_and_then_the_process(
    process_environment, settings, tmp_path, beat, silence, wedged
):
    settings.MAILCONF_STATE_DIR = tmp_path / "state"
    environment = process_environment | {"MAILCONF_STATE_DIR": str(tmp_path / "state")}
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_connections=2)
        ids = queued(50)
        process = subprocess.Popen(
            [sys.executable, "-c", STUCK, *map(str, (beat, silence, wedged))],
            env=environment, cwd=BASE_DIR, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        out, err = process.communicate(timeout=wedged + 120)
        assert process.returncode == watchdog.EXIT_STATUS, err
        assert "stuck_here" in err
        assert "drain-database" in err or "_work" in err  # of every thread
        stuck_at = float(re.search(r"stuck ([\d.]+)", out)[1])
        assert Worker.objects.get(pid=process.pid).heartbeat_at.timestamp() < stuck_at + wedged
        until(lambda: server.open == 0)
        for _ in range(2):
            due_again(*ids)
            drained()
        found = books([server])
    assert_balanced(found, enqueued=50, at_rest=True, duplicates=2)
    assert found.messages == {SmallState.SENT: 50}
