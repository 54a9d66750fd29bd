"""Blind recipients on a message's page: not named to those who may not read the message."""

import re
from collections.abc import Sequence

from django.utils.translation import gettext as _

from transports.smtp.transcript import escape


class Blind:
    """The addresses that are not named; without any it changes nothing."""

    def __init__(self, hidden: Sequence[str]) -> None:
        forms = {form for address in hidden for form in (address, escape(address.encode()))}
        longest_first = sorted(filter(None, forms), key=len, reverse=True)
        self._pattern = "|".join(map(re.escape, longest_first))

    def mask(self, text: str) -> str:
        """Return what a server or a session said with none of them in it: servers repeat addresses."""
        if not self._pattern:
            return text
        shown = _("(blind recipient)")
        return re.sub(self._pattern, lambda _found: shown, text, flags=re.IGNORECASE)
