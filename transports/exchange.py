"""One exchange over HTTPS as values: how long to wait, what is sent, what came back.

Apart from `transports.http`, which imports httpx: 0.14 s of a CPU that only who opens a session pays.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transports.base import Reply
from transports.retry_after import with_wait
from transports.smtp.redaction import Redactor
from transports.smtp.reply import MAX_TEXT, clean

#: So much of an answer is read; ours have a few hundred bytes.
MAX_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for each wait. `answer` is never short for what is sent: giving up makes a duplicate."""

    connect: float = 30
    tls: float = 30
    write: float = 180
    answer: float = 600


@dataclass
class Body:
    """What is uploaded, in pieces. `before_last` is called right before the write that completes it.

    `is_handed_over` is true from then on: whatever comes instead of an answer, it may have been taken.
    """

    pieces: Sequence[bytes] = ()
    before_last: Callable[[], None] | None = None
    is_handed_over: bool = field(default=False, init=False)

    @property
    def size_bytes(self) -> int:
        """All pieces together."""
        return sum(map(len, self.pieces))

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the pieces."""
        *first, last = self.pieces or (b"",)
        for piece in first:
            yield piece
        if self.before_last is not None:
            self.before_last()
        self.is_handed_over = True
        yield last


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, headers by lower-case name, at most 64 KiB of body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        """Any 2xx."""
        return 200 <= self.status <= 299

    def json(self) -> Any:  # Any: JSON
        """Return the body as JSON, None when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def reply(self, words: str = "", redactor: Redactor | None = None) -> Reply:
        """Return it as a reply: the status, `words` (else a short text body), and the wait it asks for."""
        said = (words or self._short_text()).encode("utf-8", "replace")
        text = clean(redactor.redact(said) if redactor is not None else said)[: MAX_TEXT - 30]
        return Reply(self.status, with_wait(text, self.headers))

    def _short_text(self) -> str:
        """Return a body of one line that is no page."""
        text = self.body[:400].decode("utf-8", "replace").strip()
        return "" if text.startswith("<") or "\n" in text else text
