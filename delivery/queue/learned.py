"""What is remembered of a server: connections, messages a session, recipients a message, its slow start.

All of it holds for the settings it was learned with: for others it is neither used nor added to.
"""

from datetime import datetime, timedelta
from typing import Any

from delivery.queue.statements import named, run

#: So long a server whose answers did not fit together is not pipelined to.
SEQUENTIAL = timedelta(days=1)

# Of many who are refused at once the first writes: it knew the row as it is. `changed_at` is of the breaker.
_CONNECTIONS = named("""
INSERT INTO {profile_state} AS p (profile_id, connections, connections_at, crowded, learned_fingerprint)
VALUES (%(profile)s, %(value)s, now(), 1, %(fingerprint)s)
ON CONFLICT (profile_id) DO UPDATE
  SET connections = excluded.connections, connections_at = now(), learned_fingerprint = %(fingerprint)s,
      crowded = CASE WHEN p.learned_fingerprint = %(fingerprint)s THEN least(p.crowded, 1000) + 1 ELSE 1 END,
      session_messages = CASE WHEN p.learned_fingerprint = %(fingerprint)s THEN p.session_messages END,
      recipients = CASE WHEN p.learned_fingerprint = %(fingerprint)s THEN p.recipients END
  WHERE p.connections_at IS NOT DISTINCT FROM %(known_at)s::timestamptz
RETURNING profile_id
""")

# `<what>` is session_messages or recipients, `<other>` the other one.
_LIMIT = """
INSERT INTO {profile_state} AS p (profile_id, <what>, <what>_at, learned_fingerprint)
VALUES (%(profile)s, %(value)s, now(), %(fingerprint)s)
ON CONFLICT (profile_id) DO UPDATE
  SET <what> = excluded.<what>, <what>_at = now(), learned_fingerprint = %(fingerprint)s,
      <other> = CASE WHEN p.learned_fingerprint = %(fingerprint)s THEN p.<other> END,
      connections = CASE WHEN p.learned_fingerprint = %(fingerprint)s THEN p.connections END,
      connections_at = CASE WHEN p.learned_fingerprint = %(fingerprint)s THEN p.connections_at END
  WHERE p.learned_fingerprint <> %(fingerprint)s OR p.<what> IS DISTINCT FROM excluded.<what>
     OR p.<what>_at < now() - interval '1 day'
RETURNING profile_id
"""


def _limit(what: str, other: str) -> str:
    return named(_LIMIT.replace("<what>", what).replace("<other>", other))


_SESSION_MESSAGES = _limit("session_messages", "recipients")
_RECIPIENTS = _limit("recipients", "session_messages")

# The first to see it writes, and whoever sees it again when the day is over. `changed_at` is not about this.
_SEQUENTIAL = named("""
INSERT INTO {profile_state} AS p (profile_id, sequential_until, sequential_fingerprint)
VALUES (%(profile)s, now() + %(span)s::interval, %(fingerprint)s)
ON CONFLICT (profile_id) DO UPDATE
  SET sequential_until = excluded.sequential_until, sequential_fingerprint = excluded.sequential_fingerprint
  WHERE p.sequential_until IS NULL OR p.sequential_until <= now()
     OR p.sequential_fingerprint <> excluded.sequential_fingerprint
RETURNING profile_id
""")

_FORGET = named("""
UPDATE {profile_state} SET connections = NULL, connections_at = NULL, crowded = 0, session_messages = NULL,
       session_messages_at = NULL, recipients = NULL, recipients_at = NULL, learned_fingerprint = '',
       sequential_until = NULL, sequential_fingerprint = ''
WHERE profile_id = %(profile)s
  AND (connections IS NOT NULL OR session_messages IS NOT NULL OR recipients IS NOT NULL
       OR sequential_until IS NOT NULL)
RETURNING profile_id
""")

# Twice as many after a good round; whoever saw the end of the round first says so.
_SPEED_UP = named("""
UPDATE {profile_state} SET ramp = CASE WHEN 2 * ramp < %(most)s THEN 2 * ramp END
WHERE profile_id = %(profile)s AND ramp = %(ramp)s RETURNING ramp IS NOT NULL
""")


def learn_connections(
    profile_id: int, connections: int, *, fingerprint: str, known_at: datetime | None = None
) -> bool:
    """Remember how many connections a server bears.

    `known_at`: when it last refused one, as the caller knew it; False: others learned meanwhile.
    """
    return bool(run(_CONNECTIONS, _values(profile_id, connections, fingerprint) | {"known_at": known_at}))


def learn_session_messages(profile_id: int, messages: int, *, fingerprint: str) -> bool:
    """Remember after how many messages a server ends a session; False: it was known."""
    return bool(run(_SESSION_MESSAGES, _values(profile_id, messages, fingerprint)))


def learn_recipients(profile_id: int, recipients: int, *, fingerprint: str) -> bool:
    """Remember how many recipients of one message a server takes; False: it was known."""
    return bool(run(_RECIPIENTS, _values(profile_id, recipients, fingerprint)))


def learn_sequential(profile_id: int, *, fingerprint: str) -> bool:
    """Remember for a day, and for these settings, not to pipeline to a server; False: it was known."""
    values = {"profile": profile_id, "span": SEQUENTIAL, "fingerprint": fingerprint}
    return bool(run(_SEQUENTIAL, values))


def forget(profile_id: int) -> bool:
    """Forget all that was learned of a server; False: nothing was."""
    return bool(run(_FORGET, {"profile": profile_id}))


def speed_up(profile_id: int, ramp: int, *, most: int) -> bool:
    """Double the connections of a slow start after a good round of `ramp`; False: another did, or it is over.

    It is over when all of the `most` connections are allowed again.
    """
    found = run(_SPEED_UP, {"profile": profile_id, "ramp": ramp, "most": most})
    return bool(found and found[0][0])


def _values(profile_id: int, value: int, fingerprint: str) -> dict[str, Any]:  # Any: statement parameters
    return {"profile": profile_id, "value": value, "fingerprint": fingerprint}
