"""Who sends what."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.assignment import Bid, Seat, order, part, plan, reseat, seats, serves


@dataclass(frozen=True)
class P:
    profile_id: int
    priority: str = "normal"
    is_default: bool = False
    site_ids: frozenset = frozenset()
    sender_domains: frozenset = frozenset()


@dataclass(frozen=True)
class Pool:
    id: int = 1
    site_id: int | None = None
    sender_domain: str | None = None
    profile_id: int | None = None


@dataclass(frozen=True)
class Lane:
    pool: Pool = field(default_factory=Pool)
    priority: int = 2


@pytest.mark.parametrize(
    ("profile", "pool", "expected"),
    [
        (P(1), Pool(), True),
        (P(1), Pool(site_id=5), True),
        (P(1, site_ids=frozenset({5})), Pool(site_id=5), True),
        (P(1, site_ids=frozenset({5})), Pool(site_id=6), False),
        (P(1, site_ids=frozenset({5})), Pool(), False),
        (P(1, sender_domains=frozenset({"a.test"})), Pool(sender_domain="a.test"), True),
        (P(1, sender_domains=frozenset({"a.test"})), Pool(sender_domain="b.test"), False),
        (P(1, sender_domains=frozenset({"a.test"})), Pool(), False),
        (P(1), Pool(sender_domain="a.test"), True),
        (P(1), Pool(profile_id=1), True),
        (P(2), Pool(profile_id=1), False),
        (P(1, site_ids=frozenset({5})), Pool(profile_id=1, site_id=6), True),
    ],
)
def test_a_profile_serves_a_pool(profile, pool, expected):
    assert serves(profile, pool) is expected


def test_the_default_comes_first_then_high_normal_low():
    profiles = [P(1, "low"), P(2, "normal"), P(3, "high"), P(4, "low", is_default=True)]
    assert order(profiles, Pool()) == (4, 3, 2, 1)


def test_a_sites_own_default_comes_before_the_global_one():
    profiles = [P(1, is_default=True), P(2, is_default=True, site_ids=frozenset({5})), P(3, "high")]
    assert order(profiles, Pool(site_id=5)) == (2, 1, 3)
    assert order(profiles, Pool(site_id=6)) == (1, 3)


def test_within_a_tier_the_most_free_connections_come_first():
    assert order([P(1), P(2), P(3)], Pool(), {1: 1, 2: 4, 3: 2}) == (2, 3, 1)


def test_one_group_makes_one_bid_with_urgent_lanes_first():
    lanes = [Lane(Pool(2), 2), Lane(Pool(1), 2), Lane(Pool(1), 1)]
    assert plan(lanes, [P(7)], {}, turn=0) == [Bid(((1, 1), (1, 2), (2, 2)), (7,))]


def test_pools_rotate_so_that_one_site_does_not_starve_another():
    lanes = [Lane(Pool(1)), Lane(Pool(2)), Lane(Pool(3))]
    first = [plan(lanes, [P(7)], {}, turn=turn)[0].lanes[0][0] for turn in range(3)]
    assert first == [1, 2, 3]


def test_read_backwards_the_least_urgent_lane_comes_first():
    lanes = [Lane(priority=1), Lane(priority=3)]
    assert plan(lanes, [P(7)], {}, turn=0, backwards=True)[0].lanes == ((1, 3), (1, 1))


def test_several_groups_make_a_bid_per_priority_and_rotate():
    site = Pool(1, site_id=5)
    lanes = [Lane(site, 2), Lane(Pool(2), 2), Lane(site, 1)]
    profiles = [P(7), P(8, site_ids=frozenset({5}))]
    assert [bid.lanes for bid in plan(lanes, profiles, {}, turn=0)] == [((1, 1),), ((1, 2),), ((2, 2),)]
    assert [bid.lanes for bid in plan(lanes, profiles, {}, turn=1)] == [((1, 1),), ((2, 2),), ((1, 2),)]


def test_groups_take_turns_however_the_free_connections_change():
    lanes, profiles = [Lane(Pool(1, site_id=5)), Lane(Pool(2))], [P(4), P(5, site_ids=frozenset({5})), P(6)]
    free = [{4: 2, 6: 1}, {4: 1, 6: 2}]  # by turns, as connections are when each claim goes to the freer one
    first = [plan(lanes, profiles, free[turn % 2], turn=turn)[0].lanes[0][0] for turn in range(4)]
    assert first == [1, 2, 1, 2]


def test_profiles_are_ranked_once_for_all_lanes():
    """Two hundred routes and servers would be sorted two hundred times a round."""

    class Counted(dict):
        asked = 0

        def get(self, *args):
            self.asked += 1
            return super().get(*args)

    free, profiles = Counted({1: 1}), [P(n) for n in range(1, 51)]
    lanes = [Lane(Pool(n, profile_id=n)) for n in range(1, 51)]
    assert len(plan(lanes, profiles, free, turn=0)) == 50
    assert free.asked == 50


def test_lanes_nobody_serves_are_left_out():
    assert plan([Lane(Pool(1, profile_id=9))], [P(7)], {}, turn=0) == []


@given(
    st.integers(1, 20),
    st.sets(st.integers(1, 99), min_size=1, max_size=9),
    st.integers(1, 50),
    st.integers(0),
)
def test_the_parts_of_all_workers_are_fair_and_add_up(connections, workers, profile_id, turn):
    parts = [part(connections, workers, own, profile_id=profile_id, turn=turn) for own in workers]
    assert sum(parts) == connections
    assert max(parts) - min(parts) <= 1


def test_where_there_are_fewer_connections_than_workers_each_has_its_turn():
    workers = {3, 5, 8}
    turns = [[part(1, workers, own, profile_id=7, turn=turn) for own in sorted(workers)] for turn in range(3)]
    assert sorted(turns) == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    still = {part(4, workers, 3, profile_id=7, turn=turn) for turn in range(9)}
    assert len(still) == 1  # with enough for all nobody has to change


def test_a_full_default_passes_the_rest_on():
    assert seats((4, 3, 2), {4: 1, 3: 0, 2: 9}, 3) == [4, 2, 2]


@given(st.dictionaries(st.integers(1, 9), st.integers(-5, 50)), st.integers(0, 100))
def test_nobody_gets_more_seats_than_room_nor_all_more_than_the_limit(room, limit):
    found = seats(sorted(room), room, limit)
    assert len(found) == min(limit, sum(max(0, n) for n in room.values()))
    assert all(found.count(profile_id) <= max(0, n) for profile_id, n in room.items())


def test_a_retried_message_swaps_its_seat_to_avoid_its_last_server():
    assert reseat([Seat(1, last_profile_id=1), Seat(2)]) == [2, 1]


def test_an_uncertain_message_goes_back_to_the_same_server():
    assert reseat([Seat(1, last_profile_id=2, prefers_last=True), Seat(2)]) == [2, 1]


def test_messages_of_different_policies_do_not_swap():
    given_seats = [Seat(1, last_profile_id=1, exchange="hold"), Seat(2, exchange="resend")]
    assert reseat(given_seats) == [1, 2]


@pytest.mark.parametrize(
    ("given_seats", "room", "expected"),
    [
        ([Seat(1, last_profile_id=1, others=(1, 2))], {2: 1}, [2]),
        ([Seat(1, last_profile_id=1, others=(1, 3, 2))], {2: 1, 3: 1}, [3]),  # in the order of use
        ([Seat(1, last_profile_id=1, others=(1, 2))], {2: 0}, [1]),  # it does not wait for the other
        ([Seat(1, last_profile_id=1, others=(1,))], {2: 1}, [1]),  # which may not carry it
        ([Seat(1, last_profile_id=2, others=(1, 2))], {2: 1}, [1]),
        ([Seat(1, last_profile_id=2, prefers_last=True, others=(1, 2))], {2: 1}, [2]),
        ([Seat(1, others=(1, 2))], {2: 1}, [1]),  # never tried
        ([Seat(1, last_profile_id=1, others=(1, 2)), Seat(2)], {2: 1}, [2, 1]),  # a swap costs no place
        ([Seat(1, last_profile_id=1, others=(2,)), Seat(1, last_profile_id=1, others=(2,))], {2: 1}, [2, 1]),
        (  # the place the first one left is free for the second
            [Seat(1, last_profile_id=1, others=(2,)), Seat(3, 3, exchange="hold", others=(1,))],
            {2: 1},
            [2, 1],
        ),
    ],
)
def test_a_message_without_a_partner_takes_a_free_place_elsewhere(given_seats, room, expected):
    assert reseat(given_seats, room) == expected


@given(
    st.lists(
        st.builds(
            Seat,
            st.integers(1, 4),
            st.none() | st.integers(1, 4),
            st.booleans(),
            others=st.lists(st.integers(1, 4), unique=True).map(tuple),
        ),
        max_size=30,
    ),
    st.dictionaries(st.integers(1, 4), st.integers(0, 5)),
)
def test_nobody_is_given_more_than_there_is_room(given_seats, room):
    before = Counter(seat.profile_id for seat in given_seats)
    after = Counter(reseat(given_seats, room))
    assert after.total() == before.total()
    assert all(after[p] <= before[p] + room.get(p, 0) for p in after)


@given(
    st.lists(st.builds(Seat, st.integers(1, 4), st.none() | st.integers(1, 4), st.booleans()), max_size=30)
)
def test_swapping_keeps_how_many_each_profile_gets(given_seats):
    assert sorted(reseat(given_seats)) == sorted(seat.profile_id for seat in given_seats)
