"""What an observer hears: steps with their time, and both sides' lines without secrets."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from transports.base import Direction, Observer, Phase, Reply, Step, StepVerdict, TranscriptLine
from transports.errors import TransportError

#: Characters of a line that are kept.
MAX_LINE = 1000

#: Lines of one conversation that are kept for others than an observer.
MAX_LINES = 200

#: The steps of an opening that say more than the lines do.
_TELLING = frozenset({Phase.DNS, Phase.CONNECT, Phase.TLS})


class Trace:
    """One session's record as it happens, for one observer. Made only when there is one."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
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
        for line in split(data):
            self.observer.line(TranscriptLine(direction, escape(line), at))

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
        self.observer.step(Step(phase, verdict, since, ms, detail, reply, evidence or {}))


def split(data: bytes) -> list[bytes]:
    r"""Return the lines of commands or replies without their ends.

    >>> split(b"250-One\r\n250 Two\r\n")
    [b'250-One', b'250 Two']
    """
    return [line.removesuffix(b"\r") for line in data.removesuffix(b"\n").split(b"\n")]


def left_out(count: int) -> str:
    """Say that so many lines are missing here."""
    return f"{count} lines are left out."


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


class Opening:
    """An observer of an opening: keeps what explains a failed one, and tells another all it hears."""

    def __init__(self, other: Observer | None) -> None:
        self._other = other
        self._lines: list[TranscriptLine] = []
        self._left_out = 0

    def step(self, step: Step) -> None:
        """Take one finished stage: what was found out about names, addresses and TLS."""
        if step.phase in _TELLING and step.verdict is not StepVerdict.FAILED:
            self._note(step.phase, step.detail, step.evidence, step.started_ms + step.ms)
        if self._other is not None:
            self._other.step(step)

    def line(self, line: TranscriptLine) -> None:
        """Take one line."""
        self._keep(line)
        if self._other is not None:
            self._other.line(line)

    def ended_by(self, error: TransportError, at_ms: float) -> tuple[TranscriptLine, ...]:
        """Return all that is kept, with the sentence of the error that ended it."""
        self._note(error.phase, str(error), error.evidence, at_ms)
        lines = self._lines[:]
        if self._left_out:
            half = MAX_LINES // 2
            lines.insert(half, TranscriptLine(Direction.NOTE, left_out(self._left_out), lines[half].at_ms))
        return tuple(lines)

    def _note(self, phase: Phase, detail: str, evidence: Mapping[str, str], at_ms: float) -> None:
        words = filter(None, (detail, *(f"{name} {value}" for name, value in evidence.items() if value)))
        text = f"{phase}: " + "; ".join(words)
        self._keep(TranscriptLine(Direction.NOTE, escape(text.encode()), at_ms))

    def _keep(self, line: TranscriptLine) -> None:
        """Keep a line; of very many, the first and the last, with room for one that says so."""
        self._lines.append(line)
        if len(self._lines) >= MAX_LINES:
            del self._lines[MAX_LINES // 2]
            self._left_out += 1


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
