"""The ribbon below the navigation: what is so on purpose and must not be forgotten, on every page.

Each source yields its lines for one person; a page asks all of them. A source keeps what it read for a few
seconds, for every page shows the ribbon.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.core.cache import cache
from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from mailconf import policy_ribbon
from smtp_settings.models import SMTPProfile
from smtp_settings.policy.reading import RECENT

#: Seconds for which what was read is shown again.
KEPT_SECONDS = 5
_COPIES = "mailconf.ribbon.copies"
#: Addresses named in a line.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence, and where it can be ended."""

    text: str
    tone: str
    link: str = ""
    url: str = ""


def lines(request: HttpRequest) -> list[Line]:
    """Return what this person has to be reminded of; nothing when the database does not tell."""
    try:
        return [line for source in SOURCES for line in source(request)]
    except DatabaseError:
        return []


def _copies(request: HttpRequest) -> Iterable[Line]:
    """Name the profiles that copy every message to debug recipients."""
    if not request.user.has_perm("smtp_settings.view_smtpprofile"):
        return
    for pk, name, addresses in _copying():
        shown = ", ".join(addresses[:_NAMED])
        if len(addresses) > _NAMED:
            shown = _("%(addresses)s and %(n)d more") % {"addresses": shown, "n": len(addresses) - _NAMED}
        yield Line(
            _("%(name)s copies every message to %(addresses)s.") % {"name": name, "addresses": shown},
            "is-warn",
            _("Open profile"),
            reverse("admin:smtp_settings_smtpprofile_change", args=[pk]),
        )


def _copying() -> list[tuple[int, str, list[str]]]:
    known: list[tuple[int, str, list[str]]] | None = cache.get(_COPIES)
    if known is None:
        rows = SMTPProfile.objects.filter(enabled=True, is_draft=False).exclude(debug_recipients=[])
        known = list(rows.order_by("name").values_list("pk", "name", "debug_recipients"))
        cache.set(_COPIES, known, KEPT_SECONDS)
    return known


def forget(**_signal: object) -> None:
    """Read again at the next page: a profile or the policy was saved here."""
    cache.delete_many([_COPIES, policy_ribbon.KEY, RECENT])


def _policy(request: HttpRequest) -> Iterable[Line]:
    """Say that mail is off, only logged or led elsewhere."""
    for said in policy_ribbon.lines(request):
        yield Line(said.text, said.tone, said.link, said.url)


#: Who has something to say, in the order of the lines.
SOURCES: tuple[Callable[[HttpRequest], Iterable[Line]], ...] = (_policy, _copies)
