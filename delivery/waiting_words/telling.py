"""What is said, and to whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from delivery.waiting.facts import CAP


@dataclass(frozen=True, slots=True)
class Said:
    """A reason in words, and a server's own words beside them (never translated), "" where there are none."""

    text: str
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Telling:
    """How reasons are told: the names of profiles by id (None: name nobody), and the moment of the facts."""

    names: Mapping[int, str] | None
    now: datetime

    @property
    def may_name(self) -> bool:
        """Whether servers and people may be named, and quoted."""
        return self.names is not None

    def name(self, profile_id: int | None) -> str:
        """Return a profile's name."""
        return (self.names or {}).get(profile_id or 0) or _("a removed profile")


def count(number: int) -> str:
    """Show a count that was capped."""
    return f"{CAP - 1:,}+" if number >= CAP else f"{number:,}"
