"""Worker sessions: a session's id is its lease, never used again."""

import os
import platform
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from delivery.models import Breaker, Worker
from delivery.queue.servers import STATES
from delivery.queue.statements import named, rows, run, together
from delivery.queue.values import Heartbeat, Peer, ProfileStateRow, SlotCount, WorkerSession

#: Silence after which a session counts as dead: nine missed beats.
STALE = timedelta(seconds=45)
#: Who has not been heard of for longer himself does not judge others: three beats.
HEARD = timedelta(seconds=15)

_REGISTER = named(
    "INSERT INTO {worker} (pid, host, boot_id, at_once)"
    " VALUES (%(pid)s, %(host)s, %(boot_id)s, %(at_once)s) RETURNING id"
)

_SESSION = named("""
SELECT started_at, boot_id, state = %(dead)s AS is_dead,
       heartbeat_at < now() - %(stale)s::interval AS is_stale
FROM {worker} WHERE id = %(lease)s
""")

_BEAT = named("""
UPDATE {worker} w SET heartbeat_at = now(), wants = %(wants)s::int[]
FROM (SELECT id, heartbeat_at FROM {worker} WHERE id = %(lease)s) AS before
WHERE w.id = before.id AND w.state <> %(dead)s
RETURNING now(), now() - before.heartbeat_at
""")

_PEERS = named("SELECT id, wants FROM {worker} WHERE state = %(live)s ORDER BY id")

# Below every profile's number: the policy, and how many places of the database are confirmed.
_VERSIONS = named("""
SELECT id, version, cleared_fingerprint FROM {profile}
UNION ALL SELECT 0, sum(version)::int, '' FROM {policy} HAVING count(*) > 0
UNION ALL SELECT -1, count(confirmed_at)::int, '' FROM {whereabouts} HAVING count(*) > 1
""")

_SLOTS = named("""
SELECT profile_id, count(*), count(*) FILTER (WHERE worker_id IS NULL) FROM {slot} GROUP BY profile_id
""")

_RETIRE = named("""
WITH freed AS (
  UPDATE {slot} SET worker_id = NULL, taken_at = NULL WHERE worker_id = %(lease)s
), unprobed AS (
  UPDATE {profile_state} SET breaker = %(open)s, probe_worker_id = NULL, open_until = now()
  WHERE probe_worker_id = %(lease)s
)
UPDATE {worker} SET state = %(dead)s WHERE id = %(lease)s
""")

_STOPPING = named("UPDATE {worker} SET state = %(stopping)s WHERE id = %(lease)s AND state = %(live)s")


def register_worker(*, at_once: bool = False) -> int:
    """Begin a worker session and return its lease.

    `at_once`: of a program that sends its own messages and waits for them; that is no worker to be heard of.
    """
    identity = {"pid": os.getpid(), "host": platform.node()[:255], "boot_id": boot_id(), "at_once": at_once}
    lease: int = run(_REGISTER, identity)[0][0]
    return lease


def session_of(lease: int, *, lock: bool = False) -> WorkerSession | None:
    """Return what is known of a session, None when there is none (any more).

    With `lock` nobody else buries it until the transaction ends; then call it in one.
    """
    values = {"lease": lease, "dead": Worker.State.DEAD.value, "stale": STALE}
    found = rows(WorkerSession, _SESSION + ("FOR UPDATE" if lock else ""), values)
    return found[0] if found else None


def heartbeat(lease: int, wants: Sequence[int] = ()) -> Heartbeat | None:
    """Say that the session lives and which profiles it could use; learn what a worker must know.

    None: it was declared dead. It starts nothing new, ends what is open and registers again. One round trip.
    """
    beat, peers, versions, slots, states = together(
        (_BEAT, {"lease": lease, "wants": list(wants), "dead": Worker.State.DEAD.value}),
        (_PEERS, {"live": Worker.State.LIVE.value}),
        (_VERSIONS, None),
        (_SLOTS, None),
        (STATES, None),
    )
    if not beat:
        return None
    return Heartbeat(
        db_now=beat[0][0],
        silence=beat[0][1],
        peers=tuple(Peer(*row) for row in peers),
        states={row[0]: ProfileStateRow(*row) for row in states},
        versions={profile_id: (version, cleared) for profile_id, version, cleared in versions},
        slots={row[0]: SlotCount(*row) for row in slots},
    )


def stop_worker(lease: int) -> None:
    """Say that the session takes nothing new: its peers stop sharing with it."""
    run(_STOPPING, {"lease": lease, "stopping": Worker.State.STOPPING.value, "live": Worker.State.LIVE.value})


def retire_worker(lease: int) -> None:
    """End a session and free its slots. Rows it still holds are taken back by the next reclaim."""
    run(_RETIRE, {"lease": lease, "open": Breaker.OPEN.value, "dead": Worker.State.DEAD.value})


_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str:
    """Tell this start of this machine from others, where Linux says so; a restart empties the page cache."""
    try:
        return Path(_BOOT_ID).read_text().strip()
    except OSError:
        return ""
