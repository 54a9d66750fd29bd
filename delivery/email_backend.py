"""Django's way in: `send_mail()` and `EmailMessage.send()` put messages into the queue.

Django 5.2:  EMAIL_BACKEND = "delivery.email_backend.EmailBackend"
Django 6.1:  MAILERS = {"default": {"BACKEND": "delivery.email_backend.EmailBackend", "OPTIONS": {...}}}

OPTIONS hold for every message of the mailer: `priority`, `site`, `profile`, `tag`, `sensitive`. A single
message overrides them, and names more, in an attribute that is never written into it:

    message.mailconf = {"priority": "high", "idempotency_key": "invoice-4711"}
"""

import logging
from collections.abc import Sequence
from typing import Any

from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from delivery import handover
from delivery.handover import CannotHandOver, NotSent, Outgoing

logger = logging.getLogger(__name__)

#: What a mailer may set for all its messages.
OPTIONS = frozenset({"priority", "site", "profile", "tag", "sensitive"})
#: What a message may set for itself.
MESSAGE_OPTIONS = OPTIONS | {"mail_from", "send_at", "expires_at", "idempotency_key"}
#: Handed in by send_mail() of Django 5.2, always; a user name or password of its own belongs into a profile.
_SIGN_IN = frozenset({"username", "password"})


class EmailBackend(BaseEmailBackend):
    """Queues messages in the caller's transaction; sends them after it where the queue is switched off.

    With `fail_silently` a message that cannot be sent is logged and left out; without, it raises and none
    of the call is stored. Errors of the database are never silent: the caller's transaction depends on
    them.
    """

    def __init__(
        self,
        fail_silently: bool = False,  # noqa: FBT001, FBT002  # Django passes it by position
        *,
        alias: str | None = None,
        **options: Any,  # Any: whatever stands in the settings
    ) -> None:
        overridden = options.pop("_ignore_unknown_kwargs", None) or ()  # get_connection() of Django 6.1
        unknown = {
            name: value
            for name, value in options.items()
            if name not in OPTIONS and not (name in _SIGN_IN and value is None) and name not in overridden
        }
        if unknown:
            names = ", ".join(repr(name) for name in sorted(unknown))
            raise _invalid_mailer(f"Unknown options {names}.", alias)
        super().__init__()
        self.alias = alias
        self.fail_silently = fail_silently
        self.options = {name: value for name, value in options.items() if name in OPTIONS}

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Queue the messages, in bulk; return how many were taken, and sent where the queue is switched off.

        In a transaction those are sent after it, and taken is all that is known.
        """
        outgoing = [self._outgoing(message) for message in email_messages or ()]
        if not self.fail_silently:
            return len(handover.send_many(outgoing))
        unsent: list[int] = []

        def note(error: NotSent) -> None:
            unsent.extend(error.sentences)
            logger.warning("%s", error)

        taken = handover.send_many(outgoing, refused=_log, not_sent=note)
        return len(taken) - len(unsent)

    def _outgoing(self, message: EmailMessage) -> Outgoing:
        options = dict(getattr(message, "mailconf", None) or {})
        unknown = options.keys() - MESSAGE_OPTIONS
        if unknown:
            names = ", ".join(repr(name) for name in sorted(unknown))
            raise CannotHandOver(f"The message's attribute mailconf has unknown options: {names}.")
        return Outgoing(message=message, **self.options | options)


def _log(error: ValueError) -> None:
    logger.warning("A message was not handed over: %s", error)


def _invalid_mailer(sentence: str, alias: str | None) -> ImproperlyConfigured:
    """Make Django 6.1's error for a wrong MAILERS entry; older versions have only its base."""
    invalid_mailer = getattr(mail, "InvalidMailer", None)
    if invalid_mailer is None:
        return ImproperlyConfigured(sentence)
    error: ImproperlyConfigured = invalid_mailer(sentence, alias=alias)
    return error
