"""Why a message is not sent yet, and which server would take one now. Pure; the words are elsewhere.

`facts` is what is known at one moment, `reasons` has a class for each answer, `routing` asks about servers
and `explaining` about one message. They choose with `assignment`'s own functions, as the engine does.
"""

from delivery.waiting.explaining import Explanation, explain, explain_each
from delivery.waiting.facts import (
    Breaker,
    Lease,
    LimitFacts,
    MessageFacts,
    PausedBy,
    Reply,
    Route,
    ServerFacts,
    Snapshot,
    Use,
)
from delivery.waiting.reasons import Reason
from delivery.waiting.routing import Answer, Ask, Routing, route

__all__ = [
    "Answer",
    "Ask",
    "Breaker",
    "Explanation",
    "Lease",
    "LimitFacts",
    "MessageFacts",
    "PausedBy",
    "Reason",
    "Reply",
    "Route",
    "Routing",
    "ServerFacts",
    "Snapshot",
    "Use",
    "explain",
    "explain_each",
    "route",
]
