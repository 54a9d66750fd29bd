"""A worker that was frozen, or declared dead for another reason, completes nothing others may have taken."""

import signal
import time

import pytest

from delivery.models import Attempt, QueueEntry, SmallState, Worker
from delivery.queue import STALE
from smtp_settings.models import Event
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import finished, manage, until
from tests.builders import a_profile
from tests.delivery.engine import drained, due_again, queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

CONNECTIONS = 2


@pytest.fixture
def environment(process_environment, settings, tmp_path):
    settings.MAILCONF_STATE_DIR = tmp_path / "state"
    return process_environment | {"MAILCONF_STATE_DIR": str(tmp_path / "state")}


def slowly(_content):
    """Let the worker be in the middle of something when it is frozen."""
    time.sleep(0.02)


@pytest.mark.long
def test_after_a_freeze_no_dot_is_written_for_what_others_took(environment, capsys):
    with smtp_server(answers={"DOT": slowly}) as server:
        a_profile(host=server.host, port=server.port, max_connections=CONNECTIONS)
        queued(400)
        frozen = manage(environment, "drain")
        server.wait_for(60)
        frozen.send_signal(signal.SIGSTOP)
        its_sessions = server.sessions
        began = time.monotonic()
        other = manage(environment, "drain")
        until(lambda: Event.objects.filter(kind="worker.lost").exists(), timeout=STALE.total_seconds() + 120)
        frozen_for = time.monotonic() - began
        until(lambda: server.sessions > its_sessions)  # the slots were freed with the leases
        before = sum(received.session <= its_sessions for received in server.messages)
        frozen.send_signal(signal.SIGCONT)
        until(lambda: Worker.objects.filter(pid=frozen.pid).count() == 2)  # it goes on with a new session
        after = sum(received.session <= its_sessions for received in server.messages)
        for process in (frozen, other):
            process.send_signal(signal.SIGTERM)
            finished(process, timeout=120)
        while QueueEntry.objects.exists():
            due_again(*QueueEntry.objects.values_list("pk", flat=True))
            drained()
        found = books([server])
    with capsys.disabled():
        lost = Attempt.objects.filter(outcome=Attempt.Result.LOST).count()
        print(  # noqa: T201  # the figures are the result
            f"\nfrozen for {frozen_for:.0f} s: taken back {lost}, dots written afterwards {after - before},"
            f" duplicates {found.duplicates}"
        )
    assert after == before
    assert_balanced(found, enqueued=400, at_rest=True, duplicates=CONNECTIONS)
    assert found.messages == {SmallState.SENT: 400}


def test_a_drain_declared_dead_goes_on_with_a_new_session(environment):
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        process = manage(environment, "drain")
        mine = Worker.objects.filter(pid=process.pid)
        until(mine.exists)
        mine.update(state=Worker.State.DEAD)
        until(lambda: mine.filter(state=Worker.State.LIVE).exists())
        queued(3)
        server.wait_for(3)
        process.send_signal(signal.SIGTERM)
        finished(process)
        assert_balanced(books([server]), at_rest=True, duplicates=0)


def test_a_worker_row_deleted_by_hand_costs_no_mail(environment):
    with smtp_server(answers={"DOT": slowly}) as server:
        a_profile(host=server.host, port=server.port, max_connections=CONNECTIONS)
        queued(200)
        process = manage(environment, "drain")
        server.wait_for(20)
        Worker.objects.filter(pid=process.pid).delete()
        until(lambda: Worker.objects.filter(pid=process.pid).exists())
        until(lambda: not QueueEntry.objects.filter(priority__lt=10).exists())
        process.send_signal(signal.SIGTERM)
        finished(process, timeout=120)
        while QueueEntry.objects.exists():
            due_again(*QueueEntry.objects.values_list("pk", flat=True))
            drained()
        found = books([server])
    assert_balanced(found, enqueued=200, at_rest=True, duplicates=CONNECTIONS)
    assert found.messages == {SmallState.SENT: 200}
