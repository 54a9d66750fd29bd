"""Who does the work, and how far upkeep has come."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from delivery.models.rows import Row


class Worker(Row):
    """One row per worker session: its id is the lease."""

    class State(models.IntegerChoices):
        """Whether it may hold messages."""

        LIVE = 1, _("Live")
        STOPPING = 2, _("Stopping")
        DEAD = 3, _("Dead")

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField(db_default=Now())
    heartbeat_at = models.DateTimeField(db_default=Now())
    pid = models.IntegerField()
    state = models.SmallIntegerField(choices=State, db_default=State.LIVE)
    host = models.CharField(max_length=255)
    boot_id = models.CharField(max_length=64, db_default="")
    wants = ArrayField(models.IntegerField(), db_default=[])
    at_once = models.BooleanField(db_default=False)  # of a program that sends its own messages and waits

    class Meta:
        indexes = [
            models.Index(fields=["-id"], condition=Q(at_once=False), name="worker_newest")  # heard of last
        ]


class Upkeep(Row):
    """How far a kind of upkeep has come: any worker goes on where the last one stopped."""

    kind = models.CharField(max_length=20, primary_key=True)
    due_at = models.DateTimeField(db_default=Now())  # the next chunk
    done_at = models.DateTimeField(null=True)  # when it last came to the end
    cursor = models.TextField(db_default="")  # the last key looked at, "" at the beginning
    removed = models.BigIntegerField(db_default=0)  # rows, since it was installed
