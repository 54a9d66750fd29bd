"""Give messages another route: one profile alone, or any that serves their site and sender.

Only rows nobody is sending are touched. What waits keeps its place and the time it is for. What another
server put off is due at once, for the new one has not been asked yet; not so what the new one put off itself,
nor an uncertain message: to hasten that is a question of its own (`retry_now`).

What is held, failed or expired stays that; released or retried it goes the new way.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db import transaction

from delivery.queue.events import add_move_events
from delivery.queue.routes import Route, domain_of, pools_for
from delivery.queue.statements import named, rows, run


class NotMoved(StrEnum):
    """Why a message was not moved that could be."""

    THERE = "there"  # it goes that way already
    NO_FROM = "no_from"  # it has no From address, and the profile supplies none
    NO_PROFILE = "no_profile"  # the profile was deleted


@dataclass(frozen=True, slots=True)
class _Target:
    """Where messages go: a profile by its name, or "" for any; `has_from`: those without From may, too."""

    name: str = ""
    has_from: bool = True


# With the lock no profile is deleted between this look and our commit: whoever deletes one locks it first,
# and looks then what waits for it (`keep_used_pools`).
_LOCKED = named("""
SELECT name, from_address <> '' AS has_from FROM {profile} WHERE id = %(id)s FOR KEY SHARE
""")
_SEEN = _LOCKED.replace("FOR KEY SHARE", "")

_ROUTES = named("SELECT id, site_id, from_header FROM {message} WHERE id = ANY(%(ids)s::bigint[])")

# Entries first, and those in the order of their ids, as everywhere. Locked together with their messages: what
# another person's move changed meanwhile is looked at again.
_MAY_GO = """(t.pool_id <> w.pool_id OR m.pinned_profile_id IS DISTINCT FROM %(to)s::int)
    AND (%(has_from)s OR m.from_header IS NOT NULL)"""
_MOVE = named(
    """
WITH wanted AS MATERIALIZED (
  SELECT * FROM unnest(%(ids)s::bigint[], %(pools)s::smallint[]) AS w (message_id, pool_id)
), waiting AS MATERIALIZED (
  SELECT t.message_id, w.pool_id, (SELECT profile_id FROM {pool} WHERE id = t.pool_id) AS came_from
  FROM wanted w JOIN {entry} t ON t.message_id = w.message_id JOIN {message} m ON m.id = t.message_id
  WHERE t.lease_id IS NULL AND {may_go}
  ORDER BY t.message_id FOR NO KEY UPDATE OF t, m
), needing AS MATERIALIZED (
  SELECT t.message_id, w.pool_id, (SELECT profile_id FROM {pool} WHERE id = t.pool_id) AS came_from
  FROM wanted w JOIN {failure} t ON t.message_id = w.message_id JOIN {message} m ON m.id = t.message_id
  WHERE {may_go}
  ORDER BY t.message_id FOR NO KEY UPDATE OF t, m
), led AS (
  UPDATE {entry} e SET pool_id = w.pool_id,
         ready_at = CASE WHEN (e.attempts > 0 OR e.drops > 0) AND NOT e.uncertain
                          AND e.last_profile_id IS DISTINCT FROM %(to)s::int
                         THEN least(e.ready_at, now()) ELSE e.ready_at END
  FROM waiting w WHERE e.message_id = w.message_id
), kept AS (
  UPDATE {failure} f SET pool_id = n.pool_id FROM needing n WHERE f.message_id = n.message_id
)
UPDATE {message} m SET pinned_profile_id = %(to)s
FROM (SELECT * FROM waiting UNION ALL SELECT * FROM needing) AS moved WHERE m.id = moved.message_id
RETURNING m.id, moved.came_from
""",
    may_go=_MAY_GO,
)

_NAMES = named("SELECT id, name FROM {profile} WHERE id = ANY(%(ids)s::int[])")

_STAYED = named("""
SELECT id, CASE WHEN from_header IS NULL AND NOT %(has_from)s THEN %(no_from)s ELSE %(there)s END
FROM {message} WHERE id = ANY(%(ids)s::bigint[])
  AND ((from_header IS NULL AND NOT %(has_from)s) OR pinned_profile_id IS NOT DISTINCT FROM %(to)s::int)
""")


def move(
    ids: Iterable[int], *, to: int | None, user_id: int | None = None, job_id: int | None = None
) -> set[int]:
    """Let messages leave by the profile `to` only, or with None by any that serves them; return those.

    As with a caller's pin, neither the profile's sites nor its sender domains count then. With None the route
    is found as for a message handed over now: a domain that a profile lists since then counts.
    """
    with transaction.atomic():
        target = _target(to, _LOCKED)
        wanted = _routes(sorted(ids), to) if target is not None else {}
        if target is None or not wanted:
            return set()
        pools = pools_for(wanted.values())
        moved = run(
            _MOVE,
            {
                "ids": list(wanted),
                "pools": [pools[route] for route in wanted.values()],
                "to": to,
                "has_from": target.has_from,
            },
        )
        _note(dict(moved), to, target, user_id, job_id)
        return {message_id for message_id, _came_from in moved}


def why_not_moved(ids: Sequence[int], *, to: int | None) -> dict[int, NotMoved]:
    """Say why these were left; those that somebody has in hand or that are over are not in the answer."""
    target = _target(to, _SEEN)
    if target is None:
        return dict.fromkeys(ids, NotMoved.NO_PROFILE)
    values = {
        "ids": list(ids),
        "to": to,
        "has_from": target.has_from,
        "no_from": NotMoved.NO_FROM.value,
        "there": NotMoved.THERE.value,
    }
    return {message_id: NotMoved(word) for message_id, word in run(_STAYED, values)}


def _target(to: int | None, statement: str) -> _Target | None:
    """Return where they go; None for a profile that is no more."""
    if to is None:
        return _Target()
    return next(iter(rows(_Target, statement, {"id": to})), None)


def _routes(ids: list[int], to: int | None) -> dict[int, Route]:
    """Return each message's new route, in order of their ids."""
    return {
        message_id: Route(site_id, None if to is not None else domain_of(from_header), to)
        for message_id, site_id, from_header in sorted(run(_ROUTES, {"ids": ids}))
    }


def _note(
    moved: Mapping[int, int | None], to: int | None, target: _Target, user_id: int | None, job_id: int | None
) -> None:
    """Write who moved which from where to where: by name, for a profile is deleted next, mostly."""
    left = {profile_id for profile_id in moved.values() if profile_id is not None}
    names = dict(run(_NAMES, {"ids": sorted(left)})) if left else {}
    add_move_events(
        {message_id: names.get(came_from, "") for message_id, came_from in moved.items()},
        to=target.name,
        profile_id=to,
        user_id=user_id,
        job_id=job_id,
    )
