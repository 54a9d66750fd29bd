"""A provider's refusal in words: the cause, what to try, and what it said itself."""

from urllib.parse import urlsplit

from smtp_settings.diagnosis import Symptom
from smtp_settings.explaining import Explanation, explain_failure
from smtp_settings.models import OAuthCredential
from transports.errors import TransportError

#: A server of each provider, by which the presets know its name.
_HOSTS = {
    OAuthCredential.Provider.MICROSOFT: "smtp.office365.com",
    OAuthCredential.Provider.GOOGLE: "smtp.gmail.com",
}


def explanation_of(error: TransportError, credential: OAuthCredential) -> Explanation:
    """Say why no token was received, as the test of a profile does."""
    symptom = Symptom.of_reply(
        "token", error.reply, reason=error.reason if error.reply is None else "", detail=str(error)
    )
    host = (
        _HOSTS.get(OAuthCredential.Provider(credential.provider)) or urlsplit(credential.token_url).hostname
    )
    settings = {"auth": "oauth2", "host": host or "", "username": credential.account}
    return explain_failure(symptom, settings)


def reply_of(error: TransportError) -> str:
    """Return the provider's own words, "" when it said none."""
    return str(error.reply) if error.reply is not None else ""
