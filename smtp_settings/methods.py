"""The transports of the methods that are no SMTP, from a profile's columns."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from smtp_settings.models import DeliveryMethod, SMTPProfile
from transports import mailgun
from transports.base import Secret, Transport
from transports.exchange import Limits
from transports.pickup import PickupSettings, PickupTransport
from transports.resolve import AddressGuard
from transports.sendmail import SendmailSettings, SendmailTransport
from transports.ses import SESSettings, SESTransport


class MethodNotAvailable(Exception):
    """This delivery method cannot be used with these values."""


def transport_for(profile: SMTPProfile, *, secret: Callable[[], Secret], guard: AddressGuard) -> Transport:
    """Return the transport of a profile whose method is not SMTP. Raises MethodNotAvailable."""
    match profile.transport:
        case DeliveryMethod.SENDMAIL:
            return SendmailTransport(
                SendmailSettings(
                    profile.program,
                    tuple(shlex.split(profile.program_arguments)),
                    line_ends=profile.line_ends,
                    allowed=tuple(settings.MAILCONF_SENDMAIL_PROGRAMS),
                )
            )
        case DeliveryMethod.PICKUP:
            return PickupTransport(PickupSettings(profile.directory, profile.file_style))
        case DeliveryMethod.MAILGUN if profile.region in mailgun.BASES:
            return mailgun.MailgunTransport(
                mailgun.MailgunSettings(
                    profile.api_domain,
                    mailgun.BASES[profile.region],
                    secret,
                    guard=guard,
                    limits=Limits(connect=profile.connect_timeout),
                )
            )
        case DeliveryMethod.SES:
            return SESTransport(_ses(profile, secret))
        case _:
            raise MethodNotAvailable(_("This delivery method cannot be used with these values."))


def _ses(profile: SMTPProfile, secret: Callable[[], Secret]) -> SESSettings:
    return SESSettings(
        profile.region,
        profile.username,
        key=None if profile.uses_machine_role else secret,
        configuration_set=profile.configuration_set,
        sender=profile.from_address,
        bounce_address=profile.bounce_address,
        connect=profile.connect_timeout,
    )


def is_in_container() -> bool:
    """Whether this process seems to be in a container, which does not see its host's programs."""
    signs = ("/.dockerenv", "/run/.containerenv")
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(Path(sign).exists() for sign in signs)
