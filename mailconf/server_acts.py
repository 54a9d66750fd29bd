"""What people do with servers: pause, resume, try again now, forget. One transaction each, with its event.

The profile pages may not import the queue, so they ask `smtp_settings.facts`; the project answers here.
"""

from collections.abc import Callable
from functools import partial

from django.db import transaction

from delivery import queue, tasks
from delivery.queue import Paused
from smtp_settings.facts import Acts


def pause(profile_id: int, user_id: int) -> bool:
    """Take a server out of use until a person resumes it; False when a person has paused it already."""

    def act() -> bool:
        if queue.profile_states([profile_id])[profile_id].paused == Paused.PERSON:
            return False
        return queue.pause(profile_id, Paused.PERSON, user_id=user_id)

    return _noted("server.paused", profile_id, user_id, act)


def resume(profile_id: int, user_id: int) -> bool:
    """Use a server again, breaker closed; False when it was neither paused nor given up for now."""
    return _noted("server.resumed", profile_id, user_id, lambda: queue.resume(profile_id))


def try_now(profile_id: int, user_id: int) -> bool:
    """Bring the next try of a server with an open breaker forward; False when it waits for none."""
    return _noted("server.try_now", profile_id, user_id, lambda: queue.try_now(profile_id))


def forget(profile_id: int, user_id: int) -> bool:
    """Forget what was learned of a server from its answers; False when nothing was."""
    return _noted("server.forgotten", profile_id, user_id, lambda: queue.forget(profile_id))


def _noted(kind: str, profile_id: int, user_id: int, act: Callable[[], bool]) -> bool:
    with transaction.atomic():
        if not act():
            return False
        queue.add_event(kind, profile_id=profile_id, user_id=user_id)
        transaction.on_commit(partial(tasks.ring), robust=True)
    return True


ACTS = Acts(pause=pause, resume=resume, try_now=try_now, forget=forget)
