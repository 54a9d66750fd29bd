"""The dashboard: what waits, what is wrong, how mail goes, how servers and workers do, and the first steps.

Everything comes from `delivery.stats`, which reads a bounded number of rows. A number that cannot be had is
"-": one broken aggregate must not take the page away that tells what is broken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from delivery import stats
from delivery.showing import clock
from delivery.stats import MessageState
from mailconf import alerts, first_steps, server_rows, traffic
from mailconf.numbers import available, kept, oldest_age, shown, span
from mailconf.periods import Period
from mailconf.server_rows import Server

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
#: The stable words of the queue for why a message needs a person, for people; others are shown as they are.
CAUSES: dict[str, Promise] = {
    "recipient": gettext_lazy("Recipient not accepted"),
    "mailbox_full": gettext_lazy("Mailbox full"),
    "sender": gettext_lazy("Sender not accepted"),
    "relay": gettext_lazy("Server does not relay"),
    "size": gettext_lazy("Too large"),
    "too_large": gettext_lazy("Larger than any server takes"),
    "content": gettext_lazy("Content refused"),
    "policy": gettext_lazy("Refused by the server's rules"),
    "override": gettext_lazy("A rule of the profile"),
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


def context_for(request: HttpRequest) -> dict[str, Any]:  # Any: template context
    """Return what this user's dashboard shows."""
    may_see_messages = request.user.has_perm("delivery.view_message")
    may_see_profiles = request.user.has_perm("smtp_settings.view_smtpprofile")
    counts = available(stats.cached_counts)
    heard_at = available(stats.last_heartbeat_at)
    servers = server_rows.servers()
    steps = (
        first_steps.first_steps(request, servers, counts, heard_at)
        if may_see_messages or may_see_profiles
        else []
    )
    period = Period.of(request.GET.get("period"))
    return {
        "updated_at": timezone.now(),
        "tiles": _tiles(counts) if may_see_messages and not (steps and _is_unused(counts)) else [],
        "steps": steps,
        "periods": traffic.choices(period),
        "traffic": traffic.drawn(period) if may_see_messages and not steps else None,
        "alerts": alerts.alerts(servers, heard_at, may_see_profiles=may_see_profiles)
        if may_see_messages or may_see_profiles
        else [],
        "servers": servers if may_see_profiles else [],
        "may_see_profiles": may_see_profiles,
        "workers": (kept("workers", stats.workers) or []) if may_see_messages else [],
        "may_see_messages": may_see_messages,
        "failures": _failures(servers if may_see_profiles else []) if may_see_messages else [],
    }


# Tiles


def _is_unused(counts: dict[MessageState, int] | None) -> bool:
    """Whether nothing was ever handed over: five noughts would tell a newcomer nothing."""
    return counts is not None and not any(counts.values())


def _tiles(counts: dict[MessageState, int] | None) -> list[Tile]:
    hour = kept("hour", lambda: stats.totals(_HOUR))
    day = kept("day", lambda: stats.totals(_DAY))
    waiting = counts is not None and counts[MessageState.QUEUED]
    deferred = counts is not None and counts[MessageState.DEFERRED]
    return [
        _count_tile(_("Queued"), counts, MessageState.QUEUED, _oldest() if waiting else ""),
        Tile(
            _("Sent, last hour"),
            f"{hour.sent:,}" if hour else "-",
            _("%(n)s per minute") % {"n": f"{hour.sent / 60:.0f}"} if hour and hour.sent >= 60 else "",
            _list_url(MessageState.SENT),
        ),
        _count_tile(_("Deferred"), counts, MessageState.DEFERRED, _next_try() if deferred else ""),
        Tile(
            _("Failed, 24 hours"),
            f"{day.failed:,}" if day else "-",
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
    return Tile(label, shown(count), note, _list_url(state), tone if count else "")


def _oldest() -> str:
    age = oldest_age()
    return _("oldest %(span)s") % {"span": span(age)} if age is not None else ""


def _next_try() -> str:
    at = kept("next_try", stats.next_try_at)
    return _("next at %(at)s") % {"at": clock(at)} if at is not None else ""


def _share(day: stats.Totals | None) -> str:
    if day is None:
        return _("Not available")
    tried = day.sent + day.failed
    return _("%(n).1f %% of all") % {"n": 100 * day.failed / tried} if day.failed else ""


def _uncertain() -> str:
    count = kept("uncertain", stats.uncertain_count)
    return ngettext("%(n)d uncertain", "%(n)d uncertain", count) % {"n": count} if count else ""


def _list_url(state: MessageState) -> str:
    return f"{reverse('admin:delivery_message_changelist')}?state={state.value}"


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
    groups = kept("failures", lambda: stats.frequent_failures(_DAY, limit=5)) or []
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
