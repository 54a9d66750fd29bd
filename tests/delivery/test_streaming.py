"""The engine with a real server that is streamed to: one round trip a message, and every message once."""

import threading
from itertools import count

import pytest

from delivery import queue
from delivery.dispatcher import database, drain
from delivery.dispatcher.recording import recorder
from delivery.models import Attempt, ProfileState, QueueEntry, SmallState
from delivery.queue import AttemptResult, Paused
from tests.builders import a_profile
from tests.delivery.engine import drained, draining, entry_of, queued, state_of, until
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

#: Later than a session begins to stream.
LATER = 15


def profile_for(server, **fields):
    return a_profile(host=server.host, port=server.port, max_connections=1, **fields)


def at(number, answer):
    """An answer for the command of this number (of its verb), worked out when it comes."""
    numbers = count(1)

    def given(_argument):
        if next(numbers) != number:
            return None
        return answer() if callable(answer) else answer

    return given


def gone():
    raise ConnectionResetError


def ids_of(server):
    """How often each message arrived."""
    return sorted(message.content.split(b"Subject: ")[1].split(b"\r\n")[0] for message in server.messages)


def were_sent_once(server, ids):
    return len(set(ids_of(server))) == len(server.messages) == len(ids)


def announced(server):
    """How many envelopes travelled with a dot: RSET leads those."""
    return server.verbs().count("RSET")


def test_a_session_streams_and_every_message_arrives_once():
    with smtp_server() as server:
        profile_for(server)
        ids = queued(40)
        assert drained().sent == 40
        assert were_sent_once(server, ids)
        assert (server.sessions, announced(server)) == (1, 29)


def test_sessions_end_at_their_number_of_messages_with_nothing_announced():
    with smtp_server() as server:
        profile_for(server, messages_per_connection=20)
        ids = queued(60)
        assert drained().sent == 60
        assert were_sent_once(server, ids)
        assert (server.sessions, announced(server)) == (3, 27)


def test_a_message_without_an_answer_costs_no_other():
    with smtp_server() as server:
        server.answers["DOT"] = at(LATER, gone)
        profile_for(server)
        ids = queued(30)
        report = drained()
        assert (report.sent, report.uncertain) == (29, 1)
        assert (len(server.messages), server.sessions) == (29, 2)
    (attempt,) = Attempt.objects.all()
    assert (attempt.outcome, attempt.phase) == (AttemptResult.UNCERTAIN, "dot")
    assert entry_of(attempt.message_id).uncertain
    assert sum(state_of(message_id) is SmallState.SENT for message_id in ids) == 29


def test_a_server_that_closes_between_two_messages_is_nobodys_fault():
    with smtp_server() as server:
        server.answers["RSET"] = at(3, "421 4.3.2 Closing")
        profile_for(server)
        ids = queued(30)
        assert drained().sent == 30
        assert were_sent_once(server, ids)
        assert server.sessions == 2
    assert not Attempt.objects.exists()


def test_a_server_that_goes_away_while_an_announced_message_waits_is_nobodys_fault(monkeypatch):
    finish, writes = queue.finish, count(1)

    def dropping_once(*args):
        if next(writes) == LATER:
            server.drop_connections()
        return finish(*args)

    monkeypatch.setattr(recorder, "MOST_IN_JOURNAL", 1)  # each waits until the one before is committed
    monkeypatch.setattr(queue, "finish", dropping_once)
    with smtp_server() as server:
        profile_for(server)
        ids = queued(30)
        assert drained().sent == 30
        assert were_sent_once(server, ids)
        assert server.sessions == 2
    assert not Attempt.objects.exists()


def test_the_announced_message_has_its_own_verdict():
    with smtp_server() as server:
        server.answers["RCPT"] = at(LATER, "550 5.1.1 No such user")
        profile_for(server)
        ids = queued(30)
        report = drained()
        assert (report.sent, report.failed, server.sessions) == (29, 1, 1)
    assert state_of(ids[LATER - 1]) is SmallState.FAILED


def test_an_answer_too_many_ends_streaming_and_the_rest_goes_one_command_at_a_time():
    with smtp_server() as server:
        server.answers["DOT"] = at(LATER, "250 2.0.0 Ok\r\n250 2.0.0 Ok")
        profile_for(server)
        queued(40)
        report = drained()
        assert (report.sent, report.uncertain) == (39, 1)
        rsets = announced(server)
    assert ProfileState.objects.get().sequential_until is not None
    assert rsets <= LATER - 9
    (attempt,) = Attempt.objects.all()
    assert attempt.outcome == AttemptResult.UNCERTAIN


def slow_dot(server):
    """Let one dot be answered when told; the events for asked and answered."""
    answering, asked = threading.Event(), threading.Event()

    def slowly():
        asked.set()
        answering.wait(60)

    server.answers["DOT"] = at(LATER, slowly)
    return asked, answering


def leased():
    return QueueEntry.objects.filter(lease_id__isnull=False).count()


def test_a_stop_gives_back_what_was_announced_at_once():
    stop = threading.Event()
    with smtp_server() as server:
        asked, answering = slow_dot(server)
        profile_for(server)
        queued(30)
        with draining(stop=stop):
            try:
                assert asked.wait(60)
                stop.set()
                until(lambda: leased() == 1)
            finally:
                answering.set()
        assert server.accepted == LATER
    assert QueueEntry.objects.filter(attempts=0, drops=0, lease_id=None).count() == 30 - LATER


def test_a_pause_gives_back_what_was_announced_while_the_server_thinks(monkeypatch):
    monkeypatch.setattr(database, "BEAT_SECONDS", 0.05)
    stop = threading.Event()
    with smtp_server() as server:
        asked, answering = slow_dot(server)
        profile = profile_for(server)
        queued(30)
        with draining(until_empty=False, stop=stop):
            try:
                assert asked.wait(60)
                queue.pause(profile.pk, Paused.PERSON, reason="Holidays")
                until(lambda: leased() == 1)
                answering.set()
                until(lambda: leased() == 0)
            finally:
                answering.set()
                stop.set()
        assert server.accepted == LATER


def test_a_cut_off_answer_is_uncertain_and_what_was_announced_is_not(monkeypatch):
    monkeypatch.setattr(drain, "GRACE_SECONDS", 0.2)
    stop = threading.Event()
    with smtp_server() as server:
        asked, answering = slow_dot(server)
        profile_for(server)
        ids = queued(30)
        with draining(stop=stop) as result:
            assert asked.wait(60)
            stop.set()
            result.thread.join(50)
            answering.set()
    assert [entry.pk for entry in QueueEntry.objects.filter(uncertain=True)] == [ids[LATER - 1]]
    assert QueueEntry.objects.filter(attempts=0, drops=0, lease_id=None).count() == 30 - LATER


def test_a_server_where_uncertain_mail_is_held_has_one_message_at_a_time():
    with smtp_server() as server:
        profile_for(server, on_uncertain="hold")
        queued(20)
        assert drained().sent == 20
        assert announced(server) == 0
