"""What is known of this installation: the places its database was found at, its keys."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _


class Whereabouts(models.Model):
    """A place this database was found at: server, address, environment. Mail leaves from confirmed ones only.

    `digest` is of `facts`, which are words for people and hold no secret. The first place is confirmed by
    itself; any other by a person, because it may be a copy.
    """

    digest = models.CharField(primary_key=True, max_length=64)
    facts = models.JSONField()
    key_ids = ArrayField(models.CharField(max_length=32), default=list)  # of the keys at hand there
    seen_at = models.DateTimeField(auto_now_add=True)
    seen_on = models.CharField(max_length=255, blank=True)  # the machine
    confirmed_at = models.DateTimeField(null=True)
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    class Meta:
        verbose_name = _("place of the database")
        verbose_name_plural = _("places of the database")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.facts.get("address", self.digest[:8]))


class KeyCheck(models.Model):
    """A key check value per key id: finds a wrong key at start, not at night."""

    kid = models.CharField(primary_key=True, max_length=32)
    value = models.BinaryField(max_length=8)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("key check value")

    def __str__(self) -> str:
        return self.kid
