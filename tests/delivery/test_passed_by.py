"""Waiting mail whose sender's domain was listed too late: which messages, and that nothing else is chosen."""

import pytest
from django.contrib.sites.models import Site
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delivery import assignment, jobs, models, queue
from delivery.jobs import choosing
from delivery.queue.passed_by import SENDER_DOMAIN
from smtp_settings.models import SMTPProfile
from tests.delivery.queueing import a_row_of_profile, claimed, composed, enqueued
from tests.delivery.test_assignment import P, Pool
from tests.delivery.test_jobs import FAILED, HELD, ended, worked
from tests.delivery.test_queue_moving import deferred, way_of

pytestmark = pytest.mark.django_db

HERE = "shop@shop.example"


def waits(sender=HERE, **options):
    """A message of this sender that waits; its number."""
    return enqueued(composed=composed(from_header=sender), **options)[0]


def chosen(profile, **more):
    """The numbers of what a job for this profile would be for."""
    choice = jobs.Choice(could_id=profile.pk, **more)
    return [found.id for found in choosing.walk(choice, after=0, upper=2**62, limit=100)]


def lists(*domains, name="Marketing", sites=(), **fields):
    """A profile that lists these domains, made after the mail that waits."""
    profile = a_row_of_profile(name, sender_domains=list(domains), **fields)
    profile.sites.set(sites)
    return profile


# Which ones


def test_what_was_handed_over_before_its_domain_was_listed_is_chosen_and_moved():
    early = waits()
    profile = lists("shop.example")
    late = waits()

    assert chosen(profile) == [early]
    assert queue.move(chosen(profile), to=None) == {early}

    assert chosen(profile) == []
    assert way_of(early) == way_of(late) == (None, "shop.example", None, None)


@pytest.mark.parametrize(
    "sender",
    [
        "shop@SHOP.example",
        "The Shop <shop@shop.example>",
        '"Shop, the (best)" <shop@shop.example>',
        "=?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n <shop@shop.example>",
        "shop@shop.example (The shop)",
        '"a b"@shop.example',
        "(see (us)) shop@shop.example",
    ],
)
def test_the_sender_is_read_however_it_is_written(sender):
    message_id = waits(sender)

    assert chosen(lists("shop.example")) == [message_id]


@pytest.mark.parametrize(
    "sender",
    [
        "shop@news.shop.example",
        "shop@myshop.example",
        "shop@shop.example.org",
        "shop@shopXexample",
        '"shop@shop.example" <other@other.example>',
        "other@other.example (shop@shop.example)",
        "shop.example@other.example",
        None,
    ],
)
def test_another_sender_is_left(sender):
    waits(sender)

    assert chosen(lists("shop.example")) == []


@pytest.mark.parametrize("domain", ["xn--bcher-kva.example", "XN--Bcher-kva.Example"])
def test_an_international_domain_is_compared_as_it_is_stored_in_any_case(domain):
    message_id = waits("leser@xn--bcher-kva.example")

    assert chosen(lists(domain)) == [message_id]


def test_a_domain_is_no_pattern():
    waits("a@xshop.example"), waits("a@anything.example")

    assert chosen(lists("_shop.example", "%.example", name="Odd")) == []


def test_of_several_domains_each_counts():
    first, other = waits(), waits("a@other.example")

    assert chosen(lists("shop.example", "other.example")) == [first, other]


def test_a_profile_for_sites_gets_the_mail_of_its_sites_only():
    ours, theirs = Site.objects.create(domain="a.example"), Site.objects.create(domain="b.example")
    here, _there, _nowhere = waits(site_id=ours.pk), waits(site_id=theirs.pk), waits()

    assert chosen(lists("shop.example", sites=[ours])) == [here]


def test_a_profile_for_every_site_gets_the_mail_of_all():
    site = Site.objects.create(domain="a.example")
    ids = [waits(site_id=site.pk), waits()]

    assert chosen(lists("shop.example")) == ids


def test_what_is_for_one_profile_only_stays_with_it():
    other = a_row_of_profile("Other")
    waits(profile_id=other.pk)
    passed_on = waits()
    (pool,) = queue.pools_for([queue.Route(None, None, other.pk)]).values()
    models.QueueEntry.objects.filter(pk=passed_on).update(pool_id=pool)

    assert chosen(lists("shop.example")) == []


def test_what_a_worker_has_in_hand_is_chosen_once_it_is_given_back():
    message_id, lease = waits(), queue.register_worker()
    claimed(lease)
    profile = lists("shop.example")
    assert chosen(profile) == []

    queue.settle(lease, [queue.Settled(message_id, 7)])

    assert chosen(profile) == [message_id]


def test_what_was_put_off_is_chosen_too_and_a_tab_narrows_it():
    put_off = deferred(a_row_of_profile().pk, options={"composed": composed(from_header=HERE)})
    fresh, profile = waits(), lists("shop.example")

    assert chosen(profile) == [put_off, fresh]
    assert chosen(profile, state=queue.MessageState.DEFERRED) == [put_off]
    assert chosen(profile, state=queue.MessageState.SENDING) == []


@pytest.mark.parametrize("state", [FAILED, HELD])
def test_what_needs_a_person_does_not_wait(state):
    ended(state, composed=composed(from_header=HERE))

    assert chosen(lists("shop.example")) == []


def test_a_profile_that_lists_none_and_one_that_is_gone_choose_nothing():
    waits()
    every, gone = a_row_of_profile("Every"), lists("shop.example")
    SMTPProfile.objects.filter(pk=gone.pk).delete()

    assert chosen(every) == chosen(gone) == []
    assert jobs.estimate(jobs.Choice(could_id=gone.pk), upper=2**62) == jobs.Estimate()


def test_the_choice_is_stored_and_a_job_moves_exactly_these():
    early, other, profile = waits(), waits("a@other.example"), lists("shop.example")
    choice = jobs.Choice(could_id=profile.pk)
    assert jobs.Choice.from_json(choice.as_json()) == choice
    assert jobs.estimate(choice, upper=2**62).by_state.total() == 1

    jobs.start(jobs.moving_to(jobs.Destination(None)), choice, user_id=None)
    worked()

    job = models.BulkJob.objects.get()
    assert (job.state, job.done, job.skipped) == ("done", 1, {})
    assert (way_of(early)[1], way_of(other)[1]) == ("shop.example", None)


def test_a_job_stored_before_there_was_such_a_choice_is_still_read():
    stored = jobs.Choice(pinned_id=3).as_json()
    del stored["could_id"]

    assert jobs.Choice.from_json(stored) == jobs.Choice(pinned_id=3)


# How the sender is read

_NAMES = st.text(alphabet='ab.@, ()<>"\\', max_size=8)
_QUOTED = _NAMES.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '" ')
_COMMENTS = st.text(alphabet='ab.@, <>"', max_size=8).map(lambda text: f" ({text})")
_ADDRESSES = st.sampled_from(["a@one.example", "a@ONE.example", '"x@y"@two.example', "a@b.two.example"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.one_of(st.just(""), _QUOTED), address=_ADDRESSES, comment=st.one_of(st.just(""), _COMMENTS))
def test_the_database_reads_a_sender_as_the_route_does(name, address, comment):
    sender = f"{name}<{address}>{comment}" if name else f"{address}{comment}"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {SENDER_DOMAIN} FROM (SELECT %s AS from_header) one", [sender])
        (read,) = cursor.fetchone()

    assert read == queue.domain_of(sender)


# The other way round


@pytest.mark.parametrize("site_ids", [frozenset(), frozenset({5}), frozenset({6})])
@pytest.mark.parametrize("domains", [frozenset(), frozenset({"a.test"}), frozenset({"b.test"})])
def test_whoever_serves_a_pool_without_a_domain_serves_it_with_one_that_nobody_lists_any_more(
    site_ids, domains
):
    profile = P(1, site_ids=site_ids, sender_domains=domains)

    if assignment.serves(profile, Pool(site_id=5)):
        assert assignment.serves(profile, Pool(site_id=5, sender_domain="a.test"))


def test_a_domain_taken_away_strands_nothing_that_a_move_would_free():
    profile = lists("shop.example")
    message_id = waits()
    assert way_of(message_id)[1] == "shop.example"
    SMTPProfile.objects.filter(pk=profile.pk).update(sender_domains=["other.example"])

    assert chosen(profile) == []
