"""Who carries out runs that are no test of settings: the part that knows how says so at start."""

from typing import Protocol

from smtp_settings.models import TestRun


class Carrier(Protocol):
    """Carries out a run that its thread has claimed, within `limit` seconds, and ends it."""

    def __call__(self, run: TestRun, *, limit: float) -> None:
        """Carry it out. Never raises for what happens on the way."""


_carriers: dict[str, Carrier] = {}


def provide(kind: str, carrier: Carrier) -> None:
    """Set who carries out runs of a kind from now on."""
    _carriers[kind] = carrier


def carrier_of(kind: str) -> Carrier | None:
    """Return who carries out runs of a kind; None for those that are a session with a server."""
    return _carriers.get(kind)
