"""A session the server closed at one message: whether the server is crowded, or it is the message.

421 says neither. A server that took other mail since it last closed on this message is well, and the message
counts as one that loses its connection: three times it goes back for free, then that is a try like any other.
Without that proof the server is crowded: fewer connections, a rest, and no try. Either way the message waits
longer each time, so that others go first and the proof can come.
"""

from dataclasses import replace
from datetime import timedelta

from delivery import retry
from delivery.classification import Action, Judgement, Sign
from delivery.dispatcher.connections.office import Office
from delivery.dispatcher.work import Work
from transports.base import Phase

#: How long it waits, by the times it went back: at first only as the server rests. A proof takes a minute.
_WAITS = (timedelta(0), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))
_BEGUN = frozenset({Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.BODY, Phase.DOT})


async def weighed(judgement: Judgement, office: Office, work: Work) -> Judgement:
    """Return the judgement as it stands when it is known whose matter the closed session is.

    For judgements that say that the server is crowded; one statement from the message's second time on.
    """
    reply, goes_back = judgement.reply, judgement.action is Action.RELEASE
    if judgement.phase not in _BEGUN or reply is None:
        return judgement
    is_first = not (work.claimed.drops or work.claimed.attempts)
    is_its_own = not is_first and await office.takes_others(work, reply.code)
    judgement = replace(judgement, sign=Sign.NONE) if is_its_own else judgement
    if not goes_back:
        return judgement
    if work.age >= timedelta(hours=work.way.give_up_hours):
        return replace(judgement, action=Action.RETRY)
    drops = work.claimed.drops
    wait = _WAITS[min(drops, len(_WAITS) - 1)]
    return replace(judgement, is_drop=is_its_own or drops < retry.FREE_DROPS, wait=wait)
