"""What the statement of `snapshots` answered, JSON, beside the profiles: the facts that are decided by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from delivery import fitting, learned, pacing
from delivery.fitting import Room, Size
from delivery.models import Breaker, Paused
from delivery.pacing import Kind
from delivery.showing import server_words
from delivery.waiting import Breaker as Circuit
from delivery.waiting import Lease, LimitFacts, MessageFacts, PausedBy, Reply, Route, ServerFacts, Use
from smtp_settings.clearance import standing
from smtp_settings.models import SMTPProfile

_PAUSED_BY: dict[int, PausedBy] = {
    Paused.NO: PausedBy.NOBODY,
    Paused.PERSON: PausedBy.PERSON,
    Paused.FAULT: PausedBy.FAULT,
}
_CIRCUITS: dict[int, Circuit] = {
    Breaker.CLOSED: Circuit.CLOSED,
    Breaker.OPEN: Circuit.OPEN,
    Breaker.HALF_OPEN: Circuit.HALF_OPEN,
}
Facts = Mapping[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True)
class Settings:
    """What of a profile decides about its server; a row of `SMTPProfile` has it all, too."""

    pk: int
    name: str
    is_default: bool
    priority: str
    sender_domains: Sequence[str]
    is_draft: bool
    enabled: bool
    cleared_fingerprint: str
    max_connections: int
    send_offset: int
    per_minute: int
    per_hour: int
    per_day: int
    max_size: int


def may_be_live(profile: SMTPProfile | Settings) -> bool:
    """Whether the gate is to be asked about it."""
    return not profile.is_draft and profile.enabled and bool(profile.cleared_fingerprint)


def server_of(profile: SMTPProfile | Settings, how: standing.Standing | None, found: Facts) -> ServerFacts:
    """Return how a profile and its server stand; `how` is the gate's answer, None where it was not asked."""
    key, now = str(profile.pk), moment(found["now"])
    known: Facts = (found["states"] or {}).get(key, {})
    state = _state(known)
    use, cause = _use(profile, how)
    server = ServerFacts(
        profile_id=profile.pk,
        is_default=profile.is_default,
        priority=profile.priority,
        site_ids=frozenset((found["sites"] or {}).get(key, ())),
        sender_domains=frozenset(domain.lower() for domain in profile.sender_domains),
        name=profile.name,
        use=use,
        cause=cause,
        paused=_PAUSED_BY[state.paused],
        paused_by=known.get("who") or "",
        breaker=_CIRCUITS[state.breaker],
        open_until=state.open_until,
        words=state.reason,
        changed_at=state.changed_at,
        max_connections=profile.max_connections,
        learned=_bears(profile, state, now),
        in_hand=(found["in_hand"] or {}).get(key, 0),
        limits=_limits(profile, found["rates"] or {}),
        room=_room(profile, state, now),
    )
    numbers = (found["slots"] or {}).get(key, ())
    taken = sum(number <= server.allowed for number in numbers)
    return replace(server, taken=taken) if taken else server


@dataclass(frozen=True, slots=True)
class _State:
    """What workers wrote down of a server (`ProfileState`); nothing yet is a closed breaker.

    Not a row again: a model's instance takes a hundred calls, and a page asks about hundreds of servers.
    """

    breaker: int = Breaker.CLOSED
    paused: int = Paused.NO
    open_until: datetime | None = None
    reason: str = ""
    changed_at: datetime | None = None
    ramp: int | None = None
    learned_fingerprint: str = ""
    connections: int | None = None
    connections_at: datetime | None = None
    crowded: int = 0
    session_messages: int | None = None
    session_messages_at: datetime | None = None
    recipients: int | None = None
    recipients_at: datetime | None = None
    size_limit: int | None = None
    size_is_refusal: bool = False
    size_until: datetime | None = None
    size_fingerprint: str = ""


def _state(known: Facts) -> _State:
    if not known:
        return _NOTHING_WRITTEN
    columns = {name: known[name] for name in _COLUMNS}
    for name in _MOMENTS:  # text in JSON; all else is itself
        if columns[name] is not None:
            columns[name] = moment(columns[name])
    return _State(**columns)


_NOTHING_WRITTEN = _State()
_COLUMNS = [field.name for field in fields(_State)]
_MOMENTS = [name for name in _COLUMNS if name.endswith(("_at", "_until"))]


def _bears(profile: SMTPProfile | Settings, state: _State, now: datetime) -> int | None:
    """Return the connections a server bears now, as far as that was learned or a slow start allows."""
    limits = [state.ramp]
    if state.learned_fingerprint and state.learned_fingerprint == _fingerprint(profile):
        most = profile.max_connections
        limits.append(learned.bearable(state, most_connections=most, now=now).connections)
    return min((limit for limit in limits if limit is not None), default=None)


def _room(profile: SMTPProfile | Settings, state: _State, now: datetime) -> Room:
    most = fitting.limit_of(state, fingerprint=_fingerprint(profile), now=now)
    return Room(profile.name, profile.max_size * fitting.MEGABYTE, most)


def _fingerprint(profile: SMTPProfile | Settings) -> str:
    """Return what binds knowledge to settings, as `WayOut.fingerprint` has it for a live profile."""
    return profile.cleared_fingerprint[:32]


def _use(profile: SMTPProfile | Settings, how: standing.Standing | None) -> tuple[Use, str]:
    if profile.is_draft:
        return Use.DRAFT, ""
    if not profile.enabled:
        return Use.DISABLED, ""
    if not profile.cleared_fingerprint:
        return Use.UNTESTED, ""
    if how is None:  # written between two statements
        return Use.NOT_LIVE, standing.Cause.DIFFERS
    return (Use.LIVE, "") if how.is_live else (Use.NOT_LIVE, str(how.cause))


def _limits(profile: SMTPProfile | Settings, used: Facts) -> tuple[LimitFacts, ...]:
    numbers = {
        Kind.SPACING: profile.send_offset,
        Kind.MINUTE: profile.per_minute,
        Kind.HOUR: profile.per_hour,
        Kind.DAY: profile.per_day,
    }
    rates = pacing.rates(
        spacing=timedelta(seconds=profile.send_offset),
        per_minute=profile.per_minute,
        per_hour=profile.per_hour,
        per_day=profile.per_day,
    )
    return tuple(
        LimitFacts(rate, numbers[rate.kind], at(used.get(f"{profile.pk}.{rate.kind}"))) for rate in rates
    )


def message_of(message_id: int, found: Facts) -> MessageFacts | None:
    """Return where a message stands that waits, None for one that does not."""
    if found["held"] is not None:
        return MessageFacts(message_id, held=found["held"])
    entry: Facts | None = found["entry"]
    if entry is None:
        return None
    return _waiting(message_id, entry, ahead=entry["ahead"], last=_last(found["last"]), size=found["size"])


def messages_of(found: Facts) -> tuple[MessageFacts, ...]:
    """Return where the messages of a page stand that wait."""
    heads = set(found["heads"] or ())
    return tuple(
        _waiting(
            entry["id"],
            entry,
            ahead=int(entry["id"] not in heads),
            last=Reply() if entry["was_tried"] else None,
            size=entry["size"],
        )
        for entry in found["entries"] or ()
    )


def _waiting(
    message_id: int, entry: Facts, *, ahead: int, last: Reply | None, size: Sequence[int] | None
) -> MessageFacts:
    return MessageFacts(
        id=message_id,
        route=Route(*entry["route"]),
        ready_at=at(entry["ready_at"]),
        priority=entry["priority"],
        attempts=entry["attempts"],
        drops=entry["drops"],
        crashes=entry["crashes"],
        lease=_lease(entry),
        last=last,
        ahead=ahead,
        size=Size(*size) if size is not None else None,
    )


def _lease(entry: Facts) -> Lease | None:
    if entry["lease_id"] is None:
        return None
    return Lease(entry["lease_id"], entry["profile_id"], entry["host"] or "", at(entry["heard_at"]))


def _last(attempt: Facts | None) -> Reply | None:
    if attempt is None:
        return None
    code = attempt["code"]
    return Reply(code, server_words(code, attempt["enhanced"], attempt["words"]))


def at(text: str | None) -> datetime | None:
    """Read a moment that may be missing."""
    return None if text is None else moment(text)


def moment(text: str) -> datetime:
    """Read a moment as PostgreSQL writes it in JSON."""
    return datetime.fromisoformat(text)
