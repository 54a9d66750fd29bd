"""Store a message that comes alone, the usual case: one statement, and no transaction around it.

It calls a function in the database (`migrations/0004_enqueue`), for the sake of the planner: to plan it anew
for each message took 500 of the 900 µs of PostgreSQL's processor time, and the number and the pool were a
statement and a round trip of their own. PL/pgSQL keeps the plans of its statements in each session and makes
them anew when a table or the search_path changes. The protocol's prepared statements are as fast, but are
missing on the next connection that a pooler hands out (PgBouncer before 1.21, or without
`max_prepared_statements`).
"""

from contextlib import nullcontext

from django.db import connection, transaction

from delivery.models import MessagePriority
from delivery.queue.at_once import KEPT
from delivery.queue.identity import new_name
from delivery.queue.new_messages import name_domain, route_of
from delivery.queue.statements import Parameters, run
from delivery.queue.values import Enqueued, Handover

#: The function's parameters with their types.
_PARAMETERS = {
    "send_at": "timestamptz",
    "expires_at": "timestamptz",
    "copy_of_id": "int8",
    "site_id": "int4",
    "profile_id": "int4",
    "attachments_bytes": "int4",
    "priority": "int2",
    "sensitive": "bool",
    "tag": "text",
    "mail_from": "text",
    "rcpt_first": "text",
    "from_header": "text",
    "subject": "text",
    "rcpt_to": "text[]",
    "data": "bytea",
    "name": "text",
    "mask": "int8",
    "tail": "text",
    "domain": "text",
    "kept": "interval",
}
_GIVEN = ", ".join(f"{name} => %({name})s::{kind}" for name, kind in _PARAMETERS.items())
_ENQUEUE = f"SELECT * FROM delivery_enqueue({_GIVEN})"  # noqa: S608  # no value in it


def enqueue_one(handover: Handover) -> Enqueued | None:
    """Store a message that comes alone and needs no more than its own rows; None when it needs more.

    That is all or nothing by itself. Only the caller's own transaction needs a savepoint, to go on after an
    error.
    """
    if handover.idempotency_key is not None or handover.composed.blobs:
        return None
    with transaction.atomic() if connection.in_atomic_block else nullcontext():
        [(row_id, message_id, is_at_once)] = run(_ENQUEUE, _given(handover))
    if row_id is None:  # the first of its route, which has no pool yet
        return None
    return Enqueued(row_id, message_id, created=True, is_at_once=is_at_once)


def _given(handover: Handover) -> Parameters:
    composed, name = handover.composed, new_name(name_domain(handover.composed))
    return {
        "send_at": handover.send_at,
        "expires_at": handover.expires_at,
        "copy_of_id": handover.copy_of,
        "site_id": handover.site_id,
        "profile_id": handover.profile_id,
        "attachments_bytes": composed.attachments_bytes,
        "priority": MessagePriority(handover.priority).value,
        "sensitive": handover.sensitive,
        "tag": handover.tag,
        "mail_from": composed.mail_from,
        "rcpt_first": composed.rcpt_to[0].lower(),
        "from_header": composed.from_header,
        "subject": composed.subject,
        "rcpt_to": list(composed.rcpt_to),
        "data": composed.data,
        "name": composed.message_id,
        "mask": name.mask,
        "tail": name.tail,
        "domain": route_of(handover).domain,
        "kept": KEPT if handover.caller_waits else None,
    }
