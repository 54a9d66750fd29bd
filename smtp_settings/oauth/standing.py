"""How a credential does, in a phrase: connected until when, or what a person has to do."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings.models import OAuthCredential
from smtp_settings.oauth.expiry import NOTICE, What, endings_of

Flow = OAuthCredential.Flow


@dataclass(frozen=True, slots=True)
class Standing:
    """A phrase, its tone (see static/mailconf/components.css), and the provider's error code, if any."""

    phrase: str
    tone: str
    code: str = ""


def standing_of(credential: OAuthCredential, now: datetime) -> Standing:
    """Return what there is to say, the gravest first."""
    is_browser = credential.flow == Flow.BROWSER
    if credential.fault:
        phrase = _("Connect again") if is_browser else _("No token")
        return Standing(phrase, "is-bad", credential.fault)
    if is_browser and credential.refresh_token is None:
        return Standing(_("Not connected yet"), "is-warn")
    for ending in endings_of(credential):
        if ending.ends_at <= now + NOTICE:
            return _ending(ending.what, (ending.ends_at - now).days, is_over=ending.ends_at <= now)
    if credential.retry_at is not None and credential.retry_at > now:
        return Standing(
            _("No answer from the provider. Asked again at %(at)s") % {"at": _clock(credential.retry_at)},
            "is-warn",
        )
    ends_at = credential.access_token_expires_at
    if ends_at is not None and ends_at > now:
        return Standing(_("Connected until %(at)s") % {"at": _clock(ends_at)}, "is-ok")
    return Standing(_("Connected, renewed when it is used") if is_browser else _("Ready"), "is-ok")


def _ending(what: What, days: int, *, is_over: bool) -> Standing:
    if is_over:
        phrase = _("Client secret expired") if what is What.CLIENT_SECRET else _("Connection expired")
        return Standing(phrase, "is-bad")
    if what is What.CLIENT_SECRET:
        phrase = ngettext(
            "Client secret expires in %(n)d day", "Client secret expires in %(n)d days", days
        ) % {"n": days}
    else:
        phrase = ngettext("Connection ends in %(n)d day", "Connection ends in %(n)d days", days) % {"n": days}
    return Standing(phrase, "is-warn")


def _clock(moment: datetime) -> str:
    """Return the time, with the day where it is not today."""
    local = timezone.localtime(moment)
    return date_format(local, "H:i" if local.date() == timezone.localdate() else "j M, H:i")
