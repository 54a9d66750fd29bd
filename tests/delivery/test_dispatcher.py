"""The engine on the real PostgreSQL, with real servers on loopback."""

import pytest

from delivery.models import Attempt, Message, SmallState
from tests.builders import a_profile
from tests.delivery.engine import drained, queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_queued_message_is_sent():
    with smtp_server() as server:
        profile = a_profile(host=server.host, port=server.port)
        (message_id,) = queued()
        report = drained()
        (received,) = server.messages
    assert (report.sent, report.deferred, report.failed) == (1, 0, 0)
    assert received.rcpt_to == ("bo@example.com",)
    assert received.content.startswith(b"From: shop@example.com\r\nSubject: Report 0\r\n")
    message = Message.objects.get(pk=message_id)
    assert (message.state, message.attempts, message.profile_id, message.code) == (
        SmallState.SENT,
        1,
        profile.pk,
        250,
    )
    assert not Attempt.objects.exists()
