"""Workers that share one queue: nothing goes twice, connections stay within the limit, each has its part."""

import asyncio
import time
import zlib
from collections import Counter

import pytest

from delivery.models import Message, Slot, SmallState, Stat
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import drains, until
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


async def unevenly(content):
    """Take between nothing and 60 ms for most messages, and a second for one in fifty; always the same."""
    number = zlib.crc32(content)
    await asyncio.sleep(1.0 if number % 50 == 0 else number % 60 / 1000)


async def briefly(_content):
    await asyncio.sleep(0.02)


async def leisurely(_content):
    """With four connections, 40 messages a second: mail for a long look that costs little work."""
    await asyncio.sleep(0.1)


def all_sent(count):
    return Message.objects.filter(state=SmallState.SENT).count() == count


def sent_by_worker():
    found = Counter()
    for worker_id, sent in Stat.objects.values_list("worker_id", "sent"):
        found[worker_id] += sent
    return +found


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.long)])
def test_no_message_goes_twice_whatever_time_each_takes(process_environment, workers):
    with smtp_server(at_dot=unevenly) as one, smtp_server(at_dot=unevenly) as other:
        a_profile(host=one.host, port=one.port, max_connections=4)
        a_profile(host=other.host, port=other.port, max_connections=4, priority="low")
        with drains(process_environment, workers) as processes:
            queued(400)
            until(lambda: all_sent(400))
            assert_balanced(books([one, other]), enqueued=400, duplicates=0)
        assert_balanced(books([one, other]), enqueued=400, at_rest=True, duplicates=0)
    assert sum(process.report["sent"] for process in processes) == 400
    assert len(sent_by_worker()) > 1
    assert max(one.most_talking, other.most_talking) <= 4


@pytest.mark.long
def test_four_workers_and_ten_thousand_messages(process_environment, capsys):
    began = time.monotonic()
    with smtp_server(at_dot=unevenly) as one, smtp_server() as other:
        a_profile(host=one.host, port=one.port, max_connections=10)
        a_profile(host=other.host, port=other.port, max_connections=3, per_minute=12_000)
        with drains(process_environment, 4) as processes:
            for _ in range(20):
                queued(500)
                assert_balanced(books([one, other]), duplicates=0)
            until(lambda: all_sent(10_000), timeout=600)
        assert_balanced(books([one, other]), enqueued=10_000, at_rest=True, duplicates=0)
    with capsys.disabled():
        by_worker = sorted(process.report["sent"] for process in processes)
        print(f"\nfour workers: {by_worker} messages, {time.monotonic() - began:.0f} s")  # noqa: T201  # the figures are the result
    assert one.most_talking <= 10
    assert other.most_talking <= 3


def test_a_worker_that_comes_later_gets_its_part_of_the_connections(process_environment):
    with smtp_server(at_dot=leisurely) as server:
        a_profile(host=server.host, port=server.port, max_connections=4, messages_per_connection=10_000)
        with drains(process_environment, 1):
            queued(1200)
            until(lambda: Slot.objects.exclude(worker_id=None).count() == 4)
            with drains(process_environment, 1):
                until(lambda: sorted(Counter(holders()).values()) == [2, 2])
                accepted = server.accepted
            assert accepted < 1200, "there was no mail left to share"
            until(lambda: sorted(Counter(holders()).values()) == [4] or all_sent(1200))
            server.at_dot = None  # the rest at once
            until(lambda: all_sent(1200))
        assert_balanced(books([server]), enqueued=1200, at_rest=True, duplicates=0)
    assert server.most_talking <= 4


def holders():
    """The worker of each connection that is in use."""
    return list(Slot.objects.exclude(worker_id=None).values_list("worker_id", flat=True))


def test_mail_that_trickles_takes_one_connection_and_leaves_the_others(process_environment):
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_connections=4)
        with drains(process_environment, 1):
            for count in range(1, 6):
                queued(1)
                until(lambda count=count: all_sent(count))
            until(lambda: len(holders()) <= 1)
        assert server.sessions == 1


@pytest.mark.long
@pytest.mark.parametrize("connections", [1, 2])
def test_with_fewer_connections_than_workers_each_has_its_turn(process_environment, capsys, connections):
    began = time.monotonic()
    with smtp_server(at_dot=briefly) as server:
        a_profile(host=server.host, port=server.port, max_connections=connections)
        with drains(process_environment, 4):
            while len(sent_by_worker()) < 4:
                assert time.monotonic() - began < 400, sent_by_worker()
                queued(200)
                sent = Message.objects.count() - 100
                until(lambda sent=sent: server.accepted >= sent, timeout=200)
        assert_balanced(books([server]), at_rest=True, duplicates=0)
    with capsys.disabled():
        seconds = time.monotonic() - began
        print(f"\n{connections} for 4 workers: {dict(sent_by_worker())}, {seconds:.0f} s")  # noqa: T201  # the figures are the result
    assert server.most_talking <= connections
