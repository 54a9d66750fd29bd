"""Messages whose caller waits: they are kept from the workers for a while, and claimed by their numbers.

With the queue switched off for a message's site its entry is due some minutes later. The process that handed
it over sends it meanwhile; when that process dies, a worker does.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from delivery.models import SmallState
from delivery.queue.claim import CLAIMED
from delivery.queue.statements import named, rows, run
from delivery.queue.values import Claimed, PoolKey

#: So long a message is kept from the workers: what the sending may take, many times over.
KEPT = timedelta(minutes=5)

_WAITING = named("""
SELECT e.message_id, pool.id, pool.site_id, pool.sender_domain, pool.profile_id
FROM {entry} e JOIN {pool} pool ON pool.id = e.pool_id
WHERE e.message_id = ANY(%(ids)s::bigint[]) AND e.lease_id IS NULL ORDER BY e.message_id
""")

# A person may have moved a message since its way was looked at: of another pool none is taken.
_CLAIM = named(
    """
WITH picked AS MATERIALIZED (
  SELECT found.message_id, row_number() OVER () AS seat
  FROM (SELECT e.message_id FROM {entry} e
        WHERE e.message_id = ANY(%(ids)s::bigint[]) AND e.lease_id IS NULL AND e.pool_id = %(pool)s
        ORDER BY e.message_id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED) AS found
), {claimed}
""",
    claimed=CLAIMED,
)

_LET_WAIT = named("""
UPDATE {entry} SET ready_at = now() WHERE message_id IN (
  SELECT message_id FROM {entry} WHERE message_id = ANY(%(ids)s::bigint[]) AND lease_id IS NULL
  ORDER BY message_id FOR NO KEY UPDATE SKIP LOCKED)
""")

_STANDING = named("""
SELECT m.id, m.site_id, m.state, e.message_id IS NOT NULL, e.lease_id IS NOT NULL,
       coalesce(m.profile_id, e.last_profile_id), coalesce(nullif(m.reply, ''), told.reply, '')
FROM {message} m LEFT JOIN {entry} e ON e.message_id = m.id
LEFT JOIN LATERAL (
  SELECT a.reply FROM {attempt} a WHERE a.message_id = m.id ORDER BY a.id DESC LIMIT 1) AS told ON true
WHERE m.id = ANY(%(ids)s::bigint[]) ORDER BY m.id
""")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a message stands; `reply`: what was said of it last, "" for nothing."""

    message_id: int
    site_id: int | None
    state: SmallState
    is_in_queue: bool
    is_leased: bool
    profile_id: int | None
    reply: str


def waiting_of(ids: Collection[int]) -> dict[int, PoolKey]:
    """Return those of these messages that are in the queue and in nobody's hands, with their way."""
    found = run(_WAITING, {"ids": sorted(ids)})
    return {message_id: PoolKey(*pool) for message_id, *pool in found}


def claim_these(lease: int, ids: Collection[int], seats: Sequence[int], *, pool_id: int) -> list[Claimed]:
    """Lease at most one of these messages per seat, due or not; `seats[i]` is the profile for the i-th.

    Only those that still are in this pool: the seats were chosen for its way.
    """
    return rows(
        Claimed,
        _CLAIM,
        {
            "lease": lease,
            "ids": sorted(ids),
            "pool": pool_id,
            "limit": len(seats),
            "seats": list(seats),
        },
    )


def leave_to_workers(ids: Iterable[int]) -> None:
    """Keep these messages from the workers no more."""
    run(_LET_WAIT, {"ids": sorted(ids)})


def standing_of(ids: Iterable[int]) -> list[Standing]:
    """Return how these messages stand, in the order of their numbers."""
    found = run(_STANDING, {"ids": sorted(ids)})
    return [Standing(number, site, SmallState(state), *rest) for number, site, state, *rest in found]
