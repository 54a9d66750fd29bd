"""Retention loses nothing: killed in the middle it goes on, and mail leaves beside it (QUEUE 10.1)."""

import json

import pytest
from django.db import connection

from delivery.models import Content, Message, QueueEntry, SmallState
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import finished, manage, until
from tests.builders import a_profile
from tests.delivery.engine import draining, queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

OLD = 30_000
HELD_EVERY = 10


def a_history(count):
    """Messages that were cancelled a hundred days ago, and here and there one that is held."""
    states = f"CASE WHEN n %% {HELD_EVERY} = 0 THEN {SmallState.HELD} ELSE {SmallState.CANCELLED} END"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO delivery_message"
            " (message_id, mail_from, rcpt_to, rcpt_first, created_at, done_at, state)"
            " SELECT '<' || n || '@example.com>', 'a@example.com', '{b@example.com}', 'b@example.com',"
            f"  now() - interval '101 days', now() - interval '100 days', {states}"
            " FROM generate_series(1, %s) n",
            [count],
        )
        cursor.execute(
            "INSERT INTO delivery_content (message_id, size, data)"
            " SELECT id, 5, 'Hello' FROM delivery_message"
        )
        cursor.execute(
            "INSERT INTO delivery_failure (message_id, state, pool_id, priority, at)"
            " SELECT id, state, 1, 2, done_at FROM delivery_message WHERE state = %s",
            [SmallState.HELD],
        )


@pytest.mark.long
def test_a_purge_killed_again_and_again_ends_with_what_is_to_stay(process_environment):
    a_history(OLD)
    kills = 0
    for _ in range(4):
        before = Content.objects.count()
        process = manage(process_environment, "purge")
        until(
            lambda process=process, before=before: (
                Content.objects.count() < before or process.poll() is not None
            )
        )
        process.kill()
        process.communicate()
        kills += process.returncode < 0
        # Whatever it was at: no content is gone whose message is still to have one.
        assert not QueueEntry.objects.exists()
        assert Content.objects.filter(message_id__in=_held()).count() == OLD // HELD_EVERY

    counted = json.loads(finished(manage(process_environment, "purge", "--dry-run", "--json"), timeout=300))
    removed = json.loads(finished(manage(process_environment, "purge", "--json"), timeout=300))

    assert kills, "every purge was over before it was killed: this proves nothing"
    assert counted["messages"] == removed["messages"]
    assert Message.objects.count() == Content.objects.count() == OLD // HELD_EVERY
    assert set(Message.objects.values_list("state", flat=True)) == {SmallState.HELD}


def _held():
    return Message.objects.filter(state=SmallState.HELD).values("pk")


def test_mail_leaves_beside_a_purge_and_none_is_lost(process_environment):
    a_history(5_000)
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        ids = queued(300)
        with draining():
            purging = [manage(process_environment, "purge", "--json") for _ in range(2)]
            removed = [json.loads(finished(process, timeout=300)) for process in purging]
        assert server.accepted == len(ids)
        assert_balanced(books([server]), at_rest=True)

    assert sum(one["messages"] for one in removed) == 4_500
    assert Message.objects.filter(pk__in=ids, state=SmallState.SENT).count() == len(ids)
    assert Content.objects.filter(pk__in=ids).count() == len(ids)


@pytest.mark.long
def test_a_drain_does_the_upkeep_beside_its_mail(process_environment):
    a_history(2_500)
    drain = manage(process_environment, "drain")
    try:
        until(lambda: Message.objects.count() == 250 or drain.poll() is not None)
    finally:
        drain.terminate()
        finished(drain)

    assert Message.objects.count() == Content.objects.count() == 250
