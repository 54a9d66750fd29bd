"""Pickup directories that nobody empties: mail that counts as sent and goes nowhere."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from smtp_settings.models import DeliveryMethod, SMTPProfile
from transports import pickup

#: A reader takes files within seconds; one that was restarted has caught up by then.
PATIENCE = timedelta(minutes=15)
#: Seconds for one look: a share that is away must not hold who looks.
_LOOK_SECONDS = 2.0

_looking: dict[str, threading.Thread] = {}


@dataclass(frozen=True, slots=True)
class Leftover:
    """What stays in a profile's directory. `since` None: nobody knows, it cannot be seen from here."""

    profile_id: int
    name: str
    since: datetime | None


def leftovers(now: datetime) -> Iterator[Leftover]:
    """Yield the live profiles whose files stay for too long, or whose directory cannot be seen; one query."""
    rows = SMTPProfile.objects.filter(transport=DeliveryMethod.PICKUP, enabled=True, is_draft=False)
    for pk, name, directory in rows.exclude(cleared_fingerprint="").values_list("pk", "name", "directory"):
        found = _oldest(directory)
        if found is None:
            yield Leftover(pk, name, None)
        elif found and found[0] < now - PATIENCE:
            yield Leftover(pk, name, found[0])


def _oldest(directory: str) -> list[datetime] | None:
    """Return when the oldest file was written, in a list that is empty without one; None: it cannot be seen.

    Looks in a thread: one that hangs is left behind, and no second one joins it.
    """
    if directory in _looking:
        return None
    found: list[list[datetime]] = []

    def look() -> None:
        try:
            written = pickup.oldest_left(directory)
            found.append([] if written is None else [datetime.fromtimestamp(written, UTC)])
        except (OSError, ValueError):
            pass
        finally:
            _looking.pop(directory, None)

    thread = _looking[directory] = threading.Thread(target=look, name="mailconf-pickup", daemon=True)
    thread.start()
    thread.join(_LOOK_SECONDS)
    return found[0] if found else None
