"""How a server has answered lately, and what that means for its row.

No statement here: `learn` says what ought to be written (`Change`). Failures open the breaker, refusals
that mean us pause the profile, a crowded server gets fewer connections and a rest.
"""

import math
import time
from collections import deque
from datetime import timedelta
from enum import StrEnum

from delivery.classification import Action, Judgement, Sign
from transports.base import Phase

#: Failures that open the breaker: in a row, or this share of the last ones.
_IN_A_ROW = 3
_RECENT = 20
#: Different messages put off in a row before it is the server's failure.
_PUT_OFF = 5
#: Refusals in a row without a success that mean us: by different senders, or of messages at all.
_SENDERS_REFUSED = 3
_MESSAGES_REFUSED = 10
#: A crowded server is left alone for a moment, longer each time.
_REST_SECONDS = 5.0
_LONGEST_REST = 60.0
#: Rests in a row, without an answer to anything, after which nothing is expected of it soon.
_RESTS = 2
_CLEAN_SECONDS = 60.0
_BEFORE_MAIL = frozenset({Phase.DNS, Phase.CONNECT, Phase.BANNER, Phase.TLS, Phase.EHLO, Phase.AUTH})


class Change(StrEnum):
    """What a result means for the server's row."""

    NONE = "none"
    OPEN = "open"
    CLOSE = "close"
    PAUSE = "pause"
    LOWER = "lower"


class Health:
    """What one worker knows from its own attempts at one server."""

    def __init__(self, *, max_connections: int) -> None:
        self.max_connections = max_connections
        self.is_probing = False
        self.healthy = 0  # connections that have carried a message
        #: Slow start: connections allowed for now, None when it is over.
        self.ramp: int | None = None
        #: Milliseconds a message takes, None before the first.
        self.ms: float | None = None
        self._ramp_left = 0
        self._resting_until = 0.0
        self._rests = 0
        self._failures = 0
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._put_off: set[int] = set()
        self._refused: list[str] = []
        self._trouble_at = -math.inf

    @property
    def is_resting(self) -> bool:
        """Whether the server said it is crowded and is left alone for a moment."""
        return time.monotonic() < self._resting_until

    @property
    def is_crowded_out(self) -> bool:
        """Whether it rests again, having answered nothing since the rest before."""
        return self.is_resting and self._rests >= _RESTS

    def learn(self, judgement: Judgement, *, message_id: int, mail_from: str, ms: float) -> Change:
        """Take in what a result says about the server; return what to write."""
        if judgement.sign is Sign.NONE and judgement.reply is None:
            return Change.NONE  # it said nothing: lost on an idle connection, or refused by ourselves
        match judgement.sign:
            case Sign.PAUSE:
                return Change.PAUSE
            case Sign.LOWER_LIMIT:
                return self._crowded()
            case Sign.BREAKER | Sign.DESYNC:
                return self._failed(judgement)
            case Sign.SUCCESS | Sign.NONE | Sign.REFUSES_US:
                return self._answered(judgement, message_id, mail_from, ms)

    def _crowded(self) -> Change:
        if self.is_resting:
            return Change.NONE  # said to a connection from before the rest: nothing new
        self._trouble_at = time.monotonic()
        rest = min(_LONGEST_REST, _REST_SECONDS * 2**self._rests)
        self._resting_until = self._trouble_at + rest
        self._rests += 1
        return Change.LOWER

    def _failed(self, judgement: Judgement) -> Change:
        self._trouble_at = time.monotonic()
        self._failures += 1
        self._recent.append(False)
        is_unreachable = judgement.phase in _BEFORE_MAIL and not self.healthy
        half_failed = len(self._recent) == _RECENT and 2 * self._recent.count(False) >= _RECENT
        opens = self.is_probing or is_unreachable or half_failed or self._failures >= _IN_A_ROW
        opens = opens or judgement.rest is not None  # the operator says so
        return Change.OPEN if opens else Change.NONE

    def _answered(self, judgement: Judgement, message_id: int, mail_from: str, ms: float) -> Change:
        self._failures = self._rests = 0
        self._recent.append(True)
        self.ms = ms if self.ms is None else 0.9 * self.ms + 0.1 * ms
        if judgement.sign is Sign.SUCCESS:
            self._put_off.clear()
            self._refused.clear()
            self._speed_up()
        elif judgement.sign is Sign.REFUSES_US:
            self._refused.append(mail_from)
            if len(set(self._refused)) >= _SENDERS_REFUSED or len(self._refused) >= _MESSAGES_REFUSED:
                return Change.PAUSE
        elif judgement.action is Action.RETRY and judgement.phase is not Phase.RCPT:
            # At RCPT it is the recipients' matter: greylisting meets every new one.
            self._put_off.add(message_id)
            if len(self._put_off) >= _PUT_OFF:
                self._put_off.clear()
                return Change.OPEN
        return Change.CLOSE if self.is_probing else Change.NONE

    def _speed_up(self) -> None:
        """Slow start: twice the connections after each good round of the present ones."""
        if self.ramp is None:
            return
        self._ramp_left -= 1
        if self._ramp_left <= 0:
            self._start_ramp(2 * self.ramp)

    def _start_ramp(self, connections: int) -> None:
        self.ramp = connections if connections < self.max_connections else None
        self._ramp_left = connections

    def probe_succeeded(self) -> None:
        """Go on with one connection and double it."""
        self.is_probing = False
        self._recent.clear()
        self._start_ramp(1)

    def fewer_connections(self, learned: int | None) -> int:
        """Return the limit to learn from a crowded server; `learned` is the one known so far."""
        return max(1, int(0.7 * min(self.max_connections, learned or self.max_connections)))

    def is_clean(self, unchanged: timedelta) -> bool:
        """Whether a minute has passed without trouble; `unchanged`: so long nobody changed the row."""
        here = time.monotonic() - self._trouble_at
        return min(here, unchanged.total_seconds()) >= _CLEAN_SECONDS
