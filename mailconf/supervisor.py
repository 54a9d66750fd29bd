"""The processes of one machine: started together, their output in one stream, restarted when they die."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mailconf import children

#: A process that ends is started again after 1, 2, 4 … seconds,
_FIRST_PAUSE = 1.0
#: and after this many ends without a quiet minute between them everything ends.
_ENOUGH = 5
_QUIET_SECONDS = 60.0
#: How often the processes are looked at, seconds.
_LOOK = 0.1

#: A group's signal may come twice, once through make, seconds.
_SAME_SIGNAL = 1.0

Say = Callable[[str], None]


class ServiceFailed(RuntimeError):
    """A process does not stay up; one sentence."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process: `patience` is how many seconds it may take to end after SIGTERM."""

    name: str
    argv: Sequence[str]
    patience: float = 10.0


@dataclass(slots=True)
class _Running:
    service: Service
    process: subprocess.Popen[bytes]
    started_at: float
    ends: int = 0
    restart_at: float | None = None


class Stop:
    """What SIGINT, SIGTERM and SIGHUP ask for: once means end in order, a second time means at once.

    A flag, not an exception: an exception from a signal could come between starting a process and noting it.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._again = threading.Event()
        self._asked_at = 0.0

    def install(self) -> None:
        """Take the signals. Only from the main thread."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: object) -> None:  # noqa: ARG002  # as signal.signal wants
        if not self._asked.is_set():
            self._asked_at = time.monotonic()
            self._asked.set()
        elif time.monotonic() - self._asked_at > _SAME_SIGNAL:
            self._again.set()

    def is_asked(self) -> bool:
        """Whether everything shall end."""
        return self._asked.is_set()

    def is_asked_again(self) -> bool:
        """Whether it shall end at once."""
        return self._again.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for it; return whether it was asked."""
        return self._asked.wait(seconds)


@dataclass
class Supervisor:
    """Starts, watches and ends services; their traces lie in `folder`, their output goes through `say`."""

    folder: Path
    cwd: Path
    say: Say
    stop: Stop
    _running: list[_Running] = field(default_factory=list)
    _readers: list[threading.Thread] = field(default_factory=list)

    def end_leftovers(self, names: Sequence[str]) -> None:
        """End what an earlier start left, when that one was killed."""
        for name in names:
            if children.is_held(self._trace(name)):
                self.say(f"Ending {name}, left over from an earlier start.")
            children.end(self._trace(name))

    def start(self, service: Service) -> None:
        """Start one service and pass on what it says."""
        self._running.append(_Running(service, self._spawn(service), time.monotonic()))

    def _spawn(self, service: Service) -> subprocess.Popen[bytes]:
        process = children.spawn(
            service.argv,
            self._trace(service.name),
            output=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            cwd=self.cwd,
        )
        assert process.stdout is not None  # noqa: S101  # for the type checker: PIPE was asked for
        reader = threading.Thread(target=self._pass_on, args=(service.name, process.stdout), daemon=True)
        reader.start()
        self._readers.append(reader)
        return process

    def _pass_on(self, name: str, output: IO[bytes]) -> None:
        with output:
            for line in output:
                self.say(f"{name:<8}| {line.decode(errors='replace').rstrip()}")

    def _trace(self, name: str) -> Path:
        return self.folder / f"{name}.pid"

    def check(self) -> None:
        """Look at every process once and start again what ended.

        Raises ServiceFailed when one does not stay up.
        """
        for running in self._running:
            if running.restart_at is not None:
                if time.monotonic() >= running.restart_at:
                    self._restart(running)
            elif running.process.poll() is not None:
                self._note_end(running)

    def _note_end(self, running: _Running) -> None:
        now = time.monotonic()
        running.ends = 1 if now - running.started_at > _QUIET_SECONDS else running.ends + 1
        how = _how(running.process.returncode)
        if running.ends >= _ENOUGH:
            raise ServiceFailed(f"{running.service.name} {how} {_ENOUGH} times in a row; see above.")
        pause = _FIRST_PAUSE * 2 ** (running.ends - 1)
        running.restart_at = now + pause
        self.say(f"{running.service.name} {how}; starting it again in {pause:.0f} s.")

    def _restart(self, running: _Running) -> None:
        children.end(self._trace(running.service.name))  # its children, if it left any
        running.process = self._spawn(running.service)
        running.started_at, running.restart_at = time.monotonic(), None

    def watch(self) -> None:
        """Check until everything shall end."""
        while not self.stop.wait(_LOOK):
            self.check()

    def end(self) -> None:
        """End all services, the last started first, those of the same patience together."""
        while self._running:
            patience = self._running[-1].service.patience
            together = []
            while self._running and self._running[-1].service.patience == patience:
                together.append(self._running.pop())
            self._end(together)
        for reader in self._readers:
            reader.join(timeout=1.0)

    def _end(self, together: Sequence[_Running]) -> None:
        for running in together:
            children.ask(self._trace(running.service.name), signal.SIGTERM)
        for running in together:
            service = running.service
            children.finish(
                self._trace(service.name), patience=service.patience, hurry=self.stop.is_asked_again
            )
            running.process.wait()


def _how(returncode: int) -> str:
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with exit code {returncode}"
