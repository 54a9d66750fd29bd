"""What answers "why is it not sent yet?" and "which server would take one?": all facts, of one moment.

Two statements however many profiles there are: their rows, which the gate is asked about, and everything the
workers wrote. A count of messages ahead stops at 10,000.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import DateTimeField

from delivery import fitting, learned, pacing
from delivery.fitting import Room, Size
from delivery.models import (
    Attempt,
    Breaker,
    Content,
    Failure,
    Message,
    Paused,
    Pool,
    ProfileState,
    QueueEntry,
    Rate,
    Slot,
    SmallState,
    Worker,
)
from delivery.pacing import Kind
from delivery.showing import server_words
from delivery.waiting import Breaker as Circuit
from delivery.waiting import (
    Lease,
    LimitFacts,
    MessageFacts,
    PausedBy,
    Reply,
    Route,
    ServerFacts,
    Snapshot,
    Use,
)
from delivery.waiting.facts import CAP
from smtp_settings.clearance import standing
from smtp_settings.models import SMTPProfile
from smtp_settings.policy import Policies, recent

# One value, so that one round trip brings it all. Lanes ahead are read one by one and from the index's start:
# a range over all priorities would walk the future rows.
_FACTS = """
SELECT json_build_object(
  'now', now(),
  'heard_at', (SELECT max(heartbeat_at) FROM (
    SELECT heartbeat_at FROM {worker} WHERE NOT at_once ORDER BY id DESC LIMIT 50) newest),
  'states', (SELECT json_object_agg(s.profile_id, to_jsonb(s) || jsonb_build_object('who', u.{username}))
    FROM {profile_state} s LEFT JOIN {user} u ON u.id = s.paused_by_id),
  'slots', (SELECT json_object_agg(profile_id, numbers) FROM (
    SELECT profile_id, array_agg(n) AS numbers FROM {slot} WHERE worker_id IS NOT NULL GROUP BY 1) taken),
  'in_hand', (SELECT json_object_agg(profile_id, number) FROM (
    SELECT coalesce(profile_id, 0) AS profile_id, count(*) AS number FROM (
      SELECT profile_id FROM {entry} WHERE lease_id IS NOT NULL LIMIT %(cap)s) leased GROUP BY 1) held),
  'rates', (SELECT json_object_agg(profile_id || '.' || kind, tat) FROM {rate}),
  'sites', (SELECT json_object_agg(smtpprofile_id, ids) FROM (
    SELECT smtpprofile_id, array_agg(site_id) AS ids FROM {profile_sites} GROUP BY 1) sites),
  'entry', (SELECT json_build_object(
      'ready_at', e.ready_at, 'priority', e.priority, 'attempts', e.attempts, 'drops', e.drops,
      'crashes', e.crashes, 'lease_id', e.lease_id, 'profile_id', e.profile_id,
      'host', w.host, 'heard_at', w.heartbeat_at,
      'route', json_build_array(e.pool_id, pool.site_id, pool.sender_domain, pool.profile_id),
      'ahead', (SELECT count(*) FROM (
        SELECT FROM generate_series(e.priority / 10 * 10 + 1, e.priority) AS lane (priority)
        CROSS JOIN LATERAL (
          SELECT FROM {entry} o
          WHERE o.lease_id IS NULL AND o.pool_id = e.pool_id AND o.priority = lane.priority
            AND o.ready_at <= now()
            AND (o.ready_at, o.message_id) < (
              CASE WHEN lane.priority < e.priority THEN now() ELSE e.ready_at END,
              CASE WHEN lane.priority < e.priority THEN 9223372036854775807 ELSE e.message_id END)
          LIMIT %(cap)s) before
        LIMIT %(cap)s) counted))
    FROM {entry} e LEFT JOIN {pool} pool ON pool.id = e.pool_id
    LEFT JOIN {worker} w ON w.id = e.lease_id AND w.state <> %(dead)s
    WHERE e.message_id = %(message)s),
  'state', (SELECT state FROM {message} WHERE id = %(message)s),
  'size', (SELECT json_build_array(m.attachments_bytes, c.size)
    FROM {message} m JOIN {content} c ON c.message_id = m.id WHERE m.id = %(message)s),
  'held', (SELECT cause FROM {failure} WHERE message_id = %(message)s AND state = %(held)s),
  'last', (SELECT json_build_object('code', code, 'enhanced', enhanced, 'words', reply)
    FROM {attempt} WHERE message_id = %(message)s ORDER BY id DESC LIMIT 1)
)::text
"""
_MODELS: dict[str, Any] = {  # Any: models
    "worker": Worker,
    "profile_state": ProfileState,
    "slot": Slot,
    "entry": QueueEntry,
    "rate": Rate,
    "profile_sites": SMTPProfile.sites.through,
    "pool": Pool,
    "failure": Failure,
    "message": Message,
    "content": Content,
    "attempt": Attempt,
}
_PAUSED_BY = {Paused.NO: PausedBy.NOBODY, Paused.PERSON: PausedBy.PERSON, Paused.FAULT: PausedBy.FAULT}
_CIRCUITS = {
    Breaker.CLOSED: Circuit.CLOSED,
    Breaker.OPEN: Circuit.OPEN,
    Breaker.HALF_OPEN: Circuit.HALF_OPEN,
}
Facts = Mapping[str, Any]  # Any: JSON


def snapshot(message_id: int | None = None, *, profiles: Iterable[SMTPProfile] | None = None) -> Snapshot:
    """Read how things stand, and with an id where that message does.

    `profiles`: all rows there are with all their columns, when the caller has read them anyway.
    """
    if profiles is None:
        profiles = all_profiles()
    values = {
        "message": message_id,
        "cap": CAP,
        "dead": Worker.State.DEAD.value,
        "held": SmallState.HELD.value,
    }
    with connection.cursor() as cursor:
        cursor.execute(_statement(), values)
        found: Facts = json.loads(cursor.fetchone()[0])
    return Snapshot(
        now=_moment(found["now"]),
        heard_at=_at(found["heard_at"]),
        servers=tuple(_server(profile, found) for profile in profiles),
        message=_message(message_id, found) if message_id is not None else None,
        policies=recent() if message_id is not None else Policies(),
        state=None if found["state"] is None else SmallState(found["state"]).name.lower(),
    )


# The lanes of a route at this priority and above: what is due there goes before a message handed over now.
_AHEAD = """
SELECT count(*) FROM (
  SELECT FROM generate_series(1, %(priority)s) AS lane (priority)
  CROSS JOIN LATERAL (
    SELECT FROM {entry} e
    WHERE e.lease_id IS NULL AND e.pool_id = %(pool)s AND e.priority = lane.priority AND e.ready_at <= now()
    LIMIT %(cap)s) before
  LIMIT %(cap)s) counted
"""


def due_ahead(pool_id: int, priority: int) -> int:
    """Count the messages that go before one handed over now, at most `CAP`."""
    with connection.cursor() as cursor:
        statement = _AHEAD.format(entry=f'"{QueueEntry._meta.db_table}"')  # documented
        cursor.execute(statement, {"pool": pool_id, "priority": priority, "cap": CAP})
        ahead: int = cursor.fetchone()[0]
        return ahead


def all_profiles() -> list[SMTPProfile]:
    """Return every profile with all its columns, as the gate wants to see them."""
    return list(SMTPProfile.objects.select_related("oauth_credential").order_by("pk"))


@cache
def _statement() -> str:
    users = get_user_model()
    tables = {name: f'"{model._meta.db_table}"' for name, model in _MODELS.items()}  # documented
    user = {"user": f'"{users._meta.db_table}"', "username": f'"{users.USERNAME_FIELD}"'}
    return _FACTS.format(**tables, **user)


def _server(profile: SMTPProfile, found: Facts) -> ServerFacts:
    key, now = str(profile.pk), _moment(found["now"])
    known: Facts = (found["states"] or {}).get(key, {})
    state = _state(known)
    use, cause = _use(profile)
    server = ServerFacts(
        profile_id=profile.pk,
        is_default=profile.is_default,
        priority=profile.priority,
        site_ids=frozenset((found["sites"] or {}).get(key, ())),
        sender_domains=frozenset(domain.lower() for domain in profile.sender_domains),
        name=profile.name,
        use=use,
        cause=cause,
        paused=_PAUSED_BY[Paused(state.paused)],
        paused_by=known.get("who") or "",
        breaker=_CIRCUITS[Breaker(state.breaker)],
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


def _state(known: Facts) -> ProfileState:
    """Return what workers wrote down, as a row again; nothing yet is a closed breaker."""
    if not known:
        return _NOTHING_WRITTEN
    columns = {name: value for name, value in known.items() if name in _COLUMNS}
    return ProfileState(**columns | {name: _at(columns[name]) for name in _MOMENTS if name in columns})


_NOTHING_WRITTEN = ProfileState(
    breaker=Breaker.CLOSED,
    paused=Paused.NO,
    changed_at=None,  # type: ignore[misc]  # never saved
)
_FIELDS = ProfileState._meta.concrete_fields  # documented
_COLUMNS = {field.attname for field in _FIELDS}
_MOMENTS = {
    field.attname for field in _FIELDS if isinstance(field, DateTimeField)
}  # text in JSON; all else is itself


def _bears(profile: SMTPProfile, state: ProfileState, now: datetime) -> int | None:
    """Return the connections a server bears now, as far as that was learned or a slow start allows."""
    limits = [state.ramp]
    if state.learned_fingerprint and state.learned_fingerprint == _fingerprint(profile):
        most = profile.max_connections
        limits.append(learned.bearable(state, most_connections=most, now=now).connections)
    return min((limit for limit in limits if limit is not None), default=None)


def _room(profile: SMTPProfile, state: ProfileState, now: datetime) -> Room:
    most = fitting.limit_of(state, fingerprint=_fingerprint(profile), now=now)
    return Room(profile.name, profile.max_size * fitting.MEGABYTE, most)


def _fingerprint(profile: SMTPProfile) -> str:
    """Return what binds knowledge to settings, as `WayOut.fingerprint` has it for a live profile."""
    return profile.cleared_fingerprint[:32]


def _use(profile: SMTPProfile) -> tuple[Use, str]:
    if profile.is_draft:
        return Use.DRAFT, ""
    if not profile.enabled:
        return Use.DISABLED, ""
    if not profile.cleared_fingerprint:
        return Use.UNTESTED, ""
    how = standing.standing_of(profile)
    return (Use.LIVE, "") if how.is_live else (Use.NOT_LIVE, str(how.cause))


def _limits(profile: SMTPProfile, used: Facts) -> tuple[LimitFacts, ...]:
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
        LimitFacts(rate, numbers[rate.kind], _at(used.get(f"{profile.pk}.{rate.kind}"))) for rate in rates
    )


def _message(message_id: int, found: Facts) -> MessageFacts | None:
    if found["held"] is not None:
        return MessageFacts(message_id, held=found["held"])
    entry: Facts | None = found["entry"]
    if entry is None:
        return None
    return MessageFacts(
        id=message_id,
        route=Route(*entry["route"]),
        ready_at=_at(entry["ready_at"]),
        priority=entry["priority"],
        attempts=entry["attempts"],
        drops=entry["drops"],
        crashes=entry["crashes"],
        lease=_lease(entry),
        last=_last(found["last"]),
        ahead=entry["ahead"],
        size=Size(*found["size"]) if found["size"] is not None else None,
    )


def _lease(entry: Facts) -> Lease | None:
    if entry["lease_id"] is None:
        return None
    return Lease(entry["lease_id"], entry["profile_id"], entry["host"] or "", _at(entry["heard_at"]))


def _last(attempt: Facts | None) -> Reply | None:
    if attempt is None:
        return None
    code = attempt["code"]
    return Reply(code, server_words(code, attempt["enhanced"], attempt["words"]))


def _at(text: str | None) -> datetime | None:
    return None if text is None else _moment(text)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
