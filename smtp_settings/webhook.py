"""The webhook of this installation: who is told where, and a call made with the sealed secret."""

import asyncio
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from smtp_settings import sealing
from smtp_settings.models import NotificationSettings
from smtp_settings.wire import address_guard
from transports import webhook
from transports.base import Secret
from transports.errors import TransportError
from transports.resolve import DEFAULT_PORTS, AddressGuard

#: Ports of the web; those of mail stay shut, where a POST could be taken for commands.
_WEB_PORTS = (443, 8443)
_PLAIN_PORT = 80


@dataclass(frozen=True, slots=True)
class Called:
    """How a call went: the status, None without an answer, and a sentence about what was wrong."""

    status: int | None
    error: str = ""

    @property
    def is_taken(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status <= 299


def notification_settings() -> NotificationSettings:
    """Return who is told, as it is saved; nobody, before it was."""
    return NotificationSettings.objects.first() or NotificationSettings()


def call(
    row: NotificationSettings,
    body: str,
    *,
    delivery: str,
    timestamp: int,
) -> Called:
    """Call the webhook now, in this thread, with its present address and secret. Never raises for its sake.

    Open no transaction around it.
    """
    if not row.webhook_url:
        return Called(None, "There is no webhook.")
    try:
        secret = opened_secret(row)
        calling = webhook.call(
            row.webhook_url,
            body.encode(),
            delivery=delivery,
            timestamp=timestamp,
            secret=secret,
            guard=guard_for(row),
            allow_http=row.accepts_clear_webhook,
        )
        status = asyncio.run(calling)
    except (TransportError, sealing.SealingError) as error:
        return Called(None, str(error))
    return Called(status, "" if 200 <= status <= 299 else f"It answered {status}.")


def opened_secret(row: NotificationSettings) -> Secret:
    """Return the secret. Raises SealingError; without one KeyMissing."""
    if row.webhook_secret is None:
        raise sealing.KeyMissing("The webhook has no secret.")
    return sealing.open_sealed(row.webhook_secret, sealing.binding_for(row, "webhook_secret"))


def guard_for(row: NotificationSettings) -> AddressGuard:
    """Return what keeps the webhook from reaching into this installation's own network, as for profiles."""
    guard = address_guard()
    ports = tuple(port for port in guard.allowed_ports if port not in DEFAULT_PORTS)
    plain = (_PLAIN_PORT,) if row.accepts_clear_webhook else ()
    return replace(guard, allowed_ports=(*_WEB_PORTS, *plain, *ports))


def host_of(row: NotificationSettings) -> str:
    """Return the webhook's host: its path may be a password. "" for none."""
    try:
        return urlsplit(row.webhook_url).hostname or ""
    except ValueError:
        return ""


def url_fault(url: str, *, accepts_clear: bool) -> str:
    """Return what is wrong with an address of a webhook, in a sentence; "" when it may be called.

    Where it leads is judged again at each call.
    """
    try:
        webhook.parse_url(url, allow_http=True)
    except ValueError:
        return _("Enter a whole address, without a user name: https://hooks.example.com/mailconf")
    if not url.lower().startswith("https:") and not accepts_clear:
        return _("The address must begin with https://, or tick that you want it without encryption.")
    return ""
