"""The journal's file: what is in it when the process is killed at any moment, and when the disk is full."""

import fcntl
import os
import resource
import stat
from contextlib import contextmanager

import pytest

from delivery.dispatcher.lease import Lease, LeaseLost
from delivery.dispatcher.recording import journal as journals
from delivery.dispatcher.recording import records
from delivery.dispatcher.recording.journal import Journal
from delivery.dispatcher.recording.records import Header, NotAJournal, Note
from tests.delivery.test_dispatcher_parts import NO, OK, a_work
from transports.base import Reply

SINCE = "2026-11-21T08:00:00+00:00"


def a_journal(folder, *, lease=None, sync=False):
    return Journal(lease or Lease(812, begun_at=0.0), Header(812, SINCE, "boot", is_synced=sync), folder)


def work_of(message_id, **changes):
    return a_work(message_id=message_id, **changes)


def text_in(folder):
    (path,) = folder.glob(journals.NAMES)
    return path.read_bytes()


def notes_in(folder):
    return records.read(text_in(folder)).notes


@contextmanager
def largest_file(size):
    """Let no file of this process grow beyond `size`, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


def test_a_message_is_noted_as_it_is_begun_before_its_dot_and_with_the_reply(folder):
    journal, work = a_journal(folder), work_of(4711, attempts=2, drops=1)
    journal.begun(work)
    assert notes_in(folder) == {4711: Note()}
    journal.sending(work)
    assert notes_in(folder) == {4711: Note(7, "2.1.0")}
    journal.replied(work, Reply(250, "Ok: queued as 1A", "2.0.0"), (OK, OK))
    assert notes_in(folder) == {4711: Note(7, "2.1.0", Reply(250, "Ok: queued as 1A", "2.0.0"))}
    journal.close()


def test_a_partial_refusal_is_noted_by_recipient(folder):
    journal, work = a_journal(folder), work_of(1)
    journal.sending(work)
    journal.replied(work, OK, (Reply(250), Reply(550, "no", "5.1.1"), None))
    assert notes_in(folder)[1].rcpt_replies == (Reply(250), Reply(550, "", "5.1.1"), None)
    journal.close()


def test_no_address_is_written_and_nobody_else_may_read_it(folder):
    journal, work = a_journal(folder), work_of(1)
    journal.begun(work)
    journal.sending(work)
    journal.replied(work, Reply(451, "<ann@example.com>: try ann@example.com later", "4.2.0"), (OK, NO))
    assert b"@" not in text_in(folder)
    assert notes_in(folder)[1].reply.text == "… try … later"
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not os.get_inheritable(journal._fd)
    journal.close()


def test_it_is_emptied_when_the_database_knows_everything(folder):
    journal = a_journal(folder)
    empty = text_in(folder)
    for n in (1, 2):
        journal.begun(work_of(n))
        journal.sending(work_of(n))
    journal.acknowledged([1])
    assert set(notes_in(folder)) == {2}
    journal.acknowledged([2])
    assert text_in(folder) == empty
    journal.begun(work_of(3))
    assert set(notes_in(folder)) == {3}
    journal.close()


def test_under_lasting_load_it_is_written_anew_with_the_open_records(folder, monkeypatch):
    monkeypatch.setattr(journals, "COMPACT_BYTES", 2_000)
    journal = a_journal(folder)
    journal.sending(work_of(1))
    journal.replied(work_of(1), OK, (OK, OK))
    for n in range(2, 1_000):
        journal.sending(work_of(n))
        journal.acknowledged([n])
        assert len(text_in(folder)) < 2_300
    assert set(notes_in(folder)) == {1}
    assert notes_in(folder)[1].reply == OK
    (path,) = folder.iterdir()
    with path.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    journal.close()


def test_the_owner_holds_the_lock_until_it_ends(folder):
    journal = a_journal(folder)
    journal.begun(work_of(1))
    (path,) = folder.iterdir()
    with path.open() as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        journal.close()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_file_goes_with_the_session_unless_something_is_not_recorded_yet(folder):
    journal = a_journal(folder)
    journal.begun(work_of(1))
    journal.close()
    assert set(notes_in(folder)) == {1}

    for path in folder.iterdir():
        path.unlink()
    journal = a_journal(folder)
    journal.begun(work_of(1))
    journal.acknowledged([1])
    journal.close()
    assert not list(folder.iterdir())


def test_a_torn_last_line_is_as_if_it_had_not_been_written(folder):
    journal = a_journal(folder)
    for n in (1, 2):
        journal.begun(work_of(n))
        journal.sending(work_of(n))
    journal.close()
    data = text_in(folder)
    start = len(data) - len(records.sending(work_of(2)))
    for end in range(start, len(data)):
        found = records.read(data[:end])
        assert found.is_whole
        assert found.notes == {1: Note(7, "0.0.0"), 2: Note()}


@pytest.mark.parametrize("damage", [b"\0\0\0\0\n", b"S 2 7\n", b"D 9 250 - + Ok\n", b"X 1\n", b"\n"])
def test_what_lies_behind_a_damaged_line_proves_nothing(damage):
    head = bytes(Header(812, SINCE, "boot", is_synced=False))
    found = records.read(head + b"B 1\nS 1 7 0.0.0\n" + damage + b"B 2\n")
    assert not found.is_whole
    assert found.notes == {1: Note(7, "0.0.0")}


@pytest.mark.parametrize("data", [b"", b"\n", b"mailconf-journal 1 lease=8", b"mailconf-journal 2 lease=8\n"])
def test_a_file_without_a_whole_header_is_no_journal(data):
    with pytest.raises(NotAJournal):
        records.read(data)


@pytest.mark.parametrize("missing", range(1, 12))
def test_a_full_disk_ends_the_journal_and_not_the_session(folder, missing):
    """A line that is cut anywhere: the file must not stay, or it would deny what was sent."""
    journal = a_journal(folder)
    journal.begun(work_of(1))
    line = len(records.sending(work_of(1)))
    with largest_file(len(text_in(folder)) + line - missing):
        journal.sending(work_of(1))
    assert not list(folder.iterdir())
    assert not journal.is_kept
    assert journal.was_given_up
    assert "large" in journal.failure or "space" in journal.failure
    journal.replied(work_of(1), OK, (OK, OK))
    journal.acknowledged([1])
    journal.close()
    assert not list(folder.iterdir())


def test_a_disk_that_fills_up_while_it_is_written_anew_ends_it_too(folder, monkeypatch):
    monkeypatch.setattr(journals, "COMPACT_BYTES", 0)
    journal = a_journal(folder)
    for n in range(1, 10):
        journal.sending(work_of(n))
    with largest_file(10):
        journal.acknowledged([])
        journal._compact()
    assert not journal.is_kept
    assert not list(folder.iterdir())


def test_a_journal_that_was_given_up_is_not_begun_anew(folder, monkeypatch):
    """The disk was full as it was to be written anew, and has room again with the old file gone."""
    journal = a_journal(folder)
    journal.sending(work_of(1))
    journal.sending(work_of(2))
    monkeypatch.setattr(journals, "COMPACT_BYTES", len(text_in(folder)))
    with largest_file(len(text_in(folder))):
        journal.acknowledged([1])
    assert journal.was_given_up
    assert not journal.is_kept
    assert not list(folder.iterdir())
    journal.close()


def test_a_journal_that_can_be_neither_written_nor_removed_completes_nothing_more(
    folder, monkeypatch, caplog
):
    """As on a file system that has become read-only."""
    lease = Lease(812, begun_at=float("inf"))
    journal = a_journal(folder, lease=lease)

    def refuse(*_args, **_options):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse)
        patched.setattr(os, "unlink", refuse)
        patched.setattr(os, "ftruncate", refuse)
        with pytest.raises(LeaseLost):
            journal.sending(work_of(1))
        assert lease.is_dead
        assert "the session ends" in caplog.text
        (path,) = folder.iterdir()
        with path.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody plays it back while we live
    journal.close()


def test_a_file_that_can_only_be_emptied_is_no_journal_any_more(folder, monkeypatch):
    journal = a_journal(folder)
    journal.begun(work_of(1))

    def refuse(*_args, **_options):
        raise OSError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        with largest_file(len(text_in(folder)) + 3):
            journal.sending(work_of(1))
    assert text_in(folder) == b""


def test_without_a_folder_it_is_not_kept_and_says_why(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    journal = a_journal(file / "state")
    assert not journal.is_kept
    assert str(file) in journal.failure
    assert not journal.was_given_up
    journal.begun(work_of(1))
    journal.sending(work_of(1))
    journal.replied(work_of(1), OK, (OK, OK))
    journal.acknowledged([1])
    journal.close()


def test_with_sync_what_decides_is_on_the_disk_before_it_goes_on(folder, monkeypatch):
    synced = []
    monkeypatch.setattr(journals, "_sync_data", lambda fd: synced.append(os.fstat(fd).st_size))
    journal = a_journal(folder, sync=True)
    begun = len(text_in(folder))
    journal.begun(work_of(1))
    journal.sending(work_of(1))
    before_dot = len(text_in(folder))
    journal.replied(work_of(1), OK, (OK, OK))
    assert synced == [begun, before_dot, len(text_in(folder))]
    journal.close()


def test_with_sync_the_name_of_the_file_is_on_the_disk_as_well(folder, monkeypatch):
    """Else a power cut would leave lines that nobody finds: under no name, or under that of a new file."""
    synced, sync = [], os.fsync

    def noted(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            synced.append([path.suffix for path in folder.iterdir()])
        sync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    a_journal(folder).close()
    assert not synced
    journal = a_journal(folder, sync=True)
    journal._compact()
    assert synced == [[".journal"], [".journal"]]
    journal.close()


def test_a_name_that_cannot_be_synced_leaves_no_file_without_an_owner(folder, monkeypatch):
    def refuse(_fd):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        journal = a_journal(folder, sync=True)
    assert not journal.is_kept
    assert not list(folder.iterdir())
    journal.close()
