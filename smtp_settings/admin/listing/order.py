"""The order of use below the list: which server is used first now, and which when that is busy.

Profiles may belong to sites, so there is one line for mail of no site and one for each site that has profiles
of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from smtp_settings import facts
from smtp_settings.admin.health import Line
from smtp_settings.facts import Candidate, ProfileFacts
from smtp_settings.models import Priority, SMTPProfile

#: Places named in a line, and lines shown; more would be read by nobody.
_PLACES, _LINES = 8, 5


@dataclass(frozen=True, slots=True)
class Place:
    """One server in its place; `note` says why it has it."""

    number: int
    name: str
    note: str


@dataclass(frozen=True, slots=True)
class OrderLine:
    """The order for mail of one site; `site` is "" for mail of no site. `more` places are left out."""

    site: str
    places: tuple[Place, ...]
    more: int = 0


def lines(
    profiles: Sequence[Any],  # Any: rows with their sites beside them, as `ProfileList` puts them
    known: Mapping[int, ProfileFacts],
    how: Mapping[int, Line],
) -> list[OrderLine]:
    """Return the order of use now: of the live profiles whose servers are in use."""
    usable = [profile for profile in profiles if how[profile.pk].is_live and not known[profile.pk].is_down]
    sites = {pk: domain for profile in usable for pk, domain in profile.listed_sites}
    routes: list[tuple[int | None, str]] = [(None, ""), *sorted(sites.items(), key=lambda item: item[1])]
    candidates = [_candidate(profile, known[profile.pk]) for profile in usable]
    found = [_line(usable, known, candidates, site_id, domain) for site_id, domain in routes[:_LINES]]
    return [line for line in found if line.places]


def _candidate(profile: Any, known: ProfileFacts) -> Candidate:  # Any: as in `lines`
    return Candidate(
        profile_id=profile.pk,
        is_default=profile.is_default,
        priority=profile.priority,
        site_ids=frozenset(pk for pk, _domain in profile.listed_sites),
        sender_domains=frozenset(profile.sender_domains),
        free_connections=profile.max_connections - known.connections_in_use,
    )


def _line(
    usable: Sequence[SMTPProfile],
    known: Mapping[int, ProfileFacts],
    candidates: Sequence[Candidate],
    site_id: int | None,
    domain: str,
) -> OrderLine:
    by_id = {profile.pk: profile for profile in usable}
    order = facts.order_of_use(candidates, site_id)
    places = [
        Place(number, by_id[pk].name, _note(by_id[pk], known[pk]))
        for number, pk in enumerate(order[:_PLACES], start=1)
    ]
    return OrderLine(domain, tuple(places), more=max(0, len(order) - _PLACES))


def _note(profile: SMTPProfile, known: ProfileFacts) -> str:
    rank = _("default") if profile.is_default else str(Priority(profile.priority).label)
    if not known.connections_in_use:
        return rank
    return _("%(rank)s, %(used)d of %(all)d connections") % {
        "rank": rank,
        "used": known.connections_in_use,
        "all": profile.max_connections,
    }
