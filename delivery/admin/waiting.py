"""Why a message is not sent yet: the card of its page, and the half sentence in its row of the list."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from delivery.admin.blind import Blind
from delivery.reading import one_line
from delivery.waiting import Answer, Explanation, Reason, Snapshot, explain, explain_each
from delivery.waiting.reasons import ComesLater, RetryAt, Takes
from delivery.waiting_words import Said, Telling, say, say_shortly

#: Servers a card names; more would be read by nobody, and the simulator has them all.
_SERVERS = 20
_MOST_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One server and its reasons; `place` in the order of use, None for one that may not take the message."""

    profile_id: int
    name: str
    place: int | None
    tone: str
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """What a waiting message's page says: the most important sentence, the other reasons, the servers.

    `servers` is empty for those who may not see profiles. `more` serve it and are not shown, `others` may not
    take it.
    """

    first: Said
    tone: str
    reasons: tuple[Said, ...]
    servers: tuple[ServerLine, ...]
    more: int
    others: int


def card_of(snapshot: Snapshot, *, may_see_profiles: bool, blind: Blind) -> Card | None:
    """Explain a message; None when it does not wait (any more). Servers' words are masked like all others."""
    explanation = explain(snapshot)
    if explanation is None:
        return None
    names = {server.profile_id: server.name for server in snapshot.servers} if may_see_profiles else None
    telling = Telling(names, snapshot.now)
    first, *others = [_shown(_without_reply(reason), telling, blind) for reason in explanation.reasons]
    serving = explanation.routing.serving if explanation.routing is not None else ()
    asked = len(explanation.routing.answers) if explanation.routing is not None else 0
    if may_see_profiles and serving:
        first = replace(first, reply="")  # its server's words stand in the table
    return Card(
        first=first,
        tone=_tone_of(explanation),
        reasons=tuple(others),
        servers=lines(serving[:_SERVERS], telling, blind) if may_see_profiles else (),
        more=max(0, len(serving) - _SERVERS),
        others=asked - len(serving),
    )


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What a row of the list says of a message that waits, and whether a person has to do something."""

    text: str
    needs_a_person: bool


def whys_of(snapshot: Snapshot, *, may_see_profiles: bool) -> dict[int, WhyNot]:
    """Say why each message of a page waits, by its id.

    Without a server's words: they may name blind recipients, and stand on the message's page.
    """
    names = {server.profile_id: server.name for server in snapshot.servers} if may_see_profiles else None
    telling = Telling(names, snapshot.now)
    words: dict[Reason, str] = {}  # mostly all wait for the same
    found = {}
    for message_id, explanation in explain_each(snapshot).items():
        first = explanation.first
        if first not in words:
            words[first] = one_line(say_shortly(first, telling), _MOST_CHARACTERS)
        found[message_id] = WhyNot(words[first], explanation.needs_a_person)
    return found


def lines(answers: Sequence[Answer], telling: Telling, blind: Blind) -> tuple[ServerLine, ...]:
    """Return a line for each server that was asked, in the order given."""
    return tuple(
        ServerLine(
            profile_id=answer.profile_id,
            name=telling.name(answer.profile_id),
            place=place if answer.may_serve else None,
            tone=_tone(answer),
            said=tuple(_shown(reason, telling, blind) for reason in answer.reasons),
        )
        for place, answer in enumerate(answers, 1)
    )


def _without_reply(reason: Reason) -> Reason:
    """Leave the last answer to the sentence on top of the page."""
    return replace(reason, reply=None) if isinstance(reason, RetryAt) else reason


def _shown(reason: Reason, telling: Telling, blind: Blind) -> Said:
    said = say(reason, telling)
    return Said(one_line(said.text, _MOST_CHARACTERS), one_line(blind.mask(said.reply), _MOST_CHARACTERS))


def _tone_of(explanation: Explanation) -> str:
    return "is-warn" if explanation.needs_a_person else "is-info"


def _tone(answer: Answer) -> str:
    reason = answer.reasons[0]
    if not answer.may_serve or isinstance(reason, ComesLater):
        return "is-quiet"
    if isinstance(reason, Takes):
        return "is-ok"
    return "is-bad" if reason.needs_a_person else "is-warn"
