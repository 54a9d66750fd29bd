"""Fields and widgets of the profile form."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from smtp_settings.entries.judges import reply_rules, reply_rules_as_text


class ListField(forms.CharField):
    """Several values in one input, separated by commas, semicolons or line ends; the value is a list."""

    def __init__(self, **kwargs: Any) -> None:  # Any: CharField's
        super().__init__(required=False, **kwargs)

    def to_python(self, value: Any) -> Any:  # Any: as Field.to_python
        """Split, and drop what is empty."""
        text = str(value or "").replace(";", ",").replace("\n", ",")
        return [part.strip() for part in text.split(",") if part.strip()]

    def prepare_value(self, value: Any) -> Any:  # Any: as Field.prepare_value
        """Show a list as people type it."""
        return ", ".join(value) if isinstance(value, list | tuple) else value

    def has_changed(self, initial: Any, data: Any) -> bool:  # Any: as Field.has_changed
        """Compare lists, not their spelling."""
        return bool(list(initial or []) != self.to_python(data))


class ReplyRulesField(forms.CharField):
    """Rules about replies, one a line; the value is what is stored."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:  # Any: CharField's
        super().__init__(required=False, **kwargs)

    def to_python(self, value: Any) -> Any:  # Any: as Field.to_python
        """Read the lines. Raises ValidationError with a sentence for each bad one."""
        return reply_rules(str(value or ""))

    def prepare_value(self, value: Any) -> Any:  # Any: as Field.prepare_value
        """Show rules in their normal form, and what was typed as it was."""
        return value if isinstance(value, str) else reply_rules_as_text(value or [])

    def has_changed(self, initial: Any, data: Any) -> bool:  # Any: as Field.has_changed
        """Compare rules, not their spelling."""
        try:
            return bool(list(initial or []) != self.to_python(data))
        except ValidationError:
            return True


class SomeUnavailable(forms.Select):
    """A select whose options outside `available` can be read and not chosen."""

    def __init__(self, available: frozenset[Any]) -> None:  # Any: TextChoices members
        self.available = available
        super().__init__()

    def create_option(self, name: str, value: Any, label: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Mark an option that does not work yet."""  # Any: as Select.create_option
        if value in self.available:
            return super().create_option(name, value, label, *args, **kwargs)
        label = _("%(method)s (not available yet)") % {"method": label}
        option = super().create_option(name, value, label, *args, **kwargs)
        option["attrs"]["disabled"] = True
        return option


class SomeUnavailableRadio(forms.RadioSelect):
    """Radio buttons of which those outside `available` are left out, unless chosen already."""

    def __init__(self, available: frozenset[Any]) -> None:  # Any: TextChoices members
        self.available = available
        super().__init__()

    def optgroups(
        self, name: str, value: list[str], attrs: Any = None
    ) -> Any:  # Any: as ChoiceWidget.optgroups
        """Offer what works."""
        shown = self.choices
        self.choices = [choice for choice in shown if choice[0] in self.available or str(choice[0]) in value]
        try:
            return super().optgroups(name, value, attrs)
        finally:
            self.choices = shown


def machine_text(width: str = "vTextField") -> dict[str, str]:
    """Attributes of an input for names machines read."""
    return {"class": width, "autocapitalize": "none", "autocorrect": "off", "spellcheck": "false"}
