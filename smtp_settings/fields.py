"""Model fields of the settings."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _


class SealedField(models.BinaryField):  # type: ignore[type-arg]  # BinaryField's parameters are not public API
    """Holds a sealed secret (see `smtp_settings.sealing`): ciphertext in, ciphertext out.

    Never editable, in no lookup but `isnull`, never serialised: fixtures and exports leave it out, and a
    fixture that brings one is refused (it could only be somebody else's).
    """

    description = "A sealed secret"

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: Field's own signature
        kwargs.update(editable=False, serialize=False)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:  # Any: as Field.deconstruct
        """Leave out what the class sets by itself."""
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("editable", None)
        kwargs.pop("serialize", None)
        return name, path, args, kwargs

    def get_lookup(self, lookup_name: str) -> Any:  # Any: as Field.get_lookup
        """Refuse every comparison: a filter on a secret is an oracle."""
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None

    def value_to_string(self, obj: models.Model) -> str:  # noqa: ARG002  # as Field.value_to_string
        """Leave secrets out of whatever writes rows as text."""
        return ""

    def to_python(self, value: Any) -> Any:  # Any: as Field.to_python
        """Take bytes as they are; text (a fixture, an import) is no sealed secret of this row."""
        if not isinstance(value, str):
            return value
        if not value:
            return None
        raise ValidationError(_("A sealed secret cannot be loaded. Enter the password again."))
