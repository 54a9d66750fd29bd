"""What workers know of a profile: its breaker and its pause. Written on transitions only."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from delivery.models import Breaker, Paused
from delivery.queue.statements import named, run
from delivery.queue.values import ProfileStateRow

_COLUMNS = (
    "profile_id, breaker, penalty, open_until, probe_worker_id, connections, paused, reason, paused_by_id,"
    " changed_at, fault_version, sequential_until, sequential_fingerprint, connections_at, crowded,"
    " session_messages, session_messages_at, recipients, recipients_at, learned_fingerprint, ramp,"
    " size_limit, size_is_refusal, size_until, size_fingerprint"
)

STATES = named("SELECT {columns} FROM {profile_state} ORDER BY profile_id", columns=_COLUMNS)

_OF = named("SELECT {columns} FROM {profile_state} WHERE profile_id = ANY(%(ids)s::int[])", columns=_COLUMNS)

# Longer with every opening, an hour at most; only the transition counts, or ten workers would pay ten times.
# A session that probes may open it again, others find it half-open and stay out.
_OPEN = named(
    """
INSERT INTO {profile_state} AS p (profile_id, breaker, penalty, open_until, reason)
VALUES (%(profile)s, %(open)s, 1,
        now() + greatest(%(at_least)s::interval, 15 * (1 + 0.1 * %(jitter)s::float8) * interval '1 s'),
        %(reason)s)
ON CONFLICT (profile_id) DO UPDATE
  SET breaker = excluded.breaker, penalty = p.penalty + 1, probe_worker_id = NULL, reason = excluded.reason,
      changed_at = now(),
      open_until = now() + greatest(%(at_least)s::interval,
        least(3600, 15 * (p.penalty + 1) ^ 2) * (1 + 0.1 * %(jitter)s::float8) * interval '1 s')
  WHERE p.breaker = %(closed)s OR (p.breaker = %(half_open)s AND p.probe_worker_id = %(lease)s)
RETURNING {columns}
""",
    columns=_COLUMNS,
)

_PROBE = named("""
UPDATE {profile_state} SET breaker = %(half_open)s, probe_worker_id = %(lease)s, changed_at = now()
WHERE profile_id = %(profile)s AND breaker = %(open)s AND open_until <= now() AND paused = %(no)s
RETURNING penalty
""")

# Back by slow start, one connection first; so it is after a pause.
_CLOSE = named("""
UPDATE {profile_state} SET breaker = %(closed)s, probe_worker_id = NULL, open_until = NULL, reason = '',
       changed_at = now(), ramp = 1, fault_version = ''
WHERE profile_id = %(profile)s AND breaker = %(half_open)s AND probe_worker_id = %(lease)s
RETURNING profile_id
""")

_FORGIVE = named("""
UPDATE {profile_state} SET penalty = penalty - 1, changed_at = now()
WHERE profile_id = %(profile)s AND penalty > 0 AND breaker = %(closed)s RETURNING penalty
""")

# A fault does not replace a person's pause; nor is one of settings that a person has corrected since.
_PAUSE = named("""
INSERT INTO {profile_state} AS p (profile_id, paused, reason, paused_by_id, fault_version)
SELECT %(profile)s, %(paused)s::smallint, %(reason)s, %(user)s::bigint, %(version)s::text
WHERE %(version)s::text = '' OR EXISTS (
  SELECT FROM {profile} c
  WHERE c.id = %(profile)s AND c.version::text = split_part(%(version)s::text, '.', 1))
ON CONFLICT (profile_id) DO UPDATE
  SET paused = excluded.paused, reason = excluded.reason, paused_by_id = excluded.paused_by_id,
      fault_version = excluded.fault_version, changed_at = now()
  WHERE p.paused = %(no)s OR excluded.paused = %(person)s
RETURNING profile_id
""")

_RESUME = named("""
UPDATE {profile_state} SET paused = %(no)s, reason = '', paused_by_id = NULL, breaker = %(closed)s,
       penalty = 0, open_until = NULL, probe_worker_id = NULL, changed_at = now(), ramp = 1,
       fault_version = ''
WHERE profile_id = %(profile)s
  AND (%(why)s::smallint IS NULL OR paused = %(why)s::smallint)
  AND (paused <> %(no)s OR breaker <> %(closed)s)
RETURNING profile_id
""")

# The probe stays one session's: the breaker is due, not closed.
_TRY_NOW = named("""
UPDATE {profile_state} SET open_until = now()
WHERE profile_id = %(profile)s AND breaker = %(open)s AND open_until > now() AND paused = %(no)s
RETURNING profile_id
""")

# A fault may have been the provider's: one try after a quarter of an hour, then after twice as long each.
_THAW = named("""
UPDATE {profile_state} SET paused = %(no)s, reason = '', breaker = %(open)s, open_until = now(),
       penalty = penalty + 1, changed_at = now()
WHERE profile_id = %(profile)s AND paused = %(fault)s
  AND (fault_version <> %(version)s
       OR changed_at < now() - least(interval '6 hours', interval '15 minutes' * 2 ^ least(penalty, 5)))
RETURNING profile_id
""")


def profile_states(ids: Iterable[int]) -> dict[int, ProfileStateRow]:
    """Return what is known of each profile; one without a row is closed and not paused."""
    wanted = sorted(set(ids))
    known = {row[0]: ProfileStateRow(*row) for row in run(_OF, {"ids": wanted})} if wanted else {}
    return {profile_id: known.get(profile_id) or ProfileStateRow(profile_id) for profile_id in wanted}


def open_breaker(
    profile_id: int,
    *,
    reason: str = "",
    lease: int | None = None,
    jitter: float = 0.0,
    at_least: timedelta = timedelta(0),
) -> ProfileStateRow | None:
    """Stop using a server for a while, longer each time; None when its breaker was open already.

    `jitter` in [-1, 1] is worth a tenth. `lease` is the session whose probe failed.
    """
    values = {"reason": reason, "jitter": jitter, "at_least": at_least}
    found = run(_OPEN, _values(profile_id, lease) | values)
    return ProfileStateRow(*found[0]) if found else None


def begin_probe(profile_id: int, lease: int) -> int | None:
    """Win the right to try a server whose breaker is due, for one session anywhere; return its penalty."""
    found = run(_PROBE, _values(profile_id, lease))
    return found[0][0] if found else None


def close_breaker(profile_id: int, lease: int) -> bool:
    """Use a server again after this session's probe succeeded."""
    return bool(run(_CLOSE, _values(profile_id, lease)))


def forgive(profile_id: int) -> None:
    """Take one opening off the penalty: a clean minute has passed."""
    run(_FORGIVE, _values(profile_id))


def pause(
    profile_id: int, paused: Paused, *, reason: str = "", user_id: int | None = None, version: str = ""
) -> bool:
    """Take a server out of use; False when it was paused already (a person's pause stands over a fault's).

    `version` says which settings a fault was found in (`wire.WayOut.version`): False, too, when the profile
    was saved since. A save that commits in the same moment is not seen; `thaw` ends such a pause.
    """
    values = {"paused": paused.value, "reason": reason, "user": user_id, "version": version}
    return bool(run(_PAUSE, _values(profile_id) | values))


def thaw(profile_id: int, *, version: str) -> bool:
    """End a fault's pause when the settings are others now, or after a while; one probe comes first."""
    values = _values(profile_id) | {"version": version, "fault": Paused.FAULT.value}
    return bool(run(_THAW, values))


def resume(profile_id: int, *, why: Paused | None = None) -> bool:
    """Use a server again, breaker closed; with `why`, only one paused for that. False: nothing changed."""
    return bool(run(_RESUME, _values(profile_id) | {"why": None if why is None else why.value}))


def try_now(profile_id: int) -> bool:
    """Make the next try of a server whose breaker is open due now; False: it waits for none."""
    return bool(run(_TRY_NOW, _values(profile_id)))


def _values(profile_id: int, lease: int | None = None) -> dict[str, Any]:  # Any: statement parameters
    return {
        "profile": profile_id,
        "lease": lease,
        "open": Breaker.OPEN.value,
        "closed": Breaker.CLOSED.value,
        "half_open": Breaker.HALF_OPEN.value,
        "no": Paused.NO.value,
        "person": Paused.PERSON.value,
    }
