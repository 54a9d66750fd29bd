"""Long actions over many messages."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from delivery.models.rows import Row


class BulkJob(Row):
    """A long action over many messages, resumable by its cursor."""

    class State(models.TextChoices):
        """Where the job stands."""

        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        STOPPED = "stopped", _("Stopped")

    action = models.CharField(max_length=30)
    filter = models.JSONField(default=dict)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING)
    lower_id = models.BigIntegerField(default=0)  # the first message it is for, when it was started
    cursor_id = models.BigIntegerField(default=0)
    upper_id = models.BigIntegerField()
    estimate = models.BigIntegerField(default=0)
    done = models.BigIntegerField(default=0)
    skipped = models.JSONField(default=dict)
    per_minute = models.IntegerField(default=0)  # 0: as fast as it goes
    next_at = models.DateTimeField(db_default=Now())  # the next chunk, not before
    heartbeat_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now())
    began_at = models.DateTimeField(null=True)  # when a worker did the first chunk
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        permissions = [
            ("run_large_bulkjob", _("Can run jobs over more than 10,000 messages and stop any job"))
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(state="running"), name="bulkjob_running")  # workers
        ]
