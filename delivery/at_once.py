"""Send messages in the caller's process while it waits: the queue is switched off for their site.

They are in the queue all the same, kept from the workers for some minutes (`queue.at_once`): should this
process die, one of them sends them. The sending is a worker session of its own, in a thread of its own, as
the caller's may run an event loop; no transaction is open meanwhile.
"""

import logging
import threading
import time
from collections.abc import Collection, Sequence

from django.db import connection, transaction

from delivery import dispatcher, notices, queue
from delivery.queue import Finished, SmallState, Standing
from smtp_settings.policy import policies
from transports.not_sent import NotSent

logger = logging.getLogger(__name__)

#: A caller waits so long at most, for all messages of a call; what is on the wire then is cut off.
LIMIT_SECONDS = 45.0
#: The cause of a message that no server took, and that is not retried.
NOT_RETRIED = "not_retried"

_SENT = frozenset({SmallState.SENT, SmallState.SUPPRESSED})
_LONGEST_REPLY = 200


def send_now(ids: Collection[int]) -> None:
    """Send these messages now; raises NotSent for those that were not, recorded as failed."""
    sentences: dict[int, str] = {}
    errors: list[BaseException] = []

    def work() -> None:
        try:
            _send(ids)
            sentences.update(_end(ids))
        except Exception as error:
            logger.exception("Messages could not be sent at once.")
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work, name="mailconf-at-once")
    thread.start()
    thread.join()
    if errors:
        sentences = dict.fromkeys(
            ids, "The message is recorded and could not be sent now; a worker may send it."
        )
        raise NotSent(sentences) from errors[0]
    if sentences:
        raise NotSent(sentences)


class _Limit:
    """Set when the time is over."""

    def __init__(self) -> None:
        self._at = time.monotonic() + LIMIT_SECONDS

    def is_set(self) -> bool:
        return time.monotonic() >= self._at


def _send(ids: Collection[int]) -> None:
    limit = _Limit()
    dispatcher.run(only=frozenset(ids), deadline=LIMIT_SECONDS, linger=LIMIT_SECONDS, stop=limit, hurry=limit)


def _end(ids: Collection[int]) -> dict[int, str]:
    """Fail what was not sent, let wait what the policy keeps; say why each was not sent."""
    allowed = policies()
    left = [one for one in queue.standing_of(ids) if one.is_in_queue and not one.is_leased]
    kept = [one.message_id for one in left if allowed.of(one.site_id).course.waits]
    if kept:
        queue.leave_to_workers(kept)
    _fail([one for one in left if one.message_id not in kept])
    return {
        one.message_id: _sentence(one)
        for one in queue.standing_of(ids)
        if one.state not in _SENT and one.message_id not in kept
    }


def _fail(left: Sequence[Standing]) -> None:
    outcomes = [
        Finished(
            one.message_id,
            SmallState.FAILED,
            profile_id=one.profile_id,
            reply=one.reply or None,
            cause=NOT_RETRIED,
        )
        for one in left
    ]
    with transaction.atomic():
        ended = queue.finish(None, outcomes)
        notices.message_given_up({one.message_id: one.profile_id for one in left if one.message_id in ended})
    dispatcher.tell([one for one in outcomes if one.message_id in ended])


def _sentence(one: Standing) -> str:
    if one.state is SmallState.HELD:
        return f"Message {one.message_id} may have arrived: the server took it and did not answer."
    if one.is_in_queue:
        return f"Message {one.message_id} was taken over by a worker and was not sent yet."
    if one.state is SmallState.CANCELLED:
        return f"Message {one.message_id} was cancelled."
    if one.reply:
        said = " ".join(one.reply.split())[:_LONGEST_REPLY]
        return f"Message {one.message_id} was not sent: {said}"
    return f"Message {one.message_id} was not sent: no mail server could be used in time."
