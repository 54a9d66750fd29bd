"""What a worker session left in its hands, for whoever plays its journal back."""

from collections.abc import Sequence

from delivery.queue.statements import named, rows
from delivery.queue.values import Claimed

# The columns of a claim, without the content: nothing is sent here.
_LEFT = """
SELECT m.id AS message_id, 0 AS seat, coalesce(e.profile_id, m.profile_id, 0) AS profile_id,
       e.last_profile_id, coalesce(e.pool_id, 0) AS pool_id, coalesce(e.priority, m.priority) AS priority,
       coalesce(e.attempts, m.attempts) AS attempts, coalesce(e.drops, 0) AS drops,
       coalesce(e.crashes, 0) AS crashes, coalesce(e.uncertain, false) AS uncertain,
       coalesce(e.ready_at, now()) AS ready_at, now() AS db_now, m.due_at, m.expires_at, m.mail_from,
       m.rcpt_to, m.verdicts, m.from_header, m.subject, m.message_id AS message_id_header, m.sensitive,
       m.attachments_bytes, m.pinned_profile_id,
       coalesce(c.size, 0) AS size, ''::bytea AS data, array[]::int[] AS cuts, array[]::bigint[] AS blob_ids
FROM <rows> LEFT JOIN {content} c ON c.message_id = m.id
"""
_HELD = named(
    _LEFT.replace("<rows>", "{entry} e JOIN {message} m ON m.id = e.message_id")
    + "WHERE e.lease_id = %(lease)s ORDER BY m.id"
)
_NAMED = named(
    _LEFT.replace("<rows>", "{message} m LEFT JOIN {entry} e ON e.message_id = m.id")
    + "WHERE m.id = ANY(%(ids)s::bigint[]) ORDER BY m.id"
)


def held_by(lease: int) -> list[Claimed]:
    """Return what the session holds, in order of id, as claimed but without its content."""
    return rows(Claimed, _HELD, {"lease": lease})


def messages(ids: Sequence[int]) -> list[Claimed]:
    """Return these messages the same way, whoever holds them now; one that has ended has no pool (0)."""
    return rows(Claimed, _NAMED, {"ids": list(ids)}) if ids else []
