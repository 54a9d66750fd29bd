"""A journal's disk that changes in the middle of a drain, for real: each message leaves once all the same."""

import ctypes
import os
import resource
import shutil
import subprocess
from contextlib import contextmanager

import pytest

from delivery import tasks
from delivery.dispatcher.recording import journal as journals
from delivery.models import Attempt, Message, QueueEntry, SmallState, Worker
from smtp_settings.models import Event
from tests.builders import a_profile
from tests.delivery.engine import drained, queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = 500
NOBODY = 65_534


@pytest.fixture
def state(tmp_path, settings):
    """The folder of the journals, on a disk of its own."""
    settings.MAILCONF_STATE_DIR = tmp_path / "disk" / "state"
    settings.MAILCONF_STATE_DIR.mkdir(parents=True)
    return settings.MAILCONF_STATE_DIR


@contextmanager
def disk_with_room_for(state, size):
    """A file system that takes so many bytes more; where none can be mounted, no file may grow further."""
    disk, whole = state.parent, 64 * 1024
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={whole}", "tmpfs", str(disk)]
    if os.geteuid() == 0 and shutil.which("mount") and subprocess.run(mounting, check=False).returncode == 0:
        try:
            (disk / "other").write_bytes(b"x" * (whole - size))
            yield
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)
    else:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def as_anybody(state):
    """Let files be reached as by a user without privileges: root writes to any folder."""
    if os.geteuid() != 0:
        yield
        return
    for folder in (state, *state.parents):
        if folder.stat().st_uid == 0 and folder.name.startswith(("pytest-", "popen-", "test_", "disk")):
            folder.chmod(0o755)
    os.chown(state, NOBODY, NOBODY)
    tasks.ring()  # its thread outlives us
    own = ctypes.CDLL(None).setfsuid
    own(NOBODY)  # of this thread and those it starts
    try:
        yield
    finally:
        own(0)


def assert_each_was_sent_once(server):
    """Nothing lost, nothing twice, nothing in hand or uncertain, and nobody left behind."""
    messages = Message.objects.values_list("message_id", flat=True)
    assert server.accepted == len({received.content for received in server.messages}) == len(messages)
    assert set(Message.objects.values_list("state", "attempts")) == {(SmallState.SENT, 1)}
    assert not QueueEntry.objects.exists()
    assert not Attempt.objects.exists()
    assert set(Worker.objects.values_list("state", flat=True)) == {Worker.State.DEAD}


def said(caplog, words=""):
    """What the engine said with these words; without a disk even the broker says something."""
    told = [record.getMessage() for record in caplog.records if record.name.startswith("delivery.dispatcher")]
    return [sentence for sentence in told if words in sentence]


@pytest.mark.parametrize("room", [0, 4096, 8192])
def test_a_disk_that_is_full_or_fills_up_stops_no_mail_and_is_told_of_once(state, caplog, room):
    with disk_with_room_for(state, room), smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        queued(COUNT)
        report = drained(deadline=60.0)
        assert not list(state.parent.rglob("worker-*"))
    assert (report.sent, report.uncertain, report.was_fenced) == (COUNT, 0, False)
    assert_each_was_sent_once(server)
    words = "No journal is kept" if not room else "The journal is given up"
    assert len(said(caplog)) == len(said(caplog, words)) == 1
    assert Event.objects.filter(kind="journal.given_up").count() == bool(room)


@pytest.mark.parametrize("compacts_at", [1_000_000, 3_000], ids=["left as it is", "written anew"])
def test_a_folder_that_becomes_unwritable_stops_no_mail_and_is_told_of_once(
    state, caplog, monkeypatch, compacts_at
):
    monkeypatch.setattr(journals, "COMPACT_BYTES", compacts_at)

    def in_the_middle(_argument):
        if server.accepted == COUNT // 5:
            state.chmod(0o500)

    with as_anybody(state), smtp_server(answers={"DOT": in_the_middle}) as server:
        a_profile(host=server.host, port=server.port)
        queued(COUNT)
        assert drained(deadline=60.0).sent == COUNT
        (left,) = state.iterdir()
        words = "could not be removed" if compacts_at > COUNT * 100 else "The journal is given up"
        assert len(said(caplog)) == len(said(caplog, words)) == 1

        for _drain in range(3):
            queued(10)
            assert drained(deadline=60.0).sent == 10
        assert_each_was_sent_once(server)
        assert len(said(caplog, "stays where it is")) == len(said(caplog, "No journal is kept")) == 1
        assert len(said(caplog)) == 3

        state.chmod(0o700)
        drained()
        assert not left.exists()


def test_a_folder_that_nobody_may_enter_stops_no_mail_and_is_told_of_once(state, caplog):
    state.chmod(0o700)
    with as_anybody(state), smtp_server() as server:
        state.chmod(0)
        a_profile(host=server.host, port=server.port)
        for _drain in range(3):
            queued(10)
            assert drained(deadline=60.0).sent == 10
        assert_each_was_sent_once(server)
        assert len(said(caplog, "cannot be looked for")) == len(said(caplog, "No journal is kept")) == 1
        state.chmod(0o700)
