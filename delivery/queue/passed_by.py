"""Mail that passes by a profile while it waits, though its sender is in one of the profile's domains.

A profile that lists sender domains serves only pools that have one of them, and a pool has a domain only when
some profile lists it at enqueue. What was handed over before stays in its pool without one until a person
moves it (`move` with no profile): its route is found then as for a message handed over now.

The other way round nothing is stranded that a move would free: whoever serves a pool without a domain serves
the one of a domain that nobody lists any more, too.
"""

import re
from dataclasses import dataclass, field

from delivery.queue.statements import named, rows, run
from smtp_settings.models import SMTPProfile

#: The domain of a stored From field, as `domain_of` reads it: quoted text and comments are taken out, the
#: first address counts. A move asks `domain_of` again: what that reads otherwise is left and counted.
SENDER_DOMAIN = (
    r"""lower(substring(split_part(regexp_replace(from_header,"""
    r""" '"(?:[^"\\]|\\.)*"|\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)', '', 'g'), ',', 1)"""
    r""" from '@\s*([^\s@<>:;]+)'))"""
)
#: Whether a message is from one of the domains; the quick look first, which nearly every other one fails.
IS_FROM_THERE = (
    f"""lower(from_header COLLATE "C") LIKE ANY(%(patterns)s::text[])"""
    f" AND {SENDER_DOMAIN} = ANY(%(domains)s::text[])"
)

_PASSED_BY = named(
    """
SELECT lower(p.sender_domains::text)::text[] AS domains, ARRAY(
    SELECT pool.id FROM {pool} pool
    WHERE pool.profile_id IS NULL AND pool.sender_domain IS NULL AND (
      pool.site_id IN (SELECT site_id FROM {sites} WHERE smtpprofile_id = p.id)
      OR NOT EXISTS (SELECT FROM {sites} WHERE smtpprofile_id = p.id))) AS pools
FROM {profile} p WHERE p.id = %(id)s AND cardinality(p.sender_domains) > 0
""",
    sites=f'"{SMTPProfile.sites.through._meta.db_table}"',
)
# Looked up by number: of a join the planner makes a walk over all that was ever sent. A million in 0.4 s.
_COUNT = named(
    """
SELECT count(*) FROM (
  SELECT FROM {message} m
  WHERE m.id = ANY(ARRAY(
      SELECT message_id FROM {entry} WHERE lease_id IS NULL AND pool_id = ANY(%(pools)s::smallint[])
      LIMIT %(window)s)) AND {is_from_there}
  LIMIT %(most)s) counted
""",
    is_from_there=IS_FROM_THERE,
)
#: So many that wait are looked through.
_WINDOW = 1_000_000
#: What LIKE takes for more than itself.
_WILD = re.compile(r"([%_\\])")


@dataclass(frozen=True, slots=True)
class PassedBy:
    """Where such mail stands: in these pools, its sender in one of these domains.

    Both are empty for a profile that takes every sender, and for one that is no more.
    """

    domains: list[str] = field(default_factory=list)
    pools: list[int] = field(default_factory=list)

    @property
    def values(self) -> dict[str, list[str] | list[int]]:
        """What statements are given of it; the patterns are for LIKE, on a From field in lower case."""
        patterns = ["%" + _WILD.sub(r"\\\1", domain) + "%" for domain in self.domains]
        return {"pools": self.pools, "domains": self.domains, "patterns": patterns}


def passed_by(profile_id: int) -> PassedBy:
    """Return where the mail stands that this profile could carry if it were handed over now."""
    return next(iter(rows(PassedBy, _PASSED_BY, {"id": profile_id})), PassedBy())


def count_passed_by(profile_id: int, *, most: int) -> int:
    """Count that mail without what is in a worker's hand, up to `most`."""
    found = passed_by(profile_id)
    if not found.pools:
        return 0
    return int(run(_COUNT, {**found.values, "window": _WINDOW, "most": most})[0][0])
