"""How a server has answered lately, and what that means for its row.

No statement here: `learn` says what ought to be written (`Change`). Failures open the breaker, refusals
that mean us pause the profile, a crowded server gets fewer connections and a rest. One that answers nothing
for a while is no failure yet, but gets no more mail until it does.
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
#: A server is silent after so many seconds without any answer, or after so many times what a message takes.
_SILENT_SECONDS = 5.0
_SILENT_MESSAGES = 4
#: Sessions in a row that the server ended after the same number of messages, before that is its limit.
_ENDED_ALIKE = 3
_BEFORE_MAIL = frozenset({Phase.DNS, Phase.CONNECT, Phase.BANNER, Phase.TLS, Phase.EHLO, Phase.AUTH})


class Change(StrEnum):
    """What a result means for the server's row."""

    NONE = "none"
    OPEN = "open"
    CLOSE = "close"
    PAUSE = "pause"
    LOWER = "lower"
    SPEED_UP = "speed_up"


class Health:
    """What one worker knows from its own attempts at one server."""

    def __init__(self) -> None:
        self.is_probing = False
        self.healthy = 0  # connections that have carried a message
        #: Whether a session was opened: until then one connection goes ahead, and finds out what is wrong.
        self.is_open = False
        #: Milliseconds a message takes, None before the first.
        self.ms: float | None = None
        self._good = 0  # messages of the present round of a slow start
        self._waiting = 0
        self._waiting_since = 0.0
        self._ended: tuple[int, int, float] = (0, 0, 0.0)  # after so many messages, so often, last when
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

    # Silence

    def asked(self) -> None:
        """Count a connection that waits for an answer: opening, or with a message."""
        if not self._waiting:
            self._waiting_since = time.monotonic()
        self._waiting += 1

    def heard(self) -> None:
        """Take in that a session was opened: an answer, if not the one waited for."""
        self.is_open = True
        self._waiting_since = time.monotonic()

    def done(self) -> None:
        """Count a connection that waits no more."""
        self._waiting -= 1
        self._waiting_since = time.monotonic()

    @property
    def is_silent(self) -> bool:
        """Whether connections wait for it and none has heard anything for long."""
        if not self._waiting:
            return False
        patience = max(_SILENT_SECONDS, _SILENT_MESSAGES * (self.ms or 0.0) / 1000)
        return time.monotonic() - self._waiting_since > patience

    # Results

    def learn(
        self, judgement: Judgement, *, message_id: int, mail_from: str, ms: float, ramp: int | None = None
    ) -> Change:
        """Take in what a result says about the server; return what to write.

        `ramp`: connections of its slow start, None when there is none.
        """
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
                change = self._answered(judgement, message_id, mail_from, ms)
                is_good = change is Change.NONE and judgement.sign is Sign.SUCCESS
                return self._sped_up(ramp) if is_good and ramp is not None else change

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

    def _sped_up(self, ramp: int) -> Change:
        """Count a good message of a slow start; a round has as many as there are connections."""
        self._good += 1
        if self._good < ramp:
            return Change.NONE
        self._good = 0
        return Change.SPEED_UP

    def probe_succeeded(self) -> None:
        """Begin anew: what was before the pause says nothing more."""
        self.is_probing = False
        self._good = 0
        self._recent.clear()

    def session_ended(self, messages: int, *, opened_at: float, is_told: bool = False) -> int | None:
        """Take in that the server ended a session after so many messages; return its limit, if that shows.

        `opened_at` on the monotonic clock: sessions that were open together may have ended for one reason.
        `is_told`: the server said so in words.
        """
        known, times, at = self._ended
        if messages == known and opened_at < at:
            return None
        times = times + 1 if messages == known else 1
        self._ended = (messages, times, time.monotonic())
        return messages if messages and (is_told or times >= _ENDED_ALIKE) else None

    def is_clean(self, unchanged: timedelta) -> bool:
        """Whether a minute has passed without trouble; `unchanged`: so long nobody changed the row."""
        here = time.monotonic() - self._trouble_at
        return min(here, unchanged.total_seconds()) >= _CLEAN_SECONDS
