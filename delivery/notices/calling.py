"""The webhook's calls that are due, made one after another; whoever comes first makes the next.

A worker of the queue `work` does, and `manage.py watch`: never one that carries mail.
"""

import logging
import time

from django.utils import timezone

from delivery import queue
from delivery.incidents import Kind, call_again_in
from delivery.notices.conditions import is_confirmed_place
from smtp_settings.webhook import Called, call, notification_settings

logger = logging.getLogger(__name__)

#: Somebody goes on with what is left after so long: a receiver that is slow holds up nothing else.
_SECONDS = 60.0


def call_due(*, seconds: float = _SECONDS) -> int:
    """Make the calls that are due, for about so many seconds; return how many were taken."""
    taken, give_up_at = 0, time.monotonic() + seconds
    settings = notification_settings()
    if not settings.webhook_url:
        queue.drop_calls()
        return 0
    if not is_confirmed_place():
        queue.drop_calls(but=Kind.CLONE)  # a copy's: where it was copied from, they are made
    while time.monotonic() < give_up_at and (due := queue.take_call()) is not None:
        called = call(settings, due.body, delivery=str(due.id), timestamp=int(timezone.now().timestamp()))
        taken += _noted(due, called)
    return taken


def _noted(due: queue.DueCall, called: Called) -> bool:
    if called.is_taken and called.status is not None:
        queue.call_was_taken(due, called.status)
        return True
    again_in = call_again_in(due.attempts, called.status)
    queue.call_failed(due, status=called.status, error=called.error, again_in=again_in)
    logger.warning("Call %d of the webhook was not taken: %s", due.id, called.error)
    if again_in is None:
        data = {"reason": called.error, "attempts": due.attempts}
        queue.add_event("webhook.given_up", level="warning", data=data)
    return False
