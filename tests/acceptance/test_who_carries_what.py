"""Default, High, Normal, Low; sites, pins, urgency: by worker processes, judged by what servers got."""

import asyncio
import threading
from contextlib import ExitStack

import pytest
from django.contrib.sites.models import Site

from delivery import jobs, queue
from delivery.jobs import stepping
from delivery.models import BulkJob, Message, Paused, QueueEntry, SmallState
from smtp_settings.models import Event
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import drains, until
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


class Gate:
    """Holds every message of a server at its dot until it is opened."""

    def __init__(self):
        self.waiting = 0
        self.opened = threading.Event()

    async def pass_through(self, _content):
        self.waiting += 1
        while not self.opened.is_set():  # noqa: ASYNC110  # opened in another thread
            await asyncio.sleep(0.01)


async def briefly(_content):
    await asyncio.sleep(0.005)


def all_sent(count):
    return Message.objects.filter(state=SmallState.SENT).count() == count


def recipients(server):
    return [received.rcpt_to[0] for received in server.messages]


def test_a_busy_server_passes_mail_on_to_high_normal_low_and_then_it_waits(process_environment):
    names = ["default", "high", "normal", "low"]
    gates = {name: Gate() for name in names}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(smtp_server(at_dot=gate.pass_through)) for name, gate in gates.items()
        }
        for name in reversed(names):  # the order they were made in says nothing
            server, is_default = servers[name], name == "default"
            a_profile(
                host=server.host,
                port=server.port,
                max_connections=1,
                on_uncertain="hold",  # a message in hand is one on the wire
                is_default=is_default,
                priority="low" if is_default else name,
            )
        # One worker: a second one that looks at the same moment finds the connection taken, a message early.
        with drains(process_environment, 1):
            try:
                for count, name in enumerate(names, start=1):
                    queued(1)
                    until(lambda: sum(gate.waiting for gate in gates.values()) >= count)  # noqa: B023
                    assert [gates[name].waiting for name in names] == [1] * count + [0] * (4 - count), name
                (last,) = queued(1)
                gates["default"].opened.set()
                until(lambda: not QueueEntry.objects.filter(pk=last).exists())
                assert servers["default"].accepted == 2
            finally:
                for gate in gates.values():
                    gate.opened.set()
            until(lambda: all_sent(5))
        assert_balanced(books(servers.values()), enqueued=5, at_rest=True, duplicates=0)
    assert [server.accepted for server in servers.values()] == [2, 1, 1, 1]
    assert max(server.most_talking for server in servers.values()) == 1


def test_profiles_of_a_site_carry_its_mail_only_and_pinned_mail_waits_for_its_own(process_environment):
    one, two = (Site.objects.create(domain=f"{name}.example", name=name) for name in ("one", "two"))
    with smtp_server() as of_one, smtp_server() as of_two, smtp_server() as of_all:
        a_profile(host=of_one.host, port=of_one.port, sites=[one], is_default=True)
        two_only = a_profile(host=of_two.host, port=of_two.port, sites=[two], name="Two", priority="high")
        a_profile(host=of_all.host, port=of_all.port, priority="low")
        queue.pause(two_only.pk, Paused.PERSON)
        with drains(process_environment, 2):
            for _ in range(3):
                queued(10, to=("a@one.example",), site=one.domain)
                queued(10, to=("b@two.example",), site=two.domain)
                queued(10, to=("c@none.example",))
            queued(5, to=("pinned@two.example",), site=two.domain, profile="Two")
            until(lambda: all_sent(90))  # the mail of site two went by the one that is for all
            assert {"b@two.example", "c@none.example"} <= set(recipients(of_all))
            assert "pinned@two.example" not in recipients(of_all)
            assert set(recipients(of_one)) == {"a@one.example"}
            assert not of_two.sessions
            assert QueueEntry.objects.filter(lease_id=None).count() == 5
            queue.resume(two_only.pk)
            until(lambda: all_sent(95))
        assert set(recipients(of_two)) == {"pinned@two.example"}
        assert_balanced(books([of_one, of_two, of_all]), enqueued=95, at_rest=True, duplicates=0)


def test_what_is_moved_while_workers_send_arrives_once_and_by_the_way_it_was_moved_to(
    process_environment, monkeypatch
):
    monkeypatch.setattr(stepping, "CHUNK", 20)
    gate, count = Gate(), 400
    with smtp_server(at_dot=gate.pass_through) as of_one, smtp_server() as of_two:
        one = a_profile(host=of_one.host, port=of_one.port, max_connections=2, name="One")
        two = a_profile(host=of_two.host, port=of_two.port, max_connections=2, name="Two")
        ids = queued(count, profile="One")
        to_two = jobs.moving_to(jobs.Destination(two.pk))
        with drains(process_environment, 2):
            try:
                until(lambda: gate.waiting)
                job_id = jobs.start(to_two, jobs.Choice(pinned_id=one.pk), user_id=None)
                assert jobs.step(job_id).job_id == job_id
                gate.opened.set()  # from here on the drains claim what the job is about to move
                while jobs.step(job_id).job_id is not None:
                    pass
                queue.wake_drains()
            finally:
                gate.opened.set()
            until(lambda: all_sent(count))
        moved = set(Event.objects.filter(kind="message.moved").values_list("message_id", flat=True))
        sent_by = dict(Message.objects.values_list("pk", "profile_id"))
        assert {sent_by[pk] for pk in moved} == {two.pk}
        assert {sent_by[pk] for pk in set(ids) - moved} == {one.pk}
        job = BulkJob.objects.get(pk=job_id)
        assert job.done == len(moved) == of_two.accepted
        assert_balanced(books([of_one, of_two]), enqueued=count, at_rest=True, duplicates=0)


def test_one_sites_backlog_does_not_starve_another_site(process_environment):
    batch, backlog = 20, 2000
    big, small = (Site.objects.create(domain=f"{name}.example", name=name) for name in ("big", "small"))
    with smtp_server(at_dot=briefly) as server:
        a_profile(host=server.host, port=server.port, max_connections=2)
        queued(backlog, to=("bo@big.example",), site=big.domain)
        with drains(process_environment, 2, "--batch-size", str(batch)):
            server.wait_for(50)
            queued(10, to=("cy@small.example",), site=small.domain)
            before = server.accepted
            until(lambda: recipients(server).count("cy@small.example") == 10)
        at = [place for place, to in enumerate(recipients(server)) if to == "cy@small.example"]
        assert_balanced(books([server]), enqueued=backlog + 10, at_rest=True, duplicates=0)
    # In hand already: 64 a connection. Then three rounds of each worker, and what a slow look lets pass.
    assert at[-1] - before <= 2 * 64 + 3 * 2 * batch + 400
    assert at[-1] < backlog


@pytest.mark.parametrize("groups", [pytest.param(1, marks=pytest.mark.long), 2])
def test_low_moves_while_high_keeps_coming(process_environment, groups):
    """Every sixteenth claim of a worker begins with Low; here a claim is one message."""
    sites = [Site.objects.create(domain=f"{n}.example", name=str(n)) for n in range(groups)]
    with smtp_server() as server, smtp_server() as of_a_site:
        a_profile(host=server.host, port=server.port, max_connections=2)
        if groups > 1:  # one pool has a second server: two groups
            a_profile(host=of_a_site.host, port=of_a_site.port, sites=sites[:1], max_connections=1)
        for site in sites:
            queued(600, to=("high@example.com",), site=site.domain, priority="high")
            queued(3, to=(f"low@{site.domain}",), site=site.domain, priority="low")
        with drains(process_environment, 2, "--batch-size", "1"):
            until(lambda: not QueueEntry.objects.filter(priority=3).exists())
            assert QueueEntry.objects.filter(priority=1, lease_id=None).exists(), "High was gone before Low"
        assert_balanced(books([server, of_a_site]), enqueued=603 * groups, at_rest=True, duplicates=0)
