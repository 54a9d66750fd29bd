"""Why not sent yet, on each open row of the list of messages: what it says, to whom, and what it costs."""

import re
from datetime import timedelta

import pytest
from django.contrib.sites.models import Site
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from delivery import queue
from delivery.models import Message, ProfileState, QueueEntry, Rate, Slot
from delivery.queue import Breaker, Finished, Paused, SmallState
from delivery.showing import clock
from smtp_settings.models import SMTPProfile
from tests.builders import a_profile, a_user
from tests.delivery.engine import queued
from tests.house import crowd
from tests.pages import assert_strict, client_of

pytestmark = pytest.mark.django_db

LIST = reverse("admin:delivery_message_changelist")
SOON = timedelta(minutes=9)


def whys(answer):
    """What each row says, in the order of the page; None for a row that says nothing."""
    rows = answer.content.decode().partition('id="result_list"')[2].partition("</table>")[0]
    cells = re.findall(r'<td class="field-status">(.*?)</td>', rows)
    found = [re.search(r'<span class="mc-why[^"]*">(.*?)</span>', cell) for cell in cells]
    return [one and one[1] for one in found]


def statements_of(client):
    """The statements of the list while what is kept for seconds is kept."""
    found = []
    for _ in range(3):
        with CaptureQueriesContext(connection) as seen:
            client.get(LIST)
        found.append([one["sql"] for one in seen.captured_queries if "SAVEPOINT" not in one["sql"]])
    return min(found, key=len)


def used_up(profile, kind, until):
    Rate.objects.create(
        profile_id=profile.pk, kind=kind, tat=until, emission=timedelta(seconds=9), tolerance=timedelta(0)
    )


@pytest.fixture
def lease():
    return queue.register_worker()


def spaced():
    until = timezone.now() + SOON
    used_up(a_profile(name="EU relay", send_offset=60), "spacing", until)
    return f"EU relay: waits for the send offset until {clock(until)}"


def at_rate():
    used_up(a_profile(name="EU relay", per_minute=25), "minute", timezone.now() + SOON)
    return "EU relay is at 25 per minute"


def busy():
    relay, lease = a_profile(name="EU relay", max_connections=4), queue.register_worker()
    Slot.objects.bulk_create(Slot(profile_id=relay.pk, n=n, worker_id=lease) for n in range(1, 5))
    QueueEntry.objects.bulk_create(
        QueueEntry(message_id=2**40 + n, pool_id=1, lease_id=lease, profile_id=relay.pk) for n in range(4)
    )
    return "EU relay: all 4 connections are in use"


def resting():
    until = timezone.now() + SOON
    profile_id = a_profile(name="EU relay").pk
    ProfileState.objects.create(
        profile_id=profile_id, breaker=Breaker.OPEN, open_until=until, reason="421 zzDown"
    )
    return f"EU relay: breaker open until {clock(until)}"


def paused():
    queue.pause(a_profile(name="EU relay").pk, Paused.PERSON, user_id=a_user(username="Ana").pk)
    return "EU relay: paused by Ana"


def of_another_site():
    a_profile(name="EU relay", sites=[Site.objects.get_or_create(domain="other.example")[0]])
    return "no live profile for this site"


SIX = (spaced, at_rate, busy, resting, paused, of_another_site)
NAMES = ("EU relay", "Ana", "zzDown")


@pytest.mark.parametrize("scene", SIX)
def test_each_open_row_says_why_it_is_not_sent_yet(lease, settings, scene):
    settings.TIME_ZONE = "Etc/GMT+3"
    said = scene()
    queued(1, site=Site.objects.get_or_create(domain="shop.example.com")[0].domain)

    answer = client_of("superuser").get(LIST)

    assert_strict(answer)
    assert whys(answer) == [said]
    assert "zzDown" not in answer.content.decode()  # a server's words are on the message's page


@pytest.mark.parametrize("scene", SIX)
def test_who_may_not_see_profiles_reads_no_name(lease, scene):
    said = scene().replace("EU relay: ", "").replace("EU relay", "the server").replace("Ana", "a person")
    queued(1, site=Site.objects.get_or_create(domain="shop.example.com")[0].domain)

    answer = client_of("staff", permissions=["delivery.view_message"]).get(LIST)

    assert whys(answer) == [said]
    assert not any(name in answer.content.decode() for name in NAMES)


def test_only_the_first_in_line_is_told_the_moment(lease):
    said = spaced()
    queued(3)
    queued(1, priority="low")
    later = "EU relay: waits for the send offset"
    assert whys(client_of("superuser").get(LIST)) == [later, later, later, said]  # newest first


def test_a_page_that_begins_later_in_the_line_tells_no_moment(lease):
    spaced()
    queued(51)
    assert set(whys(client_of("superuser").get(LIST))) == {"EU relay: waits for the send offset"}


def test_other_rows_of_one_page_wait_for_something_else(lease):
    first, held, sent, retried, scheduled, sending = queued(6)
    relay = a_profile(name="EU relay")
    queue.finish(None, [Finished(sent, SmallState.SENT), Finished(held, SmallState.HELD, cause="person")])
    QueueEntry.objects.filter(pk=retried).update(ready_at=timezone.now() + SOON, attempts=1)
    QueueEntry.objects.filter(pk=scheduled).update(ready_at=timezone.now() + SOON)
    QueueEntry.objects.filter(pk=sending).update(lease_id=lease, profile_id=relay.pk)

    said = whys(client_of("superuser").get(LIST))

    newest_first = (sending, scheduled, retried, sent, held, first)
    assert dict(zip(newest_first, said, strict=True)) == {
        first: "the next for EU relay",
        held: None,
        sent: None,
        retried: "waits for the next try",
        scheduled: "its sender wants it sent later",
        sending: f"in the hands of worker {lease}",
    }


def test_nobody_draining_is_what_a_row_says_first():
    paused()
    queued(1)
    assert whys(client_of("superuser").get(LIST)) == ["nobody is sending: no worker runs"]


def test_a_profile_changed_behind_the_gate_is_no_live_one_at_the_next_look(lease):
    relay = a_profile(name="EU relay")
    queued(1)
    client = client_of("superuser")
    assert whys(client.get(LIST)) == ["the next for EU relay"]

    SMTPProfile.objects.filter(pk=relay.pk).update(host="elsewhere.example.com")
    assert whys(client.get(LIST)) == ["no live profile for mail of no site"]
    SMTPProfile.objects.filter(pk=relay.pk).update(host=relay.host)
    assert whys(client.get(LIST)) == ["the next for EU relay"]


def test_a_message_too_large_for_everyone_says_so_and_small_ones_do_not(lease):
    a_profile(name="EU relay", max_size=1)
    queued(1)
    queued(1, attachment=b"x" * 1_100_000)
    assert whys(client_of("superuser").get(LIST)) == [
        "EU relay: the message is too large",
        "the next for EU relay",
    ]


@pytest.mark.parametrize("role", ["superuser", "viewer"])
def test_fifty_rows_cost_the_queries_of_one_and_at_most_ten(lease, role):
    crowd(profiles=200, runs=1, events=1, user=a_user("superuser"))
    sites = [Site.objects.get_or_create(domain=f"s{n}.example.com")[0].domain for n in range(5)]
    client = client_of(role)
    queued(1)
    one = statements_of(client)
    for n in range(49):
        queued(1, site=sites[n % 5])
    fifty = statements_of(client)

    assert len(whys(client.get(LIST))) == 50
    assert len(fifty) == len(one) <= 10, fifty


def test_a_page_of_every_kind_of_row_costs_ten_queries(lease):
    crowd(profiles=3, runs=1, events=1, user=a_user("superuser"))
    sent, held, waiting = queued(3)
    queue.finish(None, [Finished(sent, SmallState.SENT), Finished(held, SmallState.HELD, cause="person")])
    Message.objects.filter(pk=sent).update(profile_id=SMTPProfile.objects.first().pk)
    QueueEntry.objects.filter(pk=waiting).update(last_profile_id=SMTPProfile.objects.last().pk)

    for role in ("superuser", "viewer"):
        found = statements_of(client_of(role))
        assert len(found) <= 10, found


def test_where_no_row_is_open_nothing_is_asked_about_servers(lease):
    a_profile(name="EU relay")
    (done,) = queued(1)
    queue.finish(None, [Finished(done, SmallState.CANCELLED)])
    assert not any("json_build_object" in sql for sql in statements_of(client_of("superuser")))
