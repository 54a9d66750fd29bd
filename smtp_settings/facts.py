"""What profile pages want to know of the queue, and ask of it, without importing it.

The project says who answers (`provide`); without an answer, as in an installation that only keeps settings,
nothing is known of any profile and nothing can be asked.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from django.utils.functional import Promise


class Health(StrEnum):
    """How a server does, as a word for filters; `ProfileFacts.health` is the phrase for people."""

    WORKING = "working"
    SLOW = "slow"
    PAUSED = "paused"
    BREAKER = "breaker"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """One profile as the queue sees it.

    `health` is a ready phrase ("Working", "Breaker open, next try 14:09"), `kind` the word it comes under,
    None where nothing is known, and `tone` its badge's (static/mailconf/components.css); `paused` says who
    paused it and since when, "" when it is not. `is_down`: it is not used now; `can_try_now`: it waits for
    its next try, which a person may bring forward; `can_forget`: something was learned of its server, which a
    person may have forgotten. `note` is a sentence about how the server is spoken to for now, or what its
    refusal means, "" when all is as usual. `waiting` and `sent_24h` count messages, `connections_in_use` open
    connections. `pinned` counts those that only this profile may send, and `may_delete` is False while there
    are any; `messages_url` leads to them, "" where nobody knows.
    """

    health: str | Promise = ""
    kind: Health | None = None
    tone: str = "is-ok"
    paused: str = ""
    is_down: bool = False
    can_try_now: bool = False
    can_forget: bool = False
    note: str = ""
    waiting: int = 0
    pinned: int = 0
    messages_url: str = ""
    sent_24h: int = 0
    connections_in_use: int = 0
    may_delete: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """A live profile as the order of use sees it; no sites means every site."""

    profile_id: int
    is_default: bool
    priority: str
    site_ids: frozenset[int] = field(default=frozenset())
    sender_domains: frozenset[str] = field(default=frozenset())
    free_connections: int = 0


@dataclass(frozen=True, slots=True)
class Acts:
    """What people do with a server: profile id and user id in, whether it changed anything out.

    Each is one transaction with its event.
    """

    pause: Callable[[int, int], bool]
    resume: Callable[[int, int], bool]
    try_now: Callable[[int, int], bool]
    forget: Callable[[int, int], bool]


@dataclass(frozen=True, slots=True)
class Passing:
    """Mail that passes a profile by until it is moved: how much, up to `CAP`, and the page that moves it."""

    count: int = 0
    move_url: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """What the pages of the policy and of a profile ask of the queue.

    Sites are given by id, None among them is mail of no site. `waiting` counts what is queued for these
    sites, up to `CAP`; `cancel` ends it unsent, for a person by id, and returns how many; `wake` lets workers
    look after the commit. `passing` tells of a profile what waits from its sender domains and was queued
    before they were listed; it is given what a person may: those who may not move messages are told nothing.
    """

    waiting: Callable[[Collection[int | None]], int]
    cancel: Callable[[Collection[int | None], int | None], int]
    wake: Callable[[], None]
    passing: Callable[[int, Callable[[str], bool]], Passing] = lambda _profile, _may: Passing()


#: Counts that reach this mean "more than 10,000".
CAP = 10_001
_NO_MAIL = Mail(waiting=lambda _sites: 0, cancel=lambda _sites, _user: 0, wake=lambda: None)

Provider = Callable[[Collection[int]], Mapping[int, ProfileFacts]]
#: The ids of these candidates in the order they would be used for mail of a site (None: of no site).
Order = Callable[[Sequence[Candidate], int | None], Sequence[int]]


@dataclass(frozen=True, slots=True)
class _Answers:
    facts: Provider
    order: Order | None
    acts: Acts | None
    mail: Mail


_NOTHING = ProfileFacts()
_providers: list[_Answers] = []


def provide(
    provider: Provider | None,
    *,
    order: Order | None = None,
    acts: Acts | None = None,
    mail: Mail = _NO_MAIL,
) -> None:
    """Set who answers from now on; None takes every answer away."""
    _providers[:] = [_Answers(provider, order, acts, mail)] if provider is not None else []


def facts_for(ids: Collection[int]) -> dict[int, ProfileFacts]:
    """Return the facts of each profile asked for."""
    known = _providers[0].facts(ids) if _providers and ids else {}
    return {id_: known.get(id_, _NOTHING) for id_ in ids}


def order_of_use(candidates: Sequence[Candidate], site_id: int | None = None) -> list[int]:
    """Return the ids of those that serve mail of this site, first choice first; empty when nobody knows."""
    order = _providers[0].order if _providers else None
    return list(order(candidates, site_id)) if order is not None else []


def acts() -> Acts | None:
    """Return what can be done with servers; None where there is no queue."""
    return _providers[0].acts if _providers else None


def mail() -> Mail:
    """Return what can be asked of waiting mail; where there is no queue none waits."""
    return _providers[0].mail if _providers else _NO_MAIL
