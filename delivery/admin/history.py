"""What people did with a message, for its timeline: read from the event log."""

from dataclasses import dataclass, field
from datetime import datetime

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from delivery.admin.states import TONES, State
from delivery.models import Message
from smtp_settings.models import Event

#: The newest that are shown.
_MOST = 50

_QUEUED = (State.QUEUED.label, TONES[State.QUEUED])
_HELD = (State.HELD.label, TONES[State.HELD])
_CANCELLED = (State.CANCELLED.label, TONES[State.CANCELLED])
_COPY = (gettext_lazy("Copy"), "is-quiet")

MOVED = "message.moved"
#: What is told: title, badge and its tone.
_ACTS: dict[str, tuple[Promise, Promise | str, str]] = {
    "message.put_back": (gettext_lazy("Queued again"), *_QUEUED),
    "message.retried": (gettext_lazy("Next try brought forward"), *_QUEUED),
    "message.held": (gettext_lazy("Held by a person"), *_HELD),
    "message.cancelled": (gettext_lazy("Cancelled by a person"), *_CANCELLED),
    "message.sent_again": (gettext_lazy("Sent again as a copy"), *_COPY),
    "message.resent": (gettext_lazy("Sent to others"), *_COPY),
    "message.is_copy": (gettext_lazy("Made as a copy"), *_COPY),
    MOVED: (gettext_lazy("Moved to another profile"), gettext_lazy("Moved"), "is-info"),
}
#: The states whose moment one of these acts tells already.
_TELLS = {"message.held": State.HELD, "message.cancelled": State.CANCELLED}


@dataclass(frozen=True, slots=True)
class Link:
    """Another message that belongs to a moment."""

    words: str
    url: str


@dataclass(frozen=True, slots=True)
class Deed:
    """One act: what, by whom, when, and the messages it made or came from."""

    at: datetime
    title: str
    badge: str | Promise
    tone: str
    who: str
    links: list[Link] = field(default_factory=list)
    tells: State | None = None


def deeds_of(message: Message, *, may_see_profiles: bool) -> list[Deed]:
    """Return what people did with a message, newest first; one question."""
    found = Event.objects.filter(message_id=message.pk, kind__in=_ACTS).select_related("user")
    newest = found.order_by("-id")[:_MOST]
    return [_deed(event, message, may_see_profiles=may_see_profiles) for event in newest]


def _deed(event: Event, message: Message, *, may_see_profiles: bool) -> Deed:
    title, badge, tone = _ACTS[event.kind]
    words = _moved(event, may_see_profiles=may_see_profiles) or str(title)
    if event.job_id:
        words = _("%(act)s, in job %(id)d") % {"act": words, "id": event.job_id}
    return Deed(event.at, words, badge, tone, _who(event), _links(event, message), _TELLS.get(event.kind))


def _moved(event: Event, *, may_see_profiles: bool) -> str:
    """Say where a message was moved to; "" for any other act, and where that profile is not to be named."""
    if event.kind != MOVED:
        return ""
    if event.profile_id is None:
        return _("Moved to any server that serves its site")
    name = event.data.get("moved_to", "")
    return _("Moved to %(profile)s") % {"profile": name} if may_see_profiles and name else ""


def _who(event: Event) -> str:
    """Name the person; a command has none, and somebody since removed is not known."""
    return str(event.user.get_username()) if event.user is not None else ""


def _links(event: Event, message: Message) -> list[Link]:
    other = event.data.get("copy") if event.kind != "message.is_copy" else message.copy_of_id
    if not isinstance(other, int):
        return []
    return [Link(f"#{other}", reverse("admin:delivery_message_change", args=[other]))]
