"""What answers "why is it not sent yet?" and "which server would take one?": all facts, of one moment.

Two statements however many profiles there are: their rows, which the gate is asked about, and everything the
workers wrote. A count of messages ahead stops at 10,000.
"""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection

from delivery.models import (
    Attempt,
    Content,
    Failure,
    Message,
    Pool,
    ProfileState,
    QueueEntry,
    Rate,
    Slot,
    SmallState,
    Worker,
)
from delivery.stats.answered import Facts, at, message_of, moment, server_of
from delivery.waiting import Snapshot
from delivery.waiting.facts import CAP
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
        now=moment(found["now"]),
        heard_at=at(found["heard_at"]),
        servers=tuple(server_of(profile, found) for profile in profiles),
        message=message_of(message_id, found) if message_id is not None else None,
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
