"""Which notification a change of state gives: one when something begins, one when it ends. Pure.

What is wrong now (`Condition`) is held against what was wrong before (`Incident`). Nothing listens for
events, so that none is lost with a worker, and a change that comes and goes between two looks is none.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Kind(StrEnum):
    """What can be wrong."""

    PAUSED = "paused"  # a server, for a fault
    BREAKER = "breaker"  # a server does not answer, or turns us away
    HELD = "held"  # messages wait for a person
    TOO_LARGE = "too_large"  # attachments that no server takes
    OAUTH = "oauth"  # a credential ends, or was refused
    CERTIFICATE = "certificate"  # a server's ends
    PASSWORD = "password"  # noqa: S105  # a profile's is old
    SIGN_IN = "sign_in"  # the provider ends sign-in with a password
    CHECK = "check"  # a daily one failed
    PICKUP = "pickup"  # files that nobody takes
    NO_WORKER = "no_worker"
    CLONE = "clone"  # the database woke up somewhere else


#: Told of again when it comes nearer: so many days before it ends.
STAGES = (30, 7, 1, 0)
#: These end one day, and `ends_at` says when.
EXPIRING = frozenset({Kind.OAUTH, Kind.CERTIFICATE, Kind.PASSWORD, Kind.SIGN_IN})
#: Of these the end is no news: nobody did anything, an hour went by.
WITHOUT_END = frozenset({Kind.TOO_LARGE})


_REFUSAL = re.compile(r"5\d\d\b")


def turns_away(words: str) -> bool:
    """Whether why a breaker is open is a reply that refuses for good (a 5xx before any mail).

    >>> turns_away("554 5.7.1 not from there"), turns_away("421 busy"), turns_away("no answer after 30 s")
    (True, False, False)
    """
    return _REFUSAL.match(words) is not None


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong now.

    `subject` tells it from others of its kind ("profile 5"); `since` is when it began, None: just seen;
    `ends_at` is when something stops working. `words` may be a server's.
    """

    kind: Kind
    subject: str = ""
    name: str = ""
    words: str = ""
    profile_id: int | None = None
    since: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """What was wrong at the last look, as it is stored. `told_at` None: nobody was told yet."""

    id: int
    kind: Kind
    subject: str
    name: str
    words: str
    profile_id: int | None
    began_at: datetime
    told_at: datetime | None
    stage: int | None
    ends_at: datetime | None


class Act(StrEnum):
    """What becomes of an incident."""

    BEGIN = "begin"  # store it
    TELL = "tell"
    TELL_NEARER = "tell_nearer"  # again: it ends soon now
    SET_STAGE = "set_stage"  # it ends later than it did; nobody has to hear
    END = "end"
    TELL_END = "tell_end"


@dataclass(frozen=True, slots=True)
class Decision:
    """One act; `condition` is None at an end, `incident` None at a beginning."""

    act: Act
    condition: Condition | None = None
    incident: Incident | None = None
    stage: int | None = None


def stage_of(ends_at: datetime | None, now: datetime) -> int | None:
    """Return the stage an end has come to, None while it is further away than all.

    >>> from datetime import UTC
    >>> now = datetime(2026, 11, 21, tzinfo=UTC)
    >>> [stage_of(now + timedelta(days=days), now) for days in (40, 30, 12, 7, 0.5, -3)]
    [None, 30, 30, 7, 1, 0]
    """
    if ends_at is None:
        return None
    return min((days for days in STAGES if ends_at - now <= timedelta(days=days)), default=None)


def decide(
    conditions: Iterable[Condition],
    incidents: Iterable[Incident],
    *,
    now: datetime,
    patience: Mapping[Kind, timedelta | None],
) -> list[Decision]:
    """Return what to store and whom to tell, beginnings first.

    `patience`: so long something of this kind has to last before anybody is told, None: nobody ever is; a
    kind that is not named is told at once. Hand in conditions and incidents of the same kinds.
    """
    before = {(one.kind, one.subject): one for one in incidents}
    seen = {(one.kind, one.subject): one for one in conditions}
    found: list[Decision] = []
    for key, condition in seen.items():
        wait = patience.get(condition.kind, timedelta(0))
        found += _going_on(condition, before.get(key), now=now, wait=wait)
    for key, incident in before.items():
        if key not in seen:
            found.append(_ended(incident, is_wanted=patience.get(incident.kind, timedelta(0)) is not None))
    return found


def _going_on(
    condition: Condition, incident: Incident | None, *, now: datetime, wait: timedelta | None
) -> Iterator[Decision]:
    stage = stage_of(condition.ends_at, now)
    if incident is None:
        yield Decision(Act.BEGIN, condition, stage=stage)
    if wait is None:
        return
    if incident is None or incident.told_at is None:
        began_at = incident.began_at if incident is not None else condition.since or now
        if not wait or now - began_at >= wait:
            yield Decision(Act.TELL, condition, incident, stage)
    elif stage is not None and stage != incident.stage:
        is_nearer = incident.stage is None or stage < incident.stage
        yield Decision(Act.TELL_NEARER if is_nearer else Act.SET_STAGE, condition, incident, stage)


def _ended(incident: Incident, *, is_wanted: bool) -> Decision:
    is_news = incident.told_at is not None and is_wanted and incident.kind not in WITHOUT_END
    return Decision(Act.TELL_END if is_news else Act.END, incident=incident)


#: Between two calls of a webhook that does not take one; then it is given up, after some sixteen hours.
_CALLS_AFTER = (10, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
#: The receiver says that it wants no more (RFC 9110 section 15.5.11).
_GONE = 410


def call_again_in(attempts: int, status: int | None = None) -> timedelta | None:
    """Return the wait after so many attempts of a call that were not taken; None: give it up.

    `status` is the receiver's last answer, None where there was none.

    >>> call_again_in(1), call_again_in(10), call_again_in(1, 410)
    (datetime.timedelta(seconds=10), None, None)
    """
    if status == _GONE or attempts > len(_CALLS_AFTER):
        return None
    return timedelta(seconds=_CALLS_AFTER[max(attempts, 1) - 1])
