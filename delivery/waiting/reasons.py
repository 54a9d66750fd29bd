"""The reasons why a message waits: a class each, with its facts. Pure; long because it is a list.

`waiting_words` says them to people. `kind` is the stable word of commands, `needs_a_person` whether it lasts
until somebody does something.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from delivery.pacing import Kind
from delivery.waiting.facts import Reply


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a message waits, or why a server does not take it."""

    kind: ClassVar[str]
    needs_a_person: ClassVar[bool] = False

    @property
    def until(self) -> datetime | None:
        """Until when it holds: its `at`, None where nobody knows."""
        at: datetime | None = getattr(self, "at", None)
        return at


# Of the message


@dataclass(frozen=True, slots=True)
class Held(Reason):
    """It was taken out of the queue until a person decides; `cause` is the queue's word."""

    kind: ClassVar[str] = "held"
    needs_a_person: ClassVar[bool] = True
    cause: str


@dataclass(frozen=True, slots=True)
class InHand(Reason):
    """A worker has it; one that `is_silent` is dead, most likely, and the message comes back."""

    kind: ClassVar[str] = "in_hand"
    worker_id: int
    host: str
    profile_id: int | None
    heard_at: datetime | None
    is_silent: bool


@dataclass(frozen=True, slots=True)
class NobodyDrains(Reason):
    """No worker is alive; None: none ever was."""

    kind: ClassVar[str] = "nobody_drains"
    needs_a_person: ClassVar[bool] = True
    heard_at: datetime | None


@dataclass(frozen=True, slots=True)
class SwitchedOff(Reason):
    """The sending policy keeps all mail of its site; `who` is "" where nobody is known."""

    kind: ClassVar[str] = "switched_off"
    needs_a_person: ClassVar[bool] = True
    who: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Unconfirmed(Reason):
    """The database may be a copy: mail waits until a person has said that it is none."""

    kind: ClassVar[str] = "unconfirmed"
    needs_a_person: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class OnlyLogged(Reason):
    """Debug mode: when it is due it is recorded as suppressed, and sent nowhere."""

    kind: ClassVar[str] = "only_logged"


@dataclass(frozen=True, slots=True)
class Scheduled(Reason):
    """Its sender wants it sent later."""

    kind: ClassVar[str] = "scheduled"
    at: datetime


@dataclass(frozen=True, slots=True)
class RetryAt(Reason):
    """It was tried, and is tried again then."""

    kind: ClassVar[str] = "retry_at"
    at: datetime
    attempts: int
    reply: Reply | None


@dataclass(frozen=True, slots=True)
class Suspect(Reason):
    """A worker died with it in hand: it goes alone. `at` is its next try when that is not now."""

    kind: ClassVar[str] = "suspect"
    crashes: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Stranded(Reason):
    """No live profile may send it; `serving` that are not live could."""

    kind: ClassVar[str] = "stranded"
    needs_a_person: ClassVar[bool] = True
    site_id: int | None
    sender_domain: str | None
    serving: int


@dataclass(frozen=True, slots=True)
class IsNext(Reason):
    """Nothing is in the way: this server takes it. `ahead` others come before it."""

    kind: ClassVar[str] = "is_next"
    profile_id: int
    ahead: int


@dataclass(frozen=True, slots=True)
class WaitsFor(Reason):
    """Of the servers that may send it none can now; this one is the next, or the only one."""

    kind: ClassVar[str] = "waits_for"
    profile_id: int
    is_pinned: bool
    reason: Reason

    @property
    def until(self) -> datetime | None:
        """Until when it holds."""
        return self.reason.until


# Of a server: it may not take this message at all


@dataclass(frozen=True, slots=True)
class PinnedElsewhere(Reason):
    """The message may go only through another profile."""

    kind: ClassVar[str] = "pinned_elsewhere"
    profile_id: int


@dataclass(frozen=True, slots=True)
class OtherSites(Reason):
    """The profile serves other sites; `site_id` None: the message is of none."""

    kind: ClassVar[str] = "other_sites"
    site_id: int | None


@dataclass(frozen=True, slots=True)
class OtherSenders(Reason):
    """The profile serves other From domains; None: no profile lists the message's."""

    kind: ClassVar[str] = "other_senders"
    sender_domain: str | None


@dataclass(frozen=True, slots=True)
class TooLarge(Reason):
    """The message is larger than the profile allows."""

    kind: ClassVar[str] = "too_large"
    needs_a_person: ClassVar[bool] = True
    size_bytes: int
    most_bytes: int


# It is not in use


@dataclass(frozen=True, slots=True)
class Draft(Reason):
    """The profile is a draft."""

    kind: ClassVar[str] = "draft"
    needs_a_person: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Disabled(Reason):
    """A person disabled the profile."""

    kind: ClassVar[str] = "disabled"
    needs_a_person: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Untested(Reason):
    """The profile never passed a test."""

    kind: ClassVar[str] = "untested"
    needs_a_person: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class NotLive(Reason):
    """The profile is not as it was tested; `cause` is a word of `clearance.standing`."""

    kind: ClassVar[str] = "not_live"
    needs_a_person: ClassVar[bool] = True
    cause: str


@dataclass(frozen=True, slots=True)
class PausedByPerson(Reason):
    """A person paused it; `who` is "" where that may not be said."""

    kind: ClassVar[str] = "paused_by_person"
    needs_a_person: ClassVar[bool] = True
    who: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class PausedByFault(Reason):
    """It was paused because its server refuses us, in these words."""

    kind: ClassVar[str] = "paused_by_fault"
    needs_a_person: ClassVar[bool] = True
    words: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class BreakerOpen(Reason):
    """The server is left alone until then."""

    kind: ClassVar[str] = "breaker_open"
    at: datetime | None
    words: str


@dataclass(frozen=True, slots=True)
class Probing(Reason):
    """A worker tries the server with one message; the others wait for the result."""

    kind: ClassVar[str] = "probing"


# It cannot take one now


@dataclass(frozen=True, slots=True)
class AllBusy(Reason):
    """Every connection it may have is at work; `is_learned`: it bears fewer than the profile allows."""

    kind: ClassVar[str] = "all_busy"
    taken: int
    allowed: int
    is_learned: bool


@dataclass(frozen=True, slots=True)
class AtRate(Reason):
    """Its limit per minute, hour or day; `place` of the message in the line, from 1."""

    kind: ClassVar[str] = "at_rate"
    limit: Kind
    number: int
    place: int
    at: datetime
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Spacing(Reason):
    """The send offset: the next moment of this profile that is the message's."""

    kind: ClassVar[str] = "spacing"
    at: datetime
    place: int


# It can


@dataclass(frozen=True, slots=True)
class Takes(Reason):
    """It takes the message now; `is_probe`: as the one try of a server whose breaker is due."""

    kind: ClassVar[str] = "takes"
    is_probe: bool


@dataclass(frozen=True, slots=True)
class ComesLater(Reason):
    """It could, and another comes before it."""

    kind: ClassVar[str] = "comes_later"
    profile_id: int
