"""How large a message a server takes, remembered for the settings it was learned with."""

from delivery.fitting import BELIEVED
from delivery.queue.statements import named, run

# What is news was decided by what the session knew; of two at once the smaller limit stays.
_LEARN = named("""
INSERT INTO {profile_state} AS p (profile_id, size_limit, size_is_refusal, size_until, size_fingerprint)
SELECT id, %(limit)s::bigint, %(is_refusal)s::boolean, now() + %(span)s::interval, %(fingerprint)s::text
FROM {profile} WHERE id = %(profile)s  -- it may be gone: nobody waits for this write
ON CONFLICT (profile_id) DO UPDATE
  SET size_limit = excluded.size_limit, size_is_refusal = excluded.size_is_refusal,
      size_until = excluded.size_until, size_fingerprint = excluded.size_fingerprint
  WHERE p.size_fingerprint <> excluded.size_fingerprint OR p.size_until IS NULL OR p.size_until <= now()
     OR NOT p.size_is_refusal OR (excluded.size_limit > 0 AND excluded.size_limit < p.size_limit)
RETURNING profile_id
""")


#: What the column holds. RFC 1870 allows twenty digits, and one server's must not stop the mail of all.
_MOST = 2**63 - 1


def learn_size(profile_id: int, limit: int, *, is_refusal: bool, fingerprint: str) -> bool:
    """Remember for a day the octets of a message that a server takes, 0 for no limit; False: not news."""
    values = {
        "profile": profile_id,
        "limit": min(limit, _MOST),
        "is_refusal": is_refusal,
        "span": BELIEVED,
        "fingerprint": fingerprint,
    }
    return bool(run(_LEARN, values))
