"""A field of the profile form with everything its row says: label, help, hint, error, what comes after it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from smtp_settings.forms import drawing

if TYPE_CHECKING:
    from smtp_settings.forms.fields import ProfileFields

#: What a person has to fill in before a test can start; choices have a value from the beginning.
REQUIRED = frozenset({"name", "host", "username", "password", "program", "directory", "api_domain", "region"})

#: What stands behind the input of a field, in its row.
EXTRAS = {
    "preset": "mailconf/_preset.html",
    "transport": "mailconf/_method.html",
    "password": "mailconf/_password.html",
    "from_address": "mailconf/_offer.html",
    "from_name": "mailconf/_from_header.html",
}


#: What some methods call a field; the style sheet shows the one that is chosen.
CAPTIONS: Mapping[str, tuple[tuple[str, Promise], ...]] = {
    "username": (("ses", gettext_lazy("Access key ID")),),
    "password": (("mailgun", gettext_lazy("API key")), ("ses", gettext_lazy("Secret access key"))),
}


class RowField(forms.BoundField):
    """A bound field that knows its row."""

    def __init__(self, form: Any, field: forms.Field, name: str) -> None:  # Any: as BoundField's
        field.help_text = str(field.help_text)  # translated once: it is asked for several times
        super().__init__(form, field, name)

    @property
    def aria_describedby(self) -> str | None:
        """Name the help, the place for hints, and the error: read in this order.

        The place for hints is always there, so that a hint that comes while typing is described, too.
        """
        described = super().aria_describedby
        if described is None or self.is_hidden or self.name in self._owner.NOT_SAVED:
            return described
        return f"{described} {self.hint_id}".strip()

    @property
    def hint_id(self) -> str:
        """The id of the place for hints."""
        return f"{self.auto_id}_hint"

    @property
    def label_id(self) -> str:
        """The id of the label of a group of choices."""
        return f"{self.auto_id}_label"

    @property
    def caption(self) -> str:
        """The label as it is shown."""
        label = str(self.label)
        return label[:1].upper() + label[1:]

    @property
    def other_captions(self) -> tuple[tuple[str, Promise], ...]:
        """The labels it has with other methods, by method."""
        return CAPTIONS.get(self.name, ())

    @property
    def says_required(self) -> bool:
        """Whether "required" stands beside the label."""
        return self.name in REQUIRED and not self._owner.is_kept(self.name)

    @property
    def group_role(self) -> str:
        """The role of a group of choices; "" for a single input."""
        if not self.use_fieldset:
            return ""
        return "radiogroup" if isinstance(self.field.widget, forms.RadioSelect) else "group"

    @property
    def is_named(self) -> bool:
        """Whether the cause of the shown test names it as one to look at."""
        return self.name in self._owner.named

    @property
    def is_tick(self) -> bool:
        """Whether it is a single box to tick, with its label behind it."""
        return isinstance(self.field.widget, forms.CheckboxInput)

    @property
    def is_narrow(self) -> bool:
        """Whether it is short, so that several stand side by side: the numbers and how they grow."""
        is_number = isinstance(self.field.widget, forms.NumberInput) and self.name != "port"
        return is_number or self.name == "backoff"

    @property
    def hints(self) -> SafeString:
        """The hints about the present value, as HTML."""
        return self._owner.hints.get(self.name, SafeString())

    @property
    def extra(self) -> str:
        """The template of what stands behind the input; "" for nothing."""
        return EXTRAS.get(self.name, "")

    @property
    def row(self) -> SafeString:
        """The whole row as HTML."""
        return drawing.row(self)

    @property
    def _owner(self) -> "ProfileFields":
        return cast("ProfileFields", self.form)
