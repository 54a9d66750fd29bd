"""A form that does not overwrite what somebody else saved while it was open."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _

from smtp_settings.forms.sentences import as_text


class Stale(Exception):
    """Somebody saved the row between this request's check and its lock."""


class VersionedForm(forms.ModelForm):  # type: ignore[type-arg]  # generic for the checker only
    """Edits a row that counts its versions; the page sends the one it was made of.

    Refused it is shown again with the values saved meanwhile beside those entered, and with their version:
    to save it then is to replace them.
    """

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: ModelForm's
        super().__init__(*args, **kwargs)
        self.initial["version"] = self.instance.version

    def clean(self) -> dict[str, Any]:  # Any: as Form.clean
        """Refuse another version than the one that is saved."""
        values = super().clean() or self.cleaned_data
        if values.get("version") == self.instance.version:
            return values
        self.add_error(
            None,
            _(
                "Somebody saved this page after you opened it. What they saved stands beside your entries; "
                "save again to replace it."
            ),
        )
        for name, saved in self.saved_values().items():
            if name in values and saved != values[name]:
                self.add_error(name, _("Saved meanwhile: %(value)s") % {"value": as_text(saved)})
        return values

    def saved_values(self) -> dict[str, object]:
        """Return what is saved, by field, of those that may be shown: never a secret."""
        return {name: getattr(self.instance, name) for name in self._meta.fields or ()}
