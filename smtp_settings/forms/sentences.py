"""What the form says about values, in words."""

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from smtp_settings.entries.judges import reply_rules_as_text
from smtp_settings.models import SMTPProfile


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
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return reply_rules_as_text(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)
