"""Who is told of what, and how."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from smtp_settings.fields import SealedField
from smtp_settings.models.validating import at_least


class NotificationSettings(models.Model):
    """Who is told when something begins or ends, and how; one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    recipients = ArrayField(
        models.CharField(max_length=320), verbose_name=_("recipients"), default=list, blank=True
    )
    muted = ArrayField(models.CharField(max_length=20), default=list, blank=True)  # kinds nobody is told of
    breaker_minutes = models.PositiveSmallIntegerField(
        _("breaker open, minutes"),
        default=10,
        validators=at_least(1),
        help_text=_(
            "A server that does not answer or turns us away is told of after so long; most come back sooner."
        ),
    )
    worker_minutes = models.PositiveSmallIntegerField(
        _("no worker, minutes"),
        default=5,
        validators=at_least(2),
        help_text=_("Told of when no worker has reported for so long."),
    )
    webhook_url = models.CharField(
        _("webhook address"), max_length=500, blank=True, help_text=_("Empty: no webhook.")
    )
    accepts_clear_webhook = models.BooleanField(
        _("I understand that notifications are sent without encryption."), default=False
    )
    webhook_secret = SealedField(_("webhook secret"), null=True)
    secret_version = models.PositiveIntegerField(default=0, editable=False)
    secret_set_at = models.DateTimeField(null=True, editable=False)
    secret_set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name = _("notification settings")
        verbose_name_plural = _("notification settings")
        constraints = [models.CheckConstraint(condition=Q(id=1), name="notification_settings_are_one")]

    def __str__(self) -> str:
        return gettext("Notifications")
