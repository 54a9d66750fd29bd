"""Being asked to end: once, and what is on the wire finishes; twice, and nothing is waited for.

A third time the process dies where it is, as it would have without us: its journal says what it did.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol


class Stop(Protocol):
    """Something that can be set from outside: a threading.Event, or one of multiprocessing."""

    def is_set(self) -> bool:
        """Whether the drain is to end."""


class Stopping:
    """How often this process was asked to end by signal; `also` and `also_hurry` are asked elsewhere."""

    def __init__(self, *, also: Stop | None = None, also_hurry: Stop | None = None) -> None:
        self.times = 0
        #: Take nothing more, and end when what is on the wire is through.
        self.stop: Stop = _Asked(lambda: self.times > 0 or (also is not None and also.is_set()))
        #: Wait for no answer and for no goodbye.
        self.hurry: Stop = _Asked(lambda: self.times > 1 or (also_hurry is not None and also_hurry.is_set()))


class _Asked:
    def __init__(self, is_set: Callable[[], bool]) -> None:
        self.is_set = is_set


@contextmanager
def on_signals(*numbers: signal.Signals, stopping: Stopping) -> Iterator[Stopping]:
    """Let these signals end the drain inside at a quiet point; elsewhere than in the main thread, do nothing.

    Afterwards the handlers are as they were.
    """
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return

    def note(number: int, _frame: FrameType | None) -> None:
        stopping.times += 1
        if stopping.times > 2:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
