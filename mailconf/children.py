"""Processes in groups of their own, each with a trace by which the next start finds one that was left over.

A trace is a small file with the group's number. The process inherits a lock on it, and so do its children; the
kernel drops the lock with the last of them, however they die. So a held lock means that the number is right (a
group's number is not given away while one of its processes lives), and a free lock means that nobody is left.
Nothing is guessed from process ids, which are reused.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

#: How often a process is asked whether it is gone, seconds.
POLL = 0.02


class AlreadyRunningError(RuntimeError):
    """A process of an earlier start still holds the trace."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The unprivileged user a process runs as when we are root."""

    name: str
    uid: int
    gid: int


def spawn(
    argv: Sequence[str],
    trace: Path,
    *,
    output: int | IO[bytes],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    owner: Owner | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that a terminal's Ctrl-C reaches it only through us.

    `output` takes both its streams. Raises AlreadyRunningError when the trace is held, OSError when it cannot
    be started.
    """
    with _locked(trace) as lock:
        process = subprocess.Popen(  # noqa: S603  # our own programs, no shell
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            pass_fds=[lock],
            start_new_session=True,
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=[] if owner else None,
        )
        os.pwrite(lock, f"{process.pid}\n".encode(), 0)
        return process


@contextlib.contextmanager
def _locked(trace: Path) -> Iterator[int]:
    """Lock and empty the trace. Closing our copy leaves the lock with the processes that inherited it."""
    lock = os.open(trace, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(f"{trace.stem} is still running from an earlier start") from None
        os.ftruncate(lock, 0)
        yield lock
    finally:
        os.close(lock)


def is_held(trace: Path) -> bool:
    """Whether a process that was started with this trace, or a child of it, is alive."""
    try:
        with trace.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def end(trace: Path, *, first: signal.Signals = signal.SIGTERM, patience: float = 15.0) -> None:
    """End what holds the trace: `first` to the process, after `patience` seconds SIGKILL to its group."""
    if not is_held(trace):
        return
    try:
        number = int(trace.read_text(encoding="ascii"))
    except ValueError:
        raise AlreadyRunningError(f"{trace} is held by a process it does not name") from None
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, first)
    if _wait_free(trace, patience):
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)
    if not _wait_free(trace, patience):
        raise AlreadyRunningError(f"process group {number} does not end")


def _wait_free(trace: Path, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while is_held(trace):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True
