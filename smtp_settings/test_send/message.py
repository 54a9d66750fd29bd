"""The test email: what a person finds in the inbox, and who may be sent one."""

from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from smtp_settings.entries import judges
from smtp_settings.models import SMTPProfile, TestRun
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
    short = run.uuid.hex[:4].upper()
    message = EmailMessage(policy=_POLICY)
    message["From"] = _mailbox(profile.from_name, sender_of(profile, run))
    message["To"] = ", ".join(run.recipients)
    if profile.reply_to:
        message["Reply-To"] = profile.reply_to
    message["Subject"] = profile.subject_prefix + _("mailconf test: %(name)s %(when)s (run %(run)s)") % {
        "name": profile.name or "-",
        "when": date_format(timezone.localtime(now), "j M Y H:i"),
        "run": short,
    }
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{run.uuid}@{sender_of(profile, run).rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Mailconf-Test"] = str(run.uuid)
    rows = _rows(profile, run, when=f"{now:%Y-%m-%d %H:%M:%S} UTC")
    message.set_content(_text(rows), cte="quoted-printable")
    message.add_alternative(_html(rows), subtype="html", cte="quoted-printable")
    return Content((message.as_bytes(),))


def _mailbox(name: str, address: str) -> Address:
    return Address(display_name=name, addr_spec=address)


def _rows(profile: SMTPProfile, run: TestRun, *, when: str) -> list[tuple[str, str]]:
    who = run.user.get_username() if run.user is not None else _("a command")
    return [
        (_("Profile"), profile.name or "-"),
        (_("Server"), f"{profile.host}:{profile.port}"),
        (_("Security"), str(profile.get_security_display())),
        (_("From"), sender_of(profile, run)),
        (_("Started by"), who),
        (_("Ran on"), run.ran_on),
        (_("Time"), when),
        (_("Test run"), str(run.uuid)),
    ]


def _text(rows: list[tuple[str, str]]) -> str:
    facts = "\n".join(f"{label}: {value}" for label, value in rows)
    return (
        "\n\n".join([_("These settings can send email."), facts, _("This message needs no answer.")]) + "\n"
    )


def _html(rows: list[tuple[str, str]]) -> str:
    facts = "".join(f"<tr><td>{escape(label)}</td><td>{escape(value)}</td></tr>\n" for label, value in rows)
    first, last = escape(_("These settings can send email.")), escape(_("This message needs no answer."))
    return f"<html><body>\n<p>{first}</p>\n<table>\n{facts}</table>\n<p>{last}</p>\n</body></html>\n"
