"""Tokens in hand: leave to send, at once or at reserved moments.

The database has promised them to nobody else, for now: so they lapse by the clock that counts suspended time,
else a machine that wakes up would send in the others' moments.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from delivery import pacing
from delivery.dispatcher import clock

_AHEAD = pacing.CLAIM_AHEAD.total_seconds()
#: A token that is not spaced is used within this time or lapses.
_LASTS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Token:
    """Leave to send one message: at once, or at a reserved moment of `clock`."""

    moment: float | None
    lapses_at: float


class Purse:
    """The tokens one worker holds for one profile. Late ones lapse, so that gaps stay as wide as promised."""

    def __init__(self, *, spacing: timedelta) -> None:
        self.spacing = spacing
        self._tokens: deque[Token] = deque()
        self._unused = 0
        #: The moment reserved last, by the database's clock.
        self.last_moment: datetime | None = None

    def __len__(self) -> int:
        self._lapse()
        return len(self._tokens)

    def add(self, moments: Sequence[float | None]) -> None:
        """Take granted tokens, with their moments if spaced."""
        at_once = clock.now() + _LASTS_SECONDS
        for moment in moments:
            lapses_at = at_once if moment is None else moment + pacing.grace(self.spacing).total_seconds()
            self._tokens.append(Token(moment, lapses_at))

    @property
    def ready(self) -> int:
        """How many messages may be claimed on them now: spaced ones shortly before their moment."""
        self._lapse()
        ahead = clock.now() + _AHEAD
        return sum(token.moment is None or token.moment <= ahead for token in self._tokens)

    @property
    def next_in(self) -> float | None:
        """Seconds until a claim may be made on the next spaced token, None without one."""
        self._lapse()
        moment = self._tokens[0].moment if self._tokens else None
        return None if moment is None else max(0.0, moment - _AHEAD - clock.now())

    def spend(self) -> float | None:
        """Use one for a claimed message; return its moment.

        It may have lapsed during the claim: then one that is not given back yet serves, and a moment is over.
        """
        if self._tokens:
            return self._tokens.popleft().moment
        if self._unused:
            self._unused -= 1
            return None
        return -math.inf

    def take_unused(self) -> int:
        """Return how many lapsed unused since the last time, moments not counted: those are over."""
        self._lapse()
        unused, self._unused = self._unused, 0
        return unused

    def empty(self) -> datetime | None:
        """Let all lapse; return the moment reserved last if nobody used it and it is still to come."""
        self._lapse()
        is_left = bool(self._tokens) and self._tokens[-1].moment is not None
        self._unused += sum(token.moment is None for token in self._tokens)
        self._tokens.clear()
        return self.last_moment if is_left else None

    def is_too_late(self, moment: float) -> bool:
        """Whether a reserved moment was missed by so much that the next gap would be too narrow."""
        return clock.now() > moment + pacing.grace(self.spacing).total_seconds()

    def _lapse(self) -> None:
        now = clock.now()
        while self._tokens and self._tokens[0].lapses_at < now:
            self._unused += self._tokens.popleft().moment is None
