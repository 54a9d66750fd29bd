"""A claimed message made ready for the wire, or the reason why it is not to be sent."""

from collections.abc import Sequence

from delivery.composing import content_of, envelope_sender, front
from delivery.dispatcher.work import Work
from transports.base import Envelope, MailObject


class Overdue(Exception):
    """The caller wants the message sent no more."""


class NobodyLeft(Exception):
    """Every recipient is settled already."""


def check(work: Work) -> None:
    """Raise NobodyLeft or Overdue when the message is not to be sent (any more)."""
    if not work.recipients:
        raise NobodyLeft
    if work.is_expired:
        raise Overdue


def put_together(work: Work, parts: Sequence[bytes]) -> MailObject:
    """Return envelope and content; `parts` are its large parts in their order. Raises CannotCompose."""
    claimed, sender = work.claimed, work.way.sender
    head = front(claimed.from_header, claimed.subject, sender, data=claimed.data)
    mail_from = envelope_sender(claimed.mail_from, claimed.from_header, sender)
    envelope = Envelope(mail_from, (*work.recipients, *work.riders))
    return MailObject(envelope, content_of(head, claimed.data, tuple(claimed.cuts), tuple(parts)))
