"""Applications hear that a message was not sent: after the commit, in a thread that may take its time."""

import logging
import queue as queues
import threading
from collections.abc import Iterable

from django.db import connections

from delivery.queue import Finished, SmallState
from delivery.signals import message_not_sent

logger = logging.getLogger(__name__)

_TOLD = frozenset({SmallState.FAILED, SmallState.EXPIRED, SmallState.HELD})
#: A drain that ends waits so long for receivers; then they go on alone, and end with the process.
_PATIENCE_SECONDS = 5.0


class Teller:
    """The thread, started by the first message there is a receiver for."""

    def __init__(self) -> None:
        self._waiting: queues.SimpleQueue[Finished | None] = queues.SimpleQueue()
        self._thread: threading.Thread | None = None

    def tell(self, finished: Iterable[Finished]) -> None:
        """Have receivers told of those that were not sent. Never waits."""
        if not message_not_sent.has_listeners():
            return
        for one in finished:
            if one.state in _TOLD:
                self._waiting.put(one)
                self._start()

    def close(self) -> None:
        """Wait a moment for what is still to be told."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(_PATIENCE_SECONDS)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="drain-telling", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        try:
            while (finished := self._waiting.get()) is not None:
                _send(finished)
                if self._waiting.empty():
                    connections.close_all()  # of this thread; receivers may have opened some
        finally:
            connections.close_all()


def _send(finished: Finished) -> None:
    state = SmallState(finished.state).name.lower()
    told = message_not_sent.send_robust(
        sender=Teller, message_id=finished.message_id, state=state, cause=finished.cause
    )
    for receiver, answer in told:
        if isinstance(answer, Exception):
            logger.error("A receiver of message_not_sent failed: %r", receiver, exc_info=answer)
