"""What a handover becomes: a new message's name, its route and its rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from delivery.composing import Composed
from delivery.models import MessagePriority
from delivery.queue import at_once
from delivery.queue.identity import make_message_id
from delivery.queue.routes import Route, domain_of
from delivery.queue.storing import Values
from delivery.queue.values import Handover


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message about to be stored."""

    id: int
    message_id: str
    handover: Handover
    is_at_once: bool = False  # its caller waits, and the queue is switched off for its site
    prefix: bytes = b""  # the Message-ID header, where the content has none

    @property
    def data(self) -> bytes:
        """The content, with its Message-ID."""
        return self.prefix + self.handover.composed.data

    @property
    def size(self) -> int:
        """Octets of it all, large parts included."""
        composed = self.handover.composed
        return len(self.prefix) + len(composed.data) + sum(map(len, composed.blobs))


def route_of(handover: Handover) -> Route:
    """Return what the handover says about its way."""
    return Route(handover.site_id, domain_of(handover.composed.from_header), handover.profile_id)


def leaves_at_once(handover: Handover, switches: Mapping[str, bool], now: datetime) -> bool:
    """Whether its caller sends it: the queue is off for its site, and it may leave already."""
    if not handover.caller_waits or (handover.send_at is not None and handover.send_at > now):
        return False
    return not switches.get(str(handover.site_id), switches.get("0", True))


def new_message(row_id: int, handover: Handover, *, is_at_once: bool) -> NewMessage:
    """Give the handover its number, and a Message-ID where it has none."""
    composed = handover.composed
    if composed.message_id is not None:
        return NewMessage(row_id, composed.message_id, handover, is_at_once)
    message_id = make_message_id(row_id, name_domain(composed))
    return NewMessage(row_id, message_id, handover, is_at_once, f"Message-ID: {message_id}\r\n".encode())


def name_domain(composed: Composed) -> str:
    """Return the domain for a Message-ID of ours: From's, or the next best."""
    return (
        domain_of(composed.from_header)
        or domain_of(composed.mail_from)
        or str(getattr(settings, "MAILCONF_MESSAGE_ID_DOMAIN", "mailconf.invalid"))
    )


def rows_of(
    new: list[NewMessage], pools: dict[Route, int | None], stored: dict[int, list[int]], *, now: datetime
) -> tuple[list[Values], list[Values], list[Values]]:
    """Make the rows of message, content and entry, with the columns in the order of `storing`."""
    messages: list[Values] = []
    contents: list[Values] = []
    entries: list[Values] = []
    for row in new:
        wish, composed, shift = row.handover, row.handover.composed, len(row.prefix)
        due_at = max(wish.send_at, now) if wish.send_at else now  # a past moment would look like a long wait
        envelope = (composed.mail_from, composed.rcpt_to[0].lower(), composed.from_header, composed.subject)
        wishes = (wish.expires_at, wish.copy_of, wish.site_id, wish.profile_id)
        priority = MessagePriority(wish.priority).value  # psycopg's binary COPY would cut what does not fit
        kind = (composed.attachments_bytes, priority, wish.sensitive)
        rcpt_to = list(composed.rcpt_to)
        messages.append((row.id, due_at, *wishes, *kind, wish.tag, row.message_id, *envelope, rcpt_to))
        cuts = [cut + shift for cut in composed.cuts]
        contents.append((row.id, row.size, row.data, cuts, stored.get(row.id, [])))
        ready_at = due_at + at_once.KEPT if row.is_at_once else due_at
        entries.append((row.id, ready_at, pools[route_of(wish)], priority))
    return messages, contents, entries
