"""The forms of the policy: for all, and for one site, where every choice begins at "as global"."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.forms.versioned import VersionedForm
from smtp_settings.models import DebugMode, SendingPolicy, SimulatedFailure

_OFF_WAITS = gettext_lazy("Off: nothing is sent. New messages wait.")
_OFF_SENDS = gettext_lazy("Off: a message is sent while the program waits, and is not retried.")
_LOG = gettext_lazy("Log only: messages are recorded as Suppressed and not sent. Test sends still leave.")
_SIMULATED = gettext_lazy("Of a hundred tries; only with Log only: to see how your program behaves.")


class _RowForm(VersionedForm):
    """What both forms share: the row's site is not asked for, and so is no matter of theirs."""

    def _get_validation_exclusions(self) -> set[str]:  # Django's; there is no other way to say it
        """Leave out the constraint on the site's column, which Django knows by the relation's name only."""
        return {*super()._get_validation_exclusions(), "site_id"}  # type: ignore[misc]  # not in the stubs


class OverallForm(_RowForm):
    """What holds for all mail."""

    emails_enabled = forms.BooleanField(
        label=gettext_lazy("Emails enabled"), required=False, help_text=_OFF_WAITS
    )
    queue_enabled = forms.BooleanField(
        label=gettext_lazy("Queue enabled"), required=False, help_text=_OFF_SENDS
    )
    debug_mode = forms.ChoiceField(label=gettext_lazy("Debug mode"), choices=DebugMode, help_text=_LOG)
    simulated_failures = forms.IntegerField(
        label=gettext_lazy("Simulated failures, %"), min_value=0, max_value=100, help_text=_SIMULATED
    )
    redirect_except = forms.CharField(
        label=gettext_lazy("Except domains"),
        required=False,
        help_text=gettext_lazy(
            "Recipients of these domains get their mail as usual: example.com, example.org"
        ),
    )

    class Meta:
        """Fields in the order of the page."""

        model = SendingPolicy
        fields = (
            "emails_enabled",
            "queue_enabled",
            "debug_mode",
            "simulated_failures",
            "simulated_kind",
            "redirect_to",
            "redirect_except",
            "batch_size",
            "email_log",
        )
        labels = {
            "simulated_kind": gettext_lazy("Kind of failure"),
            "redirect_to": gettext_lazy("Redirect all to"),
            "batch_size": gettext_lazy("Batch size"),
            "email_log": gettext_lazy("Email log"),
        }
        help_texts = {
            "redirect_to": gettext_lazy(
                "Every message goes here instead. The real recipients are kept in X-Mailconf-Original-To."
                " Test sends go where they are sent."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: as ModelForm
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["redirect_except"] = ", ".join(self.instance.redirect_except)
        if "batch_size" in self.fields:
            self.fields["batch_size"].help_text = _(
                "Messages a worker takes at once, 1 to 1000. Empty: %(n)d, as the installation says."
            ) % {"n": settings.MAILCONF_BATCH_SIZE}
        if "email_log" in self.fields:
            self.fields["email_log"].help_text = _log_help()

    def clean_redirect_to(self) -> str:
        """Take an address every server can be given."""
        address = str(self.cleaned_data["redirect_to"]).strip()
        if address:
            validate_email(address)
            if not address.isascii():
                raise ValidationError(_("Use an address without special characters."))
        return address

    def clean_redirect_except(self) -> list[str]:
        """Take domains, separated by commas or white space."""
        domains = str(self.cleaned_data["redirect_except"]).replace(",", " ").lower().split()
        for domain in domains:
            if "@" in domain or "." not in domain or not domain.isascii():
                raise ValidationError(_("“%(domain)s” is no domain.") % {"domain": domain})
        return sorted(set(domains))


class SiteForm(_RowForm):
    """What differs for one site."""

    emails_enabled = forms.NullBooleanField(
        label=gettext_lazy("Emails enabled"), required=False, help_text=_OFF_WAITS
    )
    queue_enabled = forms.NullBooleanField(
        label=gettext_lazy("Queue enabled"), required=False, help_text=_OFF_SENDS
    )
    debug_mode = forms.ChoiceField(label=gettext_lazy("Debug mode"), required=False, help_text=_LOG)
    simulated_failures = forms.IntegerField(
        label=gettext_lazy("Simulated failures, %"),
        min_value=0,
        max_value=100,
        required=False,
        help_text=_SIMULATED,
    )

    class Meta:
        """Fields in the order of the page."""

        model = SendingPolicy
        fields = ("emails_enabled", "queue_enabled", "debug_mode", "simulated_failures", "simulated_kind")
        labels = {"simulated_kind": gettext_lazy("Kind of failure")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: as ModelForm
        super().__init__(*args, **kwargs)
        if "emails_enabled" not in self.fields:  # shown, not asked for
            return
        overall = SendingPolicy.objects.filter(site=None).first()
        mode = DebugMode(overall.debug_mode) if overall is not None else DebugMode.OFF
        percent = (overall.simulated_failures or 0) if overall is not None else 0
        for name in ("emails_enabled", "queue_enabled"):
            is_on = overall is None or getattr(overall, name) is not False
            self.fields[name].widget = forms.Select(
                choices=[
                    ("unknown", _("As global (on)") if is_on else _("As global (off)")),
                    ("true", _("On")),
                    ("false", _("Off")),
                ]
            )
            own = getattr(self.instance, name)
            self.initial[name] = {None: "unknown", True: "true", False: "false"}[own]
        as_global = _("As global (%(value)s)") % {"value": mode.label}
        self.fields["debug_mode"].choices = [("", as_global), *DebugMode.choices]  # type: ignore[attr-defined]  # of a choice field
        self.fields["simulated_failures"].help_text = f"{_SIMULATED} " + _("Empty: as global (%(n)d %%).") % {
            "n": percent
        }


def kinds() -> list[tuple[str, str]]:
    """Return the kinds of failure with their names."""
    return [(kind.value, str(kind.label)) for kind in SimulatedFailure]


def _log_help() -> str:
    text = _("Off: sent messages leave the list. Failures stay.")
    if settings.MAILCONF_EMAIL_LOG:
        return text + " " + _("The file %(path)s is written too.") % {"path": settings.MAILCONF_EMAIL_LOG}
    return text + " " + _("For a file beside the list set MAILCONF_EMAIL_LOG.")
