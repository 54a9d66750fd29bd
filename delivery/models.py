"""The queue's rows: hot is narrow and short-lived, cold is wide and written twice.

Written and read by raw SQL in `delivery.queue` (the reasons are there), so every column has a `db_default`
where an INSERT may leave it out. Wide columns stand first: the eight-byte ones, then four, two, one and text,
or alignment pads every row. References of hot rows carry no foreign key and no index: removing a worker or a
profile must not scan the queue.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex, GinIndex
from django.contrib.sites.models import Site
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce, Now, TruncDate
from django.utils.translation import gettext_lazy as _

from smtp_settings.models import SMTPProfile


class MessageState(StrEnum):
    """The nine states as people see them: only *sent* is a success, and *held* waits for a person."""

    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    SENT = "sent"
    FAILED = "failed"
    HELD = "held"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"


class SmallState(models.IntegerChoices):
    """What `Message.state` stores; *sending* and *deferred* are read off the queue entry."""

    QUEUED = 1, _("Queued")
    SENT = 2, _("Sent")
    FAILED = 3, _("Failed")
    HELD = 4, _("Held")
    CANCELLED = 5, _("Cancelled")
    EXPIRED = 6, _("Expired")
    SUPPRESSED = 7, _("Suppressed")


class MessagePriority(models.IntegerChoices):
    """How urgent a message is; in a queue entry +10 marks a suspect after a crash."""

    HIGH = 1, _("High")
    NORMAL = 2, _("Normal")
    LOW = 3, _("Low")


class Breaker(models.IntegerChoices):
    """Whether a server is used at all."""

    CLOSED = 1, _("Closed")
    OPEN = 2, _("Open")
    HALF_OPEN = 3, _("Half-open")


class Paused(models.IntegerChoices):
    """Who took a server out of use."""

    NO = 0, _("No")
    PERSON = 1, _("By a person")
    FAULT = 2, _("By a configuration fault")


def _loose(to: Any, **kwargs: Any) -> Any:  # Any: ForeignKey's own signature
    """Make a reference without constraint or index, for hot and historic rows."""
    return models.ForeignKey(
        to,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
        **kwargs,
    )


def _in_range(column: str, *, name: str) -> models.CheckConstraint:
    """Keep a moment within what every reader can hold: Python has no year 0 and none after 9999.

    One row beyond would stop the workers, which read it before anything else.
    """
    soonest, latest = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
    return models.CheckConstraint(condition=Q(**{f"{column}__range": (soonest, latest)}), name=name)


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


class _Row(models.Model):
    """What workers write and nobody edits."""

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.pk}"


class Pool(_Row):
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


class Worker(_Row):
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


class Message(models.Model):
    """What was handed over and how it ended: written at insert and once at the end."""

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    copy_of = _loose("self")
    profile = _loose(SMTPProfile)  # who sent or refused it last
    site = _loose(Site)
    pinned_profile = _loose(SMTPProfile)
    attachments_bytes = models.IntegerField(db_default=0)  # all together, as sent
    state = models.SmallIntegerField(_("state"), choices=SmallState, db_default=SmallState.QUEUED)
    priority = models.SmallIntegerField(
        _("priority"), choices=MessagePriority, db_default=MessagePriority.NORMAL
    )
    attempts = models.SmallIntegerField(_("attempts"), db_default=0)
    code = models.SmallIntegerField(null=True)
    sensitive = models.BooleanField(db_default=False)
    tag = models.TextField(db_default="")
    message_id = models.TextField()  # the header's value, with its angle brackets
    mail_from = models.TextField()
    rcpt_to = ArrayField(models.TextField())
    rcpt_first = models.TextField()  # lower case, for prefix search
    from_header = models.TextField(null=True)  # noqa: DJ001  # NULL: the profile supplies it
    subject = models.TextField(db_default="")
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
            _in_range("due_at", name="message_due_in_range"),
            _in_range("expires_at", name="message_expiry_in_range"),
        ]
        indexes = [
            BrinIndex(fields=["created_at"], name="message_created_brin"),
            models.Index(fields=["rcpt_first"], opclasses=["text_pattern_ops"], name="message_rcpt_prefix"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class Content(_Row):
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


class Blob(_Row):
    """A large part's wire bytes, stored once however many messages carry it."""

    id = models.BigAutoField(primary_key=True)
    digest = models.BinaryField(unique=True)
    size = models.IntegerField()
    last_used_on = models.DateField(db_default=TruncDate(Now()))
    data = models.BinaryField()


class QueueEntry(_Row):
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
        constraints = [_in_range("ready_at", name="entry_ready_in_range")]
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


class Failure(_Row):
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


class Attempt(_Row):
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


class Slot(_Row):
    """One allowed connection of a profile; owned by the worker session that has it open."""

    worker_id = models.BigIntegerField(null=True)
    taken_at = models.DateTimeField(null=True)
    profile_id = models.IntegerField()
    n = models.SmallIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["profile_id", "n"], name="slot_is_unique")]


class Rate(_Row):
    """One limit of a profile as GCRA state: `tat` is the theoretical arrival time."""

    class Kind(models.TextChoices):
        """Which of the profile's limits this is."""

        SPACING = "spacing"
        MINUTE = "minute"
        HOUR = "hour"
        DAY = "day"

    tat = models.DateTimeField(db_default=Now())
    emission = models.DurationField()
    tolerance = models.DurationField()
    profile_id = models.IntegerField()
    kind = models.CharField(max_length=10, choices=Kind)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["profile_id", "kind"], name="rate_is_unique")]


class ProfileState(_Row):
    """What workers know of a profile: breaker, pause, learned limits."""

    profile = models.OneToOneField(SMTPProfile, models.CASCADE, primary_key=True, related_name="+")
    breaker = models.SmallIntegerField(choices=Breaker, db_default=Breaker.CLOSED)
    penalty = models.SmallIntegerField(db_default=0)
    open_until = models.DateTimeField(null=True)
    probe_worker_id = models.BigIntegerField(null=True)
    connections = models.SmallIntegerField(null=True)  # learned limit, at most the configured one
    connections_at = models.DateTimeField(null=True)  # when the server last refused one more
    crowded = models.SmallIntegerField(db_default=0)  # how often it did, since the limit was its own again
    session_messages = models.SmallIntegerField(null=True)  # learned: it ends a session after so many
    session_messages_at = models.DateTimeField(null=True)
    recipients = models.SmallIntegerField(null=True)  # learned: it takes so many a message
    recipients_at = models.DateTimeField(null=True)
    learned_fingerprint = models.TextField(db_default="")  # the settings these three hold for
    ramp = models.SmallIntegerField(null=True)  # slow start: connections for now, over all workers
    sequential_until = models.DateTimeField(null=True)  # no pipelining: its answers did not fit together
    sequential_fingerprint = models.TextField(db_default="")  # the settings that holds for
    size_limit = models.BigIntegerField(null=True)  # octets of a message it takes, 0: it names no limit
    size_is_refusal = models.BooleanField(db_default=False)  # known from one, not announced
    size_until = models.DateTimeField(null=True)  # how long that is believed
    size_fingerprint = models.TextField(db_default="")  # the settings that holds for
    paused = models.SmallIntegerField(choices=Paused, db_default=Paused.NO)
    fault_version = models.TextField(db_default="")  # the settings that were paused for a fault
    reason = models.TextField(db_default="")
    paused_by = _loose(settings.AUTH_USER_MODEL)
    changed_at = models.DateTimeField(db_default=Now())


class Stat(_Row):
    """What a worker did through a profile in one minute."""

    pk = models.CompositePrimaryKey("minute", "profile_id", "worker_id")
    minute = models.DateTimeField()
    worker_id = models.BigIntegerField()
    bytes = models.BigIntegerField(db_default=0)
    ms = models.BigIntegerField(db_default=0)
    profile_id = models.IntegerField()
    sent = models.IntegerField(db_default=0)
    deferred = models.IntegerField(db_default=0)
    failed = models.IntegerField(db_default=0)
    uncertain = models.IntegerField(db_default=0)
    connects = models.IntegerField(db_default=0)


class Notice(_Row):
    """What one reader is still to be told of mail given up and servers paused; one mail takes it all."""

    recipient = models.TextField(primary_key=True)  # a notify user's address
    mailed_at = models.DateTimeField(null=True)  # the last mail: the next one waits a while
    given_up = models.IntegerField(db_default=0)
    message_ids = ArrayField(models.BigIntegerField(), db_default=[])  # the first of them
    paused_ids = ArrayField(models.IntegerField(), db_default=[])  # profiles


class Incident(_Row):
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


class WebhookCall(_Row):
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


class Upkeep(_Row):
    """How far a kind of upkeep has come: any worker goes on where the last one stopped."""

    kind = models.CharField(max_length=20, primary_key=True)
    due_at = models.DateTimeField(db_default=Now())  # the next chunk
    done_at = models.DateTimeField(null=True)  # when it last came to the end
    cursor = models.TextField(db_default="")  # the last key looked at, "" at the beginning
    removed = models.BigIntegerField(db_default=0)  # rows, since it was installed


class IdempotencyKey(_Row):
    """A caller's key, so that a request repeated makes one message."""

    key = models.TextField(primary_key=True)
    message_id = models.BigIntegerField()
    digest = models.BinaryField()
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="idempotency_expiry")]  # retention


class BulkJob(_Row):
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
