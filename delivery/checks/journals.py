"""System check of the workers' journals: whether their folder takes files, before a worker is killed."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register  # noqa: A004  # Django's own name
from django.utils.translation import gettext as _

from delivery.checks.tag import TAG


@register(TAG)
def check_journals(**_kwargs: Any) -> list[CheckMessage]:  # Any: the registry's own signature
    """W001 when workers of this user could keep no journal; nothing is made for the look."""
    folder = Path(settings.MAILCONF_STATE_DIR)
    if _takes_files(folder):
        return []
    return [
        Warning(
            _("Workers cannot write to %(folder)s, so they keep no journals.") % {"folder": folder},
            id="mailconf.W001",
            hint=_(
                "Let MAILCONF_STATE_DIR name a folder that the workers may write to. Until then mail leaves "
                "all the same, but a worker that is killed may send more of it twice."
            ),
        )
    ]


def _takes_files(folder: Path) -> bool:
    """Whether files can be made there; a folder that is missing is made in the nearest one that exists."""
    found = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    return found.is_dir() and os.access(found, os.W_OK | os.X_OK)
