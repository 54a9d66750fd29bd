"""What people and webhooks are still to be told."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from delivery.models.rows import Row


class Notice(Row):
    """What one reader is still to be told of mail given up and of servers; one mail takes it all."""

    recipient = models.TextField(primary_key=True)  # a notify user's address
    mailed_at = models.DateTimeField(null=True)  # the last mail: the next one waits a while
    given_up = models.IntegerField(db_default=0)
    message_ids = ArrayField(models.BigIntegerField(), db_default=[])  # the first of them
    paused_ids = ArrayField(models.IntegerField(), db_default=[])  # profiles
    refusing_ids = ArrayField(models.IntegerField(), db_default=[])  # profiles whose server refuses us


class Incident(Row):
    """Something that is wrong, from when it was first seen to its end; told once, and its end once."""

    began_at = models.DateTimeField(db_default=Now())
    told_at = models.DateTimeField(null=True)  # NULL: too young, or nobody wants to hear of it
    ended_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)  # when what expires does
    profile_id = models.IntegerField(null=True)
    stage = models.SmallIntegerField(null=True)  # days before that when it was told: 30, 7, 1, 0
    kind = models.CharField(max_length=20)
    subject = models.TextField(db_default="")  # what it is about: "profile 5", "credential 2", "" for all
    name = models.TextField(db_default="")
    words = models.TextField(db_default="")  # a server's reply, or what was seen

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(ended_at=None), name="incident_is_open_once"
            )
        ]


class WebhookCall(Row):
    """One call of the webhook, stored with what it tells; called until it was taken or given up."""

    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(null=True, db_default=Now())  # NULL: over
    done_at = models.DateTimeField(null=True)  # taken; NULL and not due: given up
    attempts = models.SmallIntegerField(db_default=0)
    status = models.SmallIntegerField(null=True)  # the last answer's
    body = models.TextField()  # JSON, as it is signed
    error = models.TextField(db_default="")

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="webhookcall_due")]
