"""A claimed message made ready for the wire, or the reason why it is not to be sent."""

from collections.abc import Sequence

from delivery.composing import content_of, envelope_sender, front, original_to
from delivery.dispatcher.work import Work
from smtp_settings.policy import Course, Policies
from transports.base import Envelope, MailObject


class Overdue(Exception):
    """The caller wants the message sent no more."""


class NobodyLeft(Exception):
    """Every recipient is settled already."""


class NotNow(Exception):
    """Mail of its site is not to leave: that was said after it had been claimed."""


class TurnMissed(Exception):
    """A spaced message missed its reserved moment and needs another."""


def check(work: Work, policies: Policies) -> None:
    """Raise NobodyLeft, Overdue or NotNow when the message is not to be sent (any more)."""
    policy = policies.of(work.pool.site_id)
    if policy.course is not Course.SEND:
        raise NotNow(f"The sending policy says {policy.course}.")
    if work.redirect != policy.redirect:
        work.go_to(policy.redirect)
    if not work.recipients:
        raise NobodyLeft
    if work.is_expired:
        raise Overdue


def check_again(work: Work, policies: Policies) -> None:
    """Raise Overdue or NotNow when that came about after `check`: a spaced message waits for its turn."""
    policy = policies.of(work.pool.site_id)
    if policy.course is not Course.SEND or policy.redirect != work.redirect:
        raise NotNow("The sending policy has changed.")
    if work.is_expired:
        raise Overdue


def put_together(work: Work, parts: Sequence[bytes]) -> MailObject:
    """Return envelope and content; `parts` are its large parts in their order. Raises CannotCompose."""
    claimed, sender = work.claimed, work.way.sender
    head = front(claimed.from_header, claimed.subject, sender, data=claimed.data)
    if work.redirected_to:
        head += original_to(work.recipients)
    mail_from = envelope_sender(claimed.mail_from, claimed.from_header, sender)
    envelope = Envelope(mail_from, work.rcpt_to)
    return MailObject(envelope, content_of(head, claimed.data, tuple(claimed.cuts), tuple(parts)))
