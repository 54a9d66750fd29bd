"""How often one person may have this machine ask DNS: it is a settings page, not a resolver."""

import math
import time
from enum import Enum

from django.core.cache import cache
from django.utils.translation import ngettext

#: Seconds in which the questions of one person are counted together.
SPAN_SECONDS = 600


class Ask(Enum):
    """What is counted, with how many are let through in `SPAN_SECONDS`."""

    #: Costs up to `advice.reading.MOST_QUESTIONS` names.
    ADVICE = 30
    #: Costs one name, and nothing for a domain that is remembered.
    OFFER = 60


def admit(ask: Ask, user_id: int) -> str:
    """Count one more; return "" to go on, else the sentence that says how long to wait.

    The count is kept in the cache. Django's own cache is one per web process, and so is the count then.
    """
    now = time.time()
    key = f"mailconf.dns.{ask.name}.{user_id}.{int(now // SPAN_SECONDS)}"
    if cache.add(key, 1, SPAN_SECONDS):
        return ""
    try:
        count = cache.incr(key)
    except ValueError:  # the cache dropped it just now
        return ""
    if count <= ask.value:
        return ""
    minutes = math.ceil((SPAN_SECONDS - now % SPAN_SECONDS) / 60)
    sentence = ngettext(
        "DNS was asked %(most)d times in ten minutes. Wait %(minutes)d minute.",
        "DNS was asked %(most)d times in ten minutes. Wait %(minutes)d minutes.",
        minutes,
    )
    return sentence % {"most": ask.value, "minutes": minutes}
