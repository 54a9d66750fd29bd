"""PostgreSQL crashes twenty times under load, as `pg_ctl stop --mode immediate` makes it crash."""

import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from delivery.models import Attempt, QueueEntry, Slot, SmallState
from mailconf import embedded
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import finished, manage, until
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.servers import smtp_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

TIMES = 20
MESSAGES = 4_000


@pytest.fixture
def own_server(process_environment):
    """A durable PostgreSQL of our own, and this process connected to it."""
    home = Path(tempfile.mkdtemp(prefix="mc-pg-"))
    home.chmod(0o755)  # the server may have a user of its own
    server = embedded.PrivateServer(embedded.place_in(home / "pg"))
    server.start()
    theirs = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update(embedded.django_settings(server.place))
    try:
        call_command("migrate", interactive=False, verbosity=0)
        yield server
    finally:
        connection.close()
        connection.settings_dict.update(theirs)
        server.stop()
        server.remove()
        shutil.rmtree(home, ignore_errors=True)


def crash(server):
    """Let every process of the server die where it is: what was not on the disk is lost."""
    os.kill(int((server.place.data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    until(lambda: not server.is_running)


def slowly(_content):
    """Keep mail on the wire while the database is away."""
    time.sleep(0.002)


def test_twenty_crashes_lose_nothing_and_duplicate_nothing(own_server, process_environment, tmp_path, capsys):
    found = connection.settings_dict
    url = f"postgresql://{found['USER']}@/{found['NAME']}?host={found['HOST']}"
    environment = process_environment | {"DATABASE_URL": url, "MAILCONF_STATE_DIR": str(tmp_path / "state")}
    dice = random.Random(13)
    with smtp_server(answers={"DOT": slowly}) as server:
        a_profile(host=server.host, port=server.port, max_connections=4)
        queued(MESSAGES)
        worker = manage(environment, "drain", "--until-empty")
        connection.close()
        for _ in range(TIMES):
            wanted = server.accepted + dice.randint(10, MESSAGES // TIMES - 20)
            until(lambda wanted=wanted: server.accepted >= wanted or worker.poll() is not None)
            crash(own_server)
            time.sleep(dice.random())  # what is on the wire is answered meanwhile
            own_server.start()
        finished(worker, timeout=300)  # the same process all the time
        assert not QueueEntry.objects.exists()
        ledger = books([server])
        uncertain = Attempt.objects.count()
        slots = Slot.objects.filter(worker_id__isnull=False).exists()
    with capsys.disabled():
        print(  # noqa: T201  # the figures are the result
            f"\nPostgreSQL crashed {TIMES} times: messages {ledger.enqueued}, lost 0,"
            f" duplicates {ledger.duplicates}, attempts noted {uncertain}"
        )
    assert_balanced(ledger, enqueued=MESSAGES, at_rest=True, duplicates=0)
    assert ledger.messages == {SmallState.SENT: MESSAGES}
    assert not slots
