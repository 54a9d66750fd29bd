"""What a save says of waiting mail: that of newly listed domains passes the profile by until it is moved."""

from django.contrib import messages
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings import facts
from smtp_settings.clearance import activation
from smtp_settings.models import SMTPProfile


def offer_move(request: HttpRequest, profile: SMTPProfile) -> None:
    """Say how much mail waits that the saved profile could carry if it were moved, with a button for that.

    Whatever was changed, for a domain may have been listed before the profile went live. Nothing is said to
    those who may not move, nor of a profile that does not send.
    """
    if not (profile.sender_domains and profile.enabled and activation.is_live(profile)):
        return
    found = facts.mail().passing(profile.pk, request.user.has_perm)
    if not found.count:
        return
    button = '{} <a class="mc-button" href="{}">{}</a>'
    label = ngettext("Move it…", "Move them…", found.count)
    messages.warning(request, format_html(button, _sentence(profile, found.count), found.move_url, label))


def _sentence(profile: SMTPProfile, count: int) -> str:
    if count >= facts.CAP:
        return _(
            "More than %(n)s waiting messages from its sender domains were queued before the domains were"
            " listed: “%(name)s” cannot take them until they are moved."
        ) % {"n": f"{facts.CAP - 1:,}", "name": profile.name}
    return ngettext(
        "%(n)s waiting message from its sender domains was queued before the domain was listed: “%(name)s”"
        " cannot take it until it is moved.",
        "%(n)s waiting messages from its sender domains were queued before the domains were listed:"
        " “%(name)s” cannot take them until they are moved.",
        count,
    ) % {"n": f"{count:,}", "name": profile.name}
