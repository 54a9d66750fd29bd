"""How a profile is doing, in one line: the strongest reason first, with the word its chip filters by."""

from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

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
    Kind.WORKING: gettext_lazy("Working"),
    Kind.SLOW: gettext_lazy("Slow"),
    Kind.PAUSED: gettext_lazy("Paused"),
    Kind.BREAKER: gettext_lazy("Breaker open"),
    Kind.NOT_LIVE: gettext_lazy("Not live"),
    Kind.UNTESTED: gettext_lazy("Saved without a test"),
    Kind.IDLE: gettext_lazy("No traffic"),
    Kind.DISABLED: gettext_lazy("Disabled"),
    Kind.DRAFT: gettext_lazy("Draft"),
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
    words: str
    tone: str
    is_live: bool = False


def line_of(profile: SMTPProfile, known: ProfileFacts | None) -> Line:
    """Say how a profile is doing. What has to be done comes before what is seen of the traffic."""
    if profile.is_draft:
        return Line(Kind.DRAFT, _("Draft"), "is-quiet")
    if not profile.enabled:
        return Line(Kind.DISABLED, _("Disabled"), "is-quiet")
    how = standing.standing_of(profile)
    if not how.is_live:
        return Line(Kind.NOT_LIVE, standing.line(how), "is-bad")
    if known is not None and known.is_down:
        return Line(_OF_SERVERS[known.kind], known.health, known.tone, is_live=True)
    if profile.cleared_without_test:
        return Line(Kind.UNTESTED, _("Saved without a test"), "is-warn", is_live=True)
    if known is not None and known.health:
        return Line(_OF_SERVERS[known.kind], known.health, known.tone, is_live=True)
    return Line(Kind.IDLE, _("No traffic"), "is-quiet", is_live=True)
