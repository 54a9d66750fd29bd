"""What is heard of a run's session, in the form of the row; written with each step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from smtp_settings.models import TestRun
from transports.base import Direction, Step, StepVerdict, TranscriptLine

#: A hostile server says much; 200 lines of at most 1,000 characters are read by nobody (UX 4.6).
MOST_LINES = 200
LONGEST_LINE = 1000
_MORE = "More lines are left out."


#: Hears each step as it is written, in the form of the row.
Watch = Callable[[Mapping[str, Any]], None]  # Any: JSON


@dataclass
class Record:
    """The steps and lines heard so far; secrets were taken out of both by the transport."""

    run: TestRun
    watch: Watch | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)  # Any: JSON
    transcript: list[dict[str, Any]] = field(default_factory=list)

    def step(self, step: Step) -> None:
        """Take a step and write everything heard up to it: one statement, nothing once the run has ended."""
        self.steps.append(
            {
                "phase": str(step.phase),
                "verdict": str(step.verdict),
                "started_ms": round(step.started_ms, 1),
                "ms": round(step.ms, 1),
                "detail": step.detail,
                "reply": str(step.reply) if step.reply is not None else "",
                "evidence": dict(step.evidence),
            }
        )
        running = TestRun.objects.filter(pk=self.run.pk, state=TestRun.State.RUNNING)
        running.update(steps=self.steps, transcript=self.transcript)
        if self.watch is not None:
            self.watch(self.steps[-1])

    def line(self, line: TranscriptLine) -> None:
        """Take a line of the transcript; it is written with the next step."""
        if len(self.transcript) >= MOST_LINES:
            return
        text, direction = line.text[:LONGEST_LINE], line.direction
        if len(self.transcript) == MOST_LINES - 1:
            text, direction = _MORE, Direction.NOTE
        self.transcript.append({"direction": str(direction), "text": text, "at_ms": round(line.at_ms, 1)})

    @property
    def last_phase(self) -> str:
        """The stage that was finished last, "" before the first."""
        return str(self.steps[-1]["phase"]) if self.steps else ""

    @property
    def failed_phase(self) -> str:
        """The stage that failed, "" when none did."""
        return next((str(s["phase"]) for s in self.steps if s["verdict"] == StepVerdict.FAILED), "")
