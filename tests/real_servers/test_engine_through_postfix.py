"""The whole way: settings tested through the gate, mail queued, drained through Postfix's submission port."""

import io
import re
import sys
from collections import Counter

import pytest
from django.core.management import call_command
from django.utils import timezone

from delivery.models import Message, ProfileState, QueueEntry, SmallState
from smtp_settings.models import SMTPProfile
from tests.delivery.engine import attempts_of, drained, draining, due_again, entry_of, queued, state_of, until
from tests.real_servers.postfix import PASSWORD, RECIPIENT_LIMIT, RECIPIENTS, USER
from tests.servers import authority_pem

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGES = 300
CONNECTIONS = 4


@pytest.fixture
def profile(postfix, monkeypatch):
    """A live profile for the submission port, tested by a real message as it was saved."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD + "\n"))
    values = {
        "host": postfix.host,
        "port": postfix.ports["submission"],
        "security": "starttls",
        "auth": "password",
        "username": USER,
        "ca": authority_pem(),
        "from_address": "shop@example.com",
        "max_connections": CONNECTIONS,
    }
    call_command(
        "set_profile",
        "Postfix",
        *(f"{name}={value}" for name, value in values.items()),
        "--password-stdin",
        "--test-to=inbox@example.com",
        stdout=io.StringIO(),
    )
    assert sum(postfix.passed_on().values()) == 1
    postfix.sink.forget()
    return SMTPProfile.objects.get()


def copies(postfix):
    """How often Postfix took each message, by Message-ID, and to whom."""
    postfix.passed_on()
    taken = {(number(each), message_id(each), each.rcpt_to) for each in postfix.sink.messages}
    return Counter((found, recipients) for _, found, recipients in taken)


def number(received):
    """Postfix's own number of a message: one it passed on twice is one."""
    return re.search(rb"\bid (\w+)", received.content)[1]


def message_id(received):
    return re.search(rb"(?im)^Message-ID: *(\S+)", received.content)[1].decode()


def test_hundreds_of_queued_messages_arrive_once(postfix, profile):
    ids = queued(MESSAGES)
    report = drained()
    assert (report.sent, report.deferred, report.failed, report.uncertain) == (MESSAGES, 0, 0, 0)
    assert set(Message.objects.filter(pk__in=ids).values_list("state", flat=True)) == {SmallState.SENT}
    taken = copies(postfix)
    assert len(taken) == sum(taken.values()) == MESSAGES
    subjects = Counter(
        re.search(rb"(?m)^Subject: (Report \d+)\r$", each.content)[1].decode()
        for each in postfix.sink.messages
    )
    assert subjects == Counter(f"Report {n}" for n in range(MESSAGES))
    assert {each.rcpt_to for each in postfix.sink.messages} == {("bo@example.com",)}
    assert not QueueEntry.objects.exists()


def test_each_refusal_ends_as_it_should_and_harms_no_other(postfix, profile):
    others = queued(30)
    (unknown,) = queued(to=["unknown@example.com"])
    (later,) = queued(to=["later@example.com"])
    (partial,) = queued(to=["ann@example.com", "unknown@example.com"])
    everybody = [f"reader{n}@example.com" for n in range(2 * RECIPIENT_LIMIT + 1)]
    (many,) = queued(to=everybody)
    drained()
    assert {state_of(each) for each in others} == {SmallState.SENT}
    assert state_of(unknown) == SmallState.FAILED
    assert (state_of(later), entry_of(later).attempts) == (SmallState.QUEUED, 1)
    assert state_of(many) == SmallState.SENT
    assert attempts_of(unknown)[0].code == int(RECIPIENTS["unknown@example.com"][:3])
    postfix.passed_on()
    got = Counter(address for each in postfix.sink.messages for address in each.rcpt_to)
    assert got == Counter(everybody) + Counter({"bo@example.com": 30, "ann@example.com": 1})
    assert state_of(partial) == SmallState.FAILED  # for one of two; the other has it


def test_a_restart_of_the_server_in_the_middle_loses_nothing(postfix, profile):
    ids = queued(MESSAGES)
    with draining():
        until(lambda: len(postfix.sink.messages) >= 60)
        postfix.stop()
        postfix.start()
    uncertain = set(QueueEntry.objects.filter(uncertain=True).values_list("pk", flat=True))
    assert len(uncertain) <= CONNECTIONS
    until(lambda: all_sent_after_another_drain(ids), timeout=60)
    taken = copies(postfix)
    assert len(taken) == MESSAGES
    assert sum(taken.values()) <= MESSAGES + len(uncertain)


def all_sent_after_another_drain(ids):
    """Let everything be due and the server be trusted again, and drain."""
    ProfileState.objects.update(open_until=timezone.now())
    due_again(*ids)
    drained()
    return not QueueEntry.objects.exists()
