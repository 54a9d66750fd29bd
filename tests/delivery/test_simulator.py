"""The simulator cannot lie: what it says a server takes, that server's drain then sends."""

from datetime import timedelta

import pytest
from django.contrib.sites.models import Site
from django.utils import timezone

from delivery import dispatcher, queue, stats
from delivery.fitting import Size
from delivery.models import Message, Pool, ProfileState, QueueEntry, Rate, SmallState, Worker
from delivery.queue import Breaker, Paused
from delivery.simulator import Question, simulate
from delivery.waiting import explain, reasons
from smtp_settings import wire
from smtp_settings.models import SMTPProfile
from tests.builders import a_draft, a_profile, a_user
from tests.delivery.engine import queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

LATER = timedelta(hours=1)


class Town:
    """Profiles that all reach one server, and the message in question."""

    def __init__(self, server):
        self.server = server
        self.options = {}

    def profile(self, name, **fields):
        return a_profile(name=name, host=self.server.host, port=self.server.port, **fields)

    def site(self, domain):
        return Site.objects.get_or_create(domain=domain)[0]

    def state(self, profile, **fields):
        ProfileState.objects.update_or_create(profile_id=profile.pk, defaults=fields)

    def use_up(self, profile):
        """Take every token the profile's limits give for now."""
        rates = [one.rate for one in stats.snapshot().server(profile.pk).limits]
        queue.set_limits(profile.pk, queue.Limits(profile.max_connections, rates))
        Rate.objects.filter(profile_id=profile.pk).update(tat=timezone.now() + timedelta(days=9))

    def busy(self, profile):
        """Let another worker have all connections of the profile, with a message each."""
        lease = queue.register_worker()
        connections = profile.max_connections
        queue.set_limits(profile.pk, queue.Limits(connections))
        queued(connections, profile=profile.name)
        lanes = [queue.Lane(ready.pool.id, ready.priority) for ready in queue.ready_lanes()]
        assert len(queue.claim(lease, lanes, [profile.pk] * connections)) == connections
        assert len(queue.take_slots(lease, profile.pk, connections, connections)) == connections


def default_first(town):
    town.profile("High", priority="high")
    town.profile("Default", is_default=True, priority="low")
    return "Default"


def high_then_normal_then_low(town):
    town.profile("Low", priority="low")
    town.profile("Normal")
    town.profile("High", priority="high")
    return "High"


def equals_by_age(town):
    town.profile("Older")
    town.profile("Newer")
    return "Older"


def the_one_with_more_connections_of_equals(town):
    town.profile("Few", max_connections=2)
    town.profile("Many", max_connections=4)
    return "Many"


def the_one_that_bears_more_of_equals(town):
    town.state(town.profile("Slow start", max_connections=8), ramp=1)
    town.profile("Many", max_connections=4)
    return "Many"


def default_too_small(town):
    town.profile("Default", is_default=True, max_size=1)
    town.profile("Normal", max_size=10)
    town.options = {"attachment": b"x" * 1_500_000}
    return "Normal"


def default_paused(town):
    paused = town.profile("Default", is_default=True)
    queue.pause(paused.pk, Paused.PERSON, user_id=a_user().pk)
    town.profile("Low", priority="low")
    town.profile("High", priority="high")
    return "High"


def default_paused_for_a_fault(town):
    paused = town.profile("Default", is_default=True)
    [way] = wire.ways_out()
    queue.pause(paused.pk, Paused.FAULT, reason="535 5.7.8 No", version=way.version)
    town.profile("Normal")
    return "Normal"


def everybody_paused(town):
    for name in ("One", "Two"):
        queue.pause(town.profile(name).pk, Paused.PERSON, user_id=a_user().pk)


def default_resting(town):
    town.state(
        town.profile("Default", is_default=True), breaker=Breaker.OPEN, penalty=1,
        open_until=timezone.now() + LATER,
    )  # fmt: skip
    town.profile("Normal")
    return "Normal"


def default_due_for_a_try(town):
    town.state(
        town.profile("Default", is_default=True), breaker=Breaker.OPEN, penalty=1,
        open_until=timezone.now() - timedelta(seconds=1),
    )  # fmt: skip
    town.profile("Normal")
    return "Default"


def default_being_tried_by_another(town):
    town.state(
        town.profile("Default", is_default=True), breaker=Breaker.HALF_OPEN, penalty=1,
        probe_worker_id=queue.register_worker(),
    )  # fmt: skip
    town.profile("Normal")
    return "Normal"


def default_disabled(town):
    town.profile("Default", is_default=True, enabled=False)
    town.profile("Normal")
    return "Normal"


def default_a_draft(town):
    a_draft(name="Draft", priority="high")
    town.profile("Normal")
    return "Normal"


def default_changed_past_the_gate(town):
    changed = town.profile("Default", is_default=True)
    SMTPProfile.objects.filter(pk=changed.pk).update(host="127.0.0.2")
    town.profile("Normal")
    return "Normal"


def default_at_its_rate(town):
    town.use_up(town.profile("Default", is_default=True, per_minute=25))
    town.profile("Normal")
    return "Normal"


def default_at_its_quota(town):
    town.use_up(town.profile("Default", is_default=True, per_day=100))
    town.profile("Normal")
    return "Normal"


def default_below_its_rate(town):
    town.profile("Default", is_default=True, per_minute=25, per_hour=100)
    town.profile("Normal")
    return "Default"


def default_with_a_send_offset(town):
    town.profile("Default", is_default=True, send_offset=600)
    town.profile("Normal")
    return "Normal"


def default_busy_elsewhere(town):
    town.busy(town.profile("Default", is_default=True, max_connections=2))
    town.profile("Normal")
    return "Normal"


def a_sites_own_default(town):
    shop = town.site("shop.example.com")
    town.profile("Global", is_default=True)
    town.profile("Shop", is_default=True, sites=[shop])
    town.options = {"site": "shop.example.com"}
    return "Shop"


def only_profiles_of_other_sites(town):
    town.site("blog.example.com")
    town.profile("Shop", sites=[town.site("shop.example.com")])
    town.options = {"site": "blog.example.com"}


def of_no_site(town):
    town.profile("Shop", is_default=True, sites=[town.site("shop.example.com")])
    town.profile("Global", priority="low")
    return "Global"


def a_profile_for_the_from_domain(town):
    town.profile("Others", priority="high", sender_domains=["other.example"])
    town.profile("Ours", sender_domains=["example.com"])
    town.profile("Any", priority="low")
    return "Ours"


def pinned(town):
    town.profile("Default", is_default=True)
    town.profile("Low", priority="low", sender_domains=["other.example"])
    town.options = {"profile": "Low"}
    return "Low"


def pinned_to_one_that_is_paused(town):
    town.profile("Default", is_default=True)
    queue.pause(town.profile("Low", priority="low").pk, Paused.PERSON, user_id=a_user().pk)
    town.options = {"profile": "Low"}


def no_profile_at_all(town):
    pass


SITUATIONS = [
    default_first, high_then_normal_then_low, equals_by_age,
    the_one_with_more_connections_of_equals, the_one_that_bears_more_of_equals, default_too_small,
    default_paused, default_paused_for_a_fault,
    everybody_paused, default_resting, default_due_for_a_try, default_being_tried_by_another,
    default_disabled, default_a_draft, default_changed_past_the_gate, default_at_its_rate,
    default_at_its_quota, default_below_its_rate, default_with_a_send_offset, default_busy_elsewhere,
    a_sites_own_default, only_profiles_of_other_sites, of_no_site, a_profile_for_the_from_domain, pinned,
    pinned_to_one_that_is_paused, no_profile_at_all,
]  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
def test_the_server_that_would_take_it_is_the_one_that_sends_it(situation):
    with smtp_server() as server:
        town = Town(server)
        expected = situation(town)
        said = asked(town.options)
        (message_id,) = queued(**town.options)
        waits = explain(stats.snapshot(message_id))
        dispatcher.run(linger=0.2, deadline=60)

    assert said == expected
    is_next = [one.profile_id for one in waits.reasons if isinstance(one, reasons.IsNext)]
    assert names(is_next) == ([expected] if expected else [])
    message = Message.objects.get(pk=message_id)
    if expected is None:
        assert (message.state, message.profile_id) == (SmallState.QUEUED, None)
        assert QueueEntry.objects.get(pk=message_id).lease_id is None
    else:
        assert (message.state, names([message.profile_id])) == (SmallState.SENT, [expected])


def asked(options):
    """The name of the server the simulator names for the message that `queued` hands over."""
    site = Site.objects.filter(domain=options.get("site", "")).first()
    profile = SMTPProfile.objects.filter(name=options.get("profile", "")).first()
    chosen = simulate(
        Question(
            "shop@example.com",
            site_id=site.pk if site else None,
            profile_id=profile.pk if profile else None,
            size=Size(len(options["attachment"]), len(options["attachment"]))
            if "attachment" in options
            else None,
        )
    ).routing.chosen
    return names([chosen])[0] if chosen is not None else None


def names(ids):
    known = dict(SMTPProfile.objects.values_list("pk", "name"))
    return [known[pk] for pk in ids]


def test_asking_makes_no_route_and_changes_nothing():
    a_profile(name="One", sender_domains=["example.com"])

    def rows():
        return [list(model.objects.values()) for model in (Pool, ProfileState, Rate, Worker)]

    before = rows()
    found = simulate(Question("Shop <shop@Example.com>"))
    assert (found.route.id, found.route.sender_domain, found.ahead) == (0, "example.com", 0)
    assert rows() == before


def test_those_who_wait_on_its_route_go_first():
    a_profile(name="One")
    queued(3)
    queued(2, priority="high")
    queued(4, priority="low")
    queued(1, send_at=timezone.now() + LATER)

    aheads = [simulate(Question("shop@example.com", priority=n)).ahead for n in (1, 2, 3)]

    assert aheads == [2, 5, 9]
    last = queued(1)[0]
    assert stats.snapshot(last).message.ahead == 5
    scheduled = queued(1, send_at=timezone.now() + LATER)[0]
    assert stats.snapshot(scheduled).message.ahead == 6
