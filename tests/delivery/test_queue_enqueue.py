"""Handing messages to the queue: what is stored, once, and in how many statements."""

import pytest
from django.db import connection

from delivery import models, queue
from tests.delivery.queueing import a_handover, composed

pytestmark = pytest.mark.django_db


def test_a_message_is_stored_with_its_content_and_a_queue_entry():
    (made,) = queue.enqueue([a_handover(tag="report")])

    message = models.Message.objects.get()
    assert (message.pk, message.message_id, message.state) == (made.id, made.message_id, queue.SmallState.QUEUED)
    assert message.rcpt_to == ["Bo@example.com", "cy@example.com"]
    assert message.rcpt_first == "bo@example.com"
    entry = models.QueueEntry.objects.get()
    assert (entry.message_id, entry.lease_id, entry.priority) == (made.id, None, 2)
    content = models.Content.objects.get()
    assert bytes(content.data) == f"Message-ID: {made.message_id}\r\n".encode() + composed().data
