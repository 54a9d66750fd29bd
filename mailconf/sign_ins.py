"""Sign-ins in the event log: who came in, and whose account was refused."""

from django.contrib.auth import get_user_model
from django.http import HttpRequest

from smtp_settings.models import Event

_FIELD = "username"


def note(request: HttpRequest) -> None:
    """Write down how a sign-in that was posted ended.

    A refused name is written only when there is such an account: people type their password there, too.
    """
    if request.user.is_authenticated:
        Event.objects.create(kind="person.signed_in", user_id=request.user.pk)
        return
    typed = request.POST.get(_FIELD, "")[:254]
    users = get_user_model()._default_manager
    known = users.filter(**{get_user_model().USERNAME_FIELD: typed}).first() if typed else None
    Event.objects.create(
        kind="person.sign_in_refused", level="warning", user_id=known.pk if known is not None else None
    )
