"""`manage.py drain` and `manage.py queue_status`."""

import json
import signal
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

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
