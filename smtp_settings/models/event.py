"""The event log."""

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from smtp_settings import client_address


class Event(models.Model):
    """One line of the event log and audit: what people and recovery did, never a secret."""

    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=50)
    level = models.CharField(max_length=10, default="info")
    message_id = models.BigIntegerField(null=True)
    profile_id = models.IntegerField(null=True)
    worker_id = models.BigIntegerField(null=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )
    job_id = models.BigIntegerField(null=True)
    ip = models.GenericIPAddressField(null=True, default=client_address.current)
    data = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ("-id",)
        permissions = [("export_event", _("Can export the event log and the email log"))]
        indexes = [
            BrinIndex(fields=["at"], name="event_at_brin"),  # retention
            models.Index(  # the timeline of a message
                fields=["message_id"], condition=Q(message_id__isnull=False), name="event_message"
            ),
        ]

    def __str__(self) -> str:
        return self.kind
