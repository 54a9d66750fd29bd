"""`kill -9` at the worst moments: before the reply, before it is recorded, and by a message itself."""

import json
import os
import signal
import threading
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.utils import timezone

from delivery import dispatcher, queue
from delivery.dispatcher.recording.journal import NAMES
from delivery.dispatcher.recording.records import Header
from delivery.dispatcher.recording.replay import replay_all
from delivery.models import Attempt, Failure, Message, QueueEntry, SmallState, Worker
from smtp_settings.models import Event
from tests.acceptance.processes import celery_worker, children_of, finished, manage, ring_at, until
from tests.builders import a_profile
from tests.delivery.engine import drained, due_again, entry_of, queued, state_of
from tests.delivery.test_journal import largest_file
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def environment(process_environment, folder, settings):
    """Processes with journals in a folder of their own; what this process drains finds them there, too."""
    settings.MAILCONF_STATE_DIR = folder
    return process_environment | {"MAILCONF_STATE_DIR": str(folder)}


class Gate:
    """Holds the server's first reply to a dot back until the test says so."""

    def __init__(self):
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, _content):
        if not self.reached.is_set():
            self.reached.set()
            assert self.opened.wait(120)


@contextmanager
def nothing_can_be_recorded():
    """Outcomes wait, as for a database that has stopped answering, and what waits is lost with it.

    From when all messages are in hand: of a server whose session is not open yet only two are claimed.
    """
    until(lambda: not QueueEntry.objects.filter(lease_id=None).exists())
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f'LOCK TABLE "{QueueEntry._meta.db_table}" IN EXCLUSIVE MODE')
        yield
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def has_replies(folder, count):
    return sum(path.read_bytes().count(b"\nD ") for path in folder.glob(NAMES)) >= count


def test_killed_between_dot_and_reply_it_is_uncertain_and_the_rest_goes_at_once(environment, folder):
    gate = Gate()
    with smtp_server(answers={"DOT": gate}) as server:
        a_profile(host=server.host, port=server.port, max_connections=1)
        first, *others = queued(20)
        process = manage(environment, "drain", "--until-empty")
        assert gate.reached.wait(120)
        process.kill()
        process.communicate()
        gate.opened.set()
        server.wait_for(1)  # nobody hears it

        assert drained().sent == 19
        assert {state_of(message_id) for message_id in others} == {SmallState.SENT}
        entry = entry_of(first)
        assert (entry.uncertain, entry.attempts, entry.lease_id) == (True, 1, None)
        assert [attempt.outcome for attempt in Attempt.objects.all()] == [Attempt.Result.UNCERTAIN]
        due_again(first)
        drained()
        assert server.accepted == 21
        copies = [received for received in server.messages if b"Report 0" in received.content]
        assert len(copies) == 2
        assert copies[0].content == copies[1].content
    assert state_of(first) is SmallState.SENT
    assert not list(folder.iterdir())


def test_killed_between_dot_and_reply_it_is_held_where_that_is_the_policy(environment):
    gate = Gate()
    with smtp_server(answers={"DOT": gate}) as server:
        a_profile(host=server.host, port=server.port, max_connections=1, on_uncertain="hold")
        first, *others = queued(5)
        process = manage(environment, "drain", "--until-empty")
        assert gate.reached.wait(120)
        process.kill()
        process.communicate()
        gate.opened.set()
        drained()
    assert state_of(first) is SmallState.HELD
    assert Failure.objects.get().uncertain
    assert {state_of(message_id) for message_id in others} == {SmallState.SENT}


def test_killed_between_reply_and_record_it_is_sent_by_replay_and_never_again(environment, folder):
    gate = Gate()
    with smtp_server(answers={"DOT": gate}) as server:
        a_profile(host=server.host, port=server.port, max_connections=1)
        ids = queued(5)
        process = manage(environment, "drain", "--until-empty")
        assert gate.reached.wait(120)
        with nothing_can_be_recorded():
            gate.opened.set()
            until(lambda: has_replies(folder, 5))
            process.kill()
            process.communicate()
        assert server.accepted == 5
        assert set(Message.objects.values_list("state", flat=True)) == {SmallState.QUEUED}

        assert drained().sent == 0
        assert server.accepted == 5
    assert {state_of(message_id) for message_id in ids} == {SmallState.SENT}
    assert Event.objects.get(kind="journal.replayed").data["sent"] == 5
    assert not Attempt.objects.exists()


def test_a_connection_to_the_database_cut_between_reply_and_record_duplicates_nothing(environment, folder):
    gate = Gate()
    with smtp_server(answers={"DOT": gate}) as server:
        a_profile(host=server.host, port=server.port, max_connections=1)
        ids = queued(5)
        process = manage(environment, "drain", "--until-empty", "--json")
        assert gate.reached.wait(120)
        with nothing_can_be_recorded():
            gate.opened.set()
            until(lambda: has_replies(folder, 5))
        assert json.loads(finished(process))["sent"] == 5
        assert server.accepted == 5
    assert {state_of(message_id) for message_id in ids} == {SmallState.SENT}
    assert not list(folder.iterdir())


@pytest.mark.parametrize("others", [80, pytest.param(500, marks=pytest.mark.long)])
def test_a_message_that_kills_its_process_is_held_after_three_and_no_other(environment, others):
    victims = []

    def deadly(argument):
        if "poison" in argument:
            os.kill(victims[-1].pid, signal.SIGKILL)

    with smtp_server(answers={"MAIL": deadly}) as server:
        a_profile(host=server.host, port=server.port, max_connections=4)
        innocent = queued(others // 2)
        (poison,) = queued(send_at=None)
        Message.objects.filter(pk=poison).update(mail_from="poison@example.com")
        innocent += queued(others // 2)
        while Message.objects.get(pk=poison).state == SmallState.QUEUED:
            assert len(victims) < 9
            due_again(poison)  # after a crash it is put off, longer each time
            victims.append(manage(environment, "drain", "--until-empty"))
            victims[-1].communicate(timeout=150)
        assert [victim.returncode for victim in victims].count(-signal.SIGKILL) == 3
        drained()
        # The other connections may have been waiting for the answer to a dot, at each of the three times.
        unsure = list(QueueEntry.objects.filter(uncertain=True).values_list("message_id", flat=True))
        assert len(unsure) <= 3 * 3
        if unsure:
            due_again(*unsure)
            drained()
        assert others <= server.accepted <= others + len(unsure)
    assert state_of(poison) is SmallState.HELD
    assert Failure.objects.get().cause == "crashes"
    assert {state_of(message_id) for message_id in innocent} == {SmallState.SENT}


# Without a journal, or with half of one


def test_a_disk_that_fills_up_stops_no_mail(folder, settings):
    settings.MAILCONF_STATE_DIR = folder
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        queued(30)
        with largest_file(300):
            assert dispatcher.run(until_empty=True).sent == 30
        assert server.accepted == 30
    assert not list(folder.iterdir())
    assert str(folder) in Event.objects.get(kind="journal.given_up").data["reason"]


def test_a_full_disk_never_makes_a_sent_message_unsent(environment, folder):
    gate = Gate()
    with smtp_server(answers={"DOT": gate}) as server:
        a_profile(host=server.host, port=server.port, max_connections=1, on_uncertain="hold")
        (message_id,) = queued()
        lease = Worker.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        header = Header(lease + 1, timezone.now().isoformat(), queue.boot_id(), is_synced=False)
        with largest_file(len(bytes(header)) + 8):  # a child inherits it: what follows *begun* is torn
            process = manage(environment, "drain", "--until-empty")
        assert gate.reached.wait(120)
        process.kill()
        process.communicate()
        gate.opened.set()
        assert not list(folder.iterdir())
        assert not replay_all(folder)
        assert entry_of(message_id).lease_id is not None  # as without a journal: until the session is stale
        Worker.objects.update(heartbeat_at="2026-01-01T00:00Z")
        drained()
    assert [(one.cause, one.uncertain) for one in Failure.objects.all()] == [("worker_lost", True)]


def test_without_a_folder_mail_leaves_and_the_log_says_what_that_means(tmp_path, settings, caplog):
    file = tmp_path / "file"
    file.write_text("")
    settings.MAILCONF_STATE_DIR = file / "state"
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        for _ in range(2):
            queued()
            assert dispatcher.run(until_empty=True).sent == 1
    told = [record for record in caplog.records if "No journal is kept" in record.getMessage()]
    assert len(told) == 1


def test_a_drain_that_ends_leaves_no_journal(settings, tmp_path):
    settings.MAILCONF_STATE_DIR = tmp_path  # parallel tests have sessions of the same numbers
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        queued(30)
        lease = Worker.objects.count()
        assert dispatcher.run(until_empty=True).sent == 30
    assert Worker.objects.count() == lease + 1
    name = f"worker-{Worker.objects.latest('pk').pk}-*"
    assert not list(settings.MAILCONF_STATE_DIR.glob(name))


def test_a_killed_child_of_celery_leaves_its_journal_to_the_next_drain(environment, folder, tmp_path):
    """Its parent and its siblings live on: none of them holds the lock."""
    gate = Gate()
    environment |= {"MAILCONF_VAR": str(tmp_path), "REDIS_URL": ""}
    with smtp_server(answers={"DOT": gate}) as server:
        a_profile(host=server.host, port=server.port, max_connections=1)
        first, *others = queued(5)
        with celery_worker(environment, concurrency=2) as worker:
            ring_at(environment)
            assert gate.reached.wait(180)
            killed = Worker.objects.latest("pk").pid
            os.kill(killed, signal.SIGKILL)
            gate.opened.set()
            until(lambda: killed not in children_of(worker))
            ring_at(environment)
            server.wait_for(5, timeout=180)  # by whoever drains next, no 45 seconds later
            until(lambda: {state_of(message_id) for message_id in others} == {SmallState.SENT})
            assert entry_of(first).uncertain
    assert not list(folder.glob(NAMES))
