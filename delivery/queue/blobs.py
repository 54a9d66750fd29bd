"""Large parts, stored once."""

from collections.abc import Iterable
from hashlib import sha256

from delivery.queue.statements import named, run

# First, so that the purge cannot take what is found below: a row is either of today, and not old enough for
# it, or locked by us. By id, so that two callers lock in one order.
_TOUCH = named("""
WITH old AS (
  SELECT id FROM {blob} WHERE digest = ANY(%(digests)s::bytea[]) AND last_used_on < current_date
  ORDER BY id FOR NO KEY UPDATE)
UPDATE {blob} b SET last_used_on = current_date FROM old WHERE b.id = old.id
""")

_FIND = named("SELECT digest, id FROM {blob} WHERE digest = ANY(%(digests)s::bytea[])")

_ADD = named("""
INSERT INTO {blob} (digest, size, data) VALUES (%(digest)s, %(size)s, %(data)s)
ON CONFLICT (digest) DO NOTHING
""")


def store(parts: Iterable[bytes], *, owner: int | None = None) -> dict[bytes, int]:
    """Return the id of each part's blob, storing those not known; parts are told apart by their wire bytes.

    A second caller with the same new part waits for the first one's commit. With `owner`, the id of a
    message, the blobs are that message's alone, whatever else has the same bytes.
    """
    own = b"" if owner is None else b"%d:" % owner
    by_digest = {sha256(own + part).digest(): part for part in set(parts)}
    if not by_digest:
        return {}
    digests = sorted(by_digest)
    run(_TOUCH, {"digests": digests})
    known: dict[bytes, int] = dict(run(_FIND, {"digests": digests}))
    missing = [digest for digest in digests if digest not in known]
    for digest in missing:
        part = by_digest[digest]
        run(_ADD, {"digest": digest, "size": len(part), "data": part})
    if missing:
        known |= dict(run(_FIND, {"digests": missing}))
    return {part: known[digest] for digest, part in by_digest.items()}
