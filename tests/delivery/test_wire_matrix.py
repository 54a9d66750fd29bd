"""The matrix through the engine: what the rows say after a server's misdeed, from MAIL to QUIT (WIRE R5).

One way out with one connection, two messages, the real PostgreSQL. The first meets the cell; the second is
sent in every cell. `tests/wire/test_matrix.py` has the same cells from the side of the session.
"""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from delivery.dispatcher.servers import health
from delivery.models import Message, QueueEntry, SmallState
from delivery.queue import AttemptResult
from smtp_settings import wire
from tests.builders import a_profile
from tests.delivery.engine import attempts_of, drained, draining, queued, state_of, until
from tests.wire.cells import ACTIONS, OFFERS, RECIPIENTS, Cell, action_of, timeouts_of
from tests.wire.evil import Action, Peer, evil_server_beside, honestly, say

pytestmark = pytest.mark.django_db(transaction=True)

STAGES = ("mail", "rcpt", "data", "body", "dot", "after_250", "quit")

#: What the rows say of the first message after one drain, by stage in the order of ACTIONS, and how many
#: connections it took to send both.
#:
#: sent       at the first try; no attempt is noted
#: again      released uncounted, and sent by the same drain over a new connection
#: later      put off and counted, to be tried again
#: some       two of three recipients have it; the third is put off ("later") or has "failed"
#: failed     for good
#: uncertain  to be sent again after ten minutes, with its mark
TABLE = """
             fin         rst         hang        421     4xx          5xx          malformed   32k         drip        extra       bytes

    mail     again,2     again,2     again,2     again,2 later,1      failed,1     later,2     later,2     again,2     later,2     sent,1
    rcpt     again,2     again,2     again,2     again,2 some_later,1 some_failed,1 later,2    later,2     again,2     later,2     sent,1
    data     again,2     again,2     again,2     again,2 later,1      failed,1     later,2     later,2     again,2     later,2     sent,1
    body     again,2     again,2     again,2     later,2 later,2      failed,2     later,2     later,2     again,2     later,2     later,2
    dot      uncertain,2 uncertain,2 uncertain,2 later,2 later,1      failed,1     uncertain,2 uncertain,2 uncertain,2 uncertain,2 sent,1
    after_250 sent,2     sent,2      sent,2      sent,2  sent,2       sent,2       sent,2      sent,2      sent,2      sent,2      sent,2
    quit     sent,1      sent,1      sent,1      sent,1  sent,1       sent,1       sent,1      sent,1      sent,1      sent,1      sent,1
"""  # noqa: E501

CELLS = [
    (stage, action, *cell.split(","))
    for stage, *cells in (line.split() for line in TABLE.splitlines()[3:])
    for action, cell in zip(ACTIONS, cells, strict=True)
]

LARGE = "0123456789" * 7 + "\n"


@pytest.fixture(autouse=True)
def _no_long_rest(monkeypatch):
    monkeypatch.setattr(health, "_REST_SECONDS", 0.05)


def a_way_out(server, stage, action, monkeypatch):
    """A profile for the server, whose waits are short where the server keeps it waiting."""
    cell = Cell(stage, action, "", "", "", "", "")
    limits = timeouts_of(cell, 0.5)
    monkeypatch.setattr(wire, "Timeouts", lambda **_: limits)
    return a_profile(host=server.host, port=server.port, max_connections=1)


def plan_for(stage, action, wrap: Callable[[Action], Action] = lambda action: action):
    act = wrap(action_of(Cell(stage, action, "", "", "", "", "")))
    return {stage: [honestly, act] if stage == "rcpt" else [act]}


OTHERS = ("di@example.org",)


def check_rows(server, message_id, fate):
    """Hold one message's rows, and the server's ledger, against what they should say."""
    outcomes = [attempt.outcome for attempt in attempts_of(message_id)]
    message = Message.objects.get(pk=message_id)
    entry = QueueEntry.objects.filter(pk=message_id).first()
    everybody = tuple(message.rcpt_to)
    accepted = [accepted.rcpt_to for accepted in server.ledger if {*accepted.rcpt_to} <= {*everybody}]
    is_later = fate in {"later", "some_later", "uncertain"}

    assert state_of(message_id) is {
        "sent": SmallState.SENT,
        "again": SmallState.SENT,
        "failed": SmallState.FAILED,
        "some_failed": SmallState.FAILED,
    }.get(fate, SmallState.QUEUED)
    assert (
        outcomes
        == {
            "sent": [],
            "again": [AttemptResult.RELEASED],
            "later": [AttemptResult.RETRY],
            "failed": [AttemptResult.FAILED],
            "uncertain": [AttemptResult.UNCERTAIN],
            "some_later": [AttemptResult.PARTIAL],
            "some_failed": [AttemptResult.PARTIAL],
        }[fate]
    )
    assert (entry is not None) is is_later
    if is_later:
        pause = timedelta(minutes=9) if fate == "uncertain" else timedelta(seconds=30)
        assert entry.ready_at > timezone.now() + pause
        assert (entry.attempts, entry.drops, entry.lease_id) == (1, 0, None)
        assert entry.uncertain is (fate == "uncertain")
    else:
        assert message.attempts == 1
    if fate == "uncertain":
        assert len(accepted) <= 1
    elif fate in {"sent", "again"}:
        assert accepted == [everybody]
    elif fate.startswith("some"):
        assert accepted == [(RECIPIENTS[0], RECIPIENTS[2])]
        verdicts = [message.verdicts.get(recipient, {}).get("state") for recipient in RECIPIENTS]
        assert verdicts == ["sent", "failed" if fate == "some_failed" else None, "sent"]
    else:
        assert accepted == []


@pytest.mark.parametrize(
    ("stage", "action", "fate", "connections"),
    [cell for cell in CELLS if cell[0] != "after_250"],
    ids=[f"{cell[0]} {cell[1]}" for cell in CELLS if cell[0] != "after_250"],
)
def test_a_cell(stage, action, fate, connections, monkeypatch, record_property):
    record_property("wire matrix", "engine")
    body = LARGE * 120_000 if stage == "body" else "Hello.\n"
    with evil_server_beside(plan_for(stage, action), ehlo=OFFERS, remembers=True) as server:
        a_way_out(server, stage, action, monkeypatch)
        (first,) = queued(to=RECIPIENTS, body=body)
        (second,) = queued(to=OTHERS)
        drained()
        assert server.connections == int(connections)
    check_rows(server, first, fate)
    check_rows(server, second, "sent")


@pytest.mark.parametrize(
    ("stage", "action", "fate", "connections"), [c for c in CELLS if c[0] == "after_250"]
)
def test_a_cell_between_two_messages(stage, action, fate, connections, monkeypatch, record_property):
    record_property("wire matrix", "engine")
    was_recorded, stop = threading.Event(), threading.Event()

    def once_recorded(act: Action) -> Action:
        async def later(peer: Peer, honest: bytes) -> None:
            await asyncio.to_thread(was_recorded.wait, 10)
            await act(peer, honest)

        return later

    with evil_server_beside(plan_for(stage, action, once_recorded), ehlo=OFFERS, remembers=True) as server:
        a_way_out(server, stage, action, monkeypatch)
        with draining(until_empty=False, stop=stop):
            (first,) = queued(to=RECIPIENTS)
            until(lambda: state_of(first) is SmallState.SENT)
            was_recorded.set()
            if action != "hang":
                until(lambda: server.open == 0)
            (second,) = queued(to=OTHERS)
            until(lambda: state_of(second) is SmallState.SENT)
            stop.set()
        assert server.connections == int(connections)
    check_rows(server, first, fate)
    check_rows(server, second, "again" if action == "hang" else "sent")


def test_d13_hostile_words_are_stored_clean_and_the_commit_works(monkeypatch):
    """D11-D13: PostgreSQL takes neither NUL nor a lone surrogate; markup is text."""
    words = b" <script>alert(1)</script> \x1b[2J\x07 \x00 \x80\xff \xed\xa0\x80 \xe2\x80\xae end"
    plan = {"rcpt": [honestly, say(b"550 5.1.1" + words)], "dot": [say(b"250 2.0.0" + words)]}
    with evil_server_beside(plan, ehlo=OFFERS, remembers=True) as server:
        a_way_out(server, "dot", "bytes", monkeypatch)
        (refused,) = queued(to=RECIPIENTS)
        drained()
        assert len(server.ledger) == 1
    message = Message.objects.get(pk=refused)
    assert state_of(refused) is SmallState.FAILED
    (attempt,) = attempts_of(refused)
    for text in (message.reply, attempt.reply, message.verdicts[RECIPIENTS[1]]["reply"]):
        assert text.isprintable()
        assert text.startswith("<script>alert(1)</script> \N{REPLACEMENT CHARACTER}[2J")
        assert text.endswith("end")


def test_the_matrix_of_the_engine_is_whole():
    assert [(stage, action) for stage, action, *_ in CELLS] == [(s, a) for s in STAGES for a in ACTIONS]
    assert len(CELLS) == 77
