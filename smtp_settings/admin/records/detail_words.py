"""Words for the codes that stand in an event's details; a code nobody knows is shown as it is.

What was asked for in a forged request may be anything, so no code is relied on.
"""

from collections.abc import Iterable, Mapping

from django.core.exceptions import FieldDoesNotExist
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.models import NotificationSettings, SendingPolicy, SMTPProfile

#: What a job or a list does, by the name of its button.
ACTS: dict[str, Promise] = {
    "retry": gettext_lazy("Retry messages"),
    "release": gettext_lazy("Release messages"),
    "hold": gettext_lazy("Hold messages"),
    "cancel": gettext_lazy("Cancel messages"),
    "move": gettext_lazy("Move messages to another profile"),
    "test_selected": gettext_lazy("Test profiles"),
    "pause_selected": gettext_lazy("Pause profiles"),
    "resume_selected": gettext_lazy("Resume profiles"),
    "enable_selected": gettext_lazy("Enable profiles"),
    "disable_selected": gettext_lazy("Disable profiles"),
    "delete_selected": gettext_lazy("Delete profiles"),
}
#: Why a request was refused.
REFUSED: dict[str, Promise] = {
    "permission": gettext_lazy("without the permission for it"),
    "select_across": gettext_lazy("for more than the page shows"),
}
#: What a notification was about.
SUBJECTS: dict[str, Promise] = {
    "paused": gettext_lazy("a server paused for a fault"),
    "breaker": gettext_lazy("a server that does not answer or turns us away"),
    "held": gettext_lazy("held messages"),
    "too_large": gettext_lazy("attachments too large"),
    "oauth": gettext_lazy("an OAuth credential that ends"),
    "certificate": gettext_lazy("a certificate that ends"),
    "password": gettext_lazy("an old password"),
    "sign_in": gettext_lazy("a provider that ends sign-in with a password"),
    "check": gettext_lazy("a daily check that fails"),
    "pickup": gettext_lazy("files that stay in a pickup directory"),
    "no_worker": gettext_lazy("no worker reporting"),
    "clone": gettext_lazy("the database waking up somewhere else"),
}
#: What was read or taken out.
PARTS: dict[str, Promise] = {
    "page": gettext_lazy("on the page"),
    "preview": gettext_lazy("the preview"),
    "download": gettext_lazy("as a file"),
    "events": gettext_lazy("the event log"),
    "email log": gettext_lazy("the email log"),
}
_SETTINGS: dict[str, Promise] = {"kinds": gettext_lazy("What is told")}
#: Whose columns are named; no two name one differently.
_MODELS = (SMTPProfile, SendingPolicy, NotificationSettings)


def worded(words: Mapping[str, Promise], code: str) -> str:
    """Return the words for a code."""
    return str(words.get(code, code))


def part(code: str) -> str:
    """Return which part of a message was read; attachments are counted."""
    kind, _space, number = code.partition(" ")
    if kind == "attachment" and number.isdecimal():
        return _("attachment %(n)s") % {"n": number}
    return worded(PARTS, code)


def settings_changed(names: Iterable[str]) -> list[str]:
    """Name the notification settings that were changed."""
    found = (worded(_SETTINGS, name) if name in _SETTINGS else label(name) for name in names)
    return [_("Changed %(field)s") % {"field": words} for words in found]


def label(field: str) -> str:
    """Return a column's name as its form shows it."""
    for model in _MODELS:
        try:
            return capfirst(str(model._meta.get_field(field).verbose_name))  # type: ignore[union-attr]  # a column
        except FieldDoesNotExist:
            continue
    return field  # of a column that is no more


def choices(field: str) -> dict[object, object]:
    """Return the words for a column's values, none where it has no choices."""
    for model in _MODELS:
        try:
            return dict(model._meta.get_field(field).flatchoices or ())  # type: ignore[union-attr]  # a column
        except (FieldDoesNotExist, AttributeError):
            continue
    return {}
