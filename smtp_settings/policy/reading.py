"""The policy and the place of the database, read with one statement."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection

from smtp_settings import sealing
from smtp_settings.models import SendingPolicy, Whereabouts
from smtp_settings.policy.deciding import Policies, Rules, decide
from smtp_settings.policy.places import KnownPlace, Place, confirmed

# pg_control_system() may be denied to others by an administrator; without it the number of the database says
# less, but not nothing.
_READ = """
SELECT
  (SELECT json_agg(to_jsonb(p) || jsonb_build_object('who', u.{username}))
   FROM {policy} p LEFT JOIN {user} u ON u.id = p.emails_off_by_id),
  (SELECT json_agg(w) FROM {whereabouts} w),
  {server},
  (SELECT oid::text FROM pg_database WHERE datname = current_database())
"""
_IDENTIFIER = "(SELECT system_identifier::text FROM pg_control_system())"
_MAY_ASK = "SELECT has_function_privilege('pg_control_system()', 'execute')"
_RULES = [field.name for field in fields(Rules)]

#: Seconds for which pages are shown the same, and where it is kept.
KEPT_SECONDS = 5
RECENT = "mailconf.policies"

Found = Mapping[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows as they are, and where they were read."""

    rules: Mapping[int | None, Rules]
    here: Place
    known: tuple[KnownPlace, ...]
    key_ids: tuple[str, ...]

    @property
    def is_confirmed(self) -> bool:
        """Whether mail may leave from here; the first place is confirmed by itself."""
        return not self.known or confirmed(self.known, self.here, self.key_ids)


def policies() -> Policies:
    """Return what holds now; one statement, and another at the first time in a new place."""
    found = read()
    places = sum(one.is_confirmed for one in found.known)
    return decide(found.rules, is_confirmed=found.is_confirmed, places=places)


def recent() -> Policies:
    """Return what held at most five seconds ago: for pages, which ask again and again."""
    known: Policies | None = cache.get(RECENT)
    if known is None:
        known = policies()
        cache.set(RECENT, known, KEPT_SECONDS)
    return known


def read() -> Reading:
    """Read everything, and note this place when it is new."""
    with connection.cursor() as cursor:
        cursor.execute(_statement(may_ask=_may_ask()))
        rows, places, server, database = cursor.fetchone()
    here = Place(server or "", database or "", _address(), settings.MAILCONF_ENVIRONMENT)
    found = Reading(
        rules={row["site_id"]: _rules(row) for row in rows or ()},
        here=here,
        known=tuple(_known(row) for row in places or ()),
        key_ids=_key_ids(),
    )
    at_hand = next((one.key_ids for one in found.known if one.place == here), None)
    if at_hand is None:
        _note(found)
    elif found.is_confirmed and not set(found.key_ids) <= set(at_hand):  # a key was rotated in
        both = sorted({*at_hand, *found.key_ids})
        Whereabouts.objects.filter(digest=here.digest).update(key_ids=both)
    return found


def _note(found: Reading) -> None:
    """Remember the place; two workers may come to it at once."""
    Whereabouts.objects.bulk_create(
        [
            Whereabouts(
                digest=found.here.digest,
                facts=asdict(found.here),
                key_ids=list(found.key_ids),
                seen_on=platform.node()[:255],
                confirmed_at=None if found.known else _now(),
            )
        ],
        ignore_conflicts=True,
    )


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        now: datetime = cursor.fetchone()[0]
        return now


def _rules(row: Found) -> Rules:
    values = {name: row[name] for name in _RULES if name in row}
    at = values.get("emails_off_at")
    return Rules(
        **values
        | {
            "redirect_except": tuple(row["redirect_except"] or ()),
            "emails_off_at": None if at is None else datetime.fromisoformat(at),
            "emails_off_by": row["who"] or "",
        }
    )


def _known(row: Found) -> KnownPlace:
    place = Place(**{field.name: row["facts"].get(field.name, "") for field in fields(Place)})
    return KnownPlace(place, tuple(row["key_ids"]), row["confirmed_at"] is not None)


def _address() -> str:
    """Return host, port and name as the settings write them, in one form."""
    parameters = connection.get_connection_params()
    host, port = parameters.get("host") or "local", parameters.get("port") or 5432
    return f"{host}:{port}/{parameters.get('dbname', '')}"


def _key_ids() -> tuple[str, ...]:
    try:
        return tuple(key.kid for key in sealing.current_keyring().keys)
    except sealing.KeyMissing:
        return ()


@lru_cache
def _may_ask() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_MAY_ASK)
        return bool(cursor.fetchone()[0])


@lru_cache
def _statement(*, may_ask: bool) -> str:
    users = get_user_model()
    return _READ.format(
        policy=f'"{SendingPolicy._meta.db_table}"',  # documented, for all its underscore
        whereabouts=f'"{Whereabouts._meta.db_table}"',
        user=f'"{users._meta.db_table}"',
        username=f'"{users.USERNAME_FIELD}"',
        server=_IDENTIFIER if may_ask else "''",
    )
