"""What an observer hears: steps with their time, and both sides' lines without secrets."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from transports.base import Direction, Observer, Phase, Reply, Step, StepVerdict, TranscriptLine
from transports.errors import TransportError

#: Characters of a line that are kept.
MAX_LINE = 1000


class Trace:
    """One session's record as it happens, for one observer. Made only when there is one."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._started = time.monotonic()

    def now_ms(self) -> float:
        """Return milliseconds since the session began."""
        return self.at_ms(time.monotonic())

    def at_ms(self, monotonic: float | None) -> float:
        """Return a moment of the monotonic clock as milliseconds since the session began; None is now."""
        return ((time.monotonic() if monotonic is None else monotonic) - self._started) * 1000

    def client(self, data: bytes) -> None:
        """Record what we said."""
        self._lines(Direction.CLIENT, data)

    def server(self, data: bytes) -> None:
        """Record what the server said, redacted already."""
        self._lines(Direction.SERVER, data)

    def note(self, text: str) -> None:
        """Record something nobody said."""
        self._lines(Direction.NOTE, text.encode())

    def _lines(self, direction: Direction, data: bytes) -> None:
        at = self.now_ms()
        for line in data.removesuffix(b"\n").split(b"\n"):
            self._observer.line(TranscriptLine(direction, escape(line.removesuffix(b"\r")), at))

    def step(
        self,
        phase: Phase,
        verdict: StepVerdict,
        *,
        since: float,
        until: float | None = None,
        detail: str = "",
        reply: Reply | None = None,
        evidence: Mapping[str, str] | None = None,
    ) -> None:
        """Report a finished stage; `since` and `until` (None is now) are milliseconds of the session."""
        ms = (self.now_ms() if until is None else until) - since
        self._observer.step(Step(phase, verdict, since, ms, detail, reply, evidence or {}))


def escape(line: bytes) -> str:
    r"""Return a line as text in which nothing invisible is left, at most 1,000 characters.

    >>> escape(b"250 \x1b[31m\xff")
    '250 \\x1b[31m\\xff'
    """
    text = line[: 4 * MAX_LINE].decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode()
            for character in text
        )
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"


class Stage:
    """What is learned during one stage: filled in by the code that runs it."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.verdict = StepVerdict.DONE
        self.detail = ""
        self.reply: Reply | None = None
        self.evidence: dict[str, str] = {}


@contextmanager
def stage(trace: Trace | None, phase: Phase) -> Iterator[Stage]:
    """Run one stage and report it as a step; a TransportError makes it failed, in the error's own phase."""
    it = Stage(trace.now_ms() if trace is not None else 0.0)
    try:
        yield it
    except TransportError as error:
        if trace is not None:
            trace.step(
                error.phase,
                StepVerdict.FAILED,
                since=it.since,
                detail=str(error),
                reply=error.reply,
                evidence=it.evidence | error.evidence,
            )
        raise
    if trace is not None:
        trace.step(phase, it.verdict, since=it.since, detail=it.detail, reply=it.reply, evidence=it.evidence)
