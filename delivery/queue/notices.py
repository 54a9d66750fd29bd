"""What each reader is still to be told of mail given up and of servers: noted with the outcome.

A thousand refusals make one row that counts them, and one email when the reader's next one is due.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from delivery.queue.statements import named, rows, run

#: Least time between two emails to one reader.
NOTICE_PERIOD = timedelta(minutes=15)
#: So many messages are named in one email; the others are counted.
MOST_NAMED = 20
#: Mail with this tag is a notice, or wants to be treated as one: nobody is told when it is given up.
NOTICE_TAG = "notice"

_FACTS = named("""
SELECT m.id AS message_id, m.site_id, m.profile_id, m.state, m.subject, m.sensitive,
       coalesce(f.cause, '') AS cause
FROM {message} m LEFT JOIN {failure} f ON f.message_id = m.id
WHERE m.id = ANY(%(ids)s::bigint[]) AND m.tag <> %(tag)s ORDER BY m.id
""")

_NOTE = named("""
INSERT INTO {notice} AS n (recipient, given_up, message_ids, paused_ids, refusing_ids)
VALUES (%(recipient)s, %(given_up)s, %(messages)s::bigint[], %(paused)s::int[], %(refusing)s::int[])
ON CONFLICT (recipient) DO UPDATE
  SET given_up = n.given_up + excluded.given_up,
      message_ids = (n.message_ids || excluded.message_ids)[1:%(most)s::int],
      paused_ids = array(SELECT DISTINCT unnest(n.paused_ids || excluded.paused_ids)),
      refusing_ids = array(SELECT DISTINCT unnest(n.refusing_ids || excluded.refusing_ids))
""")

_DUE = named("""
SELECT recipient FROM {notice}
WHERE (given_up > 0 OR paused_ids || refusing_ids <> array[]::int[])
  AND (mailed_at IS NULL OR mailed_at <= now() - %(period)s::interval)
ORDER BY recipient
""")

_TAKE = named("""
WITH due AS MATERIALIZED (
  SELECT recipient, given_up, message_ids, paused_ids, refusing_ids FROM {notice}
  WHERE (given_up > 0 OR paused_ids || refusing_ids <> array[]::int[])
    AND recipient = %(recipient)s
    AND (mailed_at IS NULL OR mailed_at <= now() - %(period)s::interval)
  FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE {notice} n SET mailed_at = now(), given_up = 0, message_ids = array[]::bigint[],
       paused_ids = array[]::int[], refusing_ids = array[]::int[]
FROM due WHERE n.recipient = due.recipient
RETURNING due.recipient, due.given_up, due.message_ids, due.paused_ids, due.refusing_ids
""")


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """What a notice may need of a message; `state` as it is stored."""

    message_id: int
    site_id: int | None
    profile_id: int | None
    state: int
    subject: str
    sensitive: bool
    cause: str


@dataclass(frozen=True, slots=True)
class DueNotice:
    """All that one email is to tell one reader: how many messages, the first of them, which servers."""

    recipient: str
    given_up: int
    message_ids: Sequence[int]
    paused_ids: Sequence[int]
    refusing_ids: Sequence[int] = ()


def notice_facts(message_ids: Collection[int]) -> list[NoticeFacts]:
    """Read what notices need of these messages, by id; those that are notices themselves are left out."""
    return rows(NoticeFacts, _FACTS, {"ids": sorted(message_ids), "tag": NOTICE_TAG}) if message_ids else []


def note_for(
    recipient: str,
    *,
    message_ids: Sequence[int] = (),
    paused_ids: Collection[int] = (),
    refusing_ids: Collection[int] = (),
) -> None:
    """Note what this reader is to be told: messages given up, profiles paused, or refused; one statement."""
    run(
        _NOTE,
        {
            "recipient": recipient,
            "given_up": len(message_ids),
            "messages": list(message_ids[:MOST_NAMED]),
            "paused": sorted(set(paused_ids)),
            "refusing": sorted(set(refusing_ids)),
            "most": MOST_NAMED,
        },
    )


def due_readers(*, period: timedelta = NOTICE_PERIOD) -> list[str]:
    """Return the addresses of those who are to be told something now. Locks nothing."""
    return [recipient for (recipient,) in run(_DUE, {"period": period})]


def take_notice(recipient: str, *, period: timedelta = NOTICE_PERIOD) -> DueNotice | None:
    """Take what this reader is to be told now; it counts as told with the caller's commit.

    None: nothing, not yet, or another session is telling it.
    """
    return next(iter(rows(DueNotice, _TAKE, {"recipient": recipient, "period": period})), None)
