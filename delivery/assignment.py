"""Who sends what: which profiles may serve a pool, in which order, and how many messages each gets. Pure.

The default server comes first, then High, Normal, Low; within a tier the one with the most free
connections. A server that can take nothing now has no room, and so the next one gets the message.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")

_TIERS = {"high": 0, "normal": 1, "low": 2}


class Profile(Protocol):
    """What assignment asks of a profile. `site_ids` empty = global, `sender_domains` empty = any."""

    @property
    def profile_id(self) -> int: ...  # noqa: D102

    @property
    def is_default(self) -> bool: ...  # noqa: D102

    @property
    def priority(self) -> str: ...  # noqa: D102

    @property
    def site_ids(self) -> frozenset[int]: ...  # noqa: D102

    @property
    def sender_domains(self) -> frozenset[str]: ...  # noqa: D102


P = TypeVar("P", bound=Profile)


class Pool(Protocol):
    """A message's route, fixed at enqueue."""

    @property
    def id(self) -> int: ...  # noqa: D102

    @property
    def site_id(self) -> int | None: ...  # noqa: D102

    @property
    def sender_domain(self) -> str | None: ...  # noqa: D102

    @property
    def profile_id(self) -> int | None: ...  # noqa: D102


class Lane(Protocol):
    """One pool at one message priority, with due messages."""

    @property
    def pool(self) -> Pool: ...  # noqa: D102

    @property
    def priority(self) -> int: ...  # noqa: D102


def serves(profile: Profile, pool: Pool) -> bool:
    """Whether the profile may carry mail of this pool: the answer to "why is it still here?", too."""
    if pool.profile_id is not None:
        return profile.profile_id == pool.profile_id
    at_site = not profile.site_ids or pool.site_id in profile.site_ids
    for_domain = not profile.sender_domains or pool.sender_domain in profile.sender_domains
    return at_site and for_domain


def order(
    profiles: Sequence[Profile], pool: Pool, free_connections: Mapping[int, int] | None = None
) -> tuple[int, ...]:
    """Return the ids of the profiles that serve the pool, first choice first."""
    return tuple(one.profile_id for one in ranked(profiles, free_connections or {}) if serves(one, pool))


def ranked(profiles: Sequence[P], free_connections: Mapping[int, int]) -> list[P]:
    """Return the profiles first choice first, whatever pools they serve."""

    def rank(profile: P) -> tuple[int, int, int]:
        return _tier(profile), -free_connections.get(profile.profile_id, 0), profile.profile_id

    return sorted(profiles, key=rank)


def _tier(profile: Profile) -> int:
    if profile.is_default:
        return -2 if profile.site_ids else -1  # the site's own default before the global one
    return _TIERS[profile.priority]


@dataclass(frozen=True, slots=True)
class Bid:
    """One claim to make: these lanes in this order, for these profiles in this order."""

    lanes: tuple[tuple[int, int], ...]  #: (pool id, priority)
    profile_ids: tuple[int, ...]


def plan(
    lanes: Sequence[Lane],
    profiles: Sequence[Profile],
    free_connections: Mapping[int, int],
    *,
    turn: int,
    backwards: bool = False,
) -> list[Bid]:
    """Group the ready lanes by who serves them and put the claims in order.

    `turn` counts the claims of this direction.

    One group makes one bid over all priorities. Several make one bid per priority and group, so that urgent
    mail of one site does not wait for another's bulk. `turn` rotates pools and groups: one site's million
    does not starve the next site. `backwards` reads the least urgent first, so that Low never starves.
    Lanes nobody serves are left out. Groups stand by their pools, not by their profiles: those change places
    with their free connections, and a rotation in step with that would always begin with the same group.
    """
    groups: dict[tuple[int, ...], list[Lane]] = {}
    first_to_last = ranked(profiles, free_connections)
    for lane in lanes:
        profile_ids = tuple(one.profile_id for one in first_to_last if serves(one, lane.pool))
        if profile_ids:
            groups.setdefault(profile_ids, []).append(lane)
    priorities = sorted({lane.priority for lane in lanes}, reverse=backwards)
    rotated = _rotate(sorted(groups, key=lambda ids: min(lane.pool.id for lane in groups[ids])), turn)
    if len(rotated) == 1:
        (profile_ids,) = rotated
        chosen = [key for p in priorities for key in _keys(groups[profile_ids], p, turn)]
        return [Bid(tuple(chosen), profile_ids)]
    bids = [(tuple(_keys(groups[ids], p, turn)), ids) for p in priorities for ids in rotated]
    return [Bid(keys, ids) for keys, ids in bids if keys]


def _keys(lanes: Sequence[Lane], priority: int, turn: int) -> list[tuple[int, int]]:
    pools = sorted(lane.pool.id for lane in lanes if lane.priority == priority)
    return [(pool_id, priority) for pool_id in _rotate(pools, turn)]


def _rotate(items: list[T], turn: int) -> list[T]:
    start = turn % len(items) if items else 0
    return items[start:] + items[:start]


def part(connections: int, workers: Collection[int], own: int, *, profile_id: int, turn: int) -> int:
    """Return how many of a profile's connections worker `own` may have while these workers want some.

    The parts of all add up to `connections` and differ by one at most. Who gets one more is rotated by
    profile, so that the odd ones of all profiles do not go to the same worker; and by `turn` where there are
    fewer connections than workers, so that each has its time.

    >>> [part(5, {11, 12}, own, profile_id=1, turn=0) for own in (11, 12)]
    [2, 3]
    """
    ids = sorted(workers)
    each, rest = divmod(connections, len(ids))
    rank = (ids.index(own) + profile_id + (0 if each else turn)) % len(ids)
    return each + (rank < rest)


def seats(profile_ids: Sequence[int], room: Mapping[int, int], limit: int) -> list[int]:
    """Return a profile for each message that may be claimed now, at most `limit`.

    Each profile gives its room, in order.

    >>> seats([7, 3], {7: 2, 3: 5}, 4)
    [7, 7, 3, 3]
    """
    chosen = [profile_id for profile_id in profile_ids for _ in range(max(0, room.get(profile_id, 0)))]
    return chosen[:limit]


@dataclass(frozen=True, slots=True)
class Seat:
    """Who was to send a claimed message, and who tried last.

    `prefers_last`: an uncertain message goes back to the same server, which may know its Message-ID; any
    other that was tried avoids it. `exchange` names whom it may swap with: messages of one route and one
    policy on uncertain mail. `others` are the profiles of that policy that may carry it too, first choice
    first.
    """

    profile_id: int
    last_profile_id: int | None = None
    prefers_last: bool = False
    exchange: str = ""
    others: tuple[int, ...] = ()

    def likes(self, profile_id: int) -> bool:
        """Whether the message would rather go there than not."""
        if self.last_profile_id is None:
            return True
        return (profile_id == self.last_profile_id) is self.prefers_last


def reseat(given: Sequence[Seat], room: Mapping[int, int] | None = None) -> list[int]:
    """Let tried messages change their seats within one claim, for the server they would rather have.

    They swap with another message, or else take a free place: `room` is what each profile could be given
    besides. A message that finds neither keeps its seat: it does not wait for another server.

    >>> reseat([Seat(1, last_profile_id=1, others=(1, 2))], {2: 1})
    [2]
    """
    chosen = [seat.profile_id for seat in given]
    free = dict(room or {})
    for i, seat in enumerate(given):
        if seat.likes(chosen[i]):
            continue
        for j, other in enumerate(given):
            if seat.exchange == other.exchange and seat.likes(chosen[j]) and other.likes(chosen[i]):
                chosen[i], chosen[j] = chosen[j], chosen[i]
                break
        else:
            better = next((p for p in seat.others if seat.likes(p) and free.get(p, 0) > 0), None)
            if better is not None:
                free[better] -= 1
                free[chosen[i]] = free.get(chosen[i], 0) + 1
                chosen[i] = better
    return chosen
