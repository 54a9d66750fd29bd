"""System check of whether any server could carry mail at all."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004  # Django's own name
from django.db import DatabaseError
from django.db.utils import InterfaceError
from django.utils.translation import gettext as _

from delivery import stats
from delivery.checks.tag import TAG
from smtp_settings.clearance import activation


@register(TAG, Tags.database)
def check_live_profiles(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """W005 when no profile is live; asked where a connection to the database is expected."""
    # Any: the registry's own signature
    if not databases or "default" not in databases:
        return []
    try:
        if any(profile.enabled and activation.is_live(profile) for profile in stats.all_profiles()):
            return []
    except (DatabaseError, InterfaceError):  # before the first migration
        return []
    return [
        Warning(
            _("No profile is live: messages wait."),
            id="mailconf.W005",
            hint=_("Add one in the admin and send a test email, or resume and enable the one there is."),
        )
    ]
