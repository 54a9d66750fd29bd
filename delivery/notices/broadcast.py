"""A notification sent out: an email around the server it is about, and a call of the webhook.

Both are stored in the caller's transaction, with what they tell.
"""

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.conf import settings as installation
from django.core.mail import EmailMultiAlternatives
from django.utils import translation
from django.utils.translation import gettext as _

from delivery import queue
from delivery.composing import compose_message
from delivery.incidents import Kind
from delivery.notices.incident_words import Told, What, page_of, sentence_of, subject_of
from delivery.notices.letter import Item, Letter
from delivery.notices.posting import way_around
from delivery.notices.readers import Readers
from delivery.queue import Handover, MessagePriority
from smtp_settings import wire
from smtp_settings.models import NotificationSettings
from smtp_settings.test_send import received

#: A server that is so does not carry the news of it.
_DOWN = frozenset({Kind.PAUSED, Kind.BREAKER})


def broadcast(told: Told, settings: NotificationSettings, now: datetime) -> None:
    """Store the email and the call that tell it, in the caller's transaction."""
    with translation.override(installation.LANGUAGE_CODE):
        base = received.known_base()
        if recipients := _recipients(told, settings):
            mail(told, recipients, base)
        if settings.webhook_url:
            queue.add_call(body_of(told, base, now))


def mail(told: Told, recipients: Collection[str], base: str) -> bool:
    """Queue the email; False, and an event, when only the server it is about could carry it."""
    profile_id, is_possible = _way(told)
    if not is_possible:
        data = {"name": told.name, "what": told.kind.value}
        queue.add_event("notification.no_way", level="warning", profile_id=told.profile_id, data=data)
        return False
    letter = letter_of(told, base)
    message = EmailMultiAlternatives(
        letter.subject, letter.text(), to=sorted(recipients), headers={"Auto-Submitted": "auto-generated"}
    )
    message.attach_alternative(letter.html(), "text/html")
    composed = compose_message(message)
    handover = Handover(composed, priority=MessagePriority.HIGH, profile_id=profile_id, tag=queue.NOTICE_TAG)
    queue.enqueue([handover])
    return True


def mail_trial(settings: NotificationSettings) -> bool:
    """Queue an email that says that notifications arrive; False when no server could carry it."""
    with translation.override(installation.LANGUAGE_CODE):
        return mail(_trial(), settings.recipients, received.known_base())


def trial_body(now: datetime) -> str:
    """Return the body of a call that says so."""
    with translation.override(installation.LANGUAGE_CODE):
        return body_of(_trial(), received.known_base(), now)


def _trial() -> Told:
    return Told(What.TEST, Kind.HELD, 0, "", "", 0, None, None, None)


def letter_of(told: Told, base: str) -> Letter:
    """Return the email; its links need this installation's address, `base`, "" where it is not known."""
    closing = _(
        "You get this email because your address is in the notification settings of mailconf. This is told "
        "once when it begins and once when it ends. This message needs no answer."
    )
    page = base and base + page_of(told)
    items = (Item(page, page),) if page else ()
    return Letter(subject_of(told), ((sentence_of(told), items),), closing)


def body_of(told: Told, base: str, now: datetime) -> str:
    """Return the body of the webhook's call, as it is signed: JSON, documented in docs/notifications.md."""
    body: dict[str, Any] = {  # Any: JSON
        "event": told.what.value,
        "kind": told.kind.value if told.what is not What.TEST else "test",
        "incident": told.incident_id,
        "about": told.subject,
        "name": told.name,
        "text": sentence_of(told),
        "at": now.isoformat(),
        "began_at": _iso(told.began_at),
        "ends_at": _iso(told.ends_at),
        "is_recovered": told.is_recovered if told.what is What.ENDED else None,
        "url": base + page_of(told) if base else None,
        "environment": str(installation.MAILCONF_ENVIRONMENT),
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _recipients(told: Told, settings: NotificationSettings) -> set[str]:
    """Return who gets the email; a notify user has heard of the pause by a notice of their own."""
    recipients = set(settings.recipients)
    if told.kind is Kind.PAUSED and told.what is What.BEGAN:
        recipients.discard(Readers().of(told.profile_id, None))
    return recipients


def _way(told: Told) -> tuple[int | None, bool]:
    """Return the profile that carries it, None for any, and whether there is a way at all."""
    about = {told.profile_id} if told.profile_id is not None else set()
    down = {server.profile_id for server in queue.faulty_servers()}
    ways = wire.ways_out()
    states = queue.profile_states(way.profile_id for way in ways)
    around = way_around(about | down, ways, states, None)
    if around is not None:
        return around, True
    is_down = told.what is not What.ENDED and told.kind in _DOWN
    others = {way.profile_id for way in ways} - down - (about if is_down else set())
    return None, bool(others)


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
