"""The first steps: a checklist on the dashboard until a first message has left through a live profile."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from delivery.showing import mail_setting
from delivery.stats import MessageState
from mailconf.numbers import SILENCE, WORKER_COMMAND
from mailconf.server_rows import Server
from smtp_settings.models import TestRun


@dataclass(frozen=True, slots=True)
class Step:
    """One of the first steps; a second link is another way to do it."""

    title: str
    text: str
    is_done: bool
    link: str = ""
    url: str = ""
    command: str = ""
    other_link: str = ""
    other_url: str = ""


def first_steps(
    request: HttpRequest,
    servers: Sequence[Server],
    counts: dict[MessageState, int] | None,
    heard_at: datetime | None,
) -> list[Step]:
    """Return the checklist until a first message has been sent through a live profile; then nothing."""
    has_sent = bool(counts and counts[MessageState.SENT])
    if (servers and has_sent) or counts is None:
        return []
    mail, is_live = mail_setting(), any(server.is_live for server in servers)
    return [
        _add_server(request, is_done=bool(servers)),
        Step(
            _("Send a test email"),
            _("At the foot of the profile's page. Only a profile that has passed a test is used."),
            is_live or _has_passed(),
        ),
        Step(_("Save"), _("A test saves nothing: save the profile after it has passed."), is_live),
        Step(
            _("Start the worker"),
            _("It carries the mail. With “make run” it is running already."),
            heard_at is not None and timezone.now() - heard_at <= SILENCE,
            command=WORKER_COMMAND,
        ),
        Step(
            _("Send a first message from your project"),
            _("Point %(name)s at mailconf and send a message.") % {"name": mail.name},
            has_sent,
            command=mail.line,
        ),
    ]


def _has_passed() -> bool:
    return TestRun.objects.filter(kind=TestRun.Kind.SEND, state=TestRun.State.PASSED).exists()


def _add_server(request: HttpRequest, *, is_done: bool) -> Step:
    may_add = request.user.has_perm("smtp_settings.add_smtpprofile") and not is_done
    add = reverse("admin:smtp_settings_smtpprofile_add")
    has_sandbox = may_add and settings.MAILCONF_LOCAL
    return Step(
        _("Add your mail server"),
        _("Its name, port and sign-in."),
        is_done,
        _("Set up the first server") if may_add else "",
        add,
        other_link=_("Try it with the sandbox server") if has_sandbox else "",
        other_url=f"{add}?{urlencode(_sandbox())}" if has_sandbox else "",
    )


def _sandbox() -> dict[str, object]:
    """Return what the form is filled with for the server that catches mail on this machine."""
    return {
        "preset": "sandbox",
        "name": _("Sandbox"),
        "host": "127.0.0.1",
        "port": settings.MAILCONF_SANDBOX_PORT,
        "security": "none",
        "auth": "none",
        "from_address": "reports@example.com",
    }
