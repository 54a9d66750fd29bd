"""`kill -9` of a worker in the middle of a drain: every message is sent after the next start."""

from collections import Counter

import pytest

from delivery.models import Message, QueueEntry, SmallState
from tests.acceptance.processes import manage
from tests.builders import a_profile
from tests.delivery.engine import drained, due_again, queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGES = 300
CONNECTIONS = 4


def message_ids(server):
    """How often the server accepted each message, by Message-ID."""
    lines = (
        line
        for received in server.messages
        for line in received.content.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
    )
    return Counter(line.decode() for line in lines if line.lower().startswith(b"message-id:"))


@pytest.mark.parametrize("accepted_before", [1, 120])
def test_kill_minus_nine_loses_nothing(process_environment, tmp_path, settings, accepted_before):
    settings.MAILCONF_STATE_DIR = tmp_path / "state"
    environment = process_environment | {"MAILCONF_STATE_DIR": str(tmp_path / "state")}
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_connections=CONNECTIONS)
        ids = queued(MESSAGES)
        drain = manage(environment, "drain", "--until-empty")
        server.wait_for(accepted_before, timeout=120)
        drain.kill()
        drain.communicate()
        server.wait_until_closed()
        before = server.accepted
        assert before < MESSAGES
        assert QueueEntry.objects.filter(lease_id__isnull=False).exists()

        # no 45 seconds without a heartbeat: the journal says at once what the worker did
        first = drained()
        uncertain = QueueEntry.objects.filter(uncertain=True).count()
        assert uncertain <= CONNECTIONS
        assert QueueEntry.objects.count() == uncertain
        due_again(*ids)
        second = drained()
        copies = message_ids(server)
    assert set(Message.objects.filter(pk__in=ids).values_list("state", flat=True)) == {SmallState.SENT}
    assert len(copies) == MESSAGES
    assert sum(copies.values()) == before + first.sent + second.sent
    assert sum(copies.values()) - MESSAGES <= uncertain
    assert not QueueEntry.objects.exists()
