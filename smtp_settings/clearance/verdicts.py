"""The gate's verdicts in words: what a refused save says, and the line beside the test."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from django.contrib.auth import get_user_model
from django.db.models import Field
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from smtp_settings.gate import Reason, Verdict
from smtp_settings.models import SMTPProfile


@dataclass(frozen=True, slots=True)
class _Words:
    """A state in a word or two, what follows from it, and why it keeps from saving."""

    badge: Promise
    line: Promise
    why: str | Promise = ""


_NEVER = _Words(
    _("Not tested"),
    _("Save is available after a test email with these settings has succeeded."),
    _("These connection settings have not passed a test. Choose “Send test email”, then save."),
)
_WORDS = {
    Reason.UNCHANGED: _Words(
        _("Saved settings passed"), _("Connection settings are unchanged. You can save.")
    ),
    Reason.PASSED: _Words(_("Passed"), _("The test succeeded. You can save now.")),
    Reason.STALE: _Words(
        _("Test again"),
        _("You changed %(fields)s after the test. Send another test email to enable Save."),
        _("Changed after the test: %(fields)s."),
    ),
    Reason.EXPIRED: _Words(
        _("Test again"),
        _("The test is older than 30 minutes. Send another test email to enable Save."),
        _("The test is older than 30 minutes."),
    ),
    Reason.ANOTHER_USER: replace(
        _NEVER, why=_("%(who)s tested these settings; a test of your own is needed.")
    ),
}


def badge(verdict: Verdict) -> str:
    """Return where the settings stand, in a word or two."""
    return str(_words(verdict).badge)


def line(verdict: Verdict) -> str:
    """Say what the verdict means for Save; of the changed fields two are named."""
    return str(_words(verdict).line) % {"fields": _shortened(verdict.changed)}


def why(verdict: Verdict) -> str:
    """Say why the settings may not go live; every changed field is named, another tester looked up."""
    facts = {"fields": ", ".join(map(field_label, verdict.changed))}
    if verdict.reason is Reason.ANOTHER_USER:
        other = get_user_model()._default_manager.filter(pk=cast("int", verdict.tested_by)).first()
        facts["who"] = other.get_username() if other else str(_("Somebody else"))
    return str(_words(verdict).why) % facts


def refusal(verdict: Verdict) -> str:
    """Say why a save is refused and what to do."""
    return " ".join(map(str, (_("Not saved."), why(verdict), _("Or choose “Save as draft”."))))


def field_label(name: str) -> str:
    """Return a field's name as the form shows it; "secret" is the password."""
    column = {"secret": "password", "oauth": "oauth_credential"}.get(name, name)
    field = cast("Field[Any, Any]", SMTPProfile._meta.get_field(column))  # Any: values of every kind
    return capfirst(str(field.verbose_name))


def _words(verdict: Verdict) -> _Words:
    return _WORDS.get(verdict.reason, _NEVER)


def _shortened(names: Sequence[str], most: int = 2) -> str:
    """Name two fields, and count the rest."""
    shown, rest = ", ".join(map(field_label, names[:most])), len(names) - most
    return str(_("%(fields)s and %(rest)d more")) % {"fields": shown, "rest": rest} if rest > 0 else shown
