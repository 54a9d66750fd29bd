"""Connections and rates of a profile, shared by all workers: a row per connection, a row per limit."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from delivery.pacing import TAKEN_AHEAD, Kind, Rate
from delivery.queue.statements import named, run
from delivery.queue.values import Limits, Tokens

_TAKE = named("""
UPDATE {slot} s SET worker_id = %(lease)s, taken_at = now()
FROM (SELECT profile_id, n FROM {slot} WHERE profile_id = %(profile)s AND n <= %(limit)s AND worker_id IS NULL
      ORDER BY n LIMIT %(want)s FOR NO KEY UPDATE SKIP LOCKED) f
WHERE s.profile_id = f.profile_id AND s.n = f.n RETURNING s.n
""")

_GIVE = named("""
UPDATE {slot} SET worker_id = NULL, taken_at = NULL
WHERE profile_id = %(profile)s AND worker_id = %(lease)s AND n = ANY(%(numbers)s::smallint[])
""")

_GIVE_OTHERS = named("""
UPDATE {slot} SET worker_id = NULL, taken_at = NULL
WHERE worker_id = %(lease)s AND NOT EXISTS (
  SELECT FROM unnest(%(profiles)s::int[], %(numbers)s::smallint[]) AS kept (profile_id, n)
  WHERE (kept.profile_id, kept.n) = ({slot}.profile_id, {slot}.n))
""")

# GCRA: all limits of the profile give together, or none. Without limits everything is granted. No grant sets
# `tat` further ahead than the tolerance: where it is, the clock went back or the limit was a slower one, and
# nothing would be sent until the old time has come. The minute is for those who waited for the lock: their
# now() is older than the last grant.
# Of spacing `tat` is the next free moment, given away shortly before it comes: one given earlier would be
# lost with its taker, and one further away than a drain lasts never came. The first after a while begins an
# offset from now; a moment that has just passed is as good as now.
_TOKENS = named("""
WITH r AS MATERIALIZED (
  SELECT id, kind, emission, base, is_far OR is_idle AS is_moved,
         floor(extract(epoch FROM now() + CASE WHEN kind = %(spacing)s THEN %(ahead)s::interval + emission
                                               ELSE tolerance END - base)
               / extract(epoch FROM emission)) AS room
  FROM (
    SELECT *, CASE WHEN is_far THEN now() + tolerance
                   WHEN is_idle THEN now() + emission
                   ELSE greatest(tat, now()) END AS base
    FROM (
      SELECT *, tat > now() + tolerance + interval '1 min' AS is_far,
             kind = %(spacing)s AND tat < now() - greatest(emission / 10, interval '20 ms') AS is_idle
      FROM {rate} WHERE profile_id = %(profile)s ORDER BY id FOR NO KEY UPDATE) AS found) AS rate
), g AS (SELECT greatest(0, least(%(want)s, min(room)))::int AS granted FROM r
), spent AS (
  UPDATE {rate} t SET tat = r.base + g.granted * r.emission
  FROM r, g WHERE t.id = r.id AND (g.granted > 0 OR r.is_moved)
)
SELECT g.granted, now(), r.kind, r.base, r.emission FROM g LEFT JOIN r ON true
""")

_RETURN_TOKENS = named("""
WITH found AS (
  SELECT r.id, taken.emission FROM {rate} r
    JOIN unnest(%(kinds)s::text[], %(emissions)s::interval[]) AS taken (kind, emission) USING (kind)
  WHERE r.profile_id = %(profile)s ORDER BY r.id FOR NO KEY UPDATE OF r)
UPDATE {rate} t SET tat = t.tat - %(count)s::int * found.emission FROM found WHERE t.id = found.id
""")

_RETURN_MOMENT = named("""
UPDATE {rate} SET tat = %(moment)s
WHERE profile_id = %(profile)s AND kind = %(spacing)s AND tat = %(moment)s + emission
""")

_ADD_SLOTS = named("""
INSERT INTO {slot} (profile_id, n)
SELECT %(profile)s, wanted.n FROM generate_series(1, %(connections)s::int) AS wanted (n)
WHERE NOT EXISTS (SELECT 1 FROM {slot} s WHERE s.profile_id = %(profile)s AND s.n = wanted.n)
ON CONFLICT DO NOTHING
""")

# Held ones above the limit go at the holder's next message boundary, and here when they are free.
_DROP_SLOTS = named("""
DELETE FROM {slot} WHERE profile_id = %(profile)s AND n > %(connections)s AND worker_id IS NULL
""")

# New limits keep `tat`: saving a profile gives nobody a fresh quota.
_SET_RATES = named("""
INSERT INTO {rate} AS t (profile_id, kind, emission, tolerance, tat)
SELECT %(profile)s, kind, emission, tolerance,
       CASE WHEN kind = %(spacing)s THEN timestamptz '2000-01-01Z' ELSE now() END
FROM unnest(%(kinds)s::text[], %(emissions)s::interval[], %(tolerances)s::interval[])
       AS w (kind, emission, tolerance)
ON CONFLICT (profile_id, kind) DO UPDATE SET emission = excluded.emission, tolerance = excluded.tolerance
  WHERE (t.emission, t.tolerance) IS DISTINCT FROM (excluded.emission, excluded.tolerance)
""")

_DROP_RATES = named("""
DELETE FROM {rate} WHERE profile_id = %(profile)s AND kind <> ALL(%(kinds)s::text[])
""")


def set_limits(profile_id: int, limits: Limits) -> None:
    """Make the profile's slot and rate rows fit its limits; a second call changes nothing."""
    values = {
        "profile": profile_id,
        "connections": limits.connections,
        "kinds": [str(rate.kind) for rate in limits.rates],
        "emissions": [rate.emission for rate in limits.rates],
        "tolerances": [rate.tolerance for rate in limits.rates],
        "spacing": str(Kind.SPACING),
    }
    with transaction.atomic():
        for statement in (_ADD_SLOTS, _DROP_SLOTS, _SET_RATES, _DROP_RATES):
            run(statement, values)


def take_slots(lease: int, profile_id: int, limit: int, want: int) -> list[int]:
    """Take up to `want` connections of those numbered up to `limit`; return the numbers of those taken."""
    taken = run(_TAKE, {"lease": lease, "profile": profile_id, "limit": limit, "want": want})
    return sorted(n for (n,) in taken)


def give_slots(lease: int, profile_id: int, numbers: Sequence[int]) -> None:
    """Give connections back; those another session holds by now stay its own."""
    if numbers:
        run(_GIVE, {"lease": lease, "profile": profile_id, "numbers": list(numbers)})


def give_other_slots(lease: int, kept: Sequence[tuple[int, int]]) -> None:
    """Give back the connections that `lease` holds besides `kept` (profile id, number)."""
    profiles, numbers = [profile_id for profile_id, _ in kept], [n for _, n in kept]
    run(_GIVE_OTHERS, {"lease": lease, "profiles": profiles, "numbers": numbers})


def take_tokens(profile_id: int, want: int) -> Tokens:
    """Take leave to send up to `want` messages: what the profile's limits give now, without waiting."""
    values = {"profile": profile_id, "want": want, "spacing": str(Kind.SPACING), "ahead": TAKEN_AHEAD}
    found = run(_TOKENS, values)
    granted, db_now = found[0][:2]
    for _, _, kind, base, emission in found:
        if kind == Kind.SPACING and granted:
            return Tokens(granted, base, emission, db_now)
    return Tokens(granted, db_now=db_now)


def return_tokens(profile_id: int, count: int, rates: Sequence[Rate]) -> None:
    """Give back leave to send that was not used, at the `rates` it was taken at; moments are left alone."""
    kept = [rate for rate in rates if rate.kind is not Kind.SPACING]
    values = {
        "profile": profile_id,
        "count": count,
        "kinds": [str(rate.kind) for rate in kept],
        "emissions": [rate.emission for rate in kept],
    }
    run(_RETURN_TOKENS, values)


def return_moment(profile_id: int, moment: datetime) -> None:
    """Give back a reserved moment that is still to come, unless a later one was given away."""
    run(_RETURN_MOMENT, {"profile": profile_id, "moment": moment, "spacing": str(Kind.SPACING)})
