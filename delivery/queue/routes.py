"""Pools: a message's route, fixed at enqueue until a person moves it."""

from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parseaddr
from functools import lru_cache
from typing import Any

from delivery.queue.statements import named, run
from delivery.queue.values import PoolKey

# A domain counts when some profile lists it, in whatever case a program wrote it there, and never for a
# pinned message. `delivery_enqueue` (migration 0004) asks the same for one message.
_DOMAIN = named("""CASE WHEN w.profile_id IS NULL AND EXISTS (
    SELECT 1 FROM {profile} p WHERE w.domain = ANY(lower(p.sender_domains::text)::text[])
  ) THEN w.domain END AS domain""")

# IS NOT DISTINCT FROM takes no index, coalesce() takes the unique one.
_IS_ITS_POOL = """coalesce(pool.site_id, 0) = coalesce(wanted.site_id, 0)
  AND coalesce(pool.sender_domain, '') = coalesce(wanted.domain, '')
  AND coalesce(pool.profile_id, 0) = coalesce(wanted.profile_id, 0)"""

_RESOLVE = named(
    """
WITH wanted AS MATERIALIZED (
  SELECT w.place, w.site_id, w.profile_id, {domain}
  FROM unnest(%(sites)s::int[], %(domains)s::text[], %(profiles)s::int[])
         WITH ORDINALITY AS w (site_id, domain, profile_id, place)
)
SELECT wanted.place - 1, pool.id, wanted.site_id, wanted.domain, wanted.profile_id
FROM wanted LEFT JOIN {pool} pool ON {is_its_pool}
ORDER BY 1
""",
    domain=_DOMAIN,
    is_its_pool=_IS_ITS_POOL,
)

# Only after a look that found nothing: a conflict uses up a number of the small sequence too. A profile that
# was deleted makes no pool, and none is deleted until ours is committed: the check then would fail the whole
# transaction, with all that others have in it.
_ADD = named("""
INSERT INTO {pool} (site_id, sender_domain, profile_id)
SELECT DISTINCT site_id, domain, profile_id
FROM unnest(%(sites)s::int[], %(domains)s::text[], %(profiles)s::int[]) AS w (site_id, domain, profile_id)
WHERE profile_id IS NULL
   OR EXISTS (SELECT 1 FROM {profile} p WHERE p.id = w.profile_id FOR KEY SHARE)
ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class Route:
    """What a handover says about its way: site, From domain, pin."""

    site_id: int | None
    domain: str | None
    profile_id: int | None


@lru_cache(maxsize=1024)  # a batch has one sender, most of the time
def domain_of(address_header: str | None) -> str | None:
    """Return the domain of an address header, in lower case; None without one.

    >>> domain_of("Ana <ana@Example.com>")
    'example.com'
    """
    _, at, domain = parseaddr((address_header or "").replace("\r\n", ""))[1].rpartition("@")
    return domain.lower() or None if at else None


def pools_for(routes: Iterable[Route]) -> dict[Route, int | None]:
    """Return the pool of each route, making those that are missing; None for a profile that is no more."""
    distinct = sorted(
        set(routes), key=lambda route: (route.site_id or 0, route.domain or "", route.profile_id or 0)
    )
    found = _resolve(distinct)
    missing = [row[2:] for row in found if row[1] is None]
    if missing:
        sites, domains, profiles = map(list, zip(*missing, strict=True))
        run(_ADD, {"sites": sites, "domains": domains, "profiles": profiles})
        found = _resolve(distinct)
    return {distinct[row[0]]: row[1] for row in found}


def _resolve(routes: list[Route]) -> list[tuple[Any, ...]]:  # Any: a column each
    return run(
        _RESOLVE,
        {
            "sites": [route.site_id for route in routes],
            "domains": [route.domain for route in routes],
            "profiles": [route.profile_id for route in routes],
        },
    )


def route_now(route: Route) -> PoolKey:
    """Return the way of a message handed over now; makes no pool: `id` is 0 where none has gone it yet."""
    [(_place, pool_id, site_id, domain, profile_id)] = _resolve([route])
    return PoolKey(pool_id or 0, site_id, domain, profile_id)
