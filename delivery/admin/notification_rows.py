"""What the notifications page shows besides its form: what is wrong now, and the last calls."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from delivery.incidents import Kind
from delivery.models import Incident, WebhookCall
from delivery.notices.incident_words import kind_label
from smtp_settings import wire

#: Rows of each table.
_MOST = 20


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """Something that is wrong now; `told_at` None: nobody was told."""

    what: str
    name: str
    began_at: datetime
    told_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class CallLine:
    """One call of the webhook, and how it stands."""

    at: datetime
    what: str
    state: str
    tone: str
    error: str


def incident_lines() -> list[IncidentLine]:
    """Return what is wrong now, newest first."""
    known = set(Kind)
    return [
        IncidentLine(kind_label(Kind(row.kind)), row.name, row.began_at, row.told_at, row.due_at)
        for row in Incident.objects.filter(ended_at=None).order_by("-id")[:_MOST]
        if row.kind in known
    ]


def call_lines() -> list[CallLine]:
    """Return the newest calls."""
    return [_line(row) for row in WebhookCall.objects.order_by("-id")[:_MOST]]


def carriers() -> int:
    """Count the live profiles that could carry a notification, as far as it matters: to two."""
    return wire.live_senders(most=2)


def _line(row: WebhookCall) -> CallLine:
    if row.done_at is not None:
        state, tone = _("Taken"), "is-ok"
    elif row.due_at is None:
        state, tone = _("Given up"), "is-bad"
    else:
        state, tone = (_("Is tried again"), "is-warn") if row.error else (_("Waits"), "is-quiet")
    return CallLine(row.created_at, _text(row.body), state, tone, row.error)


def _text(body: str) -> str:
    try:
        told: Any = json.loads(body)  # Any: JSON
        return str(told["text"])
    except (ValueError, KeyError, TypeError):
        return ""
