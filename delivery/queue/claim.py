"""Take messages for one worker session."""

from collections.abc import Sequence

from delivery.queue.statements import named, rows, run
from delivery.queue.values import Claimed, Lane, PoolKey, ReadyLane

#: Suspects (a priority above 10) have lanes of their own.
_PRIORITIES = [1, 2, 3, 11, 12, 13]

_READY = named("""
SELECT pool.id, pool.site_id, pool.sender_domain, pool.profile_id, lane.priority, found.ready_at,
       (SELECT coalesce(sum(version), 0) FROM {policy}) + (SELECT count(confirmed_at) FROM {whereabouts})
FROM {pool} pool
CROSS JOIN unnest(%(priorities)s::smallint[]) AS lane (priority)
CROSS JOIN LATERAL (
  SELECT e.ready_at FROM {entry} e
  WHERE e.lease_id IS NULL AND e.pool_id = pool.id AND e.priority = lane.priority AND e.ready_at <= now()
  ORDER BY e.ready_at, e.message_id
  LIMIT 1) AS found
ORDER BY lane.priority, found.ready_at
""")

#: What follows on `picked` (message_id, seat): lease those rows and read what they are, in the order of the
#: fields of `Claimed`.
CLAIMED = named("""leased AS (
  UPDATE {entry} e SET lease_id = %(lease)s, profile_id = (%(seats)s::int[])[picked.seat]
  FROM picked WHERE e.message_id = picked.message_id
  RETURNING picked.seat, e.*
)
SELECT leased.message_id, leased.seat, leased.profile_id, leased.last_profile_id, leased.pool_id,
       leased.priority, leased.attempts, leased.drops, leased.crashes, leased.uncertain, leased.ready_at,
       now() AS db_now, m.due_at, m.expires_at, m.mail_from, m.rcpt_to, m.verdicts, m.from_header, m.subject,
       m.message_id AS message_id_header, m.sensitive, c.size, c.data, c.cuts, c.blob_ids,
       m.attachments_bytes, m.pinned_profile_id
FROM leased JOIN {message} m ON m.id = leased.message_id JOIN {content} c ON c.message_id = leased.message_id
ORDER BY leased.seat""")

# Lanes are read in array order and streamed, so exactly the returned rows get locked. Never ORDER BY over all
# priorities (it walks the future rows), never `id IN (SELECT ... LIMIT ... FOR UPDATE)` (it may run again and
# exceed the limit). now() is STABLE and so an index bound.
_CLAIM = named(
    """
WITH picked AS MATERIALIZED (
  SELECT found.message_id, row_number() OVER () AS seat
  FROM unnest(%(pools)s::smallint[], %(priorities)s::smallint[], %(mark_at)s::timestamptz[],
              %(mark_id)s::bigint[])
         AS lane (pool_id, priority, mark_at, mark_id)
  CROSS JOIN LATERAL (
    SELECT e.message_id FROM {entry} e
    WHERE e.lease_id IS NULL AND e.pool_id = lane.pool_id AND e.priority = lane.priority
      AND e.ready_at <= now()
      AND (e.ready_at, e.message_id) >= (lane.mark_at, lane.mark_id)
    ORDER BY e.ready_at, e.message_id
    LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED) AS found
  LIMIT %(limit)s
), {claimed}
""",
    claimed=CLAIMED,
)


def ready_lanes() -> list[ReadyLane]:
    """Say which lanes have due rows and since when: urgent first, then the oldest. Locks nothing."""
    found = run(_READY, {"priorities": _PRIORITIES})
    return [
        ReadyLane(PoolKey(pool_id, site_id, domain, profile_id), priority, ready_at, mark)
        for pool_id, site_id, domain, profile_id, priority, ready_at, mark in found
    ]


def claim(lease: int, lanes: Sequence[Lane], seats: Sequence[int]) -> list[Claimed]:
    """Lease at most one due message per seat, reading the lanes in the order given.

    `seats[i]` is the profile for the i-th message. Rows another session is claiming are skipped, not waited
    for. Content comes along: parts over 64 KiB are blobs, so it stays small.
    """
    if not lanes or not seats:
        return []
    return rows(
        Claimed,
        _CLAIM,
        {
            "lease": lease,
            "pools": [lane.pool_id for lane in lanes],
            "priorities": [lane.priority for lane in lanes],
            "mark_at": [lane.mark_at.isoformat() if lane.mark_at else "-infinity" for lane in lanes],
            "mark_id": [lane.mark_id for lane in lanes],
            "limit": len(seats),
            "seats": list(seats),
        },
    )


_BLOBS = named("SELECT id, data FROM {blob} WHERE id = ANY(%(ids)s::bigint[])")

_POOLS = named("SELECT id, site_id, sender_domain, profile_id FROM {pool} ORDER BY id")


_LEASED = named("SELECT EXISTS (SELECT 1 FROM {entry} WHERE lease_id IS NOT NULL)")


def is_any_leased() -> bool:
    """Whether any session, living or dead, holds a message: the queue is not empty yet."""
    return bool(run(_LEASED)[0][0])


def load_blobs(ids: Sequence[int]) -> dict[int, bytes]:
    """Read the wire bytes of blobs."""
    return dict(run(_BLOBS, {"ids": sorted(set(ids))})) if ids else {}


def pools() -> list[PoolKey]:
    """Read every route there is."""
    return rows(PoolKey, _POOLS)
