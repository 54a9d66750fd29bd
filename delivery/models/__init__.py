"""The queue's rows: hot is narrow and short-lived, cold is wide and written twice.

Written and read by raw SQL in `delivery.queue` (the reasons are there), so every column has a `db_default`
where an INSERT may leave it out. Wide columns stand first: the eight-byte ones, then four, two, one and text,
or alignment pads every row. References of hot rows carry no foreign key and no index: removing a worker or a
profile must not scan the queue.
"""

from delivery.models.choices import Breaker, MessagePriority, MessageState, Paused, SmallState
from delivery.models.jobs import BulkJob
from delivery.models.mail import Blob, Content, IdempotencyKey, Message
from delivery.models.pending import Attempt, Failure, Pool, QueueEntry, keep_used_pools
from delivery.models.servers import Backlog, ProfileState, Rate, Slot, Stat
from delivery.models.telling import Incident, Notice, WebhookCall
from delivery.models.workers import Upkeep, Worker

__all__ = [
    "Attempt",
    "Backlog",
    "Blob",
    "Breaker",
    "BulkJob",
    "Content",
    "Failure",
    "IdempotencyKey",
    "Incident",
    "Message",
    "MessagePriority",
    "MessageState",
    "Notice",
    "Paused",
    "Pool",
    "ProfileState",
    "QueueEntry",
    "Rate",
    "Slot",
    "SmallState",
    "Stat",
    "Upkeep",
    "WebhookCall",
    "Worker",
    "keep_used_pools",
]
