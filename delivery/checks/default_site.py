"""System check of the site that messages belong to when they name none."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004  # Django's own name
from django.db import DatabaseError
from django.db.utils import InterfaceError
from django.utils.translation import gettext as _

from delivery.checks.tag import TAG
from delivery.queue.default_site import default_site_id


@register(TAG, Tags.database)
def check_default_site(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """W026 when MAILCONF_DEFAULT_SITE names no site; asked where a connection to the database is expected."""
    # Any: the registry's own signature
    named = settings.MAILCONF_DEFAULT_SITE
    if not named or not databases or "default" not in databases:
        return []
    try:
        if default_site_id() is not None:
            return []
    except (DatabaseError, InterfaceError):
        return []  # not migrated yet, or away: another check says so
    return [
        Warning(
            _("MAILCONF_DEFAULT_SITE is %(name)s, and that is no site: messages that name none have none.")
            % {"name": named[:100]},
            id="mailconf.W026",
            hint=_("Name a domain or the number of a site (Sites in the admin), or leave it empty."),
        )
    ]
