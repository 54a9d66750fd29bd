"""What all workers share of a server: connections, rates, breaker, pause."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone

from delivery import models, pacing, queue
from smtp_settings.models import SMTPProfile
from tests.delivery.queueing import a_row_of_profile, in_threads, statements

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def profile_id(db):
    return a_row_of_profile().pk


def limited(profile_id, connections=4, **rates):
    found = pacing.rates(**rates)
    queue.set_limits(profile_id, queue.Limits(connections, found))
    return found


def slots(profile_id):
    return list(models.Slot.objects.filter(profile_id=profile_id).order_by("n").values_list("n", flat=True))


# Connections


def test_connections_are_taken_up_to_the_limit_and_given_back(profile_id):
    limited(profile_id, connections=3)
    one, two = queue.register_worker(), queue.register_worker()

    assert queue.take_slots(one, profile_id, limit=3, want=2) == [1, 2]
    assert queue.take_slots(two, profile_id, limit=3, want=2) == [3]
    assert queue.take_slots(two, profile_id, limit=3, want=1) == []
    queue.give_slots(two, profile_id, [1, 3])  # 1 is not its own
    queue.give_slots(two, profile_id, [])
    assert queue.take_slots(two, profile_id, limit=3, want=2) == [3]


def test_a_learned_limit_leaves_the_rest_alone(profile_id):
    limited(profile_id, connections=4)

    assert queue.take_slots(queue.register_worker(), profile_id, limit=1, want=4) == [1]


def test_a_raised_limit_adds_connections_and_a_lowered_one_waits_for_their_holders(profile_id):
    lease = queue.register_worker()
    limited(profile_id, connections=2)
    limited(profile_id, connections=4)
    assert slots(profile_id) == [1, 2, 3, 4]
    queue.take_slots(lease, profile_id, limit=3, want=3)

    limited(profile_id, connections=2)
    assert slots(profile_id) == [1, 2, 3]
    queue.give_slots(lease, profile_id, [3])
    limited(profile_id, connections=2)
    assert slots(profile_id) == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_workers_who_race_never_hold_more_connections_than_allowed():
    profile_id = a_row_of_profile().pk
    in_threads(*[lambda: limited(profile_id, connections=3)] * 4)
    assert slots(profile_id) == [1, 2, 3]

    def work():
        lease, most = queue.register_worker(), 0
        for _ in range(30):
            taken = queue.take_slots(lease, profile_id, limit=3, want=2)
            held = models.Slot.objects.filter(profile_id=profile_id, worker_id__isnull=False).count()
            mine = models.Slot.objects.filter(worker_id=lease).count()
            assert mine == len(taken)
            most = max(most, held)
            queue.give_slots(lease, profile_id, taken)
        return most

    assert max(in_threads(*[work] * 4)) <= 3
    assert not models.Slot.objects.exclude(worker_id=None).exists()


# Rates


def test_without_limits_all_tokens_are_granted(profile_id):
    tokens = queue.take_tokens(profile_id, 50)

    assert (tokens.granted, tokens.spacing_base) == (50, None)


def test_a_pace_gives_a_seconds_worth_and_then_nothing(profile_id):
    limited(profile_id, per_minute=600)

    assert queue.take_tokens(profile_id, 50).granted == 10
    assert queue.take_tokens(profile_id, 50).granted <= 5  # what passed since, on a slow machine


def test_the_tightest_limit_decides_and_the_others_are_not_spent_beyond_it(profile_id):
    limited(profile_id, per_minute=6000, per_hour=20)

    assert queue.take_tokens(profile_id, 50).granted == 2
    assert queue.take_tokens(profile_id, 50).granted == 0
    minute = models.Rate.objects.get(kind="minute")
    assert minute.tat - timezone.now() < timedelta(seconds=0.1)


def test_no_window_gets_more_than_the_quota(profile_id):
    limited(profile_id, per_hour=100)
    granted = 0
    for _ in range(60):  # an hour, a minute at a time: as if the state had been written a minute earlier
        granted += queue.take_tokens(profile_id, 100).granted
        rate = models.Rate.objects.get()
        models.Rate.objects.update(tat=rate.tat - timedelta(minutes=1))

    assert 90 <= granted <= 100


def test_spaced_moments_follow_each_other_over_all_takers(profile_id):
    limited(profile_id, spacing=timedelta(seconds=0.2))

    first, second = queue.take_tokens(profile_id, 2), queue.take_tokens(profile_id, 2)

    gap = first.spacing_emission
    assert gap == timedelta(seconds=0.2)
    assert first.spacing_base == first.db_now + gap  # a gap also passes before the first
    assert (first.granted, second.granted) == (2, 2)
    assert second.spacing_base == first.spacing_base + 2 * gap


def pass_time(span):
    """Let the profiles' limits be as they are so much later."""
    for rate in models.Rate.objects.all():
        models.Rate.objects.filter(pk=rate.pk).update(tat=rate.tat - span)


def test_a_long_offset_is_waited_for_by_all_workers_not_by_the_one_that_began(profile_id):
    gap = timedelta(minutes=10)
    limited(profile_id, spacing=gap)
    assert queue.take_tokens(profile_id, 1).granted == 0  # it begins; nothing is reserved for this taker

    pass_time(gap / 2)
    assert queue.take_tokens(profile_id, 1).granted == 0
    pass_time(gap / 2)

    tokens = queue.take_tokens(profile_id, 1)  # by another: drains end after five minutes
    assert (tokens.granted, tokens.spacing_base) == (1, tokens.db_now)
    assert queue.take_tokens(profile_id, 1).granted == 0


def test_a_moment_just_missed_is_not_lost_and_one_long_gone_begins_anew(profile_id):
    gap = timedelta(minutes=10)
    limited(profile_id, spacing=gap)
    queue.take_tokens(profile_id, 1)

    pass_time(gap * 1.05)
    tokens = queue.take_tokens(profile_id, 1)
    assert (tokens.granted, tokens.spacing_base) == (1, tokens.db_now)

    pass_time(gap * 1.2)
    assert queue.take_tokens(profile_id, 1).granted == 0


def test_a_moment_given_back_is_the_next_ones_unless_a_later_one_is_taken(profile_id):
    limited(profile_id, spacing=timedelta(seconds=1))
    first = queue.take_tokens(profile_id, 1)
    queue.return_moment(profile_id, first.spacing_base)
    assert queue.take_tokens(profile_id, 1).spacing_base == first.spacing_base

    second = queue.take_tokens(profile_id, 1)
    queue.return_moment(profile_id, first.spacing_base)
    queue.take_tokens(profile_id, 1)
    assert models.Rate.objects.get().tat > second.spacing_base


@pytest.mark.django_db(transaction=True)
def test_workers_who_race_for_spaced_tokens_get_disjoint_moments():
    profile_id = a_row_of_profile().pk
    limited(profile_id, spacing=timedelta(milliseconds=100))

    def work():
        moments = []
        for _ in range(20):
            tokens = queue.take_tokens(profile_id, 3)
            if tokens.granted:
                moments += pacing.moments(tokens.spacing_base, tokens.spacing_emission, tokens.granted)
        return moments

    moments = sorted(moment for own in in_threads(*[work] * 4) for moment in own)

    assert len(moments) >= 10
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) >= timedelta(milliseconds=100)


def test_new_limits_keep_what_was_spent_and_dropped_ones_go(profile_id):
    limited(profile_id, per_hour=20, per_day=1000)
    queue.take_tokens(profile_id, 2)
    before = models.Rate.objects.get(kind="hour").tat

    limited(profile_id, per_hour=40)

    assert models.Rate.objects.get().tat == before
    assert models.Rate.objects.get().emission == HOUR / 36


def test_tokens_given_back_are_as_if_they_had_not_been_taken(profile_id):
    rates = limited(profile_id, per_hour=20, per_day=1000, spacing=timedelta(seconds=1))
    before = {rate.kind: rate.tat for rate in models.Rate.objects.all()}
    tokens = queue.take_tokens(profile_id, 1)
    queue.take_tokens(profile_id, 1)

    queue.return_tokens(profile_id, 2, rates)

    after = {rate.kind: rate.tat for rate in models.Rate.objects.all()}
    for kind in ("hour", "day"):
        assert abs(after[kind] - max(before[kind], tokens.db_now)) < timedelta(seconds=1)
    assert after["spacing"] > tokens.spacing_base  # a moment is not given back


@pytest.mark.parametrize("rates", [{"per_hour": 10}, {"spacing": timedelta(minutes=9)}])
def test_a_clock_that_goes_back_stops_nobody_for_long_and_gives_no_fresh_quota(profile_id, rates):
    limited(profile_id, **rates)
    models.Rate.objects.update(tat=timezone.now() + 5 * HOUR)  # as granted five hours from now

    assert queue.take_tokens(profile_id, 50).granted == 0

    rate = models.Rate.objects.get()
    assert rate.tat <= timezone.now() + rate.tolerance
    models.Rate.objects.update(tat=rate.tat - rate.emission)
    assert queue.take_tokens(profile_id, 50).granted == 1


def test_limits_set_again_change_nothing(profile_id):
    limited(profile_id, per_hour=20)
    before = list(models.Rate.objects.values()), list(models.Slot.objects.values())

    limited(profile_id, per_hour=20)

    assert (list(models.Rate.objects.values()), list(models.Slot.objects.values())) == before


# Breaker


def state(profile_id):
    return queue.profile_states([profile_id])[profile_id]


def due(profile_id):
    past = timezone.now() - timedelta(minutes=1)
    models.ProfileState.objects.filter(pk=profile_id).update(open_until=past)


def test_a_profile_nobody_wrote_about_is_closed_and_not_paused(profile_id):
    assert state(profile_id) == queue.ProfileStateRow(profile_id)
    assert queue.profile_states([]) == {}


def test_an_open_breaker_stays_open_longer_each_time(profile_id):
    lease = queue.register_worker()
    waits = []
    for _ in range(3):
        opened = queue.open_breaker(profile_id, reason="no answer", lease=lease)
        waits.append((opened.open_until - opened.changed_at).total_seconds())
        due(profile_id)
        queue.begin_probe(profile_id, lease)

    assert waits == pytest.approx([15, 60, 135], abs=0.1)
    assert (opened.penalty, opened.reason, opened.breaker) == (3, "no answer", queue.Breaker.OPEN)


def test_jitter_moves_the_first_and_later_openings_by_a_tenth(profile_id):
    lease = queue.register_worker()
    first = queue.open_breaker(profile_id, jitter=-1.0)
    assert (first.open_until - first.changed_at).total_seconds() == pytest.approx(13.5, abs=0.1)
    due(profile_id)
    queue.begin_probe(profile_id, lease)
    second = queue.open_breaker(profile_id, jitter=1.0, lease=lease)
    assert (second.open_until - second.changed_at).total_seconds() == pytest.approx(66)


def test_a_breaker_stays_open_at_least_as_long_as_told(profile_id):
    lease = queue.register_worker()
    for at_least, seconds in [(timedelta(minutes=10), 600), (timedelta(seconds=5), 60)]:
        opened = queue.open_breaker(profile_id, lease=lease, at_least=at_least)
        assert (opened.open_until - opened.changed_at).total_seconds() == pytest.approx(seconds, abs=0.1)
        due(profile_id)
        queue.begin_probe(profile_id, lease)


def test_only_the_first_to_open_a_breaker_counts(profile_id):
    queue.open_breaker(profile_id)

    assert queue.open_breaker(profile_id) is None
    assert state(profile_id).penalty == 1


def test_nobody_probes_before_the_time_and_then_one(profile_id):
    one, two = queue.register_worker(), queue.register_worker()
    queue.open_breaker(profile_id)
    assert queue.begin_probe(profile_id, one) is None

    due(profile_id)

    assert queue.begin_probe(profile_id, one) == 1
    assert queue.begin_probe(profile_id, two) is None
    assert queue.open_breaker(profile_id, lease=two) is None
    assert state(profile_id).probe_worker_id == one


@pytest.mark.django_db(transaction=True)
def test_of_many_who_would_probe_one_may():
    profile_id = a_row_of_profile().pk
    queue.open_breaker(profile_id)
    due(profile_id)

    won = in_threads(*[lambda: queue.begin_probe(profile_id, queue.register_worker())] * 4)

    assert [penalty for penalty in won if penalty is not None] == [1]


def test_a_probe_that_succeeds_closes_the_breaker_and_the_penalty_wears_off(profile_id):
    lease = queue.register_worker()
    queue.open_breaker(profile_id)
    due(profile_id)
    queue.begin_probe(profile_id, lease)

    assert not queue.close_breaker(profile_id, lease + 1)
    assert queue.close_breaker(profile_id, lease)
    assert not queue.close_breaker(profile_id, lease)

    assert (state(profile_id).breaker, state(profile_id).penalty) == (queue.Breaker.CLOSED, 1)
    queue.forgive(profile_id)
    queue.forgive(profile_id)
    assert state(profile_id).penalty == 0


# What is learned


def test_the_connections_a_server_bears_are_remembered_with_how_often_it_was_crowded(profile_id):
    for connections, crowded in [(7, 1), (4, 2)]:
        known_at = state(profile_id).connections_at
        assert queue.learn_connections(profile_id, connections, fingerprint="ab", known_at=known_at)
        found = state(profile_id)
        assert (found.connections, found.crowded, found.learned_fingerprint) == (connections, crowded, "ab")


def test_of_many_refused_at_once_the_first_lowers_the_limit(profile_id):
    assert queue.learn_connections(profile_id, 7, fingerprint="ab")
    assert not queue.learn_connections(profile_id, 7, fingerprint="ab", known_at=None)
    assert state(profile_id).crowded == 1


@pytest.mark.parametrize(
    ("learn", "what"),
    [(queue.learn_session_messages, "session_messages"), (queue.learn_recipients, "recipients")],
)
def test_a_limit_is_learned_once_and_again_when_it_is_another(profile_id, learn, what):
    queue.learn_connections(profile_id, 3, fingerprint="ab")
    assert [learn(profile_id, n, fingerprint="ab") for n in (20, 20, 10)] == [True, False, True]
    assert (getattr(state(profile_id), what), state(profile_id).connections) == (10, 3)


@pytest.mark.parametrize("learn", [queue.learn_session_messages, queue.learn_recipients])
def test_what_was_learned_with_other_settings_goes_with_them(profile_id, learn):
    queue.learn_connections(profile_id, 3, fingerprint="ab")
    learn(profile_id, 20, fingerprint="ab")
    assert queue.learn_connections(profile_id, 5, fingerprint="cd", known_at=state(profile_id).connections_at)
    found = state(profile_id)
    assert (found.connections, found.session_messages, found.recipients) == (5, None, None)
    assert found.crowded == 1
    learn(profile_id, 20, fingerprint="ef")
    assert state(profile_id).connections is None


def test_a_person_forgets_all_of_it(profile_id):
    assert not queue.forget(profile_id)
    queue.learn_connections(profile_id, 3, fingerprint="ab")
    queue.learn_session_messages(profile_id, 20, fingerprint="ab")
    queue.learn_recipients(profile_id, 50, fingerprint="ab")
    queue.learn_sequential(profile_id, fingerprint="ab")
    before = state(profile_id)

    assert queue.forget(profile_id)

    assert state(profile_id) == queue.ProfileStateRow(profile_id, changed_at=before.changed_at)
    assert not queue.forget(profile_id)


def test_a_server_that_is_back_starts_slowly_for_all_workers(profile_id):
    lease = queue.register_worker()
    queue.open_breaker(profile_id)
    due(profile_id)
    queue.begin_probe(profile_id, lease)
    queue.close_breaker(profile_id, lease)
    ramps = [state(profile_id).ramp]
    assert queue.speed_up(profile_id, 1, most=4)
    assert not queue.speed_up(profile_id, 1, most=4), "another worker's round"
    ramps.append(state(profile_id).ramp)
    assert not queue.speed_up(profile_id, 2, most=4), "over"
    assert [*ramps, state(profile_id).ramp] == [1, 2, None]


# Pause


def test_a_persons_pause_stands_over_a_fault_and_ends_by_a_person(profile_id):
    assert queue.pause(profile_id, queue.Paused.PERSON, reason="maintenance", user_id=5)

    assert not queue.pause(profile_id, queue.Paused.FAULT, reason="sign-in refused")

    assert (state(profile_id).paused, state(profile_id).reason) == (queue.Paused.PERSON, "maintenance")
    assert state(profile_id).paused_by_id == 5
    assert not queue.resume(profile_id, why=queue.Paused.FAULT)
    assert queue.resume(profile_id)
    assert (state(profile_id).paused, state(profile_id).reason) == (queue.Paused.NO, "")
    assert not queue.resume(profile_id)


def test_old_settings_do_not_pause_a_profile_that_was_saved_since(profile_id):
    profile = SMTPProfile.objects.get(pk=profile_id)
    old = f"{profile.version}.ab"
    SMTPProfile.objects.filter(pk=profile_id).update(version=profile.version + 1)

    assert not queue.pause(profile_id, queue.Paused.FAULT, reason="sign-in refused", version=old)
    assert state(profile_id).paused is queue.Paused.NO
    assert queue.pause(profile_id, queue.Paused.FAULT, version=f"{profile.version + 1}.cd")


def test_a_paused_server_is_not_probed(profile_id):
    queue.open_breaker(profile_id)
    due(profile_id)
    queue.pause(profile_id, queue.Paused.PERSON)

    assert queue.begin_probe(profile_id, queue.register_worker()) is None


def test_resuming_closes_the_breaker_too(profile_id):
    queue.open_breaker(profile_id)

    assert queue.resume(profile_id)

    assert (state(profile_id).breaker, state(profile_id).penalty) == (queue.Breaker.CLOSED, 0)


def test_a_fault_thaws_when_the_settings_are_others_and_one_probe_comes_first(profile_id):
    queue.pause(profile_id, queue.Paused.FAULT, reason="sign-in refused", version="1.ab")
    assert not queue.thaw(profile_id, version="1.ab")

    assert queue.thaw(profile_id, version="2.ab")

    assert (state(profile_id).paused, state(profile_id).breaker) == (queue.Paused.NO, queue.Breaker.OPEN)
    assert queue.begin_probe(profile_id, queue.register_worker()) is not None


def test_a_fault_thaws_by_itself_after_a_quarter_of_an_hour(profile_id):
    queue.pause(profile_id, queue.Paused.FAULT, version="1.ab")
    models.ProfileState.objects.update(changed_at=timezone.now() - timedelta(minutes=16))

    assert queue.thaw(profile_id, version="1.ab")


def test_counts_of_a_minute_add_up_in_one_statement(profile_id):
    now = timezone.now().replace(second=10)
    rows = [
        queue.StatRow(now, profile_id, 1, sent=2, bytes=10**10),
        queue.StatRow(now, profile_id, 2, failed=1),
    ]

    with statements() as seen:
        queue.add_stats(rows)
        queue.add_stats([])
    queue.add_stats([queue.StatRow(now.replace(second=50), profile_id, 1, sent=3, connects=1)])

    assert len(seen) == 1
    first, second = models.Stat.objects.order_by("worker_id")
    assert (first.minute, first.sent, first.connects, first.bytes) == (
        now.replace(second=0, microsecond=0),
        5,
        1,
        10**10,
    )
    assert (second.sent, second.failed) == (0, 1)
