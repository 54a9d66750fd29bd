"""What workers share about servers: connections, rates, breakers, what was learned and counted."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from delivery.models.choices import Breaker, Paused
from delivery.models.rows import Row, loose
from smtp_settings.models import SMTPProfile


class Slot(Row):
    """One allowed connection of a profile; owned by the worker session that has it open."""

    worker_id = models.BigIntegerField(null=True)
    taken_at = models.DateTimeField(null=True)
    profile_id = models.IntegerField()
    n = models.SmallIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["profile_id", "n"], name="slot_is_unique")]


class Rate(Row):
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


class ProfileState(Row):
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
    paused_by = loose(settings.AUTH_USER_MODEL)
    changed_at = models.DateTimeField(db_default=Now())


class Stat(Row):
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


class Backlog(Row):
    """How much waited in one minute, noted by whoever looked first; later the most in one hour."""

    minute = models.DateTimeField(primary_key=True)
    waiting = models.IntegerField()
