"""The profile form: what may be typed, which secret is meant, and the gate on every way of saving."""

from smtp_settings.forms.acts import Act, act_of
from smtp_settings.forms.profile import Conflict, ProfileForm
from smtp_settings.forms.sentences import password_age

__all__ = [
    "Act",
    "Conflict",
    "ProfileForm",
    "act_of",
    "password_age",
]
