"""`manage.py drain` and `manage.py queue_status`."""

import json
import signal
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from delivery import queue
from delivery.models import QueueEntry
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


def output_of(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_drain_says_what_it_did():
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        queued(3)
        assert output_of("drain", "--until-empty").startswith("3 sent in ")


@pytest.mark.parametrize(("arguments", "most"), [([], 3), (["--batch-size", "2"], 2)])
def test_no_more_is_claimed_at_once_than_the_batch_size(settings, monkeypatch, arguments, most):
    settings.MAILCONF_BATCH_SIZE = 3
    claim, asked = queue.claim, []

    def noting(lease, lanes, seats):
        asked.append(len(seats))
        return claim(lease, lanes, seats)

    monkeypatch.setattr(queue, "claim", noting)
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        queued(10)
        assert output_of("drain", "--until-empty", *arguments).startswith("10 sent in ")
    assert max(asked) <= most


@pytest.mark.parametrize("size", ["0", "1001", "-5", "many"])
def test_a_batch_size_out_of_range_is_refused(size):
    with pytest.raises(CommandError, match="from 1 to 1000"):
        output_of("drain", "--until-empty", "--batch-size", size)


def test_drain_prints_json():
    with smtp_server(answers={"RCPT": "550 5.1.1 No such user"}) as server:
        a_profile(host=server.host, port=server.port)
        queued(2)
        report = json.loads(output_of("drain", "--until-empty", "--json"))
    assert (report["sent"], report["failed"]) == (0, 2)
    assert report["statements"] > 0


class Terminal(StringIO):
    def isatty(self):
        return True


def test_drain_draws_a_bar_on_a_terminal():
    terminal = Terminal()
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        queued(3)
        call_command("drain", "--until-empty", stdout=StringIO(), stderr=terminal)
    assert "[                              ]   0%  0 sent" in terminal.getvalue()


def test_drain_leaves_the_signals_as_they_were():
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    output_of("drain", "--until-empty")
    assert [signal.getsignal(number) for number in numbers] == before


def test_queue_status_counts_by_state():
    queued(2)
    oldest, _ = QueueEntry.objects.order_by("message_id")
    QueueEntry.objects.filter(pk=oldest.pk).update(ready_at=timezone.now() - timedelta(minutes=5))
    status = json.loads(output_of("queue_status", "--json"))
    assert (status["queued"], status["sent"], status["failed"]) == (2, 0, 0)
    assert 295 < status["oldest_queued_seconds"] < 400


def test_queue_status_of_an_empty_queue():
    assert json.loads(output_of("queue_status", "--json"))["oldest_queued_seconds"] is None
    assert "No message is due." in output_of("queue_status")


def test_queue_status_in_words():
    queued(1)
    lines = output_of("queue_status").splitlines()
    assert lines[0].split() == ["queued", "1"]
    assert lines[-1].startswith("The oldest due message has waited ")
