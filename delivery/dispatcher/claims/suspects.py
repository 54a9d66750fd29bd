"""When it is the turn of a suspect: a message that was in a dead worker's hands.

It is claimed alone and with empty hands: the next crash then names the culprit. While other mail waits, one
of them gets its turn now and then, and neither waits for the other for long.
"""

import time

#: While other mail waits, one of them gets its turn so often.
_TURN_SECONDS = 1.0
#: Its turn waits so long for empty hands; one slow answer must not stop the others for ten minutes.
_PATIENCE_SECONDS = 2.0
_PAUSE_SECONDS = 10.0
#: So long after a suspect was claimed nothing else is: what kills a worker does it soon.
_ALONE_SECONDS = 2.0


class SuspectTurn:
    """Whose turn it is, and the suspect in hand."""

    def __init__(self) -> None:
        self._at = 0.0
        self._since: float | None = None  # its turn has come, and hands are not empty yet
        self._in_hand: int | None = None
        self._alone_until = 0.0

    @property
    def is_alone(self) -> bool:
        """Whether a suspect was claimed just now, and nothing else is to be."""
        return self._in_hand is not None and time.monotonic() < self._alone_until

    def has_come(self) -> bool:
        """Whether to wait for empty hands and claim one suspect, though other mail waits."""
        now = time.monotonic()
        if now < self._at:
            return False
        if self._since is None:
            self._since = now
        elif now - self._since > _PATIENCE_SECONDS:
            self._put_off(_PAUSE_SECONDS)
            return False
        return True

    def is_over(self) -> None:
        """Note that a turn was had: hands were empty."""
        self._put_off(_TURN_SECONDS)

    def claimed(self, message_id: int) -> None:
        """Note the suspect that is in hand now."""
        self._in_hand = message_id
        self._alone_until = time.monotonic() + _ALONE_SECONDS

    def settled(self, message_id: int) -> None:
        """Hear that a message is in hand no more."""
        if message_id == self._in_hand:
            self._in_hand = None

    def _put_off(self, seconds: float) -> None:
        self._at, self._since = time.monotonic() + seconds, None
