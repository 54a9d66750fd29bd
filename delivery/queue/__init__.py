"""Every move of a message between states, and what workers share: the only writer of the queue's rows.

Synchronous, raw SQL, one statement a step, on the calling thread's connection. Nothing here knows Celery or
the wire. A module per verb, its SQL beside it; this is what they offer.
"""

from delivery.models import Attempt, Breaker, MessagePriority, MessageState, Paused, SmallState, Worker
from delivery.queue.claim import claim, is_any_leased, load_blobs, pools, ready_lanes
from delivery.queue.counters import add_stats
from delivery.queue.enqueue import enqueue
from delivery.queue.events import add_event
from delivery.queue.finish import NEEDS_A_PERSON, finish
from delivery.queue.identity import make_message_id, row_of
from delivery.queue.learned import (
    SEQUENTIAL,
    forget,
    learn_connections,
    learn_recipients,
    learn_sequential,
    learn_session_messages,
    speed_up,
)
from delivery.queue.left import held_by, messages
from delivery.queue.notices import (
    MOST_NAMED,
    NOTICE_PERIOD,
    NOTICE_TAG,
    DueNotice,
    NoticeFacts,
    due_readers,
    note_for,
    notice_facts,
    take_notice,
)
from delivery.queue.people import cancel, hold, put_back, retry_now, send_again
from delivery.queue.reclaim import CRASHES, reclaim
from delivery.queue.routes import Route, domain_of, pools_for, route_now
from delivery.queue.servers import (
    begin_probe,
    close_breaker,
    forgive,
    open_breaker,
    pause,
    profile_states,
    resume,
    thaw,
    try_now,
)
from delivery.queue.settle import record, release_others, settle
from delivery.queue.sizes import learn_size
from delivery.queue.slots import give_slots, set_limits, take_slots, take_tokens
from delivery.queue.status import MessageStatus, status_of
from delivery.queue.values import (
    Claimed,
    Enqueued,
    Finished,
    Handover,
    Heartbeat,
    IdempotencyConflict,
    Lane,
    Limits,
    Peer,
    PoolKey,
    ProfileStateRow,
    ReadyLane,
    Reclaimed,
    Settled,
    SlotCount,
    StatRow,
    Tokens,
    Tried,
    WorkerSession,
)
from delivery.queue.waking import CHANNEL, wake_drains
from delivery.queue.workers import (
    STALE,
    boot_id,
    heartbeat,
    register_worker,
    retire_worker,
    session_of,
    stop_worker,
)

AttemptResult = Attempt.Result
WorkerState = Worker.State

__all__ = [
    "CHANNEL",
    "CRASHES",
    "MOST_NAMED",
    "NEEDS_A_PERSON",
    "NOTICE_PERIOD",
    "NOTICE_TAG",
    "SEQUENTIAL",
    "STALE",
    "AttemptResult",
    "Breaker",
    "Claimed",
    "DueNotice",
    "Enqueued",
    "Finished",
    "Handover",
    "Heartbeat",
    "IdempotencyConflict",
    "Lane",
    "Limits",
    "MessagePriority",
    "MessageState",
    "MessageStatus",
    "NoticeFacts",
    "Paused",
    "Peer",
    "PoolKey",
    "ProfileStateRow",
    "ReadyLane",
    "Reclaimed",
    "Route",
    "Settled",
    "SlotCount",
    "SmallState",
    "StatRow",
    "Tokens",
    "Tried",
    "WorkerSession",
    "WorkerState",
    "add_event",
    "add_stats",
    "begin_probe",
    "boot_id",
    "cancel",
    "claim",
    "close_breaker",
    "domain_of",
    "due_readers",
    "enqueue",
    "finish",
    "forget",
    "forgive",
    "give_slots",
    "heartbeat",
    "held_by",
    "hold",
    "is_any_leased",
    "learn_connections",
    "learn_recipients",
    "learn_sequential",
    "learn_session_messages",
    "learn_size",
    "load_blobs",
    "make_message_id",
    "messages",
    "note_for",
    "notice_facts",
    "open_breaker",
    "pause",
    "pools",
    "pools_for",
    "profile_states",
    "put_back",
    "ready_lanes",
    "reclaim",
    "record",
    "register_worker",
    "release_others",
    "resume",
    "retire_worker",
    "retry_now",
    "route_now",
    "row_of",
    "send_again",
    "session_of",
    "set_limits",
    "settle",
    "speed_up",
    "status_of",
    "stop_worker",
    "take_notice",
    "take_slots",
    "take_tokens",
    "thaw",
    "try_now",
    "wake_drains",
]
