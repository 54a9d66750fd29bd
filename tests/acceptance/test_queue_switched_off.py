"""With the queue off a program's own process sends; killed before that, it leaves the message to a worker."""

import json
import subprocess
import sys

import pytest

from delivery.models import Message, QueueEntry, SmallState
from mailconf.env import BASE_DIR
from smtp_settings.policy import policies
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import finished, until
from tests.builders import a_profile
from tests.delivery.engine import drained, due_again
from tests.delivery.policies import policy
from tests.ports import free_port
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

PROGRAM = """
import json, os, smtplib, sys
import django
django.setup()
from django.core.mail import EmailMessage
from django.db import transaction
from delivery import at_once
from delivery.email_backend import EmailBackend

def sent(how):
    message = EmailMessage("Report", "Hello.", "ann@example.org", ["bo@example.com"])
    try:
        if how == "transaction":
            with transaction.atomic():
                EmailBackend().send_messages([message])
        else:
            EmailBackend().send_messages([message])
    except smtplib.SMTPException as error:
        return str(error)
    return "sent"

if "dies" in sys.argv:
    at_once.send_now = lambda ids: os.kill(os.getpid(), 9)
print(json.dumps([sent(how) for how in sys.argv[1:]]))
"""


@pytest.fixture
def environment(process_environment, tmp_path):
    """A process with folders of its own, and no broker."""
    policies()  # this place is the first: confirmed
    policy(queue_enabled=False)
    return {**process_environment, "MAILCONF_VAR": str(tmp_path), "REDIS_URL": ""}


def program(environment, *hows):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *hows],
        env=environment,
        cwd=BASE_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def heard(environment, *hows):
    """What the program got, for each message."""
    return json.loads(finished(program(environment, *hows), timeout=180))


def state():
    return SmallState(Message.objects.get().state)


def states():
    return set(Message.objects.values_list("state", flat=True))


def test_a_program_has_sent_when_it_goes_on(environment):
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        assert heard(environment, "sends", "transaction") == ["sent", "sent"]
        assert (len(server.messages), states()) == (2, {SmallState.SENT})
        assert_balanced(books([server]))


def test_a_program_hears_of_a_refusal(environment):
    with smtp_server(answers={"RCPT": "550 5.1.1 No such user"}) as server:
        a_profile(host=server.host, port=server.port)
        heard_of = heard(environment, "sends", "transaction")
        assert ["No such user" in words for words in heard_of] == [True, True]
        assert states() == {SmallState.FAILED}
        assert_balanced(books([server]))


def test_a_program_hears_of_a_server_that_is_down(environment):
    a_profile(host="127.0.0.1", port=free_port())
    assert "was not sent" in heard(environment, "sends")[0]
    assert state() is SmallState.FAILED


def test_killed_between_record_and_send_it_leaves_the_message_to_a_worker(environment):
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        dead = program(environment, "dies")
        dead.communicate(timeout=180)
        assert (dead.returncode, state()) == (-9, SmallState.QUEUED)
        drained()
        assert server.sessions == 0  # not before its five minutes are over
        due_again(Message.objects.get().pk)
        drained()
        assert (len(server.messages), state()) == (1, SmallState.SENT)
        assert_balanced(books([server]))


def test_killed_before_the_reply_it_leaves_the_message_to_a_worker_too(environment):
    started = []

    def kill(_argument):
        until(lambda: started)
        started[0].kill()
        started[0].wait()
        return "451 4.3.0 Too late"

    with smtp_server(answers={"MAIL": kill}) as server:
        a_profile(host=server.host, port=server.port)
        started.append(program(environment, "sends"))
        started[0].communicate(timeout=180)
        assert QueueEntry.objects.filter(lease_id__isnull=False).exists()
        server.answers.clear()
        for _ in range(2):  # a suspect, and due again
            drained()
            due_again(Message.objects.get().pk)
        assert (len(server.messages), state()) == (1, SmallState.SENT)
