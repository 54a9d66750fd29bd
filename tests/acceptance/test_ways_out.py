"""Real workers carry the queue out by a program, by files and by Mailgun, and are killed while they do.

A kill in the middle of a hand-over leaves what may have been taken uncertain, and said to be; what the
journal says was taken is sent, and everything else leaves once.
"""

import json
import os
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.utils import getaddresses
from pathlib import Path
from typing import Any

import pytest

from delivery.models import Attempt, Message, SmallState
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import drains, finished, manage, until
from tests.acceptance.test_kill_around_the_reply import has_replies, nothing_can_be_recorded
from tests.builders import a_profile
from tests.delivery.engine import drained, due_again, entry_of, queued, state_of
from tests.transports.ways import DOMAIN, KEY, Kept, a_script, an_http_server, mailgun_takes

pytestmark = pytest.mark.django_db(transaction=True)

TO = ("bo@example.com", "cy@example.com")

#: Keeps what it is given, several at once, as soon as it may.
TAKES = """
cd {folder}
touch reached
while [ -e wait ] && [ ! -e go ]; do sleep 0.05; done
mkdir making.$$
printf '%s\\n' "$@" > making.$$/arguments
cat > making.$$/content
mv making.$$ taken.$$
"""


@dataclass
class Out:
    """One way out: the profile's values, what a worker needs, what was taken, and the gate of the first."""

    values: dict[str, Any]
    environment: dict[str, str]
    taken: Any
    #: Lets everything through at once unless called before the worker starts.
    shut: Any = None
    is_reached: Any = None
    open: Any = None

    @property
    def messages(self):
        """As the ledger reads them: recipients, and content with CRLF."""
        return self.taken()


@contextmanager
def by_sendmail(_folder):
    with a_script(TAKES) as script:

        def taken():
            found = script.messages
            return [Kept(one.mail_from, one.rcpt_to, one.content.replace(b"\n", b"\r\n")) for one in found]

        yield Out(
            {"transport": "sendmail", "host": "", "program": script.program},
            {"MAILCONF_SENDMAIL_PROGRAMS": script.program},
            taken,
            shut=(script.folder / "wait").touch,
            is_reached=(script.folder / "reached").exists,
            open=(script.folder / "go").touch,
        )


@contextmanager
def by_mailgun(_folder):
    reached, opened = threading.Event(), threading.Event()
    opened.set()

    def held(request, body):
        if request.command != "POST":
            return None
        answer = mailgun_takes(server, request, body)
        reached.set()
        assert opened.wait(300)
        return answer

    with an_http_server(mailgun_takes, answers=held) as server:
        yield Out(
            {"transport": "mailgun", "host": "", "api_domain": DOMAIN, "region": "eu", "password": KEY},
            {"DJANGO_SETTINGS_MODULE": "tests.acceptance.mailgun_here", "TEST_MAILGUN": server.url},
            lambda: list(server.messages),
            shut=opened.clear,
            is_reached=reached.is_set,
            open=opened.set,
        )


def by_files(style):
    """The way by a directory, in this style."""

    @contextmanager
    def way(folder):
        directory = folder / "out"
        directory.mkdir()
        names = ("X-Receiver",) if style == "x-sender" else ("To", "Cc", "Bcc")

        def kept(file):
            content = file.read_bytes()
            header = BytesHeaderParser().parsebytes(content)
            lines = [str(value) for name in names for value in header.get_all(name, [])]
            return Kept("", tuple(address for _name, address in getaddresses(lines)), content)

        values = {"transport": "pickup", "host": "", "directory": str(directory), "file_style": style}
        yield Out(values, {}, lambda: [kept(file) for file in directory.glob("*.eml")])

    return way


WAYS = {
    "sendmail": by_sendmail,
    "mailgun": by_mailgun,
    "plain files": by_files("eml"),
    "files with the envelope": by_files("x-sender"),
}


def in_long(value):
    """A case that shows for one more way what a quicker one shows."""
    return pytest.param(value, marks=pytest.mark.long)


@pytest.fixture
def way(request, tmp_path):
    with WAYS[request.param](tmp_path) as found:
        yield found


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def environment(process_environment, folder, way):
    return process_environment | {"MAILCONF_STATE_DIR": str(folder)} | way.environment


def drain(environment):
    """Drain until the queue is empty; its report."""
    report = finished(manage(environment, "drain", "--until-empty", "--json"), timeout=300)
    return json.loads(report)


def killed(process):
    process.kill()
    process.communicate()


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_two_workers_carry_everything_out_once(way, environment):
    a_profile(**way.values, max_connections=2)
    with drains(environment, 2):
        queued(30, to=TO)
        until(lambda: Message.objects.filter(state=SmallState.SENT).count() == 30, timeout=300)
    assert_balanced(books([way]), enqueued=60, at_rest=True, duplicates=0)


@pytest.mark.parametrize("way", [in_long("sendmail"), "mailgun"], indirect=True)
def test_killed_while_it_is_taken_it_is_uncertain_and_the_rest_goes_at_once(way, environment):
    way.shut()
    a_profile(**way.values, max_connections=1)
    first, *others = queued(5)
    process = manage(environment, "drain", "--until-empty")
    until(way.is_reached)
    killed(process)
    way.open()
    until(lambda: len(way.messages) == 1)  # nobody hears it

    assert drain(environment)["sent"] == 4
    assert {state_of(message_id) for message_id in others} == {SmallState.SENT}
    entry = entry_of(first)
    assert (entry.uncertain, entry.attempts, entry.lease_id) == (True, 1, None)
    assert [attempt.outcome for attempt in Attempt.objects.all()] == [Attempt.Result.UNCERTAIN]
    due_again(first)
    drain(environment)
    found = books([way])
    assert_balanced(found, enqueued=5, at_rest=True)
    assert found.duplicates == 1


@pytest.mark.parametrize("way", ["sendmail", in_long("mailgun")], indirect=True)
def test_killed_after_it_was_taken_it_is_sent_by_the_journal_and_never_again(way, environment, folder):
    way.shut()
    a_profile(**way.values, max_connections=1)
    queued(5)
    process = manage(environment, "drain", "--until-empty")
    until(way.is_reached)
    with nothing_can_be_recorded():
        way.open()
        until(lambda: has_replies(folder, 5))
        killed(process)
    assert set(Message.objects.values_list("state", flat=True)) == {SmallState.QUEUED}

    assert drain(environment)["sent"] == 0
    assert not Attempt.objects.exists()
    assert_balanced(books([way]), enqueued=5, at_rest=True, duplicates=0)


@pytest.mark.parametrize("moment", ["before", in_long("after")])
@pytest.mark.parametrize("way", ["plain files", in_long("files with the envelope")], indirect=True)
def test_killed_at_the_rename_there_is_no_half_file_and_one_message_is_uncertain(way, environment, moment):
    a_profile(**way.values, max_connections=1)
    ids = queued(6)
    deadly = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.dying_at_a_rename", "TEST_DIES": moment}
    process = manage(environment | deadly, "drain", "--until-empty")
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    is_there = moment == "after"
    assert len(way.messages) == 2 + is_there

    drain(environment)
    assert entry_of(ids[2]).uncertain
    assert [state_of(one) for one in ids].count(SmallState.SENT) == 5
    left = list((Path(way.values["directory"]) / ".mailconf").iterdir())
    assert len(left) == (not is_there)
    for file in left:
        os.utime(file, (0, 0))
    due_again(ids[2])
    drained()
    found = books([way])
    assert_balanced(found, enqueued=6, at_rest=True)
    assert found.duplicates == is_there
    assert all(b"Hello." in one.content for one in way.messages)
    assert not any(file.exists() for file in left)
