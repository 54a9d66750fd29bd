"""What one message costs in PostgreSQL's log: bytes of a claim and a finish, and the indexes it enters."""

import json

import pytest
from django.db import connection

from delivery import models, queue
from delivery.queue.claim import _CLAIM
from delivery.queue.finish import _FINISH, _parameters
from tests.delivery.queueing import enqueued, entry

pytestmark = pytest.mark.django_db

PAGE_BYTES = 8192


def logged(statement, values):
    """The bytes a statement logs; the image of a page, which a checkpoint causes, is taken off whole."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, WAL, FORMAT JSON) " + statement, values)
        found = cursor.fetchone()[0]
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan["WAL Bytes"] - PAGE_BYTES * plan["WAL FPI"]


def test_a_message_costs_at_most_eight_hundred_bytes_of_log_in_the_drain():
    """A new index on what changes, or changed columns among those that stay, would cost more."""
    ids = enqueued(200)
    lease = queue.register_worker()
    claim = {
        "lease": lease,
        "pools": [entry(ids[0]).pool_id],
        "priorities": [queue.MessagePriority.NORMAL.value],
        "mark_at": ["-infinity"],
        "mark_id": [0],
        "limit": len(ids),
        "seats": [7] * len(ids),
    }
    spent = logged(_CLAIM, claim)
    for start in range(0, len(ids), 50):
        ended = [
            queue.Finished(
                message_id, queue.SmallState.SENT, 1, 7, 250, "2.0.0", "2.0.0 Ok: queued as 4WkXyZ1234"
            )
            for message_id in ids[start : start + 50]
        ]
        spent += logged(_FINISH, _parameters(lease, ended))

    assert not models.QueueEntry.objects.exists()
    assert spent / len(ids) < 800


def test_no_index_is_written_for_a_message_but_those_somebody_asks():
    """Each costs some 70 bytes of log and 3 µs for every message handed over."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = ANY(%s)",
            [[model._meta.db_table for model in (models.Message, models.Content, models.QueueEntry)]],
        )
        found = {name for (name,) in cursor.fetchall()}

    assert found == {
        "delivery_message_pkey",
        "message_rcpt_prefix",
        "message_created_brin",  # an entry for each 128 pages
        "delivery_content_pkey",
        "content_blobs",  # of what has large parts
        "delivery_queueentry_pkey",
        "entry_lane",
        "entry_lease",
    }
