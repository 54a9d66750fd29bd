"""The engine at the ends of its numbers, and when what it stands on changes: no drain ends of it."""

import threading

import pytest
from django.db import DataError, InternalError, connection, connections, transaction

from delivery import queue
from delivery.dispatcher.recording import recorder
from delivery.dispatcher.recording.records import Header
from delivery.dispatcher.recording.replay import replay_all
from delivery.dispatcher.servers import health
from delivery.models import Failure, Message, ProfileState, QueueEntry, SmallState
from smtp_settings.models import SMTPProfile
from tests.builders import a_profile
from tests.delivery.engine import attempts_of, drained, draining, entry_of, queued, state_of, until
from tests.delivery.queueing import refused_by_the_database
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

NOT_RECORDED = "Internal error: what became of it could not be recorded."


def profile_for(server, **fields):
    return a_profile(host=server.host, port=server.port, **fields)


# Numbers


def test_a_message_that_was_put_off_as_often_as_can_be_counted_fails_and_stops_nobody():
    with smtp_server(answers={"DATA": "450 4.3.0 Try later"}) as server:
        profile_for(server)
        (message_id,) = queued()
        QueueEntry.objects.filter(pk=message_id).update(attempts=32_700, drops=32_700)
        drained()
    assert state_of(message_id) == SmallState.FAILED
    assert Failure.objects.get(pk=message_id).cause == "retries"


def test_a_pace_beyond_the_clocks_resolution_sends():
    with smtp_server() as server:
        profile_for(server, per_minute=2_000_000_000)
        queued(2)
        assert drained(deadline=60.0).sent == 2


def test_what_cannot_be_written_of_one_message_holds_that_message_alone(monkeypatch):
    finish = queue.finish

    def refuses(lease, outcomes):
        if any(one.reply == "Not to be written" for one in outcomes):
            raise DataError("value out of range")
        return finish(lease, outcomes)

    monkeypatch.setattr(recorder.queue, "finish", refuses)

    def answer(recipient):
        return "550 5.1.1 Not to be written" if "odd" in recipient else None

    with smtp_server(answers={"RCPT": answer}) as server:
        profile_for(server)
        (odd,) = queued(to=("odd@example.com",))
        others = queued(3)
        drained()
        assert server.accepted == 3
    assert {state_of(message_id) for message_id in others} == {SmallState.SENT}
    assert state_of(odd) == SmallState.HELD
    assert Failure.objects.get(pk=odd).cause == "internal_error"


def some_take_it(recipient):
    if "gone" in recipient:
        return "550 5.1.1 No such user: odd"
    return "450 4.2.0 Try later: odd" if "later" in recipient else None


@pytest.mark.parametrize(
    ("table", "value", "words"),
    [
        ("delivery_attempt", "reply LIKE '%odd%'", "No such user: odd"),
        ("delivery_message", "verdicts::text LIKE '%odd%'", ""),
    ],
    ids=["of the attempt", "of the recipients"],
)
@pytest.mark.parametrize("more", ["gone@example.com", "later@example.com"])
def test_each_recipients_result_is_kept_when_the_words_cannot_be_written(table, value, words, more):
    to = ("now@example.com", "gone@example.com", f"too-{more}")
    with smtp_server(answers={"RCPT": some_take_it}) as server:
        profile_for(server)
        (message_id,) = queued(to=to)
        with refused_by_the_database(table, value):
            drained()
        message = Message.objects.get()
        assert (message.state, message.reply) == (SmallState.HELD, NOT_RECORDED)
        results = {address: (known["state"], known["code"]) for address, known in message.verdicts.items()}
        expected = {"now@example.com": ("sent", 250), "gone@example.com": ("failed", 550)}
        assert results == expected | ({to[2]: ("failed", 550)} if "gone" in more else {})
        assert message.verdicts["gone@example.com"]["reply"] == words
        assert not Failure.objects.get().uncertain  # nobody gets it twice

        server.answers.clear()
        queue.put_back([message_id])
        drained()
        assert [received.rcpt_to for received in server.messages] == [to[:1], to[1:]]
    assert state_of(message_id) == SmallState.SENT


def test_who_releases_what_could_not_be_written_is_asked_when_nobody_knows_who_has_it():
    with smtp_server(answers={"RCPT": some_take_it}) as server:
        profile_for(server)
        (partly,) = queued(to=("now@example.com", "later@example.com"))
        (not_at_all,) = queued(to=("later@example.com",))
        with (
            refused_by_the_database("delivery_attempt", "true"),
            refused_by_the_database("delivery_message", "verdicts IS NOT NULL"),
        ):
            drained()
        assert server.accepted == 1
    assert dict(Failure.objects.values_list("pk", "uncertain")) == {partly: True, not_at_all: False}
    assert set(Failure.objects.values_list("cause", flat=True)) == {"internal_error"}


def test_what_was_sent_stays_sent_when_its_words_cannot_be_written():
    with smtp_server(answers={"DOT": "250 2.0.0 Ok: odd"}) as server:
        profile_for(server)
        ids = queued(3)
        with refused_by_the_database("delivery_message", "reply LIKE '%odd%'"):
            assert drained().sent == 3
        assert server.accepted == 3
    assert {state_of(message_id) for message_id in ids} == {SmallState.SENT}


# Servers that stand by


def test_no_connection_is_taken_of_backups_that_are_not_needed(monkeypatch):
    asked, take_slots = set(), queue.take_slots

    def noted(lease, profile_id, limit, want):
        asked.add(profile_id)
        return take_slots(lease, profile_id, limit, want)

    monkeypatch.setattr(queue, "take_slots", noted)
    with smtp_server() as server, smtp_server() as spare:
        default = profile_for(server, is_default=True)
        for n in range(3):
            profile_for(spare, name=f"Backup {n}")
        stop = threading.Event()
        with draining(until_empty=False, stop=stop):
            for n in range(3):
                queued()
                server.wait_for(n + 1)
            stop.set()
    assert asked == {default.pk}


def test_backups_take_what_the_default_has_no_room_for(monkeypatch):
    monkeypatch.setattr(health, "_SILENT_SECONDS", 0.3)
    answering = threading.Event()

    def slowly(_argument):
        answering.wait(60)

    with smtp_server(answers={"DOT": slowly}) as server, smtp_server() as spare:
        profile_for(server, is_default=True, max_connections=1)
        profile_for(spare, name="Backup")
        queued(20)
        with draining():
            spare.wait_for(10)
            answering.set()
        assert server.accepted + spare.accepted == 20


# What it stands on


@pytest.fixture
def read_only():
    """Let the database take no writes, as a standby does, and break all other connections to it."""
    name = connection.settings_dict["NAME"]

    def switch(on):
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {on}')
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )

    yield switch
    switch("off")
    connections.close_all()


def test_a_drain_outlives_a_database_that_takes_no_writes_for_a_moment(read_only, caplog):
    asked, answering = threading.Event(), threading.Event()

    def slowly(_argument):
        asked.set()
        answering.wait(60)

    with smtp_server(answers={"DOT": slowly}) as server:
        profile_for(server, max_connections=1)
        (message_id,) = queued()
        with draining(until_empty=False, linger=1.0):
            assert asked.wait(60)
            read_only("on")
            answering.set()
            until(lambda: "read-only transaction" in caplog.text)
            read_only("off")
            until(lambda: state_of(message_id) == SmallState.SENT)
        assert server.accepted == 1


def test_a_journal_found_while_the_database_takes_no_writes_is_played_back_later(tmp_path):
    lease = queue.register_worker()
    header = Header(lease, queue.session_of(lease).started_at.isoformat(), queue.boot_id(), is_synced=False)
    path = tmp_path / "worker-1-dead.journal"
    path.write_bytes(bytes(header))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_read_only = on")
        with pytest.raises(InternalError, match="read-only"):
            replay_all(tmp_path)
        transaction.set_rollback(True)
    assert [left.name for left in tmp_path.iterdir()] == [path.name]
    replay_all(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_journal_that_cannot_be_read_stops_no_drain(tmp_path, caplog):
    (tmp_path / "worker-1-bad.journal").symlink_to("/proc/self/mem")  # opens, and gives an error when read
    assert replay_all(tmp_path) is False
    assert "cannot be played back" in caplog.text


def test_a_profile_deleted_while_its_server_is_asked_leaves_no_trouble_behind(caplog):
    asked, answering = threading.Event(), threading.Event()

    def slowly(_argument):
        asked.set()
        answering.wait(60)
        return "421 4.7.0 Too many connections"

    with smtp_server(answers={"RCPT": slowly}) as server:
        profile = profile_for(server, max_connections=1)
        (message_id,) = queued()
        with draining():
            assert asked.wait(60)
            SMTPProfile.objects.filter(pk=profile.pk).delete()
            answering.set()
    assert entry_of(message_id).lease_id is None
    assert not ProfileState.objects.exists()
    assert "Traceback" not in caplog.text
    assert [record for record in caplog.records if record.exc_info] == []
    assert len(attempts_of(message_id)) == 1
