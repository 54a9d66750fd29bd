"""What was handed over: a message, its bytes, the parts it shares, its caller's key."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex, GinIndex
from django.contrib.sites.models import Site
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now, TruncDate
from django.utils.translation import gettext_lazy as _

from delivery.models.choices import MessagePriority, SmallState
from delivery.models.rows import Row, in_range, loose
from smtp_settings.models import SMTPProfile


class Message(models.Model):
    """What was handed over and how it ended: written at insert and once at the end."""

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    copy_of = loose("self")
    site = loose(Site)
    pinned_profile = loose(SMTPProfile)
    attachments_bytes = models.IntegerField(db_default=0)  # all together, as sent
    priority = models.SmallIntegerField(
        _("priority"), choices=MessagePriority, db_default=MessagePriority.NORMAL
    )
    sensitive = models.BooleanField(db_default=False)
    tag = models.TextField(db_default="")
    message_id = models.TextField()  # the header's value, with its angle brackets
    mail_from = models.TextField()
    rcpt_to = ArrayField(models.TextField())
    rcpt_first = models.TextField()  # lower case, for prefix search
    from_header = models.TextField(null=True)  # noqa: DJ001  # NULL: the profile supplies it
    subject = models.TextField(db_default="")
    # What the end writes stands last: of an update in place PostgreSQL logs what begins at the first change.
    done_at = models.DateTimeField(null=True)
    profile = loose(SMTPProfile)  # who sent or refused it last
    state = models.SmallIntegerField(_("state"), choices=SmallState, db_default=SmallState.QUEUED)
    attempts = models.SmallIntegerField(_("attempts"), db_default=0)
    code = models.SmallIntegerField(null=True)
    enhanced = models.TextField(null=True)  # noqa: DJ001  # NULL: the server gave none
    reply = models.TextField(null=True)  # noqa: DJ001  # NULL: not tried yet
    verdicts = models.JSONField(null=True)  # only after a partial refusal: recipient -> final verdict

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        permissions = [
            ("view_message_body", _("Can read the content of messages")),
            ("retry_message", _("Can retry messages")),
            ("cancel_message", _("Can cancel messages")),
            ("hold_message", _("Can hold and release messages")),
            ("resend_message", _("Can send messages again as a copy")),
            ("resend_elsewhere", _("Can send messages again to other recipients")),
            ("move_message", _("Can move messages to another profile")),
        ]
        constraints = [
            in_range("due_at", name="message_due_in_range"),
            in_range("expires_at", name="message_expiry_in_range"),
        ]
        indexes = [
            BrinIndex(fields=["created_at"], name="message_created_brin"),
            models.Index(fields=["rcpt_first"], opclasses=["text_pattern_ops"], name="message_rcpt_prefix"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class Content(Row):
    """The MIME bytes without From and Subject: CRLF, not dot-stuffed; blob i goes in at byte `cuts[i]`."""

    message_id = models.BigIntegerField(primary_key=True)
    size = models.IntegerField()
    data = models.BinaryField()
    cuts = ArrayField(models.IntegerField(), db_default=[])
    blob_ids = ArrayField(models.BigIntegerField(), db_default=[])

    class Meta:
        indexes = [
            # The blob purge asks which contents name a blob.
            GinIndex(fields=["blob_ids"], condition=~Q(blob_ids=[]), name="content_blobs"),
        ]


class Blob(Row):
    """A large part's wire bytes, stored once however many messages carry it."""

    id = models.BigAutoField(primary_key=True)
    digest = models.BinaryField(unique=True)
    size = models.IntegerField()
    last_used_on = models.DateField(db_default=TruncDate(Now()))
    data = models.BinaryField()


class IdempotencyKey(Row):
    """A caller's key, so that a request repeated makes one message."""

    key = models.TextField(primary_key=True)
    message_id = models.BigIntegerField()
    digest = models.BinaryField()
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="idempotency_expiry")]  # retention
