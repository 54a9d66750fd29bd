"""What profile pages want to know of the queue, without importing it.

The project gives one function that answers for many profiles at once (`provide`); without one, as in an
installation that only keeps settings, nothing is known of any profile.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """One profile as the queue sees it.

    `health` is a ready phrase ("Working", "Breaker open, next try 14:09"), "" when nothing is known, `tone`
    its badge's (see static/mailconf/components.css); `paused` says who paused it and since when, "" when it
    is not. `note` is a sentence about how the server is spoken to for now, "" when as usual. `waiting` and
    `sent_24h` count messages. `may_delete` is False while messages wait for this profile.
    """

    health: str = ""
    tone: str = "is-ok"
    paused: str = ""
    note: str = ""
    waiting: int = 0
    sent_24h: int = 0
    may_delete: bool = True


Provider = Callable[[Collection[int]], Mapping[int, ProfileFacts]]

_NOTHING = ProfileFacts()
_providers: list[Provider] = []


def provide(provider: Provider | None) -> None:
    """Set who answers from now on; None takes the answer away."""
    _providers[:] = [provider] if provider is not None else []


def facts_for(ids: Collection[int]) -> dict[int, ProfileFacts]:
    """Return the facts of each profile asked for."""
    known = _providers[0](ids) if _providers and ids else {}
    return {id_: known.get(id_, _NOTHING) for id_ in ids}
