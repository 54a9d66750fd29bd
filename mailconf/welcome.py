"""The first start on one machine: an administrator, a tested profile for the sandbox, and a sample report."""

import secrets
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.core.mail import EmailMultiAlternatives
from django.utils.translation import gettext as _

from delivery import handover
from mailconf import sample_pdf
from smtp_settings import test_send
from smtp_settings.clearance import activation
from smtp_settings.models import Auth, Priority, Security, SMTPProfile, TestRun

#: Reserved names (RFC 2606): what goes there by mistake reaches nobody.
ADMINISTRATOR = ("admin", "admin@example.com")
SENDER = "reports@example.com"
PROFILE = "Sandbox"


@dataclass(frozen=True, slots=True)
class NewAdministrator:
    """Who was made; the password is shown once and stored nowhere but as a hash."""

    username: str
    password: str


def make_administrator() -> NewAdministrator | None:
    """Make the first administrator; None when there is one."""
    users = get_user_model()
    if users.objects.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(12)
    username, email = ADMINISTRATOR
    users.objects.create_superuser(username, email, password)
    return NewAdministrator(username, password)


def make_sandbox_profile(port: int) -> TestRun | None:
    """Make the profile of the sandbox as a person would: test it, and save it when the test passed.

    None when there are profiles already. The run tells how it went; a failed one saved nothing.
    """
    if SMTPProfile.objects.exists():
        return None
    profile = SMTPProfile(
        name=PROFILE,
        description=_("Catches every message, delivers none. Disable it when you add a real server."),
        preset="sandbox",
        priority=Priority.LOW,
        host="127.0.0.1",
        port=port,
        security=Security.NONE,
        auth=Auth.NONE,
        from_address=SENDER,
    )
    owner = _administrator()
    run = test_send.run(test_send.candidate(profile, None, owner), where="shell")
    if run.state == TestRun.State.PASSED:
        activation.save_profile(profile, activation.NO_SECRET, user=owner, run=run)
    return run


def _administrator() -> AbstractUser | None:
    return get_user_model().objects.filter(is_superuser=True).order_by("pk").first()


def send_sample_report() -> int:
    """Hand over one report with a PDF, as an application would; return the message's id."""
    owner = _administrator()
    message = EmailMultiAlternatives(
        subject=_("Sample report"),
        body=_("This is the sample report of mailconf. The PDF attached is one page."),
        from_email=SENDER,
        to=[owner.email if owner and owner.email else ADMINISTRATOR[1]],
    )
    message.attach_alternative(
        "<p>" + _("This is the <b>sample report</b> of mailconf. The PDF attached is one page.") + "</p>",
        "text/html",
    )
    message.attach(
        "report.pdf", sample_pdf.page(_("Sample report"), _("Sent through the queue.")), "application/pdf"
    )
    return handover.send(message, tag="sample").id
