"""A request repeated makes one message."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from delivery.queue.statements import named, run
from delivery.queue.values import Enqueued, IdempotencyConflict

#: How long a key is remembered.
KEPT = timedelta(days=7)

# A live key's row is locked even though nothing is changed, so it cannot be purged before it is read below;
# and a second caller waits here for the first one's commit.
_TAKE = named("""
INSERT INTO {idempotency} (key, message_id, digest, expires_at)
SELECT key, message_id, digest, now() + %(kept)s::interval
FROM unnest(%(keys)s::text[], %(ids)s::bigint[], %(digests)s::bytea[]) AS t (key, message_id, digest)
ON CONFLICT (key) DO UPDATE
  SET message_id = excluded.message_id, digest = excluded.digest, expires_at = excluded.expires_at
  WHERE {idempotency}.expires_at < now()
RETURNING key
""")

_STORED = named("""
SELECT k.key, k.message_id, k.digest, coalesce(m.message_id, '')
FROM {idempotency} k LEFT JOIN {message} m ON m.id = k.message_id
WHERE k.key = ANY(%(keys)s::text[])
""")


@dataclass(frozen=True, slots=True)
class Keyed:
    """A key, the id its message would get, and the digest of what it stands for."""

    key: str
    message_id: int
    digest: bytes


def take(wanted: Sequence[Keyed]) -> dict[str, Enqueued]:
    """Take the keys that are free; return the stored message of each that is not.

    Raises IdempotencyConflict when a key stands for other content, also within `wanted`.
    """
    first: dict[str, Keyed] = {}
    for keyed in wanted:
        if first.setdefault(keyed.key, keyed).digest != keyed.digest:
            raise IdempotencyConflict(keyed.key, first[keyed.key].message_id)
    ordered = [first[key] for key in sorted(first)]  # one order for all callers: no deadlock
    taken = run(
        _TAKE,
        {
            "kept": KEPT,
            "keys": [keyed.key for keyed in ordered],
            "ids": [keyed.message_id for keyed in ordered],
            "digests": [keyed.digest for keyed in ordered],
        },
    )
    in_use = sorted(first.keys() - {key for (key,) in taken})
    return _stored(in_use, first) if in_use else {}


def _stored(keys: list[str], wanted: dict[str, Keyed]) -> dict[str, Enqueued]:
    stored = {}
    for key, message_id, digest, header in run(_STORED, {"keys": keys}):
        if digest != wanted[key].digest:
            raise IdempotencyConflict(key, message_id)
        stored[key] = Enqueued(message_id, header, created=False)
    return stored
