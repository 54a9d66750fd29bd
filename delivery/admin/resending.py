"""Send a message to other people: the form, who may, and the sentences why not."""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from delivery import tasks
from delivery.admin import content
from delivery.admin.actions import BY_NAME
from delivery.admin.states import Standing
from delivery.composing import CannotCompose
from delivery.composing.eml import bare_recipients
from delivery.models import Message
from delivery.queue import CannotResend, Enqueued, WhyNot, resend

#: Whoever may send a stored message to any address can read it: both are asked for.
PERMISSION = "delivery.resend_elsewhere"
_NAME = gettext_lazy("Can send messages again to other recipients")
#: Addresses of one go; a mailing is no correction.
MOST = 20

_WHY_NOT = {
    WhyNot.SENSITIVE: gettext_lazy(
        "This message was handed over as sensitive: it is not sent to anybody else. Have it made anew."
    ),
    WhyNot.SENDER: gettext_lazy(
        "No From address is known: the profile supplies it, and none has had this message yet."
    ),
}


class ResendForm(forms.Form):
    """Who gets the message."""

    recipients = forms.CharField(
        label=gettext_lazy("Send it to"),
        max_length=5000,
        error_messages={"required": gettext_lazy("Enter an address.")},
        help_text=gettext_lazy("Addresses, with commas between them. At most 20."),
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "email", "spellcheck": "false"}),
    )

    def clean_recipients(self) -> tuple[str, ...]:
        """Check the addresses as for any envelope."""
        typed = self.cleaned_data["recipients"].replace(",", " ").replace(";", " ").split()
        if len(typed) > MOST:
            raise ValidationError(_("At most %(n)d addresses are possible.") % {"n": MOST})
        try:
            return bare_recipients(typed)
        except CannotCompose as error:
            raise ValidationError(str(error)) from error


def may(request: HttpRequest) -> bool:
    """Whether this person may send messages to others."""
    return request.user.has_perm(PERMISSION) and request.user.has_perm(content.PERMISSION)


def is_for(standing: Standing) -> bool:
    """Whether a message that stands so may go to others: as one that may be sent again."""
    return BY_NAME["send_again"].move_for(standing) is not None


def require(request: HttpRequest) -> None:
    """Let only those on who may."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied(_NAME)
    content.require(request)


def send(request: HttpRequest, message: Message, form: ResendForm) -> Enqueued | None:
    """Queue it for the recipients of a valid form; None with an error in the form, when it cannot go."""
    try:
        with transaction.atomic():
            made = resend(message.pk, form.cleaned_data["recipients"], user_id=request.user.pk)
            transaction.on_commit(tasks.ring, robust=True)
    except CannotResend as error:
        form.add_error(None, str(_WHY_NOT.get(error.why) or content.gone(message)))
        return None
    return made


def context_of(message: Message, standing: Standing, form: ResendForm) -> dict[str, Any]:  # Any: a template's
    """Return what the page shows; `why_not` where nothing can be sent."""
    why_not = ""
    if message.sensitive:
        why_not = str(_WHY_NOT[WhyNot.SENSITIVE])
    elif not is_for(standing):
        why_not = _("This message has not ended: it may still go to its own recipients.")
    return {"form": form, "why_not": why_not}
