"""The statements of `snapshots`: each brings everything in one value, so that one round trip is enough."""

from functools import cache
from typing import Any

from django.contrib.auth import get_user_model

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
    Worker,
)
from smtp_settings.clearance.standing import row_version
from smtp_settings.models import OAuthCredential, SMTPProfile

#: The columns of a profile that decide about its server (`answered.Settings`).
COLUMNS = (
    "is_default", "priority", "sender_domains", "name", "is_draft", "enabled", "cleared_fingerprint",
    "max_connections", "send_offset", "per_minute", "per_hour", "per_day", "max_size",
)  # fmt: skip
_SERVERS = """
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
"""
_ENTRY = """
      'ready_at', e.ready_at, 'priority', e.priority, 'attempts', e.attempts, 'drops', e.drops,
      'crashes', e.crashes, 'lease_id', e.lease_id, 'profile_id', e.profile_id,
      'host', w.host, 'heard_at', w.heartbeat_at,
      'route', json_build_array(e.pool_id, pool.site_id, pool.sender_domain, pool.profile_id),
"""
_WITH_ROUTE_AND_WORKER = """
    LEFT JOIN {pool} pool ON pool.id = e.pool_id
    LEFT JOIN {worker} w ON w.id = e.lease_id AND w.state <> %(dead)s
"""
# Lanes ahead are read one by one and from the index's start: a range over all priorities would walk the
# future rows.
_OF_ONE = """
SELECT json_build_object({servers}
  'entry', (SELECT json_build_object({entry_columns}
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
    FROM {entry} e {with_route_and_worker}
    WHERE e.message_id = %(message)s),
  'state', (SELECT state FROM {message} WHERE id = %(message)s),
  'size', (SELECT json_build_array(m.attachments_bytes, c.size)
    FROM {message} m JOIN {content} c ON c.message_id = m.id WHERE m.id = %(message)s),
  'held', (SELECT cause FROM {failure} WHERE message_id = %(message)s AND state = %(held)s),
  'last', (SELECT json_build_object('code', code, 'enhanced', enhanced, 'words', reply)
    FROM {attempt} WHERE message_id = %(message)s ORDER BY id DESC LIMIT 1)
)::text
"""
# Of a page of messages nobody's place is counted: which of them is the first of its route is seen at the
# start of a few lanes for each route. Whole profiles are not read: the version of a row tells whether it was
# judged.
_OF_MANY = """
SELECT json_build_object({servers}
  'profiles', (SELECT json_agg(json_build_object('pk', p.id, 'version',
      CASE WHEN p.enabled AND NOT p.is_draft AND p.cleared_fingerprint <> '' THEN {version} END,
      {columns}) ORDER BY p.id)
    FROM {profile} p LEFT JOIN {credential} c ON c.id = p.oauth_credential_id),
  'entries', (SELECT json_agg(json_build_object('id', e.message_id, {entry_columns}
      'was_tried', e.ready_at > now()
        AND EXISTS (SELECT FROM {attempt} a WHERE a.message_id = e.message_id),
      'size', (SELECT json_build_array(m.attachments_bytes, t.size)
        FROM {message} m JOIN {content} t ON t.message_id = m.id WHERE m.id = e.message_id)))
    FROM {entry} e {with_route_and_worker}
    WHERE e.message_id = ANY(%(messages)s)),
  'heads', (SELECT json_agg(head.message_id) FROM (
    SELECT pool_id, max(priority) FROM {entry}
    WHERE message_id = ANY(%(messages)s) AND priority <= %(suspect)s GROUP BY 1) way (pool_id, priority)
    CROSS JOIN LATERAL (
      SELECT o.message_id FROM generate_series(1, way.priority) AS lane (priority)
      CROSS JOIN LATERAL (
        SELECT message_id FROM {entry}
        WHERE lease_id IS NULL AND pool_id = way.pool_id AND priority = lane.priority AND ready_at <= now()
        ORDER BY ready_at, message_id LIMIT 1) o
      ORDER BY lane.priority LIMIT 1) head)
)::text
"""
_MODELS: dict[str, Any] = {  # Any: models
    "worker": Worker,
    "profile": SMTPProfile,
    "credential": OAuthCredential,
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


@cache
def of_one() -> str:
    """Return the statement about the servers and one message, `%(message)s` (None: about the servers)."""
    return _filled(_OF_ONE)


@cache
def of_many() -> str:
    """Return the statement about the servers and those of the `%(messages)s` that wait."""
    return _filled(_OF_MANY)


def _filled(statement: str) -> str:
    users = get_user_model()
    tables = {name: f'"{model._meta.db_table}"' for name, model in _MODELS.items()}  # documented
    user = {"user": f'"{users._meta.db_table}"', "username": f'"{users.USERNAME_FIELD}"'}
    return statement.format(
        **tables,
        servers=_SERVERS.format(**tables, **user),
        entry_columns=_ENTRY,
        with_route_and_worker=_WITH_ROUTE_AND_WORKER.format(**tables),
        version=row_version("p", "c"),
        columns=", ".join(f"'{name}', p.{name}" for name in COLUMNS),
    )
