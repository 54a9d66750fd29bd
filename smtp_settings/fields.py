"""Model fields of the settings."""

from typing import Any

from django.db import models


class SealedField(models.BinaryField):  # type: ignore[type-arg]  # BinaryField's parameters are not public API
    """Holds a sealed secret (see `smtp_settings.sealing`): ciphertext in, ciphertext out.

    Never editable, in no lookup but `isnull`, never serialised: fixtures and exports leave it out.
    """

    description = "A sealed secret"

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: Field's own signature
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def get_lookup(self, lookup_name: str) -> Any:  # Any: as Field.get_lookup
        """Refuse every comparison: a filter on a secret is an oracle."""
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None

    def value_to_string(self, obj: models.Model) -> str:
        """Leave secrets out of serialised rows."""
        return ""
