"""The profile form: what may be typed, which secret is meant, and the gate on every way of saving."""

from smtp_settings.forms.acts import Act, act_of
from smtp_settings.forms.profile import Conflict, ProfileForm
from smtp_settings.forms.sentences import field_label, password_age, refusal

__all__ = [
    "Act",
    "Conflict",
    "ProfileForm",
    "act_of",
    "field_label",
    "password_age",
    "refusal",
]
