"""Hand a message over: compose it, queue it in the caller's transaction, ring the workers after the commit.

    from delivery.handover import send

    send(message, priority="high", profile="EU relay", idempotency_key=f"invoice-{invoice.pk}")

`message` is a Django EmailMessage or the bytes of an RFC 5322 message. Once `send` has returned and the
transaction is committed, every recipient ends in exactly one recorded state: `status_of` reads it, and the
signal `delivery.signals.message_not_sent` tells of those that were not sent. What cannot be sent as it
is, is refused here with one sentence, and nothing is stored.

Where the sending policy has the queue switched off, the message is sent after the commit, while the caller
waits; NotSent is raised when it could not be.
"""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import NoneType

from django.contrib.sites.models import Site
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone
from django.utils.functional import cached_property

from delivery import at_once, queue, tasks
from delivery.composing import CannotCompose, Composed, compose_eml, compose_message
from delivery.queue import (
    Enqueued,
    Handover,
    IdempotencyConflict,
    MessagePriority,
    MessageState,
    MessageStatus,
    status_of,
)
from delivery.queue.default_site import default_site_id
from smtp_settings.models import SMTPProfile
from transports.not_sent import NotSent

__all__ = [
    "PRIORITIES",
    "CannotCompose",
    "CannotHandOver",
    "HandedOver",
    "IdempotencyConflict",
    "MessageState",
    "MessageStatus",
    "NotSent",
    "Outgoing",
    "send",
    "send_many",
    "status_of",
]

#: The names callers use for how urgent a message is.
PRIORITIES = {priority.name.lower(): priority for priority in MessagePriority}

#: A moment outside is a slip of the caller's; far outside, no reader could hold it.
_EARLIEST, _FARTHEST = datetime(2000, 1, 1, tzinfo=UTC), timedelta(days=3653)

#: Characters of a tag and of an idempotency key.
_MAX_TAG, _MAX_KEY = 100, 200


#: What each option may be, and how to say so. `rcpt_to` is looked at one by one.
_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "message": ((EmailMessage, bytes), "an EmailMessage or bytes"),
    "mail_from": ((str, NoneType), "an address as text, or None"),
    "rcpt_to": ((Iterable, NoneType), "a list of addresses as text, or None"),
    "priority": (str, "high, normal or low, as text"),
    "send_at": ((datetime, NoneType), "a datetime or None"),
    "expires_at": ((datetime, NoneType), "a datetime or None"),
    "site": ((str, NoneType), "a domain as text, or None"),
    "profile": ((str, NoneType), "a name as text, or None"),
    "tag": (str, "text"),
    "sensitive": (bool, "True or False"),
    "idempotency_key": ((str, NoneType), "text or None"),
}


class CannotHandOver(ValueError):
    """An option is wrong, names what does not exist or contradicts another; str() is one sentence."""


@dataclass(frozen=True, slots=True)
class HandedOver(Enqueued):
    """The message in the queue, and the envelope's recipients."""

    rcpt_to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message and how it shall leave.

    `mail_from` and `rcpt_to` are bare addresses and replace the envelope read from the message. `send_at`
    is the earliest moment (a past one means now), `expires_at` the latest, both aware. `site` is a domain;
    None is that of MAILCONF_DEFAULT_SITE, if any. `profile` is a name: the message then leaves by that
    profile only. `sensitive` drops the content as soon as the message is sent. `idempotency_key` makes a
    repeated call with the same message return the first one for seven days.
    """

    message: EmailMessage | bytes
    mail_from: str | None = None
    rcpt_to: Sequence[str] | None = None
    priority: str = "normal"
    send_at: datetime | None = None
    expires_at: datetime | None = None
    site: str | None = None
    profile: str | None = None
    tag: str = ""
    sensitive: bool = False
    idempotency_key: str | None = None


def send(
    message: EmailMessage | bytes,
    *,
    mail_from: str | None = None,
    rcpt_to: Sequence[str] | None = None,
    priority: str = "normal",
    send_at: datetime | None = None,
    expires_at: datetime | None = None,
    site: str | None = None,
    profile: str | None = None,
    tag: str = "",
    sensitive: bool = False,
    idempotency_key: str | None = None,
) -> HandedOver:
    """Hand over one message; the options are those of `Outgoing`.

    Raises CannotCompose, CannotHandOver or IdempotencyConflict, all of them ValueErrors, and stores
    nothing then. With the queue switched off it raises NotSent as well, at once or from the commit.
    """
    outgoing = Outgoing(
        message=message,
        mail_from=mail_from,
        rcpt_to=rcpt_to,
        priority=priority,
        send_at=send_at,
        expires_at=expires_at,
        site=site,
        profile=profile,
        tag=tag,
        sensitive=sensitive,
        idempotency_key=idempotency_key,
    )
    return send_many([outgoing])[0]


def send_many(
    messages: Iterable[Outgoing],
    *,
    refused: Callable[[ValueError], None] | None = None,
    not_sent: Callable[[NotSent], None] | None = None,
    caller_waits: bool = True,
) -> list[HandedOver]:
    """Hand over many messages, all or none, in bulk inserts; one answer per message, in order.

    Runs in the caller's transaction, or in one of its own. Raises as `send` does; with `refused`, that is
    told instead, the message is left out, and the others are stored. `not_sent` is told instead of NotSent.
    Without `caller_waits` they go by the queue even where it is switched off.
    """
    names = _Names()
    handovers = []
    for outgoing in messages:
        try:
            handovers.append(_handover(outgoing, names, caller_waits=caller_waits))
        except (CannotCompose, CannotHandOver) as error:
            if refused is None:
                raise
            refused(error)
    enqueued = _enqueue(handovers, refused)
    directly = [one.id for one in enqueued if one.is_at_once]
    if len(directly) < len(enqueued):
        transaction.on_commit(tasks.ring, robust=True)
    if directly:
        transaction.on_commit(partial(_send_now, directly, not_sent))
    return enqueued


def _send_now(ids: Sequence[int], not_sent: Callable[[NotSent], None] | None) -> None:
    try:
        at_once.send_now(ids)
    except NotSent as error:
        if not_sent is None:
            raise
        not_sent(error)


def _enqueue(handovers: list[Handover], refused: Callable[[ValueError], None] | None) -> list[HandedOver]:
    try:
        answers = queue.enqueue(handovers)
    except IdempotencyConflict as conflict:
        if refused is None:
            raise
        if len(handovers) == 1:
            refused(conflict)
            return []
        return [answer for handover in handovers for answer in _enqueue([handover], refused)]
    return [
        HandedOver(
            answer.id,
            answer.message_id,
            answer.created,
            handover.composed.rcpt_to,
            is_at_once=answer.is_at_once,
        )
        for answer, handover in zip(answers, handovers, strict=True)
    ]


class _Names:
    """Looks every name up once a call."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], int] = {}

    def site(self, domain: str | None) -> int | None:
        if domain is None:
            return self._default_site
        return self._id(
            "site", domain, lambda name: Site.objects.filter(domain__iexact=name).values_list("pk")
        )

    @cached_property
    def _default_site(self) -> int | None:
        return default_site_id()

    def profile(self, name: str | None) -> int | None:
        return self._id("profile", name, lambda name: SMTPProfile.objects.filter(name=name).values_list("pk"))

    def _id(self, what: str, name: str | None, find: Callable[[str], Iterable[tuple[int]]]) -> int | None:
        if name is None:
            return None
        if (what, name) not in self._known:
            found = list(find(name)) if _can_be_asked_for(name) else []
            if not found:
                raise CannotHandOver(f"There is no {what} named {name[:100]!a}.")
            self._known[what, name] = found[0][0]
        return self._known[what, name]


def _handover(outgoing: Outgoing, names: _Names, *, caller_waits: bool) -> Handover:
    _check_types(outgoing)
    _check_times(outgoing)
    return Handover(
        composed=_composed(outgoing),
        priority=_priority(outgoing.priority),
        send_at=outgoing.send_at,
        expires_at=outgoing.expires_at,
        site_id=names.site(outgoing.site),
        profile_id=names.profile(outgoing.profile),
        tag=_plain("tag", outgoing.tag, _MAX_TAG),
        sensitive=outgoing.sensitive,
        idempotency_key=_key(outgoing.idempotency_key),
        caller_waits=caller_waits,
    )


def _check_types(outgoing: object) -> None:
    """Refuse what is of another type, so that callers need to expect a ValueError only."""
    if not isinstance(outgoing, Outgoing):
        raise CannotHandOver(f"Each message must be an Outgoing, not {type(outgoing).__name__}.")
    for name, (types, words) in _TYPES.items():
        value = getattr(outgoing, name)
        if not isinstance(value, types):
            raise CannotHandOver(f"{name} must be {words}, not {type(value).__name__}.")


def _composed(outgoing: Outgoing) -> Composed:
    mail_from, rcpt_to = outgoing.mail_from, _recipients(outgoing.rcpt_to)
    is_keyed = outgoing.idempotency_key is not None
    if isinstance(outgoing.message, bytes):
        return compose_eml(outgoing.message, mail_from=mail_from, rcpt_to=rcpt_to, is_keyed=is_keyed)
    return compose_message(outgoing.message, mail_from=mail_from, rcpt_to=rcpt_to, is_keyed=is_keyed)


def _recipients(rcpt_to: Iterable[object] | None) -> Sequence[str] | None:
    if rcpt_to is None or isinstance(rcpt_to, str):  # one text has a sentence of its own
        return rcpt_to
    found = []
    for address in rcpt_to:
        if not isinstance(address, str):
            raise CannotHandOver(
                f"rcpt_to must be a list of addresses as text; {type(address).__name__} is none."
            )
        found.append(address)
    return found


def _priority(name: str) -> MessagePriority:
    try:
        return PRIORITIES[name]
    except KeyError:
        raise CannotHandOver(f"The priority {str(name)[:50]!a} is none of high, normal and low.") from None


def _check_times(outgoing: Outgoing) -> None:
    for name, moment in (("send_at", outgoing.send_at), ("expires_at", outgoing.expires_at)):
        if moment is not None and timezone.is_naive(moment):
            raise CannotHandOver(f"{name} has no time zone.")
        if moment is not None and not _EARLIEST < moment < timezone.now() + _FARTHEST:
            raise CannotHandOver(f"{name} is before {_EARLIEST:%Y} or more than ten years away.")
    if outgoing.expires_at is not None and outgoing.expires_at <= (outgoing.send_at or timezone.now()):
        raise CannotHandOver("expires_at is not later than the moment the message may be sent.")


def _key(key: str | None) -> str | None:
    if key is not None and not key.strip():
        raise CannotHandOver("The idempotency key is empty.")
    return key if key is None else _plain("idempotency key", key, _MAX_KEY)


def _can_be_asked_for(name: str) -> bool:
    """Whether PostgreSQL can be asked for this text: neither NUL nor half of a character."""
    return not any(character == "\0" or unicodedata.category(character) == "Cs" for character in name)


def _plain(what: str, text: str, limit: int) -> str:
    """Refuse text that is too long or holds controls, so that it can be shown and stored anywhere."""
    if len(text) > limit:
        raise CannotHandOver(f"The {what} is {len(text)} characters long; at most {limit} are possible.")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise CannotHandOver(f"The {what} holds a control character.")
    return text
