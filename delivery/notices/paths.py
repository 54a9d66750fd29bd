"""Whether anybody would hear of a fault: no alert should depend on the server it is about (X18)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from delivery import queue
from smtp_settings.models import NotificationSettings


class Blind(StrEnum):
    """Why nobody might hear."""

    NOBODY = "nobody"  # is to be told at all
    ONE_SERVER = "one_server"  # carries mail, and so the news of itself
    CALLS_FAIL = "calls_fail"  # the webhook takes nothing


@dataclass(frozen=True, slots=True)
class Paths:
    """How people are told, in numbers; `carriers` are live profiles with a sender of their own."""

    recipients: int
    has_webhook: bool
    calls_given_up: int
    carriers: int


def paths(settings: NotificationSettings, carriers: int) -> Paths:
    """Return how people would be told now; one statement."""
    has_webhook = bool(settings.webhook_url)
    given_up = queue.calls_given_up() if has_webhook else 0
    return Paths(len(settings.recipients), has_webhook, given_up, carriers)


def blind(found: Paths) -> list[Blind]:
    """Return why nobody might hear of a server that falls, gravest first; nothing when somebody would.

    >>> blind(Paths(recipients=1, has_webhook=False, calls_given_up=0, carriers=1))
    [<Blind.ONE_SERVER: 'one_server'>]
    """
    if not found.recipients and not found.has_webhook:
        return [Blind.NOBODY]
    reasons = []
    if found.calls_given_up:
        reasons.append(Blind.CALLS_FAIL)
    if found.recipients and found.carriers < 2 and (not found.has_webhook or found.calls_given_up):
        reasons.append(Blind.ONE_SERVER)
    return reasons


def sentence(reason: Blind) -> str:
    """Say it, and what to do."""
    return str(_SENTENCES[reason])


_SENTENCES: Mapping[Blind, Promise] = {
    Blind.NOBODY: gettext_lazy(
        "Nobody is told when something is wrong, but those who look at the dashboard. Add an address or a "
        "webhook."
    ),
    Blind.ONE_SERVER: gettext_lazy(
        "The emails would go through the very server they are about: there is no second one that is live and "
        "has a From address. Add one, or a webhook."
    ),
    Blind.CALLS_FAIL: gettext_lazy(
        "The webhook takes no calls: the last ones were given up. Test it, and look at its address."
    ),
}
