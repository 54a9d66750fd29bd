"""A message's content, for those who may read it. Each look is an event: stored mail opens accounts."""

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from delivery import queue, showing
from delivery.composing import CannotCompose, content_of, front
from delivery.models import Content, Message
from delivery.reading import CannotShow, Reading, attachment, html_of, read
from smtp_settings.models import Event, SMTPProfile

PERMISSION = "delivery.view_message_body"
PERMISSION_NAME = gettext_lazy("Can read the content of messages")


class _NoSender:
    """The sender's part of no profile: for a message that has not been sent through one yet."""

    from_address = from_name = reply_to = bounce_address = subject_prefix = ""
    from_policy = "message"


def require(request: HttpRequest) -> None:
    """Let only those on who may read content."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied(PERMISSION_NAME)


def note(request: HttpRequest, message: Message, part: str) -> None:
    """Write down who looked at what."""
    Event.objects.create(
        kind="message.content_read",
        message_id=message.pk,
        user_id=request.user.pk,
        data={"part": part},
    )


def bytes_of(message: Message) -> bytes | None:
    """Put the message together as it was or would be sent; None where its content has been removed.

    Before the first server has it, From and Subject are as handed over: a profile may supply or prefix them.
    """
    content = Content.objects.filter(pk=message.pk).first()
    if content is None:
        return None
    data = bytes(content.data)
    stored = queue.load_blobs(content.blob_ids)
    if set(content.blob_ids) - set(stored):
        return None
    blobs = tuple(bytes(stored[blob_id]) for blob_id in content.blob_ids)
    return b"".join(content_of(_front(message, data), data, tuple(content.cuts), blobs).segments)


def gone(message: Message) -> str:
    """Say why there is no content any more."""
    if message.sensitive:
        return _("This message was handed over as sensitive: its content was removed when it ended.")
    days = settings.MAILCONF_KEEP_DAYS["content"]
    if days is None:
        return _("The content of this message has been removed.")
    return _("The content of this message has been removed; it is kept for %(days)d days.") % {"days": days}


def _front(message: Message, data: bytes) -> bytes:
    try:
        return _written(message, data)
    except CannotCompose:  # stored by something else than composing: show the rest
        return b""


def _written(message: Message, data: bytes) -> bytes:
    profile = SMTPProfile.objects.filter(pk=message.profile_id or message.pinned_profile_id or 0).first()
    if profile is not None and (message.from_header is not None or profile.from_address):
        return front(message.from_header, message.subject, profile, data=data)
    if message.from_header is not None:
        return front(message.from_header, message.subject, _NoSender(), data=data)
    sender = _NoSender()
    sender.from_address = "profile@invalid"
    return front(None, message.subject, sender, data=data).split(b"\r\n", 1)[
        1
    ]  # the profile will supply the From


def reading_of(message: Message) -> tuple[Reading | None, str]:
    """Return the content taken apart, or None and the sentence why not."""
    raw = bytes_of(message)
    if raw is None:
        return None, gone(message)
    try:
        return read(raw), ""
    except CannotShow as error:
        return None, str(error)


def preview(message: Message) -> HttpResponse:
    """Answer with the HTML body, sandboxed."""
    raw = bytes_of(message)
    try:
        html = html_of(raw) if raw is not None else ""
    except CannotShow as error:
        raise Http404(str(error)) from error
    return showing.preview(html)


def attachment_file(message: Message, number: int) -> HttpResponse:
    """Answer with one attachment as a download."""
    raw = bytes_of(message)
    try:
        found = attachment(raw, number) if raw is not None else None
    except CannotShow as error:
        raise Http404(str(error)) from error
    if found is None:
        raise Http404(_("This attachment does not exist."))
    return showing.download(found[1], found[0].name)


def whole_file(message: Message) -> HttpResponse:
    """Answer with the whole message; its name is ours."""
    raw = bytes_of(message)
    if raw is None:
        raise Http404(gone(message))
    return showing.download(raw, f"message-{message.pk}.eml")
