"""Processes in groups of their own, each with a trace by which the next start finds one that was left over.

A trace is a small file with the group's number. The process inherits a lock on it, and so do those it forks.
The kernel drops the lock with the last of them, however they die. So a held lock means that the number is
right (a group's number is not given away while one of its processes lives), and a free lock means that nobody
is left. Nothing is guessed from process ids, which are reused.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

#: How often a process is asked whether it is gone, seconds.
POLL = 0.02
#: After SIGKILL the kernel needs a moment, seconds; more if a process hangs in a disk's driver.
_KILL_SECONDS = 10.0


class AlreadyRunning(RuntimeError):
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

    `output` takes both its streams. Raises AlreadyRunning when the trace is held, OSError when it cannot
    be started.
    """
    with locked(trace) as lock:
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
def locked(trace: Path) -> Iterator[int]:
    """Lock and empty the trace; gives its descriptor. Closing ours leaves the lock with who inherited it."""
    lock = os.open(trace, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"{trace.stem} is still running from an earlier start") from None
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
    """End what holds the trace, if anything does, and remove the trace."""
    ask(trace, first)
    finish(trace, patience=patience)


def ask(trace: Path, number: signal.Signals) -> None:
    """Send the signal to the process that was started with this trace, if it is there."""
    if is_held(trace):
        with contextlib.suppress(ProcessLookupError):
            os.kill(_number(trace), number)


def finish(trace: Path, *, patience: float, hurry: Callable[[], bool] = lambda: False) -> None:
    """Wait until nobody holds the trace, and remove it; SIGKILL for the group after `patience` seconds.

    `hurry` is asked again and again; when true, the patience is over. Raises AlreadyRunning when even
    SIGKILL does not end it.
    """
    if not _wait_free(trace, patience, hurry):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(_number(trace), signal.SIGKILL)
        if not _wait_free(trace, _KILL_SECONDS):
            raise AlreadyRunning(f"process group {_number(trace)} does not end")
    trace.unlink(missing_ok=True)


def _number(trace: Path) -> int:
    try:
        return int(trace.read_text(encoding="ascii"))
    except ValueError:
        raise AlreadyRunning(f"{trace} is held by a process it does not name") from None


def _wait_free(trace: Path, patience: float, hurry: Callable[[], bool] = lambda: False) -> bool:
    deadline = time.monotonic() + patience
    while is_held(trace):
        if time.monotonic() > deadline or hurry():
            return False
        time.sleep(POLL)
    return True
