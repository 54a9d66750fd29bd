"""System check of the notifications: whether anybody would hear of a server that falls."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004  # Django's own name
from django.db import DatabaseError
from django.db.utils import InterfaceError
from django.utils.translation import gettext as _

from delivery.checks.tag import TAG
from delivery.notices import paths
from smtp_settings import wire
from smtp_settings.webhook import notification_settings


@register(TAG, Tags.database)
def check_notifications(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """W025 when the database is asked for, and nobody would hear of a server that falls."""
    # Any: the registry's own signature
    if not databases or "default" not in databases:
        return []
    try:
        ways = [way for way in wire.ways_out() if way.sender.from_address]
        found = paths.blind(paths.paths(notification_settings(), len(ways))) if ways else []
    except (DatabaseError, InterfaceError):
        return []  # not migrated yet, or away: another check says so
    return [
        Warning(paths.sentence(reason), id="mailconf.W025", hint=_("See Notifications in the admin."))
        for reason in found
    ]
