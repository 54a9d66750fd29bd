"""A server that closes the session at one message: the message ends, and the server keeps its connections."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from delivery.dispatcher.servers import health
from delivery.models import Attempt, Failure, Message, ProfileState, QueueEntry, SmallState
from tests.builders import a_profile
from tests.delivery.engine import drained, due_again, entry_of, queued, state_of
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

CLOSING = "421 4.3.0 Closing"


@pytest.fixture(autouse=True)
def short_rests(monkeypatch):
    monkeypatch.setattr(health, "_REST_SECONDS", 0.05)


def crowded(profile):
    state = ProfileState.objects.filter(profile_id=profile.pk).first()
    return 0 if state is None else state.crowded


def minutes_later(message_id):
    """Let the message be due, a few minutes after its last try."""
    Attempt.objects.filter(message_id=message_id).update(at=F("at") - timedelta(minutes=3))
    due_again(message_id)


def at_the_content_of(server, word):
    """Answer DATA as a server does that closes on mail for one address."""
    meant = []
    server.answers["RCPT"] = lambda argument: meant.append(word in argument)
    server.answers["DATA"] = lambda _argument: CLOSING if meant[-1] else None


def at_the_recipient(server, word):
    server.answers["RCPT"] = lambda argument: CLOSING if word in argument else None


@pytest.mark.parametrize("closes", [at_the_recipient, at_the_content_of])
def test_a_message_that_alone_draws_421_ends_and_costs_the_server_no_connections(closes):
    with smtp_server() as server:
        closes(server, "poison")
        profile = a_profile(host=server.host, port=server.port, max_connections=1, max_retries=0)
        (alone,) = queued(to=("poison@example.com",))
        others = queued(3)
        drained()
        assert [state_of(i) for i in others] == [SmallState.SENT] * 3
        assert entry_of(alone).attempts == 0
        before = crowded(profile)
        for _ in range(3):
            minutes_later(alone)
            drained()
            queued()
            drained()
    assert state_of(alone) == SmallState.FAILED
    assert Failure.objects.get(pk=alone).code == 421
    assert crowded(profile) == before


def test_a_server_that_closes_on_everything_costs_no_message_an_attempt():
    with smtp_server(answers={"RCPT": CLOSING}) as server:
        profile = a_profile(host=server.host, port=server.port, max_connections=1, max_retries=0)
        ids = queued(2)
        for _ in range(6):
            drained()
            for message_id in ids:
                minutes_later(message_id)
        assert {(entry_of(i).attempts, entry_of(i).drops) for i in ids} == {(0, 3)}
        assert crowded(profile) > 1
        QueueEntry.objects.update(ready_at=Now())
        del server.answers["RCPT"]
        drained()
    assert {state_of(i) for i in ids} == {SmallState.SENT}


def test_a_message_the_server_closes_on_is_given_up_at_its_age_though_no_other_mail_tells():
    with smtp_server(answers={"DATA": CLOSING}) as server:
        a_profile(host=server.host, port=server.port, give_up_hours=1, max_retries=None)
        (message_id,) = queued()
        Message.objects.filter(pk=message_id).update(due_at=F("due_at") - timedelta(hours=2))
        for _ in range(8):
            drained()
            if state_of(message_id) != SmallState.QUEUED:
                break
            minutes_later(message_id)
    assert state_of(message_id) == SmallState.EXPIRED
