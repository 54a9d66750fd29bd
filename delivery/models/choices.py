"""The states of messages and servers, as stored and as people read them."""

from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _


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
