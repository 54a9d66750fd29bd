"""Applications hear of a message that was not sent, and can ask how each stands."""

import threading

import pytest
from django.db import OperationalError

from delivery import queue
from delivery.dispatcher.recording import recorder
from delivery.dispatcher.recording.telling import Teller
from delivery.handover import MessageState, status_of
from delivery.queue import Finished, SmallState
from delivery.signals import message_not_sent
from tests.builders import a_profile
from tests.delivery.engine import drained, queued
from tests.delivery.queueing import claimed, enqueued, silence
from tests.servers import smtp_server


@pytest.fixture
def hear():
    """Connect receivers for the time of a test."""
    connected = []

    def connect(receiver):
        connected.append(receiver)
        message_not_sent.connect(receiver, weak=False)

    yield connect
    for receiver in connected:
        message_not_sent.disconnect(receiver)


def told_by(teller, *finished):
    teller.tell(finished)
    teller.close()


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (SmallState.FAILED, ["failed"]),
        (SmallState.EXPIRED, ["expired"]),
        (SmallState.HELD, ["held"]),
        (SmallState.SENT, []),
        (SmallState.CANCELLED, []),
    ],
)
def test_only_what_was_not_sent_is_told(hear, state, told):
    heard = []
    hear(lambda state, **_: heard.append(state))
    told_by(Teller(), Finished(1, state))
    assert heard == told


def test_an_error_of_one_receiver_hurts_no_other(hear, caplog):
    heard = []

    def breaks(**_):
        raise ValueError("my own fault")

    hear(breaks)
    hear(lambda message_id, **_: heard.append(message_id))
    told_by(Teller(), Finished(1, SmallState.FAILED), Finished(2, SmallState.FAILED))
    assert heard == [1, 2]
    assert "my own fault" in caplog.text


def test_a_receiver_that_never_returns_does_not_hold_the_worker_up(hear, monkeypatch):
    monkeypatch.setattr("delivery.dispatcher.recording.telling._PATIENCE_SECONDS", 0.1)
    let_go = threading.Event()
    hear(lambda **_: let_go.wait(60))
    told_by(Teller(), Finished(1, SmallState.FAILED))
    let_go.set()


def test_without_a_receiver_no_thread_is_started():
    before = threading.active_count()
    Teller().tell([Finished(1, SmallState.FAILED)])
    assert threading.active_count() == before


@pytest.mark.django_db(transaction=True)
def test_a_receiver_hears_after_the_commit_why_a_message_failed(hear):
    heard = []
    hear(
        lambda message_id, state, cause, **_: heard.append(
            (message_id, state, cause, status_of([message_id]))
        )
    )
    with smtp_server(answers={"RCPT": "550 5.1.1 No such user"}) as server:
        a_profile(host=server.host, port=server.port)
        (message_id,) = queued()
        drained()
    ((told, state, cause, status),) = heard
    assert (told, state, cause) == (message_id, "failed", "recipient")
    assert (status[message_id].state, status[message_id].cause) == (MessageState.FAILED, "recipient")


@pytest.mark.django_db(transaction=True)
def test_a_receiver_hears_once_of_a_message_whose_commit_was_not_answered(hear, monkeypatch):
    heard, write, lost = [], recorder.write, []
    hear(lambda message_id, state, **_: heard.append((message_id, state)))

    def answer_lost_once(*args, **options):
        found = write(*args, **options)
        if not lost:
            lost.append(True)
            raise OperationalError("server closed the connection unexpectedly")
        return found

    monkeypatch.setattr(recorder, "write", answer_lost_once)
    with smtp_server(answers={"RCPT": "550 5.1.1 No such user"}) as server:
        a_profile(host=server.host, port=server.port)
        (message_id,) = queued()
        drained()
    assert lost
    assert heard == [(message_id, "failed")]


@pytest.mark.django_db
def test_what_another_session_took_over_is_no_repeat_of_ours():
    ours = queue.register_worker()
    (message_id,) = enqueued(1)
    claimed(ours, 1)
    silence(ours)
    queue.reclaim()
    theirs = queue.register_worker()
    pool = queue.waiting_of([message_id])[message_id]
    queue.claim_these(theirs, [message_id], [7], pool_id=pool.id)
    ended = [Finished(message_id, SmallState.FAILED)]
    assert queue.finish(theirs, ended) == {message_id}
    assert (queue.ended_by(theirs, ended), queue.ended_by(ours, ended)) == ({message_id}, set())


@pytest.mark.django_db
def test_the_application_reads_how_each_message_stands():
    lease = queue.register_worker()
    ids = enqueued(5)
    held = [one.message_id for one in claimed(lease, 4)]
    sent, failed, deferred, sending = held
    (queued_id,) = set(ids) - set(held)
    queue.finish(
        lease, [Finished(sent, SmallState.SENT, counted=1), Finished(failed, SmallState.FAILED, cause="size")]
    )
    queue.settle(lease, [queue.Settled(deferred, 7, counted=1)])
    found = status_of([*ids, 10**12])
    assert {message_id: (status.state, status.cause) for message_id, status in found.items()} == {
        sent: (MessageState.SENT, ""),
        failed: (MessageState.FAILED, "size"),
        deferred: (MessageState.DEFERRED, ""),
        sending: (MessageState.SENDING, ""),
        queued_id: (MessageState.QUEUED, ""),
    }
    assert found[sent].done_at is not None
    assert found[sending].done_at is None
