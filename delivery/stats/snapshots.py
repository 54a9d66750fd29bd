"""What answers "why is it not sent yet?" and "which server would take one?": all facts, of one moment.

Two statements however many profiles there are: their rows, which the gate is asked about, and everything the
workers wrote. A count of messages ahead stops at 10,000. For a page of messages it is one statement, and a
second one where a profile's row was written since the page before.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from delivery.models import QueueEntry, SmallState, Worker
from delivery.stats import statements
from delivery.stats.answered import (
    Facts,
    Settings,
    at,
    may_be_live,
    message_of,
    messages_of,
    moment,
    server_of,
)
from delivery.waiting import Snapshot
from delivery.waiting.facts import CAP, SUSPECT
from smtp_settings.clearance.standing import Standing, standing_of, standings_of_versions
from smtp_settings.models import SMTPProfile
from smtp_settings.policy import Policies, recent


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
    found = _asked(statements.of_one(), values)
    return Snapshot(
        now=moment(found["now"]),
        heard_at=at(found["heard_at"]),
        servers=tuple(server_of(profile, _standing(profile), found) for profile in profiles),
        message=message_of(message_id, found) if message_id is not None else None,
        policies=recent() if message_id is not None else Policies(),
        state=None if found["state"] is None else SmallState(found["state"]).name.lower(),
    )


def snapshot_of_page(message_ids: Sequence[int]) -> Snapshot:
    """Read how those of a page's messages stand that wait, with the servers: for `explain_each`."""
    values = {
        "messages": list(message_ids),
        "cap": CAP,
        "dead": Worker.State.DEAD.value,
        "suspect": SUSPECT,
    }
    found = _asked(statements.of_many(), values)
    rows = found["profiles"] or ()
    how = standings_of_versions({row["pk"]: row["version"] for row in rows if row["version"] is not None})
    profiles = [Settings(**{name: row[name] for name in ("pk", *statements.COLUMNS)}) for row in rows]
    return Snapshot(
        now=moment(found["now"]),
        heard_at=at(found["heard_at"]),
        servers=tuple(server_of(profile, how.get(profile.pk), found) for profile in profiles),
        messages=messages_of(found),
        policies=recent(),
    )


def _standing(profile: SMTPProfile) -> Standing | None:
    return standing_of(profile) if may_be_live(profile) else None


def _asked(statement: str, values: dict[str, Any]) -> Facts:  # Any: numbers
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found: Facts = json.loads(cursor.fetchone()[0])
        return found


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
