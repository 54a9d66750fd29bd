"""One claimed message in this worker's hands, and what is left to do with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from delivery import assignment
from delivery.dispatcher import clock
from delivery.queue import Claimed, PoolKey, domain_of
from smtp_settings.policy import Redirect
from smtp_settings.wire import WayOut
from transports.base import MailObject

#: Lanes above this priority hold suspects: messages that were in a dead worker's hands.
SUSPECT = 10

#: Recipients of one transaction (RFC 5321 section 4.5.3.1.8 asks servers to take so many).
MOST_RECIPIENTS = 100


@dataclass(slots=True)
class Work:
    """A claimed message and the way out it was given to.

    `moment` is the reserved moment of a spaced send, of `clock`, None = at once. `mail` is the message put
    together already, None where that is still to be done.
    """

    claimed: Claimed
    way: WayOut
    pool: PoolKey
    moment: float | None = None
    taken_at: float = field(default_factory=clock.now)
    mail: MailObject | None = field(default=None, repr=False)
    #: Recipients of one transaction: fewer than usual where the server takes no more.
    most_recipients: int = MOST_RECIPIENTS
    #: Where it goes instead, decided when it is put together, as late as can be: `go_to`.
    redirect: Redirect | None = None
    #: The recipients this attempt is for: without a final verdict, as many as one transaction takes.
    recipients: tuple[str, ...] = field(init=False)
    #: Whether recipients are left for a follow-up after this attempt.
    has_more: bool = field(init=False)
    #: Who gets this attempt in the place of its recipients; "" where they do themselves.
    redirected_to: str = field(init=False)

    def __post_init__(self) -> None:
        self.go_to(self.redirect)

    def go_to(self, redirect: Redirect | None) -> None:
        """Decide for whom this attempt is; what was put together before is for somebody else.

        Those whom a redirect spares go first and by themselves: the others' copy names everybody it was for.
        """
        everybody, settled = self.claimed.rcpt_to, self.claimed.verdicts
        unsettled = [r for r in everybody if r not in settled] if settled else everybody
        left = unsettled
        if redirect is not None:
            left = [r for r in unsettled if redirect.spares(r)] or unsettled
        self.redirect, self.mail = redirect, None
        self.recipients = tuple(left[: self.most_recipients])
        self.has_more = len(unsettled) > len(self.recipients)
        goes_there = redirect is not None and left and not redirect.spares(left[0])
        self.redirected_to = redirect.to if redirect is not None and goes_there else ""

    @property
    def db_now(self) -> datetime:
        """The database's clock, carried on by this machine's."""
        return self.claimed.db_now + timedelta(seconds=clock.now() - self.taken_at)

    @property
    def age(self) -> timedelta:
        """How long the message has been due."""
        return self.db_now - self.claimed.due_at

    @property
    def is_expired(self) -> bool:
        """Whether the caller wants it sent no more."""
        expires_at = self.claimed.expires_at
        return expires_at is not None and self.db_now >= expires_at

    @property
    def goes_alone(self) -> bool:
        """Whether it shares no write: it has its own moment, or a crash shall tell of it alone."""
        return self.moment is not None or self.claimed.priority > SUSPECT

    @property
    def verdicts(self) -> Mapping[str, Any]:  # Any: JSON
        """What earlier attempts settled for good, by recipient."""
        return self.claimed.verdicts or {}

    @property
    def rcpt_to(self) -> tuple[str, ...]:
        """The forward-paths of this attempt."""
        return (self.redirected_to,) if self.redirected_to else (*self.recipients, *self.riders)

    @property
    def riders(self) -> tuple[str, ...]:
        """Debug recipients: they ride in the envelope of the first try and are never waited for.

        While mail is redirected nobody rides: only one address shall get it.
        Nor does a message need SMTPUTF8 for their sake: a server without it would fail the message.
        """
        if self.claimed.attempts or self.claimed.verdicts or self.redirect is not None:
            return ()
        own = set(self.claimed.rcpt_to)
        return tuple(r for r in self.way.sender.debug_recipients if r not in own and r.isascii())

    def others(
        self,
        ways: Sequence[WayOut],
        free_connections: Mapping[int, int] | None = None,
        *,
        again: bool = False,
    ) -> tuple[int, ...]:
        """Return the profiles besides its own that may carry it, first choice first.

        A message without From needs a profile that has one. A pinned message, and so one that was passed on
        before, has none; with `again` that one has, as its caller pinned it to nobody.
        """
        pool = self.pool
        if pool.profile_id is not None:
            if not again or self.claimed.pinned_profile_id is not None:
                return ()
            pool = PoolKey(0, pool.site_id, domain_of(self.claimed.from_header), None)
        has_from = self.claimed.from_header is not None
        able = [way for way in ways if has_from or way.sender.from_address]
        ids = assignment.order(able, pool, free_connections)
        return tuple(profile_id for profile_id in ids if profile_id != self.way.profile_id)
