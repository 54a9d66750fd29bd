"""The alerts of the dashboard: what is wrong, worst first, with one link each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from delivery.incidents import turns_away
from delivery.notices import paths
from delivery.queue import Breaker, Paused
from mailconf.numbers import SILENCE, WORKER_COMMAND, kept, oldest_age, shown, span
from mailconf.server_rows import Server
from mailconf.servers import files_note, next_try
from smtp_settings.advice.notes import notes_of
from smtp_settings.clearance import standing
from smtp_settings.webhook import notification_settings

#: A due message that waits longer is an alert.
LONG_WAIT = timedelta(minutes=15)
_WORST_FIRST = {"is-bad": 0, "is-warn": 1}


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is wrong or deserves a look, and where to go.

    `command` is something to type, or a server's reply.
    """

    text: str
    tone: str
    link: str = ""
    url: str = ""
    command: str = ""


def alerts(servers: Sequence[Server], heard_at: datetime | None, *, may_see_profiles: bool) -> list[Alert]:
    """Return what is wrong or will be, worst first.

    Who may not see profiles is told what holds for all mail, and no name of a profile.
    """
    if not servers:
        return []  # the first steps say it
    found = _nothing_is_sent(servers, heard_at, may_see_profiles=may_see_profiles)
    if may_see_profiles:
        found += [*_servers_down(servers), *_not_as_tested(servers)]
    age = oldest_age()
    if age is not None and age > LONG_WAIT:
        found.append(
            Alert(
                _("The oldest message waits %(span)s.") % {"span": span(age)},
                "is-warn",
                _("Open the messages"),
                reverse("admin:delivery_message_changelist"),
            )
        )
    if may_see_profiles:
        found += [*_nobody_would_hear(servers), *_will_end(servers)]
    return sorted(
        found,
        key=lambda alert: _WORST_FIRST.get(alert.tone, len(_WORST_FIRST)),
    )


def _nothing_is_sent(
    servers: Sequence[Server], heard_at: datetime | None, *, may_see_profiles: bool
) -> list[Alert]:
    found = []
    if not any(server.is_live and server.profile.enabled for server in servers):
        found.append(
            Alert(
                _("No profile is live. Nothing is being sent; new messages wait."),
                "is-bad",
                _("Open the profiles") if may_see_profiles else "",
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
            " ".join(filter(None, [_down(server), _waiting(server)])),
            server.health.tone,
            _("Open profile"),
            _profile_url(server),
            _refusal(server),
        )
        for server in down
    ]


def _refusal(server: Server) -> str:
    """Return the reply of a server that turns us away for good (a 5xx before any mail), "" for all else."""
    is_open = server.numbers.breaker is Breaker.OPEN and server.numbers.paused is Paused.NO
    return server.numbers.reason if is_open and turns_away(server.numbers.reason) else ""


def _down(server: Server) -> str:
    name, since = server.profile.name, server.health.sign_in_refused_since
    if _refusal(server):
        return _("%(name)s turns us away: %(next)s.") % {"name": name, "next": next_try(server.numbers)}
    if since:
        return _("%(name)s refuses the sign-in since %(since)s.") % {"name": name, "since": since}
    return f"{name}: {server.health.words}."


def _waiting(server: Server) -> str:
    if not server.numbers.waiting:
        return ""
    return ngettext("%(n)s message waits.", "%(n)s messages wait.", server.numbers.waiting) % {
        "n": shown(server.numbers.waiting)
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
        elif server.numbers.files_since is not None:
            text = f"{profile.name}: {files_note(server.numbers)}"
            found.append(Alert(text, "is-bad", _("Open profile"), _profile_url(server)))
        elif profile.cleared_without_test:
            text = _("%(name)s was saved without a passed test.") % {"name": profile.name}
            found.append(Alert(text, "is-warn", _("Test it"), _profile_url(server)))
    return found


def _will_end(servers: Sequence[Server]) -> list[Alert]:
    """Return what works now and will not for ever: certificates, passwords, sign-ins."""
    in_use = [server for server in servers if server.is_live and server.profile.enabled]
    notes = kept("notes", lambda: notes_of([server.profile for server in in_use])) or {}
    return [
        Alert(
            _("%(name)s: %(sentence)s") % {"name": server.profile.name, "sentence": note.sentence},
            note.tone,
            _("Open profile"),
            _profile_url(server),
        )
        for server in in_use
        for note in notes.get(server.profile.pk, ())
    ]


def _nobody_would_hear(servers: Sequence[Server]) -> list[Alert]:
    """Say when no notification would arrive, once there is a server to send mail."""
    carriers = [one for one in servers if one.is_live and one.profile.enabled and one.profile.from_address]
    if not carriers:
        return []
    found = kept("alert_paths", lambda: paths.paths(notification_settings(), 0))
    if found is None:
        return []
    return [
        Alert(
            paths.sentence(reason),
            "is-warn" if reason is not paths.Blind.NOBODY else "is-info",
            _("Open the notifications"),
            reverse("admin:smtp_settings_notificationsettings_change", args=[1]),
        )
        for reason in paths.blind(replace(found, carriers=len(carriers)))
    ]


def _profile_url(server: Server) -> str:
    return server.url
