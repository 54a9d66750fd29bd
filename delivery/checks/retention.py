"""System check of how long things are kept."""

from typing import Any

from django.core.checks import CheckMessage, Warning, register  # noqa: A004  # Django's own name
from django.utils.translation import gettext as _

from delivery.checks.tag import TAG
from delivery.upkeep import Retention


@register(TAG)
def check_retention(**_kwargs: Any) -> list[CheckMessage]:  # Any: the registry's own signature
    """W003 when messages go before the time their content is to be kept is over."""
    retention = Retention.configured()
    return [
        Warning(
            _("Content goes with its message after %(days)d days, not as MAILCONF_KEEP_CONTENT_DAYS says.")
            % {"days": days},
            id="mailconf.W003",
            hint=_("Let MAILCONF_KEEP_%(state)s_DAYS be no less than MAILCONF_KEEP_CONTENT_DAYS.")
            % {"state": state.upper()},
        )
        for state, days in retention.outlasting()
    ]
