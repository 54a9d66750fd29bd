"""What servers and workers said of a message, without the names that are not for everybody.

Blind recipients are not named to those who may not read the message, profiles not to those who may not see
profiles.
"""

import re
from collections.abc import Sequence

from django.utils.translation import gettext as _

from delivery.fitting import without_names
from transports.smtp.transcript import escape


class Blind:
    """The addresses that are not named, and whether profiles are; with nothing to hide it changes nothing."""

    def __init__(self, hidden: Sequence[str], *, may_see_profiles: bool = True) -> None:
        self._may_see_profiles = may_see_profiles
        forms = {form for address in hidden for form in (address, escape(address.encode()))}
        longest_first = sorted(filter(None, forms), key=len, reverse=True)
        self._pattern = "|".join(map(re.escape, longest_first))

    def mask(self, text: str) -> str:
        """Return what a server, a session or a worker said without them: servers repeat addresses."""
        if not self._may_see_profiles:
            text = without_names(text)
        if not self._pattern:
            return text
        shown = _("(blind recipient)")
        return re.sub(self._pattern, lambda _found: shown, text, flags=re.IGNORECASE)
