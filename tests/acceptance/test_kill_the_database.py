"""The database goes away twenty times under load, and every other time the worker with it."""

import json
import random
from collections import Counter
from contextlib import contextmanager

import pytest
from django.db import connection

from delivery.models import Attempt, Message, QueueEntry, SmallState
from tests.acceptance.processes import finished, manage, until
from tests.acceptance.test_kill_hundred_times import Ledger
from tests.builders import a_profile
from tests.delivery.engine import due_again, queued
from tests.servers import smtp_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

TIMES = 20
CONNECTIONS = 4


@contextmanager
def no_database():
    """Cut every connection and refuse new ones; only the test's own stays."""
    with connection.cursor() as own:
        own.execute("SELECT pg_backend_pid(), current_database()")
        pid, name = own.fetchone()
    with connection._nodb_cursor() as cursor:  # a database cannot do this to itself
        cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
            [name, pid],
        )
        try:
            yield
        finally:
            cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_a_database_that_goes_away_loses_nothing_and_duplicates_nothing_that_was_answered(
    process_environment, tmp_path, capsys
):
    folder = tmp_path / "state"
    environment = process_environment | {"MAILCONF_STATE_DIR": str(folder)}
    dice, killed = random.Random(13), 0
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_connections=CONNECTIONS)
        ids = queued(8_000)
        worker = manage(environment, "drain")
        for turn in range(TIMES):
            wanted = server.accepted + dice.randint(20, 300)
            until(lambda wanted=wanted: server.accepted >= wanted, timeout=120)
            with no_database():
                before = server.accepted
                with server.changed:  # what the worker has in hand goes on; it may be nothing
                    server.changed.wait_for(lambda before=before: server.accepted >= before + 20, 0.5)
                if turn % 2:
                    worker.kill()
                    worker.communicate()
                    killed += 1
            if turn % 2:
                worker = manage(environment, "drain")
        worker.kill()
        worker.communicate()
        while QueueEntry.objects.exists():
            due_again(*QueueEntry.objects.values_list("pk", flat=True))
            json.loads(finished(manage(environment, "drain", "--until-empty", "--json"), timeout=300))
        copies = Ledger(server).read()
    unsure = Attempt.objects.filter(outcome=Attempt.Result.UNCERTAIN)
    per_worker = Counter(unsure.values_list("worker_id", flat=True))
    duplicates = sum(copies.values()) - len(copies)
    with capsys.disabled():
        print(  # noqa: T201  # the figures are the result
            f"\ndatabase gone {TIMES} times: messages {len(ids)}, kills {killed + 1},"
            f" lost {len(ids) - len(copies)}, duplicates {duplicates}, uncertain {unsure.count()}"
        )
    assert len(copies) == len(ids)
    assert set(Message.objects.values_list("state", flat=True)) == {SmallState.SENT}
    assert duplicates <= unsure.count()
    assert max(per_worker.values(), default=0) <= CONNECTIONS
    assert len(per_worker) <= killed + 1  # who was not killed duplicates nothing
