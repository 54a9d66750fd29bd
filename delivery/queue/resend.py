"""Send a stored message to other people: a new message with an envelope of its own."""

import secrets
from collections.abc import Sequence
from enum import StrEnum

from django.db import transaction
from django.utils import timezone

from delivery.composing import Composed
from delivery.composing.resending import first_address, resent_block
from delivery.models import Content, Message
from delivery.queue.claim import load_blobs
from delivery.queue.enqueue import enqueue
from delivery.queue.events import note_copy
from delivery.queue.routes import domain_of
from delivery.queue.values import Enqueued, Handover
from smtp_settings.models import SMTPProfile


class WhyNot(StrEnum):
    """Why a message is not sent to others."""

    SENSITIVE = "sensitive"
    CONTENT = "content"  # removed
    SENDER = "sender"  # nobody is known in whose name


class CannotResend(ValueError):
    """A message is not sent to others; `why` is the word for it."""

    def __init__(self, why: WhyNot) -> None:
        self.why = why
        super().__init__(f"The message cannot be sent to others: {why}.")


def resend(message_id: int, rcpt_to: Sequence[str], *, user_id: int | None = None) -> Enqueued:
    """Queue the stored message for these recipients alone and return the new one, which names the old.

    `rcpt_to` are checked bare addresses. The fields of the message stay as they are, its Message-ID too:
    whoever has it already keeps one of them. Raises CannotResend.
    """
    with transaction.atomic():
        message = Message.objects.get(pk=message_id)
        composed = _composed(message, rcpt_to)
        handover = Handover(
            composed,
            priority=message.priority,
            site_id=message.site_id,
            profile_id=message.pinned_profile_id,
            tag=message.tag,
            copy_of=message.pk,
        )
        [made] = enqueue([handover])
        note_copy("message.resent", message.pk, made.id, user_id, rcpt_count=len(rcpt_to))
        return made


def _composed(message: Message, rcpt_to: Sequence[str]) -> Composed:
    if message.sensitive:
        raise CannotResend(WhyNot.SENSITIVE)
    content = Content.objects.filter(pk=message.pk).first()
    blobs = load_blobs(content.blob_ids) if content is not None else {}
    if content is None or set(content.blob_ids) - blobs.keys():
        raise CannotResend(WhyNot.CONTENT)
    sender = first_address(message.from_header) or _address_of_profile(message)
    if not sender:
        raise CannotResend(WhyNot.SENDER)
    block = resent_block(
        sender=sender,
        rcpt_to=rcpt_to,
        message_id=f"<{secrets.token_hex(16)}@{domain_of(sender)}>",
        now=timezone.now(),
    )
    return Composed(
        mail_from=message.mail_from,
        rcpt_to=tuple(rcpt_to),
        from_header=message.from_header,
        subject=message.subject,
        message_id=message.message_id,
        data=block + bytes(content.data),
        cuts=tuple(cut + len(block) for cut in content.cuts),
        blobs=tuple(blobs[blob_id] for blob_id in content.blob_ids),
        attachments_bytes=message.attachments_bytes,
    )


def _address_of_profile(message: Message) -> str:
    """Return the From address of the profile that had the message, "" for none."""
    profile_id = message.profile_id or message.pinned_profile_id or 0
    found = SMTPProfile.objects.filter(pk=profile_id).values_list("from_address", flat=True).first()
    return str(found or "")
