"""Profiles an act on the ticked ones leaves as they are: each is named, with the reason."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings.models import SMTPProfile

#: Names in a sentence; more would be read by nobody.
_NAMES = 8


@dataclass(frozen=True, slots=True)
class Left:
    """One profile that was left, why, and where the messages are that keep it; "" when none do."""

    profile: SMTPProfile
    why: str
    messages_url: str = ""


def say(request: HttpRequest, left: Iterable[Left]) -> None:
    """Write one notice for each reason."""
    groups: dict[tuple[str, str], list[SMTPProfile]] = {}
    for one in left:
        groups.setdefault((one.why, one.messages_url), []).append(one.profile)
    for (why, messages_url), profiles in groups.items():
        messages.warning(request, _sentence(profiles, why, messages_url))


def _sentence(profiles: Sequence[SMTPProfile], why: str, messages_url: str) -> SafeString:
    kept = ngettext("%(names)s was left as it is.", "%(names)s were left as they are.", len(profiles))
    said = format_html("{} {}", format_html(kept.replace("%(names)s", "{}"), _names(profiles)), why)
    if not messages_url:
        return said
    return format_html('{} <a href="{}">{}</a>', said, messages_url, _("Open the messages"))


def _names(profiles: Sequence[SMTPProfile]) -> SafeString:
    """Return the names, each leading to its profile."""
    named = format_html_join(
        ", ",
        '“<a href="{}">{}</a>”',
        (
            (reverse("admin:smtp_settings_smtpprofile_change", args=[one.pk]), one.name)
            for one in profiles[:_NAMES]
        ),
    )
    more = len(profiles) - _NAMES
    if more <= 0:
        return named
    return format_html("{} {}", named, ngettext("and %(n)d more", "and %(n)d more", more) % {"n": more})
