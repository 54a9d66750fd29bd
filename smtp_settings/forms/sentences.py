"""What the form says about the gate and about values, in words."""

from typing import Any, cast

from django.contrib.auth import get_user_model
from django.db.models import Field
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from smtp_settings.gate import Reason, Verdict
from smtp_settings.models import SMTPProfile


def refusal(verdict: Verdict) -> str:
    """Say why a save is refused and what to do."""
    if verdict.reason is Reason.STALE:
        why = _("Changed after the test: %(fields)s.") % {
            "fields": ", ".join(map(field_label, verdict.changed))
        }
    elif verdict.reason is Reason.EXPIRED:
        why = _("The test is older than 30 minutes.")
    elif verdict.reason is Reason.ANOTHER_USER:
        other = get_user_model()._default_manager.filter(pk=cast("int", verdict.tested_by)).first()
        why = _("%(who)s tested these settings; a test of your own is needed.") % {
            "who": other.get_username() if other else _("Somebody else")
        }
    else:
        why = _("These connection settings have not passed a test. Choose “Send test email”, then save.")
    return " ".join((_("Not saved."), why, _("Or choose “Save as draft”.")))


def field_label(name: str) -> str:
    """Return a field's name as the form shows it; "secret" is the password."""
    if name in ("secret", "password"):
        return _("Password")
    field = cast(
        "Field[Any, Any]", SMTPProfile._meta.get_field("oauth_credential" if name == "oauth" else name)
    )
    label = str(field.verbose_name)
    return label[:1].upper() + label[1:]


def password_age(profile: SMTPProfile) -> str:
    """Return " (set 11 October 2026 by Alex)", or "" when that is not known."""
    if profile.secret_set_at is None:
        return ""
    day = date_format(timezone.localtime(profile.secret_set_at), "j F Y")
    if profile.secret_set_by is None:
        return _(" (set %(day)s)") % {"day": day}
    return _(" (set %(day)s by %(who)s)") % {"day": day, "who": profile.secret_set_by.get_username()}


def as_text(value: object) -> str:
    """Show a value in the table of a conflict."""
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)
