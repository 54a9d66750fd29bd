"""The form of the notifications page: addresses are checked, and the secret goes in but never out."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import lazy
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from delivery.composing import CannotCompose
from delivery.composing.addresses import checked
from delivery.incidents import Kind
from delivery.notices.incident_words import kind_label
from smtp_settings import webhook
from smtp_settings.forms.bound import RowField
from smtp_settings.forms.inputs import ListField
from smtp_settings.forms.versioned import VersionedForm
from smtp_settings.models import NotificationSettings

#: In the order of the page.
KINDS = tuple(Kind)
#: Characters a secret has at least: it is compared with nothing a person has to type.
_SHORTEST = 16
_MOST_RECIPIENTS = 20


def _choices() -> list[tuple[str, str]]:
    return [(kind.value, kind_label(kind)) for kind in KINDS]


class _Row(RowField):
    """A row without hints: nothing here depends on what is typed."""

    says_required = is_named = False
    hints = SafeString()
    extra = ""

    @property
    def aria_describedby(self) -> str | None:
        """Name the help and the error."""
        return super(RowField, self).aria_describedby


class NotificationForm(VersionedForm):
    """Edits who is told."""

    bound_field_class = _Row

    recipients = ListField(
        label=gettext_lazy("Recipients"),
        help_text=gettext_lazy(
            "Addresses, separated by commas. Each notification goes through a server it is not about."
        ),
        widget=forms.TextInput(attrs={"class": "vTextField", "spellcheck": "false"}),
    )
    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("Tell of"),
        required=False,
        choices=lazy(_choices, list),
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("The dashboard shows all of them."),
    )
    webhook_secret = forms.CharField(
        label=gettext_lazy("Webhook secret"),
        required=False,
        strip=True,
        help_text=gettext_lazy(
            "Calls are signed with it. Any random text of 16 characters or more; give the receiver the same."
        ),
        widget=forms.PasswordInput(
            attrs={
                "class": "vTextField",
                "autocomplete": "new-password",
                "data-1p-ignore": "",
                "data-lpignore": "true",
                "data-bwignore": "",
            }
        ),
    )

    class Meta:
        model = NotificationSettings
        fields = ("recipients", "webhook_url", "accepts_clear_webhook", "breaker_minutes", "worker_minutes")
        widgets = {
            "webhook_url": forms.TextInput(
                attrs={
                    "class": "vTextField",
                    "spellcheck": "false",
                    "placeholder": "https://",
                    # Else a browser takes it for the user name that belongs to the secret.
                    "autocomplete": "off",
                    # The style sheet shows the tick beside it by this; the form itself is checked here.
                    "pattern": "(?![hH][tT][tT][pP]://).*",
                }
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: ModelForm's
        super().__init__(*args, **kwargs)
        if "kinds" in self.fields:
            told = [kind.value for kind in KINDS if kind.value not in self.instance.muted]
            self.initial["kinds"] = told
        if "webhook_secret" in self.fields and self.instance.webhook_secret is not None:
            secret = self.fields["webhook_secret"]
            secret.widget.attrs["placeholder"] = _("•••••••• saved")
            secret.help_text = f"{secret.help_text} {_('Leave empty to keep the saved one.')}"

    def saved_values(self) -> dict[str, object]:
        """Add what is told; it is stored the other way round."""
        told = [kind.value for kind in KINDS if kind.value not in self.instance.muted]
        return super().saved_values() | {"kinds": told}

    def clean_recipients(self) -> list[str]:
        """Check each address as the queue would."""
        found = []
        for address in self.cleaned_data["recipients"]:
            try:
                found.append(checked(address, _("The address")))
            except CannotCompose as error:
                raise ValidationError(str(error)) from None
        if len(found) > _MOST_RECIPIENTS:
            raise ValidationError(_("At most %(n)d addresses.") % {"n": _MOST_RECIPIENTS})
        return list(dict.fromkeys(found))

    def clean_webhook_secret(self) -> str:
        """Refuse one that is too short to be random."""
        typed = str(self.cleaned_data["webhook_secret"] or "")
        if typed and len(typed) < _SHORTEST:
            raise ValidationError(_("At least %(n)d characters.") % {"n": _SHORTEST})
        return typed

    def clean(self) -> dict[str, Any]:  # Any: as Form.clean
        """Check what belongs together: the address, the tick, the secret."""
        values = super().clean() or self.cleaned_data
        url = values.get("webhook_url", "")
        if url and (
            fault := webhook.url_fault(url, accepts_clear=values.get("accepts_clear_webhook", False))
        ):
            self.add_error("webhook_url", fault)
        is_saved = self.instance.webhook_secret is not None
        if url and not values.get("webhook_secret") and not is_saved and "webhook_secret" not in self.errors:
            self.add_error("webhook_secret", _("The webhook needs a secret."))
        return values
