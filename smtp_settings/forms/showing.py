"""What the form says about its fields before anything is typed: defaults, and help for this row."""

from typing import TYPE_CHECKING, cast

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _

from smtp_settings import sealing
from smtp_settings.clearance.candidate import stored_secret
from smtp_settings.clearance.standing import UNREADABLE
from smtp_settings.forms.sentences import password_age
from smtp_settings.models import OAuthCredential, SMTPProfile

if TYPE_CHECKING:
    from smtp_settings.forms.fields import ProfileFields

#: The shown mask has one length, whatever the password's (V47).
MASK = "••••••••"

#: Environments whose mail is meant for its recipients: their subjects need no mark.
_REAL = frozenset({"", "production", "prod", "live"})


def describe(form: "ProfileFields") -> None:
    """Say about each field what depends on the row, the user or the installation."""
    other_default = _other_default(form)
    if not form.is_bound and form.saved is None:
        form.initial["notify_user"] = form.user.pk
        form.initial["is_default"] = other_default is None
        form.initial["subject_prefix"] = proposed_prefix(settings.MAILCONF_ENVIRONMENT)
    form.initial["test_to"] = [form.user.email] if form.user.email else []
    form.fields["test_to"].help_text = (
        _("Your own address is filled in. Up to 3, separated by commas.")
        if form.user.email
        else _("Your account has no email address. Enter one here.")
    )
    if "is_default" in form.fields:
        form.fields["is_default"].help_text = _default_help(other_default)
    if "password" in form.fields:
        _describe_password(form)
    if "oauth_credential" in form.fields:
        _describe_credential(form)


def proposed_prefix(environment: str) -> str:
    """Return the mark for the subjects of an environment that is not production.

    >>> proposed_prefix("Staging")
    '[STAGING] '
    """
    return "" if environment.strip().lower() in _REAL else f"[{environment.strip().upper()[:47]}] "


def _other_default(form: "ProfileFields") -> SMTPProfile | None:
    """Return the profile that loses the default when this one becomes it; the default takes it from none."""
    if form.saved is not None and form.saved.is_default:
        return None
    return SMTPProfile.objects.filter(is_default=True).exclude(pk=form.instance.pk).first()


def _default_help(loser: SMTPProfile | None) -> str:
    text = _("Used first for every message it may carry.")
    if loser is None:
        return text
    lost = _("%(name)s is the default now. Ticked here, it stops being the default.") % {"name": loser.name}
    return f"{text} {lost}"


def _describe_credential(form: "ProfileFields") -> None:
    """Say where credentials come from; secrets and tokens are not read for a list of names."""
    field = cast("forms.ModelChoiceField[OAuthCredential]", form.fields["oauth_credential"])
    field.queryset = OAuthCredential.objects.only("name")
    field.empty_label = _("None chosen")
    field.help_text = _("Made under “OAuth credentials”; several profiles may share one.")


def _describe_password(form: "ProfileFields") -> None:
    """Say whether a password is saved, never anything of it."""
    field, run = form.fields["password"], form.carried_run
    if run is not None and run.secret is not None:
        field.widget.attrs["placeholder"] = _("from your test, not saved yet")
        field.help_text = _("Leave empty to save the password you just tested.")
    elif form.saved is not None and form.saved.password is not None:
        _describe_saved_password(field, form.saved)
    if form.saved is None or form.saved.password is None:
        form.fields["remove_password"].widget = forms.HiddenInput()


def _describe_saved_password(field: forms.Field, saved: SMTPProfile) -> None:
    try:
        stored_secret(saved)
    except sealing.SealingError:
        field.help_text = UNREADABLE
        return
    field.widget.attrs["placeholder"] = _("%(mask)s saved") % {"mask": MASK}
    field.help_text = _("Leave empty to keep the saved password%(when)s. Enter a new one to replace it.") % {
        "when": password_age(saved)
    }
