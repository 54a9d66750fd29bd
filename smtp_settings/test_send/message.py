"""The test email: what a person finds in the inbox, and who may be sent one."""

from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from smtp_settings.entries import judges
from smtp_settings.models import SMTPProfile, TestRun
from smtp_settings.test_send.letter import letter_of
from transports.base import Content, Envelope

MAX_RECIPIENTS = 3
_POLICY = SMTP.clone(cte_type="7bit", max_line_length=78)


def recipients_for(user: AbstractBaseUser | None, typed: Sequence[str] = ()) -> list[str]:
    """Return who gets the test email: the addresses typed, else the user's own.

    Raises ValidationError: for what is not one strict address each (E27), for more than three, and for other
    people's addresses without the permission `send_test_elsewhere` (E26). Commands have no user and may send
    anywhere.
    """
    own = str(getattr(user, "email", "") or "")
    recipients = judges.addresses(typed or filter(None, [own]))
    if not recipients:
        raise ValidationError(_("Your account has no email address. Enter one here."))
    if len(recipients) > MAX_RECIPIENTS:
        raise ValidationError(_("A test email goes to at most 3 addresses."))
    if user is not None and not user.has_perm("smtp_settings.send_test_elsewhere"):  # type: ignore[attr-defined]  # of PermissionsMixin
        elsewhere = [one for one in recipients if one.lower() != own.lower()]
        if elsewhere:
            raise ValidationError(
                _("You may send test emails only to your own address, %(own)s.") % {"own": own}
            )
    return recipients


def envelope_of(profile: SMTPProfile, run: TestRun) -> Envelope:
    """Return the envelope as a message of this profile has it."""
    return Envelope(
        mail_from=profile.bounce_address or sender_of(profile, run), rcpt_to=tuple(run.recipients)
    )


def sender_of(profile: SMTPProfile, run: TestRun) -> str:
    """Return the From address; a profile without one carries the message's own, here the recipient's."""
    return profile.from_address or str(run.recipients[0])


def content_of(profile: SMTPProfile, run: TestRun) -> Content:
    """Return the message: what was tested, by whom, and that nobody waits for an answer."""
    now = timezone.now()
    sender = Address(display_name=profile.from_name, addr_spec=sender_of(profile, run))
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = ", ".join(run.recipients)
    if profile.reply_to:
        message["Reply-To"] = profile.reply_to
    message["Subject"] = profile.subject_prefix + _("mailconf test: %(name)s %(when)s (run %(run)s)") % {
        "name": profile.name or "-",
        "when": date_format(timezone.localtime(now), "j M Y H:i"),
        "run": run.uuid.hex[:4].upper(),
    }
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{run.uuid}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Mailconf-Test"] = str(run.uuid)
    letter = letter_of(profile, run, sender=sender, when=f"{now:%Y-%m-%d %H:%M:%S} UTC")
    message.set_content(letter.text(), cte="quoted-printable")
    message.add_alternative(letter.html(), subtype="html", cte="quoted-printable")
    return Content((message.as_bytes(),))
