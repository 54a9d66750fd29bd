"""The dashboard: what waits, what is wrong (worst first), how servers and workers do, and the first steps.

Everything comes from `delivery.stats`, which reads a bounded number of rows. A number that cannot be had is
"-": one broken aggregate must not take the page away that tells what is broken.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from delivery import stats
from delivery.queue import Paused
from delivery.showing import mail_setting
from delivery.stats import MessageState
from mailconf.servers import Health, clock, health, names_of
from smtp_settings.clearance import standing
from smtp_settings.clearance.standing import Standing
from smtp_settings.models import DeliveryMethod, SMTPProfile

logger = logging.getLogger("mailconf.pages")
T = TypeVar("T")

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
#: A worker unheard of for longer is an alert: beat wakes one every 15 s, and a session is silent after 45 s.
SILENCE = timedelta(seconds=90)
#: A due message that waits longer is an alert.
LONG_WAIT = timedelta(minutes=15)
#: The command that starts what sends, without containers.
WORKER_COMMAND = "celery --app mailconf.celery worker --beat --queues mail,work"


#: The stable words of the queue for why a message needs a person, for people; others are shown as they are.
CAUSES: dict[str, Promise] = {
    "recipient": gettext_lazy("Recipient not accepted"),
    "mailbox_full": gettext_lazy("Mailbox full"),
    "sender": gettext_lazy("Sender not accepted"),
    "relay": gettext_lazy("Server does not relay"),
    "size": gettext_lazy("Too large"),
    "content": gettext_lazy("Content refused"),
    "policy": gettext_lazy("Refused by the server's rules"),
    "compose": gettext_lazy("Not to be put together"),
    "protocol": gettext_lazy("Answers not understood"),
    "retries": gettext_lazy("Retries used up"),
    "gave_up": gettext_lazy("Too old"),
    "expires_at": gettext_lazy("Not in time"),
    "uncertain": gettext_lazy("Answer lost"),
    "worker_lost": gettext_lazy("Worker lost"),
    "crashes": gettext_lazy("Three workers stopped"),
    "internal_error": gettext_lazy("Internal error"),
    "person": gettext_lazy("Held by a person"),
}


@dataclass(frozen=True, slots=True)
class Tile:
    """One number; `value` is "-" where it is not available."""

    label: str
    value: str
    note: str
    url: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is wrong or deserves a look, and where to go. `command` is something to type."""

    text: str
    tone: str
    link: str = ""
    url: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """One profile with what is known of it."""

    profile: SMTPProfile
    where: str
    health: Health
    numbers: stats.ProfileNumbers
    standing: Standing

    @property
    def is_live(self) -> bool:
        """Whether the gate lets the profile send."""
        return self.standing.is_live


@dataclass(frozen=True, slots=True)
class Step:
    """One of the first steps."""

    title: str
    text: str
    is_done: bool
    link: str = ""
    url: str = ""
    command: str = ""


def context_for(request: HttpRequest) -> dict[str, Any]:  # Any: template context
    """Return what this user's dashboard shows."""
    may_see_messages = request.user.has_perm("delivery.view_message")
    may_see_profiles = request.user.has_perm("smtp_settings.view_smtpprofile")
    counts = _available(stats.cached_counts)
    heard_at = _available(stats.last_heartbeat_at)
    servers = _servers()
    return {
        "updated_at": timezone.now(),
        "tiles": _tiles(counts) if may_see_messages else [],
        "steps": _first_steps(request, servers, counts, heard_at),
        "alerts": _alerts(servers, heard_at) if may_see_messages or may_see_profiles else [],
        "servers": servers if may_see_profiles else [],
        "may_see_profiles": may_see_profiles,
        "workers": (_available(stats.workers) or []) if may_see_messages else [],
        "may_see_messages": may_see_messages,
        "failures": _failures(servers) if may_see_messages else [],
    }


def _available(question: Callable[[], T]) -> T | None:
    """Return the answer, or None where the database did not give one."""
    try:
        with transaction.atomic():  # a failed statement spoils nothing else
            return question()
    except DatabaseError:
        logger.exception("A number of the dashboard is not available")
        return None


# Tiles


def _tiles(counts: dict[MessageState, int] | None) -> list[Tile]:
    hour, day = _available(lambda: stats.totals(_HOUR)), _available(lambda: stats.totals(_DAY))
    waiting = counts is not None and counts[MessageState.QUEUED]
    deferred = counts is not None and counts[MessageState.DEFERRED]
    return [
        _count_tile(_("Queued"), counts, MessageState.QUEUED, _oldest() if waiting else ""),
        Tile(
            _("Sent, last hour"),
            _number(hour.sent if hour else None),
            _("%(n)s per minute") % {"n": f"{hour.sent / 60:.0f}"} if hour and hour.sent >= 60 else "",
            _list_url(MessageState.SENT),
        ),
        _count_tile(_("Deferred"), counts, MessageState.DEFERRED, _next_try() if deferred else ""),
        Tile(
            _("Failed, 24 hours"),
            _number(day.failed if day else None),
            _share(day),
            _list_url(MessageState.FAILED),
            "is-bad" if day and day.failed else "",
        ),
        _count_tile(_("Held"), counts, MessageState.HELD, _uncertain(), tone="is-warn"),
    ]


def _count_tile(
    label: str, counts: dict[MessageState, int] | None, state: MessageState, note: str, *, tone: str = ""
) -> Tile:
    count = counts[state] if counts is not None else None
    return Tile(label, _number(count), note, _list_url(state), tone if count else "")


def _number(number: int | None) -> str:
    if number is None:
        return "-"
    return f"{stats.CAP - 1:,}+" if number >= stats.CAP else f"{number:,}"


def _oldest() -> str:
    age = _available(stats.oldest_ready_age)
    return _("oldest %(span)s") % {"span": span(age)} if age is not None else ""


def _next_try() -> str:
    at = _available(stats.next_try_at)
    return _("next at %(at)s") % {"at": clock(at)} if at is not None else ""


def _share(day: stats.Totals | None) -> str:
    if day is None:
        return _("Not available")
    tried = day.sent + day.failed
    return _("%(n).1f %% of all") % {"n": 100 * day.failed / tried} if day.failed else ""


def _uncertain() -> str:
    count = _available(stats.uncertain_count)
    return ngettext("%(n)d uncertain", "%(n)d uncertain", count) % {"n": count} if count else ""


def _list_url(state: MessageState) -> str:
    return f"{reverse('admin:delivery_message_changelist')}?state={state.value}"


def span(age: timedelta) -> str:
    """Show a time span in its largest unit.

    >>> span(timedelta(seconds=40)), span(timedelta(minutes=47)), span(timedelta(hours=30))
    ('40 s', '47 min', '30 h')
    """
    seconds = int(age.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 120:  # an hour and a half is clearer in minutes
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else _("%(n)d days") % {"n": hours // 24}


# Servers


def _servers() -> list[Server]:
    profiles = list(SMTPProfile.objects.select_related("oauth_credential").order_by("-is_default", "name"))
    numbers = _available(lambda: stats.profile_facts([profile.pk for profile in profiles])) or {}
    people = names_of(numbers.values())
    return [
        _server(profile, numbers.get(profile.pk, stats.ProfileNumbers(profile.pk)), people)
        for profile in profiles
    ]


def _server(profile: SMTPProfile, numbers: stats.ProfileNumbers, people: dict[int, str]) -> Server:
    how = standing.standing_of(profile)
    return Server(profile, _where(profile), _health(profile, numbers, people, how), numbers, how)


def _health(
    profile: SMTPProfile, numbers: stats.ProfileNumbers, people: dict[int, str], how: Standing
) -> Health:
    if profile.is_draft:
        return Health(_("Draft"), "is-quiet", is_down=True)
    if not profile.enabled:
        return Health(_("Disabled"), "is-quiet", is_down=True)
    if not how.is_live:
        return Health(standing.line(how), "is-bad", is_down=True)
    return health(numbers, people)


def _where(profile: SMTPProfile) -> str:
    if profile.transport == DeliveryMethod.SMTP and not profile.host:
        return "-"
    if profile.transport == DeliveryMethod.SMTP:
        return f"{profile.host}:{profile.port}"
    return str(DeliveryMethod(profile.transport).label)


# Alerts


def _alerts(servers: Sequence[Server], heard_at: datetime | None) -> list[Alert]:
    """Return what is wrong, worst first."""
    if not servers:
        return []  # the first steps say it
    found = [*_nothing_is_sent(servers, heard_at), *_servers_down(servers), *_not_as_tested(servers)]
    age = _available(stats.oldest_ready_age)
    if age is not None and age > LONG_WAIT:
        found.append(
            Alert(
                _("The oldest message waits %(span)s.") % {"span": span(age)},
                "is-warn",
                _("Open the messages"),
                reverse("admin:delivery_message_changelist"),
            )
        )
    return [*found, *_reminders(servers)]


def _nothing_is_sent(servers: Sequence[Server], heard_at: datetime | None) -> list[Alert]:
    found = []
    if not any(server.is_live and server.profile.enabled for server in servers):
        found.append(
            Alert(
                _("No profile is live. Nothing is being sent; new messages wait."),
                "is-bad",
                _("Open the profiles"),
                reverse("admin:smtp_settings_smtpprofile_changelist"),
            )
        )
    silent_for = timezone.now() - heard_at if heard_at is not None else None
    if silent_for is None:
        text = _("No worker has ever reported. Nothing is being sent. Start one:")
        found.append(Alert(text, "is-bad", command=WORKER_COMMAND))
    elif silent_for > SILENCE:
        text = _("No worker has reported for %(span)s. Nothing is being sent. Start one:") % {
            "span": span(silent_for)
        }
        found.append(Alert(text, "is-bad", command=WORKER_COMMAND))
    return found


def _servers_down(servers: Sequence[Server]) -> list[Alert]:
    """Return the servers taken out of use: by a fault first, then by a person."""
    down = [
        server for server in servers if server.is_live and server.profile.enabled and server.health.is_down
    ]
    down.sort(key=lambda server: server.numbers.paused is Paused.PERSON)
    return [
        Alert(
            " ".join(filter(None, [f"{server.profile.name}: {server.health.words}.", _waiting(server)])),
            server.health.tone,
            _("Open profile"),
            _profile_url(server),
        )
        for server in down
    ]


def _waiting(server: Server) -> str:
    if not server.numbers.waiting:
        return ""
    return ngettext("%(n)s message waits.", "%(n)s messages wait.", server.numbers.waiting) % {
        "n": _number(server.numbers.waiting)
    }


def _not_as_tested(servers: Sequence[Server]) -> list[Alert]:
    found = []
    for server in servers:
        profile = server.profile
        if profile.is_draft or not profile.enabled:
            continue
        if not server.is_live:
            text = standing.alert(profile, server.standing)
            found.append(Alert(text, "is-bad", _("Open profile"), _profile_url(server)))
        elif profile.cleared_without_test:
            text = _("%(name)s was saved without a passed test.") % {"name": profile.name}
            found.append(Alert(text, "is-warn", _("Test it"), _profile_url(server)))
    return found


def _reminders(servers: Sequence[Server]) -> list[Alert]:
    """Return what is so on purpose and easily forgotten."""
    return [
        Alert(
            _("%(name)s copies every message to %(addresses)s.")
            % {"name": server.profile.name, "addresses": ", ".join(server.profile.debug_recipients)},
            "is-info",
            _("Open profile"),
            _profile_url(server),
        )
        for server in servers
        if server.profile.debug_recipients and server.profile.enabled
    ]


def _profile_url(server: Server) -> str:
    return reverse("admin:smtp_settings_smtpprofile_change", args=[server.profile.pk])


# Frequent failures


@dataclass(frozen=True, slots=True)
class FailureRow:
    """One group of failures of the last day."""

    count: int
    state: str
    cause: str
    code: int | None
    profile: str
    last_at: datetime
    url: str


def _failures(servers: Sequence[Server]) -> list[FailureRow]:
    names = {server.profile.pk: server.profile.name for server in servers}
    groups = _available(lambda: stats.frequent_failures(_DAY, limit=5)) or []
    return [
        FailureRow(
            group.count,
            str(group.state.label),
            str(CAUSES.get(group.cause, group.cause)),
            group.code,
            names.get(group.profile_id or 0, ""),
            group.last_at,
            f"{reverse('admin:delivery_message_changelist')}?state={group.state.name.lower()}",
        )
        for group in groups
    ]


# The first steps


def _first_steps(
    request: HttpRequest,
    servers: Sequence[Server],
    counts: dict[MessageState, int] | None,
    heard_at: datetime | None,
) -> list[Step]:
    """Return the checklist until a first message has been sent through a live profile; then nothing."""
    has_sent = bool(counts and counts[MessageState.SENT])
    if (servers and has_sent) or counts is None:
        return []
    mail = mail_setting()
    return [
        _add_server(request, is_done=bool(servers)),
        Step(
            _("Send a test email and save"),
            _("At the foot of the profile's page. Only a profile that has passed a test is used."),
            any(server.is_live for server in servers),
        ),
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


def _add_server(request: HttpRequest, *, is_done: bool) -> Step:
    may_add = request.user.has_perm("smtp_settings.add_smtpprofile")
    text = _("Its name, port and sign-in.")
    if settings.MAILCONF_LOCAL:
        text += " " + _(
            "To try it out: server 127.0.0.1, port %(port)d, not encrypted, no sign-in: the sandbox."
        ) % {"port": settings.MAILCONF_SANDBOX_PORT}
    return Step(
        _("Add your mail server"),
        text,
        is_done,
        _("Set up the first server") if may_add and not is_done else "",
        reverse("admin:smtp_settings_smtpprofile_add"),
    )
