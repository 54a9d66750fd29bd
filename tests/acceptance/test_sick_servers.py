"""A sick server hurts no message: it waits nowhere, fails nowhere, and no fault of a server is counted."""

import re
import socket
from contextlib import contextmanager
from functools import partial

import pytest
from django.utils import timezone

from delivery.models import Attempt, Message, ProfileState, QueueEntry, SmallState, Worker
from delivery.queue import Breaker
from smtp_settings.models import Event
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import drains, until
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.ports import free_port
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

COUNTED = {Attempt.Result.RETRY, Attempt.Result.FAILED}


@contextmanager
def a_tarpit():
    """A port that takes connections and never says a word; yields it, and a call that ends them."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        listening.settimeout(0.0)
        yield listening.getsockname()[1], listening.close


def kinds_of(profile):
    return list(Event.objects.filter(profile_id=profile.pk).order_by("id").values_list("kind", flat=True))


def everybody_knows():
    """Wait until every worker has read the rows as they are now: with its second heartbeat from now."""
    for _ in range(2):
        now = timezone.now()
        until(
            lambda now=now: not Worker.objects.filter(state=Worker.State.LIVE, heartbeat_at__lte=now).exists()
        )


def all_sent(count):
    return Message.objects.filter(state=SmallState.SENT).count() == count


def test_beside_a_dead_server_and_a_tarpit_all_messages_leave_by_the_healthy_one(process_environment):
    workers, count = 2, 300
    with a_tarpit() as (silent, end), smtp_server() as healthy:
        tarpit = a_profile(host="127.0.0.1", port=silent, is_default=True, max_connections=4)
        dead = a_profile(host="127.0.0.1", port=free_port(), priority="high", max_connections=4)
        a_profile(host=healthy.host, port=healthy.port, priority="low", max_connections=2)
        with drains(process_environment, workers):
            queued(count)
            # Nothing waits behind the tarpit but the one message each worker tries it with.
            healthy.wait_for(count - workers, timeout=300)
            assert QueueEntry.objects.filter(lease_id__isnull=False, profile_id=tarpit.pk).count() <= workers
            end()
            until(lambda: all_sent(count), timeout=300)
        assert_balanced(books([healthy]), enqueued=count, at_rest=True, duplicates=0)
    assert not Attempt.objects.filter(outcome__in=COUNTED).exists()
    assert set(Message.objects.values_list("attempts", flat=True)) == {1}  # the one that was accepted
    assert "server.breaker_opened" in kinds_of(dead)
    assert "server.breaker_opened" in kinds_of(tarpit)


@pytest.mark.long
def test_a_tarpit_costs_its_own_patience_and_no_more(process_environment):
    """The greeting is waited for a minute, by one message of each worker."""
    with a_tarpit() as (silent, _end), smtp_server() as healthy:
        a_profile(host="127.0.0.1", port=silent, is_default=True, max_connections=4)
        a_profile(host=healthy.host, port=healthy.port, priority="low", max_connections=2)
        with drains(process_environment, 4):
            queued(2000)
            healthy.wait_for(2000 - 4, timeout=300)
            until(lambda: all_sent(2000), timeout=300)
        assert_balanced(books([healthy]), enqueued=2000, at_rest=True, duplicates=0)
    assert not Attempt.objects.filter(outcome__in=COUNTED).exists()


def test_of_four_workers_one_connection_tries_a_server_that_is_back_and_all_begin_slowly(
    process_environment,
):
    with smtp_server(answers={"BANNER": "554 5.3.2 Closed for now"}) as server:
        profile = a_profile(host=server.host, port=server.port, max_connections=8)
        with drains(process_environment, 4):
            queued(40)
            until(lambda: ProfileState.objects.filter(breaker=Breaker.OPEN).exists())
            # Else it is due in 13 seconds, and two heartbeats of four workers take ten.
            ProfileState.objects.update(open_until="2100-01-01T00:00Z")
            everybody_knows()
            server.wait_until_closed()
            failed = []  # a probe each
            for _ in range(3):
                before = server.sessions
                penalty = ProfileState.objects.get().penalty
                ProfileState.objects.filter(breaker=Breaker.OPEN).update(open_until="2020-01-01T00:00Z")
                until(lambda penalty=penalty: ProfileState.objects.get().penalty > penalty)
                server.wait_until_closed()
                failed.append(server.sessions - before)
            assert failed == [1, 1, 1]
            server.answers.clear()
            ProfileState.objects.filter(breaker=Breaker.OPEN).update(open_until="2020-01-01T00:00Z")
            until(lambda: all_sent(40))
            until(lambda: ProfileState.objects.get().breaker == Breaker.CLOSED)
        assert_balanced(books([server]), enqueued=40, at_rest=True, duplicates=0)
    kinds = kinds_of(profile)
    assert kinds.count("server.breaker_half_open") == 4
    assert kinds.count("server.breaker_opened") == 4
    assert kinds.count("server.breaker_closed") == 1
    assert set(Message.objects.values_list("attempts", flat=True)) == {1}
    assert server.most_talking <= 8


def test_after_an_outage_all_workers_together_double_their_connections(process_environment):
    """The n-th connection is opened when the rounds before it have brought enough messages."""
    opened = []  # (connections open, messages accepted by then)
    with smtp_server() as server:

        def banner(_argument):
            opened.append((server.talking, server.accepted))

        profile = a_profile(host=server.host, port=server.port, max_connections=8)
        ProfileState.objects.create(
            profile=profile, breaker=Breaker.OPEN, penalty=1, open_until="2020-01-01T00:00Z"
        )
        server.answers["BANNER"] = banner
        with drains(process_environment, 4):
            queued(400)
            until(lambda: all_sent(400))
        assert_balanced(books([server]), enqueued=400, at_rest=True, duplicates=0)
    # One message probes; rounds of 1, 2 and 4 follow before 2, 4 and 8 connections are allowed.
    least = {1: 0, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 8: 8}
    assert [(n, accepted) for n, accepted in opened if accepted < least[n]] == []
    assert ProfileState.objects.get().ramp is None


def test_a_server_that_bears_three_connections_is_left_with_three(process_environment):
    most = 3
    refused = []
    with smtp_server() as server:

        def banner(_argument):
            if server.talking <= most:
                return None
            refused.append(server.talking)
            return "421 4.7.0 Too many connections from your address"

        server.answers["BANNER"] = banner
        profile = a_profile(host=server.host, port=server.port, max_connections=10)
        asked = 0
        with drains(process_environment, 2):
            # What no worker tries is not learned: one that comes late may never open a fourth connection.
            while not asked or (ProfileState.objects.get().connections > most and asked < 30_000):
                queued(3000)
                asked += 3000
                until(partial(all_sent, asked), timeout=300)
        assert_balanced(books([server]), enqueued=asked, at_rest=True, duplicates=0)
    state = ProfileState.objects.get()
    assert state.connections <= most
    assert state.crowded <= 4, "10, 7, 4, 2: each refusal of a crowd counts once"
    assert len(refused) <= 30
    assert set(Message.objects.values_list("attempts", flat=True)) == {1}
    learned = Event.objects.filter(kind="server.learned", profile_id=profile.pk)
    assert learned.count() == state.crowded


@pytest.mark.parametrize(
    ("farewell", "times"),
    [("421 4.7.0 Too many messages in this session", 1), ("421 4.4.2 Bye", 3), ("", 3)],
    ids=["in words", "421", "without a word"],
)
def test_a_server_that_ends_sessions_loses_and_doubles_nothing_and_is_ended_first(
    process_environment, farewell, times
):
    with smtp_server(session_messages=7, farewell=farewell) as server:
        profile = a_profile(host=server.host, port=server.port, max_connections=1)
        with drains(process_environment, 1):
            queued(100)
            until(lambda: all_sent(100))
        assert_balanced(books([server]), enqueued=100, at_rest=True, duplicates=0)
    state = ProfileState.objects.get()
    assert (state.session_messages, state.connections, state.breaker) == (7, None, Breaker.CLOSED)
    assert set(Message.objects.values_list("attempts", flat=True)) == {1}
    assert not Attempt.objects.exists()
    (event,) = Event.objects.filter(kind="server.learned", profile_id=profile.pk)
    assert event.data["session_messages"] == 7
    # Without a word from the server, the first sessions show it; the others are ended by QUIT.
    assert server.verbs().count("QUIT") >= server.sessions - times - 1


def test_too_many_recipients_are_learned_and_the_next_messages_are_split_by_themselves(process_environment):
    to = [f"p{n}@example.com" for n in range(25)]
    with smtp_server() as server:
        taken = [0]

        def mail(_argument):
            taken[0] = 0

        def rcpt(_argument):
            taken[0] += 1
            return "452 4.5.3 Too many recipients" if taken[0] > 10 else None

        server.answers |= {"MAIL": mail, "RCPT": rcpt}
        a_profile(host=server.host, port=server.port, max_connections=1)
        with drains(process_environment, 1):
            queued(1, to=to)
            until(lambda: all_sent(1))
            before = len(server.commands)
            queued(3, to=to)
            until(lambda: all_sent(4))
        assert_balanced(books([server]), enqueued=100, at_rest=True, duplicates=0)
        later = [command for command in server.commands[before:] if re.match("RCPT", command)]
    assert ProfileState.objects.get().recipients == 10
    assert len(later) == 75, "none was refused"
    assert {len(received.rcpt_to) for received in server.messages} == {10, 5}
