"""What people and recovery did with messages, in the event log; no normal steps, never a secret."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smtp_settings.models import Event


def add_event(
    kind: str,
    *,
    level: str = "info",
    message_id: int | None = None,
    profile_id: int | None = None,
    worker_id: int | None = None,
    user_id: int | None = None,
    job_id: int | None = None,
    data: Mapping[str, Any] | None = None,  # Any: JSON
) -> None:
    """Write one line of the event log."""
    Event.objects.create(
        kind=kind,
        level=level,
        message_id=message_id,
        profile_id=profile_id,
        worker_id=worker_id,
        user_id=user_id,
        job_id=job_id,
        data=dict(data or {}),
    )


@dataclass(frozen=True, slots=True)
class RecipientEvents:
    """What is told of one message in a line for each of its recipients."""

    kind: str
    message_id: int
    recipients: Sequence[str]
    is_error: bool = False


def add_recipient_events(worker_id: int, events: Iterable[RecipientEvents]) -> None:
    """Write a line for each recipient, who is what the line is about; one statement."""
    Event.objects.bulk_create(
        Event(
            kind=event.kind,
            level="error" if event.is_error else "info",
            message_id=event.message_id,
            worker_id=worker_id,
            data={"name": recipient},
        )
        for event in events
        for recipient in event.recipients
    )


def add_message_events(
    kind: str, message_ids: Iterable[int], user_id: int | None, *, job_id: int | None = None
) -> None:
    """Write one line for each message a person did the same with; `job_id` is the job that did it."""
    Event.objects.bulk_create(
        Event(kind=kind, message_id=message_id, user_id=user_id, job_id=job_id)
        for message_id in sorted(message_ids)
    )


def add_move_events(
    came_from: Mapping[int, str], *, to: str, profile_id: int | None, user_id: int | None, job_id: int | None
) -> None:
    """Write one line for each message that goes another way: by id the name of the profile it was for.

    `to` names the new one; "" is any profile that serves it.
    """
    Event.objects.bulk_create(
        Event(
            kind="message.moved",
            message_id=message_id,
            profile_id=profile_id,
            user_id=user_id,
            job_id=job_id,
            data={"moved_from": came_from[message_id], "moved_to": to},
        )
        for message_id in sorted(came_from)
    )


def note_copy(
    kind: str,
    message_id: int,
    copy_id: int,
    user_id: int | None,
    **more: Any,  # Any: JSON
) -> None:
    """Write a line for a message that was sent again, and one for the new message."""
    add_event(kind, message_id=message_id, user_id=user_id, data={"copy": copy_id, **more})
    told = {"copy_of": f"#{message_id}"}
    add_event("message.is_copy", message_id=copy_id, user_id=user_id, data=told)
