"""The ledger that the acceptance tests judge by finds what it is for."""

from collections import Counter
from dataclasses import replace

import pytest

from delivery.models import Failure, Message, QueueEntry, SmallState
from tests.acceptance.ledger import Books, assert_balanced, books
from tests.builders import a_profile
from tests.delivery.engine import drained, queued
from tests.servers import smtp_server

ONE = ("<1@example.org>", "bo@example.com")
BALANCED = Books(
    enqueued=1,
    recipients=Counter({SmallState.SENT: 1}),
    before=Counter([ONE]),
    copies=Counter([ONE]),
    sent=Counter([ONE]),
    known=frozenset([ONE]),
)
QUEUED = replace(BALANCED, recipients=Counter({SmallState.QUEUED: 1}), sent=Counter())


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(replace(BALANCED, enqueued=2), id="a recipient vanished"),
        pytest.param(replace(BALANCED, copies=Counter()), id="sent, and no server has it"),
        pytest.param(replace(BALANCED, before=Counter([ONE, ONE])), id="twice"),
        pytest.param(replace(BALANCED, known=frozenset()), id="nobody handed it over"),
        pytest.param(QUEUED, id="accepted, and the database does not know"),
        pytest.param(replace(BALANCED, contradictions=("1: SENT with a queue entry",)), id="contradiction"),
    ],
)
def test_books_that_do_not_agree_are_refused(found):
    with pytest.raises(AssertionError):
        assert_balanced(found)


@pytest.mark.parametrize(
    "found",
    [
        BALANCED,
        replace(BALANCED, before=Counter([ONE, ONE]), copies=Counter([ONE, ONE]), unsure=Counter([ONE])),
        replace(QUEUED, on_the_wire=frozenset([ONE])),
        replace(QUEUED, before=Counter()),  # accepted while the books were read
    ],
)
def test_books_that_agree_pass(found):
    assert_balanced(found, enqueued=1)


def test_the_rest_is_looked_at_when_asked():
    with pytest.raises(AssertionError):
        assert_balanced(replace(BALANCED, leased=1), at_rest=True)
    with pytest.raises(AssertionError):
        assert_balanced(BALANCED, enqueued=2)
    twice = replace(BALANCED, copies=Counter([ONE, ONE]), unsure=Counter([ONE]))
    with pytest.raises(AssertionError):
        assert_balanced(twice, duplicates=0)


@pytest.mark.django_db(transaction=True)
def test_a_drained_queue_balances_and_each_seeded_fault_is_found():
    with smtp_server(answers={"RCPT": lambda to: "550 5.1.1 Unknown" if "nobody" in to else None}) as server:
        a_profile(host=server.host, port=server.port)
        ids = queued(5, to=("Bo@example.com", "cy@example.com"))
        queued(1, to=("bo@example.com", "nobody@example.com"))
        drained()
        assert_balanced(books([server]), enqueued=12, at_rest=True, duplicates=0)
        assert books([server]).recipients == {SmallState.SENT: 11, SmallState.FAILED: 1}
        assert books([server]).accepted == 11

        QueueEntry.objects.create(message_id=ids[0], pool_id=1)
        with pytest.raises(AssertionError, match="SENT with a queue entry"):
            assert_balanced(books([server]))
        QueueEntry.objects.all().delete()
        Failure.objects.all().delete()
        with pytest.raises(AssertionError, match="among the failures"):
            assert_balanced(books([server]))
        Message.objects.exclude(pk__in=ids).delete()
        with pytest.raises(AssertionError, match="nobody handed it over"):
            assert_balanced(books([server]))
        del server.messages[0]
        with pytest.raises(AssertionError):
            assert_balanced(books([server]))
