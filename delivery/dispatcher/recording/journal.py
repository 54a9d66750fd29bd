"""The journal of a worker session: what it told servers, written down before the database knows.

One file per session in MAILCONF_STATE_DIR, locked (flock) as long as its owner lives. A message is noted as
it is begun, before its final dot, and on reading the reply; all of it is in the page cache when the process
is killed. Whoever finds the lock free plays it back (`delivery.dispatcher.recording.replay`).

What is not written cannot be proved. So a journal that cannot take a line (disk full) is removed, and the
session goes on as one without: what a killed worker without a journal held is taken back after 45 seconds,
and what it had sent and not recorded is sent again.

A note is one write on one descriptor: 2.2 µs (begun), 2.6 µs (before the dot), 3.0 µs (reply) and 0.5 µs (its
part of an acknowledgement), of which the system call takes 1.5 µs each (measured: CPU time on ext4). With
MAILCONF_JOURNAL_SYNC the second and the third wait for the disk.
"""

import errno
import fcntl
import logging
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from delivery.dispatcher.lease import Lease, LeaseLost
from delivery.dispatcher.recording import records
from delivery.dispatcher.recording.records import Header
from delivery.dispatcher.work import Work
from transports.base import Reply

logger = logging.getLogger(__name__)

#: Journals of this folder: "worker-812-x7d2k1.journal".
NAMES = "worker-*.journal"
#: While it is being written a new file has this at its end, so that nobody takes it for one without an owner.
NEW = ".new"
#: A journal that has grown to this is written anew with the open records only.
COMPACT_BYTES = 1_000_000

# Where there is no fdatasync (macOS), fsync does the same and a little more.
_sync_data = getattr(os, "fdatasync", os.fsync)


class Journal:
    """One session's journal. Without a file (`is_kept` is false) every note is free and lost."""

    def __init__(self, lease: Lease, header: Header | None = None, folder: Path | None = None) -> None:
        """Begin a journal in `folder`; without one, or when the folder takes none, there is none.

        The folder is made when it is missing.
        """
        self._lease = lease
        self._header = header
        self._is_synced = header is not None and header.is_synced
        self._path: Path | None = None
        self._fd = self._stuck = -1
        self._size = self._kept = 0
        self._notes: dict[int, bytes] = {}
        #: Why there is no journal, as a sentence; "" while there is one.
        self.failure = ""
        #: The same for one that was given up half-way: worth an event.
        self.was_given_up = False
        if header is None or folder is None:
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._begin(folder, b"")
        except OSError as error:
            self.failure = f"{folder}: {error.strerror or error}"

    @property
    def is_kept(self) -> bool:
        """Whether notes are written."""
        return self._fd >= 0

    # What becomes of a message

    def begun(self, work: Work) -> None:
        """Note that the message is being put together: were it to kill the process, it is the suspect."""
        if self._fd >= 0:
            self._note(work, records.begun(work), is_new=True)

    def sending(self, work: Work) -> None:
        """Note that the final dot comes next. Raises LeaseLost when it can be neither noted nor denied."""
        if self._fd >= 0:
            self._note(work, records.sending(work))
            self._sync()
        if self._lease.is_dead:
            raise LeaseLost

    def replied(self, work: Work, reply: Reply, rcpt_replies: Sequence[Reply | None]) -> None:
        """Note the reply to the dot."""
        if self._fd >= 0:
            self._note(work, records.replied(work, reply, rcpt_replies))
            self._sync()

    def acknowledged(self, message_ids: Iterable[int]) -> None:
        """Forget messages: the database knows what became of them. With the last one the file is emptied."""
        if self._fd < 0:
            return
        known = [message_id for message_id in message_ids if self._notes.pop(message_id, None) is not None]
        if not known:
            return
        if not self._notes:
            self._empty()
        else:
            self._write(records.done(known))
            if self.is_kept and self._size > COMPACT_BYTES + self._kept:
                self._compact()

    def close(self) -> bool:
        """End the journal; the file goes, unless it holds what the database has not acknowledged.

        Returns whether it stays, for a replay.
        """
        if self._stuck >= 0:
            os.close(self._stuck)
            self._stuck = -1
        if self._fd < 0:
            return False
        is_left = bool(self._notes)
        if not is_left and self._path is not None:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("The journal %s could not be removed: %s", self._path, error)
        self._let_go()
        return is_left

    # The file

    def _begin(self, folder: Path, notes: bytes) -> None:
        """Write a new file, take its lock, and only then give it the name that others look for."""
        fd, made = tempfile.mkstemp(NEW, f"worker-{self._lease.id}-", folder)  # 0600, O_CLOEXEC
        new = Path(made)
        path = self._path or new.with_suffix(".journal")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
            head = bytes(self._header) + notes if self._header is not None else notes
            _write_all(fd, head)
            if self._header is not None and self._header.is_synced:
                _sync_data(fd)
            new.replace(path)
            if self._header is not None and self._header.is_synced:
                _sync_name(folder)
        except OSError:
            try:
                for file in (new, path):  # without its lock it would be taken for a dead session's
                    file.unlink(missing_ok=True)
            finally:
                os.close(fd)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._path, self._size, self._kept = fd, path, len(head), len(notes)

    def _note(self, work: Work, line: bytes, *, is_new: bool = False) -> None:
        message_id = work.claimed.message_id
        self._notes[message_id] = line if is_new else self._notes.get(message_id, b"") + line
        self._write(line)

    def _write(self, line: bytes) -> None:
        length = len(line)
        try:
            if os.write(self._fd, line) != length:
                raise _full()
        except OSError as error:
            self._give_up(error.strerror or str(error))
        self._size += length

    def _sync(self) -> None:
        if not self._is_synced or self._fd < 0:
            return
        try:
            _sync_data(self._fd)
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _empty(self) -> None:
        try:
            self._size, self._kept = len(bytes(self._header)) if self._header else 0, 0
            os.ftruncate(self._fd, self._size)
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _compact(self) -> None:
        """Write the open records to a new file that takes the old one's place."""
        try:
            if self._path is not None:
                self._begin(self._path.parent, b"".join(self._notes.values()))
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _give_up(self, why: str) -> None:
        """Go on without a journal; one with a gap would call messages unsent that were sent."""
        self.failure, self.was_given_up = f"{self._path}: {why}", True
        if self._is_undone():
            logger.error("The journal is given up, and the session goes on without. %s", self.failure)
            self._let_go()
        else:  # it stays, locked, and nothing is completed any more that it does not tell of
            logger.error("The journal can be neither written nor removed; the session ends. %s", self.failure)
            self._lease.is_dead = True
            self._stuck, self._fd = self._fd, -1

    def _is_undone(self) -> bool:
        """Remove the file, or make it worthless; False when neither is possible."""
        try:
            if self._path is not None:
                self._path.unlink(missing_ok=True)
        except OSError:
            try:
                os.ftruncate(self._fd, 0)
            except OSError:
                return False
        return True

    def _let_go(self) -> None:
        os.close(self._fd)
        self._fd = -1
        self._notes.clear()


def _sync_name(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    if os.write(fd, data) != len(data):
        raise _full()


def _full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
