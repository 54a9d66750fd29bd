"""The gate's verdicts in words: what a refused save says."""

from typing import Any, cast

from django.contrib.auth import get_user_model
from django.db.models import Field
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from smtp_settings.gate import Reason, Verdict
from smtp_settings.models import SMTPProfile

_NEVER = _("These connection settings have not passed a test. Choose “Send test email”, then save.")
_WHY = {
    Reason.STALE: _("Changed after the test: %(fields)s."),
    Reason.EXPIRED: _("The test is older than 30 minutes."),
    Reason.ANOTHER_USER: _("%(who)s tested these settings; a test of your own is needed."),
}


def why(verdict: Verdict) -> str:
    """Say why the settings may not go live; every changed field is named, another tester looked up."""
    facts = {"fields": ", ".join(map(field_label, verdict.changed))}
    if verdict.reason is Reason.ANOTHER_USER:
        other = get_user_model()._default_manager.filter(pk=cast("int", verdict.tested_by)).first()
        facts["who"] = other.get_username() if other else str(_("Somebody else"))
    return str(_WHY.get(verdict.reason, _NEVER)) % facts


def refusal(verdict: Verdict) -> str:
    """Say why a save is refused and what to do."""
    return " ".join(map(str, (_("Not saved."), why(verdict), _("Or choose “Save as draft”."))))


def field_label(name: str) -> str:
    """Return a field's name as the form shows it; "secret" is the password."""
    column = {"secret": "password", "oauth": "oauth_credential"}.get(name, name)
    field = cast("Field[Any, Any]", SMTPProfile._meta.get_field(column))  # Any: values of every kind
    return capfirst(str(field.verbose_name))
