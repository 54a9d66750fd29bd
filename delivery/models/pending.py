"""What is still to be done with messages, by which way, and what came of the tries."""

from typing import Any

from django.contrib.sites.models import Site
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from delivery.models.choices import MessagePriority, SmallState
from delivery.models.rows import Row, in_range
from smtp_settings.models import SMTPProfile


def keep_used_pools(collector: Any, field: Any, pools: Any, using: str) -> None:  # Any: as on_delete
    """Let a site or a profile go with its pools, unless a message that may still go needs one of them."""
    needing = (
        QueueEntry.objects.filter(lease_id=None),  # this and the next have an index each
        QueueEntry.objects.filter(lease_id__isnull=False),
        Failure.objects.all(),
    )
    ids = [pool.pk for pool in pools]
    if any(rows.using(using).filter(pool_id__in=ids).exists() for rows in needing):
        raise models.ProtectedError(str(_("Messages are waiting for it.")), set(pools))
    models.CASCADE(collector, field, pools, using)


class Pool(Row):
    """A message's route, fixed at enqueue; who serves it is computed at claim time."""

    id = models.SmallAutoField(primary_key=True)
    site = models.ForeignKey(Site, keep_used_pools, null=True, related_name="+")
    sender_domain = models.CharField(max_length=253, null=True)  # noqa: DJ001  # NULLs equal in the constraint
    profile = models.ForeignKey(SMTPProfile, keep_used_pools, null=True, related_name="+")

    class Meta:
        constraints = [
            # NULLs equal, in a form PostgreSQL 14 knows; `queue.routes` looks up by the same expressions.
            models.UniqueConstraint(
                Coalesce("site_id", 0),
                Coalesce("sender_domain", models.Value("")),
                Coalesce("profile_id", 0),
                name="pool_is_unique",
            )
        ]


class QueueEntry(Row):
    """Pending work, some seventy bytes; deleted in the statement that records how it ended."""

    message_id = models.BigIntegerField(primary_key=True)
    ready_at = models.DateTimeField(db_default=Now())
    lease_id = models.BigIntegerField(null=True)  # a Worker's id; NULL = claimable
    profile_id = models.IntegerField(null=True)
    last_profile_id = models.IntegerField(null=True)
    pool_id = models.SmallIntegerField()
    priority = models.SmallIntegerField(db_default=MessagePriority.NORMAL)
    attempts = models.SmallIntegerField(db_default=0)
    drops = models.SmallIntegerField(db_default=0)
    crashes = models.SmallIntegerField(db_default=0)
    uncertain = models.BooleanField(db_default=False)

    class Meta:
        constraints = [in_range("ready_at", name="entry_ready_in_range")]
        indexes = [
            models.Index(  # the claim, one range start per lane
                fields=["pool_id", "priority", "ready_at", "message_id"],
                condition=Q(lease_id=None),
                name="entry_lane",
            ),
            models.Index(
                fields=["lease_id"], condition=Q(lease_id__isnull=False), name="entry_lease"
            ),  # reclaim
        ]


class Failure(Row):
    """What needs a person (failed, held, expired), with what putting back needs."""

    message_id = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    profile_id = models.IntegerField(null=True)
    state = models.SmallIntegerField(choices=SmallState)
    code = models.SmallIntegerField(null=True)
    pool_id = models.SmallIntegerField()
    priority = models.SmallIntegerField()
    uncertain = models.BooleanField(db_default=False)
    cause = models.TextField(db_default="")

    class Meta:
        indexes = [
            models.Index(fields=["state", "at"], name="failure_state_at"),
            models.Index(  # the list of what may have arrived
                fields=["message_id"], condition=Q(uncertain=True), name="failure_uncertain"
            ),
        ]


class Attempt(Row):
    """One try that did not end in *sent*; for a success the message row is the record."""

    class Result(models.TextChoices):
        """How the try ended."""

        RETRY = "retry", _("Put off")
        FAILED = "failed", _("Refused")
        RELEASED = "released", _("Given back")
        UNCERTAIN = "uncertain", _("Uncertain")
        LOST = "lost", _("Worker lost")
        PARTIAL = "partial", _("Accepted for some")
        LATE = "late", _("Accepted under a lost lease")

    message_id = models.BigIntegerField()
    at = models.DateTimeField(db_default=Now())
    worker_id = models.BigIntegerField(null=True)
    profile_id = models.IntegerField(null=True)
    ms = models.IntegerField(null=True)
    n = models.SmallIntegerField()
    code = models.SmallIntegerField(null=True)
    phase = models.CharField(max_length=10, db_default="")
    outcome = models.CharField(max_length=10, choices=Result)
    enhanced = models.CharField(max_length=16, null=True)  # noqa: DJ001  # NULL: the server gave none
    reply = models.TextField(db_default="")
    cause = models.CharField(max_length=20, db_default="")  # why it ended so, a short word
    transcript = models.TextField(db_default="")  # the conversation, a line each, at most 8 KB

    class Meta:
        indexes = [models.Index(fields=["message_id"], name="attempt_message")]
