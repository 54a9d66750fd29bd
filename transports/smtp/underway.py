"""A transaction under way: what is known of it, and what was said of it so far.

A session holds two of them at most: the present one, and the one whose envelope travelled with its dot.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transports.base import Direction, MailObject, Outcome, Reply, TranscriptLine
from transports.smtp.conversation import Exchange, Reading, conversation
from transports.smtp.transaction import Verdict

#: What stands for the content wherever a conversation is shown.
SIZE_NOTE = "The message: {} bytes"

_UNSURE_WHOSE = "The next message's envelope travelled with the final dot. The answers to both: {}."


@dataclass(slots=True)
class Transaction:
    """One message on its way."""

    mail: MailObject
    #: What the replies to its envelope came to; None until it was said.
    verdict: Verdict | None = None
    #: Moments in milliseconds, for an observer only: when it began, and when each reply came.
    since: float = 0.0
    read_at: Sequence[float] = ()
    is_told: bool = False  # its envelope
    following: MailObject | None = None
    before_dot: Callable[[], None] | None = None
    after_dot: Callable[[Reply, Sequence[Reply | None]], None] | None = None
    #: For a conversation, as cheap as can be: when each group was written, what was read then, and how many
    #: replies at its start are another message's.
    said: Sequence[tuple[float, bytes, Sequence[Reading], int]] = ()
    #: Whether another message's envelope travelled with its dot.
    has_announced: bool = False
    #: When the content was begun; monotonic.
    content_at: float | None = None

    def conversation(self, outcome: Outcome, heard: Sequence[Reading]) -> tuple[TranscriptLine, ...]:
        """Return what was said of this message and no other; of its content, the size.

        `heard` is what was read since the content was begun.
        """
        exchanges = [
            Exchange(at, Direction.CLIENT, data, read, skipped) for at, data, read, skipped in self.said
        ]
        notes = []
        if self.content_at is not None:
            taken = None
            if self.has_announced:
                taken = 0 if outcome.reply is None else 1
            size = SIZE_NOTE.format(self.mail.content.size_bytes).encode()
            exchanges.append(Exchange(self.content_at, Direction.NOTE, size, heard, taken=taken))
            if taken == 0:  # some are of the next message, nobody knows which: their words are not shown
                codes = " ".join(str(reply.code) for _, read in heard for _, reply in read)
                notes.append(_UNSURE_WHOSE.format(codes or "none"))
        if outcome.error is not None:
            notes.append(str(outcome.error))
        return conversation(exchanges, *notes)
