"""Store messages and put them in the queue, in the caller's transaction."""

from collections.abc import Sequence

from django.db import transaction

from delivery.queue import blobs, idempotency, storing
from delivery.queue.enqueue_one import enqueue_one
from delivery.queue.new_messages import NewMessage, leaves_at_once, new_message, route_of, rows_of
from delivery.queue.routes import pools_for
from delivery.queue.statements import named, run
from delivery.queue.values import Enqueued, Handover

# A subquery, or the sequence's name is looked up for every number. The switches of the queue come along, by
# site, 0 for all.
_NUMBERS = named("""
SELECT nextval((SELECT pg_get_serial_sequence('{message}', 'id'))), now(),
       (SELECT json_object_agg(coalesce(site_id, 0), queue_enabled) FROM {policy}
        WHERE queue_enabled IS NOT NULL)
FROM generate_series(1, %(count)s::int)""")


def enqueue(handovers: Sequence[Handover]) -> list[Enqueued]:
    """Store the messages and queue them, all or none; one answer per handover, in order.

    Runs in the caller's transaction, or in one of its own. A handover whose idempotency key is known gives
    the stored message (`created` False). Raises IdempotencyConflict when the key stands for other content.
    Rings nobody: the caller does, after commit.
    """
    if not handovers:
        return []
    if len(handovers) == 1 and (answer := enqueue_one(handovers[0])) is not None:
        return [answer]
    with transaction.atomic():
        ids = run(_NUMBERS, {"count": len(handovers)})
        switches, now = ids[0][2] or {}, ids[0][1]
        made = [
            new_message(row_id, handover, is_at_once=leaves_at_once(handover, switches, now))
            for (row_id, *_), handover in zip(ids, handovers, strict=True)
        ]
        answers = _answers(made)
        new = [row for row, answer in zip(made, answers, strict=True) if answer.created]
        if new:
            pools = pools_for(route_of(row.handover) for row in new)
            storing.store(*rows_of(new, pools, _blob_ids(new), now=now))
        return answers


def _answers(made: list[NewMessage]) -> list[Enqueued]:
    """Say for each row whether it is new or stands for a message whose key is known."""
    keyed = [
        idempotency.Keyed(row.handover.idempotency_key, row.id, row.handover.composed.digest)
        for row in made
        if row.handover.idempotency_key is not None
    ]
    known = idempotency.take(keyed) if keyed else {}
    answers = []
    for row in made:
        key = row.handover.idempotency_key
        if key is None or key not in known:
            answer = Enqueued(row.id, row.message_id, created=True, is_at_once=row.is_at_once)
        else:
            answer = known[key]
        if key is not None:  # for a second one with the same key in this call
            known.setdefault(key, Enqueued(row.id, row.message_id, created=False))
        answers.append(answer)
    return answers


def _blob_ids(new: list[NewMessage]) -> dict[int, list[int]]:
    """Store the large parts; a sensitive message shares none, so that they can go with it."""
    shared = blobs.store(
        part for row in new if not row.handover.sensitive for part in row.handover.composed.blobs
    )
    found = {}
    for row in new:
        if parts := row.handover.composed.blobs:
            ids = blobs.store(parts, owner=row.id) if row.handover.sensitive else shared
            found[row.id] = [ids[part] for part in parts]
    return found
