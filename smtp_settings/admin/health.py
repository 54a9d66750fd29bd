"""How a profile is doing, in one line: the strongest reason first, with the word its chip filters by."""

from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from smtp_settings import facts
from smtp_settings.clearance import standing
from smtp_settings.facts import ProfileFacts
from smtp_settings.models import SMTPProfile


class Kind(StrEnum):
    """What the list can be narrowed down to."""

    WORKING = "working"
    SLOW = "slow"
    PAUSED = "paused"
    BREAKER = "breaker"
    NOT_LIVE = "not-live"
    UNTESTED = "untested"
    IDLE = "idle"
    DISABLED = "disabled"
    DRAFT = "draft"


LABELS: dict[Kind, Promise] = {
    Kind.WORKING: _("Working"),
    Kind.SLOW: _("Slow"),
    Kind.PAUSED: _("Paused"),
    Kind.BREAKER: _("Breaker open"),
    Kind.NOT_LIVE: _("Not live"),
    Kind.UNTESTED: _("Saved without a test"),
    Kind.IDLE: _("No traffic"),
    Kind.DISABLED: _("Disabled"),
    Kind.DRAFT: _("Draft"),
}
_OF_SERVERS = {
    facts.Health.WORKING: Kind.WORKING,
    facts.Health.SLOW: Kind.SLOW,
    facts.Health.PAUSED: Kind.PAUSED,
    facts.Health.BREAKER: Kind.BREAKER,
    facts.Health.IDLE: Kind.IDLE,
}


@dataclass(frozen=True, slots=True)
class Line:
    """A phrase, its badge's tone, and the kind it comes under. `is_live`: the gate lets it send."""

    kind: Kind
    words: str | Promise
    tone: str
    is_live: bool = False


#: Most rows of a list have one of these: translated where they are shown, not once for each row.
_DRAFT = Line(Kind.DRAFT, LABELS[Kind.DRAFT], "is-quiet")
_DISABLED = Line(Kind.DISABLED, LABELS[Kind.DISABLED], "is-quiet")
_UNTESTED = Line(Kind.UNTESTED, LABELS[Kind.UNTESTED], "is-warn", is_live=True)
_IDLE = Line(Kind.IDLE, LABELS[Kind.IDLE], "is-quiet", is_live=True)


def line_of(profile: SMTPProfile, known: ProfileFacts | None) -> Line:
    """Say how a profile is doing. What has to be done comes before what is seen of the traffic."""
    if profile.is_draft:
        return _DRAFT
    if not profile.enabled:
        return _DISABLED
    how = standing.standing_of(profile)
    if not how.is_live:
        return Line(Kind.NOT_LIVE, standing.line(how), "is-bad")
    if profile.cleared_without_test and not (known is not None and known.is_down):
        return _UNTESTED
    return _seen(known)


def _seen(known: ProfileFacts | None) -> Line:
    if known is None or known.kind is None:
        return _IDLE
    return Line(_OF_SERVERS[known.kind], known.health, known.tone, is_live=True)
