"""What is wrong now: read from the rows of servers, messages, workers and settings."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from delivery import queue
from delivery.incidents import EXPIRING, Condition, Kind
from smtp_settings import policy
from smtp_settings.advice import expiring, leftover
from smtp_settings.models import NotificationSettings
from smtp_settings.test_send import rechecking

#: Looked at every time; the others change from day to day.
STATES = (Kind.PAUSED, Kind.BREAKER, Kind.HELD, Kind.TOO_LARGE, Kind.NO_WORKER)
#: Looked at now and then.
OUTLOOK = (*sorted(EXPIRING), Kind.CHECK)


def is_confirmed_place() -> bool:
    """Whether the database is where it was; a copy of it is not, until a person says so. One statement."""
    return policy.policies().is_confirmed


def states(settings: NotificationSettings) -> tuple[list[Condition], datetime]:
    """Return what is wrong with servers, messages and workers, and the database's time; three statements."""
    heard_at, now = queue.heard_of_workers()
    return [*_servers(), *_messages(), *_workers(settings, heard_at, now)], now


def outlook(now: datetime) -> list[Condition]:
    """Return what will stop working, and what a daily check has found not to work."""
    found = [
        Condition(Kind(one.what.value), one.subject, one.name, profile_id=one.profile_id, ends_at=one.ends_at)
        for one in expiring.endings(now)
    ]
    down = {server.profile_id for server in queue.faulty_servers()}
    failed = [
        Condition(Kind.CHECK, f"profile {run.profile_id}", run.name, run.sentence, run.profile_id)
        for run in rechecking.failed_checks()
        if run.profile_id not in down  # told already
    ]
    return [*found, *failed]


def pickups(now: datetime) -> list[Condition]:
    """Return the pickup directories that nobody empties.

    What cannot be seen from here stays as it was: another worker may see it.
    """
    found = list(leftover.leftovers(now))
    known = {one.subject: one for one in queue.open_incidents((Kind.PICKUP,))} if found else {}
    conditions = []
    for one in found:
        subject = f"profile {one.profile_id}"
        since = one.since or (known[subject].began_at if subject in known else None)
        if since is not None:
            conditions.append(Condition(Kind.PICKUP, subject, one.name, "", one.profile_id, since))
    return conditions


def _servers() -> Iterator[Condition]:
    for server in queue.faulty_servers():
        kind = Kind.PAUSED if server.is_fault else Kind.BREAKER
        subject = f"profile {server.profile_id}"
        yield Condition(kind, subject, server.name, server.reason, server.profile_id, server.changed_at)


def _messages() -> Iterator[Condition]:
    needy = queue.needy_messages()
    if needy.held:
        yield Condition(Kind.HELD, words=str(needy.held))
    if needy.too_large:
        yield Condition(Kind.TOO_LARGE, words=str(needy.too_large))


def _workers(settings: NotificationSettings, heard_at: datetime | None, now: datetime) -> Iterator[Condition]:
    """Yield that no worker reports; where there never was one, the first steps say it."""
    if heard_at is not None and now - heard_at > timedelta(minutes=settings.worker_minutes):
        yield Condition(Kind.NO_WORKER, since=heard_at)
