"""Which server a message would take now, if it were handed over: asked without handing anything over."""

from collections.abc import Iterable
from dataclasses import dataclass

from delivery import queue, stats
from delivery.fitting import Size
from delivery.queue import MessagePriority
from delivery.waiting import Ask, Route, Routing, Snapshot, route
from smtp_settings.models import SMTPProfile


@dataclass(frozen=True, slots=True)
class Question:
    """What would be handed over. `site_id` None: of no site; `profile_id` pins it; no size: a small one."""

    from_address: str
    site_id: int | None = None
    priority: int = MessagePriority.NORMAL
    profile_id: int | None = None
    size: Size | None = None


@dataclass(frozen=True, slots=True)
class Simulation:
    """The answer, and the facts it came from. `ahead` due messages of its route go before it."""

    route: Route
    ahead: int
    snapshot: Snapshot
    routing: Routing

    @property
    def names(self) -> dict[int, str]:
        """The names of the profiles."""
        return {server.profile_id: server.name for server in self.snapshot.servers}


def simulate(question: Question, *, profiles: Iterable[SMTPProfile] | None = None) -> Simulation:
    """Find the message's way as enqueueing would, and ask every server; changes nothing.

    `profiles`: all of them, where the caller has read them anyway (`stats.all_profiles`).
    """
    domain = queue.domain_of(question.from_address)
    key = queue.route_now(queue.Route(question.site_id, domain, question.profile_id))
    way = Route(key.id, key.site_id, key.sender_domain, key.profile_id)
    ahead = stats.due_ahead(way.id, question.priority) if way.id else 0
    snapshot = stats.snapshot(profiles=profiles)
    asked = Ask(way, place=ahead + 1, size=question.size)
    return Simulation(way, ahead, snapshot, route(snapshot.servers, asked, snapshot.now))
