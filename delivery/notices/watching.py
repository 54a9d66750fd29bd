"""The look at what is wrong: stores what begins and ends, and tells of it by mail and webhook.

Anybody may look, as often as they like: workers do, a task of beat's, and `manage.py watch`, which needs
neither. Who takes the right to tell (`queue.incidents`) stores the mail and the call in the same transaction:
neither lost nor doubled.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from delivery import queue
from delivery.incidents import Act, Condition, Decision, Kind, decide
from delivery.notices import conditions
from delivery.notices.broadcast import broadcast
from delivery.notices.guarding import never_in_the_way
from delivery.notices.incident_words import Told
from smtp_settings.models import NotificationSettings
from smtp_settings.webhook import notification_settings

#: What is due in days is looked at so often, by all together.
OUTLOOK_EVERY = timedelta(minutes=30)
_OUTLOOK = "outlook"
#: Directories are looked into so often, by whoever comes.
PICKUPS_EVERY = timedelta(minutes=1)
_PICKUPS = "pickups"


def watch() -> int:
    """Look once; return how many notifications were stored. Cheap when nothing has changed.

    Each is a transaction of its own: two that look at once wait for each other, and never in a circle.
    """
    settings = notification_settings()
    is_here, now = conditions.is_confirmed_place(), timezone.now()
    told = _act(settings, [] if is_here else [Condition(Kind.CLONE)], (Kind.CLONE,), now)
    if not is_here:
        return told  # the rest is the news of the place it was copied from
    found, now = conditions.states(settings)
    told += _act(settings, found, conditions.STATES, now)
    if queue.take_turn(_PICKUPS, every=PICKUPS_EVERY):
        told += _act(settings, conditions.pickups(now), (Kind.PICKUP,), now)
    if queue.take_turn(_OUTLOOK, every=OUTLOOK_EVERY):
        told += look_ahead(settings, now)
    return told


def look_ahead(settings: NotificationSettings, now: datetime) -> int:
    """Look at what ends one day; return how many notifications were stored."""
    return _act(settings, conditions.outlook(now), conditions.OUTLOOK, now)


def _act(
    settings: NotificationSettings, found: Sequence[Condition], kinds: Collection[Kind], now: datetime
) -> int:
    decisions = decide(found, queue.open_incidents(kinds), now=now, patience=_patience(settings))
    return sum(_carried_out(decision, settings, now) for decision in decisions)


def _patience(settings: NotificationSettings) -> dict[Kind, timedelta | None]:
    waits: dict[Kind, timedelta | None] = {Kind.BREAKER: timedelta(minutes=settings.breaker_minutes)}
    return waits | {Kind(kind): None for kind in settings.muted if kind in set(Kind)}


def _carried_out(decision: Decision, settings: NotificationSettings, now: datetime) -> int:
    """Write one decision; 1 when somebody is told of it by this."""
    stored = 0
    with never_in_the_way():
        if (told := _written(decision)) is not None:
            broadcast(told, settings, now)
            stored = 1
    return stored


def _written(decision: Decision) -> Told | None:
    """Write what becomes of the incident; return what is to be told, None for nothing."""
    condition, incident, stage = decision.condition, decision.incident, decision.stage
    match decision.act, condition, incident:
        case Act.BEGIN, Condition(), _:
            queue.begin_incident(condition, stage)
        case Act.TELL, Condition(), _:
            incident_id = queue.told_of_incident(condition, stage)
            if incident_id is not None:
                began_at = incident.began_at if incident is not None else condition.since
                return Told.of_condition(incident_id, condition, began_at)
        case (Act.TELL_NEARER | Act.SET_STAGE) as act, Condition(), _:
            is_nearer = act is Act.TELL_NEARER
            incident_id = queue.incident_comes_nearer(condition, stage, is_nearer=is_nearer)
            if incident_id is not None and is_nearer:
                began_at = incident.began_at if incident is not None else None
                return Told.of_condition(incident_id, condition, began_at, is_nearer=True)
        case (Act.END | Act.TELL_END) as act, _, incident if incident is not None:
            if queue.end_incident(incident.id) is not None and act is Act.TELL_END:
                is_over = incident.profile_id is None or incident.profile_id in queue.profiles_meant_to_send()
                return Told.of_end(incident, is_recovered=is_over)
        case _:
            pass
    return None
