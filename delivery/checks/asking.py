"""Asks PostgreSQL and Redis what the checks of their settings need, where a connection is expected."""

from collections.abc import Sequence
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.checks import CheckMessage, Info, Tags, register
from django.db import DatabaseError, connection, transaction
from django.db.utils import InterfaceError
from django.utils.translation import gettext as _

from delivery import stats
from delivery.checks import broker, postgresql
from delivery.checks.tag import TAG

#: A broker that is away must not hold a command.
_BROKER_SECONDS = 2.0
#: What `check_servers` said a moment ago: with both options Django asks both, this one first.
_said: list[CheckMessage] = []


@register(TAG, Tags.database)
def check_servers(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Judge the settings of PostgreSQL (11 to 19) and of Redis (21 to 29) when the database is asked for."""
    # Any: the registry's own signature
    _said[:] = [*_of_the_database(), *_of_the_broker()] if databases and "default" in databases else []
    return list(_said)


@register(TAG, deploy=True)
def check_deployment(**_kwargs: Any) -> list[CheckMessage]:  # Any: as above
    """Judge the same with `check --deploy`; what was said, because the database was asked for, not again.

    Django 6.1 names all databases to every check, asked for or not, so that they tell nothing.
    """
    found = [*_of_the_database(), *_of_the_broker()]
    said, _said[:] = list(_said), []
    return [message for message in found if message not in said]


def _of_the_database() -> list[CheckMessage]:
    try:
        return list(postgresql.judge(_server_facts()))
    except (DatabaseError, InterfaceError):
        return [
            Info(
                _("PostgreSQL could not be asked: its settings were not checked."),
                hint=_("Start it, or correct DATABASE_URL."),
                id="mailconf.I011",
            )
        ]


def _server_facts() -> postgresql.ServerFacts:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [[*postgresql.NAMES]])
        found = dict(cursor.fetchall())
        cursor.execute("SELECT pg_is_in_recovery(), pg_backend_pid()")
        is_replica, pid = cursor.fetchone()
    # What the connection was told at its start is the pool's own number, where there is a pool.
    is_pooled = pid != connection.connection.info.backend_pid
    return postgresql.ServerFacts(
        settings=found,
        is_replica=is_replica,
        is_pooled=is_pooled,
        is_shared=is_pooled and _is_shared(pid),
        sessions=_sessions(),
    )


def _is_shared(pid: int) -> bool:
    """Whether somebody else gets the server process that was ours a moment ago, though we are connected."""
    other = connection.copy()
    try:
        with transaction.atomic(), other.cursor() as theirs, connection.cursor() as ours:
            theirs.execute("SELECT pg_backend_pid()")
            ours.execute("SELECT pg_backend_pid()")
            return bool(theirs.fetchone()[0] == pid or ours.fetchone()[0] != pid)
    finally:
        other.close()


def _sessions() -> int:
    try:
        with transaction.atomic():
            return sum(worker.is_live for worker in stats.workers())
    except DatabaseError:  # before the first `migrate`
        return 0


def _of_the_broker() -> list[CheckMessage]:
    url = str(settings.CELERY_BROKER_URL)
    if not url.startswith(("redis://", "rediss://")):
        return []
    import redis  # noqa: PLC0415  # 0.11 s of a CPU at every start; few checks ask, and only where it is used

    limits = {"socket_timeout": _BROKER_SECONDS, "socket_connect_timeout": _BROKER_SECONDS}
    try:
        with redis.Redis.from_url(url, **limits) as client:
            info = client.info("everything")
    except (redis.RedisError, OSError, ValueError):  # its words may hold a part of the address
        return [broker.away()]
    options = current_app.conf.broker_transport_options
    facts = broker.BrokerFacts(
        info=info,
        visibility_timeout=options.get("visibility_timeout", 3600),  # kombu's own default
        task_time_limit=current_app.conf.task_time_limit or 0,
    )
    return list(broker.judge(facts))
