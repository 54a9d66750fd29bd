"""What is said of a preset, in the reader's language.

Notes and warnings are data: a translation has them by their English text.
"""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.presets.preset import Kind, Preset, Secret, User

_KINDS: Mapping[Kind, Promise] = {
    Kind.SERVICE: gettext_lazy("Sending services"),
    Kind.MAILBOX: gettext_lazy("Mailbox providers"),
    Kind.OWN: gettext_lazy("Own servers"),
    Kind.DEVELOPMENT: gettext_lazy("Development"),
    Kind.METHOD: gettext_lazy("Other methods"),
}

_SECRETS: Mapping[Secret, Promise] = {
    Secret.PASSWORD: gettext_lazy("Password"),
    Secret.APP_PASSWORD: gettext_lazy("App password"),
    Secret.SMTP_PASSWORD: gettext_lazy("SMTP password"),
    Secret.API_KEY: gettext_lazy("API key"),
    Secret.SECRET_KEY: gettext_lazy("Secret key"),
    Secret.TOKEN: gettext_lazy("Token"),
    Secret.CLIENT_SECRET: gettext_lazy("Client secret"),
    Secret.CODE: gettext_lazy("Authorisation code"),
}

_SECURITIES: Mapping[str, Promise] = {
    "starttls": gettext_lazy("STARTTLS"),
    "tls": gettext_lazy("TLS from the first byte"),
    "none": gettext_lazy("not encrypted"),
}


def kind_label(kind: Kind) -> str:
    """Return the heading presets of a kind stand under."""
    return str(_KINDS[kind])


def secret_label(preset: Preset) -> str:
    """Return what the provider calls the secret: the label of the password field."""
    return _(preset.secret_name) if preset.secret_name else str(_SECRETS[preset.secret])


def security_words(security: str) -> str:
    """Name a security without its usual port; one that is not known, as it is."""
    return str(_SECURITIES.get(security, security))


def user_rule(preset: Preset) -> str:
    """Say which user name the provider wants, "" when there is none or any will do."""
    if "password" not in preset.sign_ins and "oauth2" not in preset.sign_ins:
        return ""
    match preset.user:
        case User.ADDRESS:
            return _("The user name is the full address.")
        case User.LOCAL:
            return _("The user name is the part of the address before the @.")
        case User.FIXED:
            return _("At %(provider)s the user name is always %(name)s.") % {
                "provider": preset.name,
                "name": preset.user_name,
            }
        case User.MADE:
            return _("The user name is made by %(provider)s. Copy it from there.") % {"provider": preset.name}
        case User.ANY:
            return ""


def secret_rule(preset: Preset) -> str:
    """Say what goes into Password where that is no ordinary password, else ""."""
    if "password" not in preset.sign_ins or (preset.secret is Secret.PASSWORD and not preset.secret_name):
        return ""
    return _("Password: %(secret)s.") % {"secret": secret_label(preset)}


def note_of(preset: Preset) -> str:
    """Return what a preset says of its provider: the note, then the warning."""
    return " ".join(_(text) for text in (preset.note, preset.warning) if text)
