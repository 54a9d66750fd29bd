"""One attempt judged as a whole: each recipient's verdict, what the message needs next, the server's sign."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import repeat

from delivery.classification.hinting import hint_in
from delivery.classification.rulings import Action, Ruling, Sign
from delivery.classification.table import (
    ACCEPTED,
    FOLLOW_UP,
    GARBLED,
    LOST,
    NO_ANSWER,
    rule_on_error,
    rule_on_reply,
)
from smtp_settings.entries.overrides import NO_OVERRIDES, Overrides
from transports.base import Outcome, Phase, Reply
from transports.errors import ProtocolError, TransportError


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one recipient, and the words that decided it."""

    ruling: Ruling
    reply: Reply | None


@dataclass(slots=True)  # one for each message: see `transports.base.Outcome`
class Judgement:
    """What becomes of a message after one attempt.

    `recipients` holds a verdict per recipient of the message, in the order given to the session (recipients
    that only ride along are left out); it is empty when no transaction was begun. `action` is what the
    message needs next as a whole; `reply` and `cause` belong to the verdict that decided it. `hint` is a
    wait the server asked for. `wait` (for the message) and `rest` (for the server) are the least that an
    operator's rules ask for.
    """

    action: Action
    sign: Sign
    phase: Phase
    reply: Reply | None = None
    is_counted: bool = False
    is_drop: bool = False
    cap: int | None = None
    cause: str = ""
    words: str = ""
    hint: timedelta | None = None
    wait: timedelta | None = None
    rest: timedelta | None = None
    recipients: tuple[Verdict, ...] = ()

    @property
    def recipients_taken(self) -> int | None:
        """How many recipients the server took before it said that they were too many; None: it did not."""
        refused = (verdict.reply for verdict in self.recipients if verdict.ruling is FOLLOW_UP)
        if self.action is Action.SENT or not any(map(_is_of_recipients, refused)):
            return None
        return sum(verdict.ruling.action is Action.SENT for verdict in self.recipients) or None


#: A message needs the first of these that any of its recipients needs; SENT is left when all have it.
_URGENCY = (Action.UNCERTAIN, Action.RETRY, Action.ELSEWHERE, Action.RELEASE, Action.FAIL, Action.SENT)
#: The sign that stands when several were given; a success outweighs a refusal of one recipient.
_GRAVITY = (
    Sign.PAUSE,
    Sign.DESYNC,
    Sign.LOWER_LIMIT,
    Sign.BREAKER,
    Sign.SUCCESS,
    Sign.REFUSES_US,
    Sign.NONE,
)


#: Signs of a server that is left alone for a while.
_RESTING = frozenset({Sign.BREAKER, Sign.LOWER_LIMIT})


def judge_error(error: TransportError, *, overrides: Overrides = NO_OVERRIDES) -> Judgement:
    """Judge a connection that did not come about: always the server's matter."""
    ruling = rule_on_error(error, overrides=overrides)
    return Judgement(
        action=ruling.action,
        sign=ruling.sign,
        phase=error.phase,
        reply=error.reply,
        cause=ruling.cause,
        words=str(error),
        rest=ruling.wait,
    )


def judge(
    outcome: Outcome, *, recipients: int, is_fresh: bool, overrides: Overrides = NO_OVERRIDES
) -> Judgement:
    """Judge one transaction.

    `recipients`: how many of the first `rcpt_to` are the message's own. `is_fresh`: nothing was sent over
    this connection before, so that a loss speaks against the server and not against an idle limit.
    `overrides`: what the profile says its server's refusals mean.
    """
    if outcome.accepted and not outcome.uncertain and _all_accepted(outcome, recipients):
        return _sent(outcome, recipients)
    base = _rule_on_transaction(outcome, overrides, is_fresh=is_fresh)
    verdicts = tuple(_rule_on_recipients(outcome, recipients, base, overrides))
    distinct = {id(verdict): verdict for verdict in verdicts}.values()  # most share the transaction's
    rulings = [verdict.ruling for verdict in distinct]
    deciding = min(distinct, key=lambda verdict: _URGENCY.index(verdict.ruling.action))
    action = deciding.ruling.action
    hints = map(hint_in, (verdict.reply for verdict in distinct))
    return Judgement(
        action=action,
        sign=min((ruling.sign for ruling in (base, *rulings)), key=_GRAVITY.index),
        phase=outcome.phase,
        reply=deciding.reply,
        is_counted=any(ruling.is_counted for ruling in rulings),
        is_drop=action is Action.RELEASE and any(ruling.is_drop for ruling in rulings),
        cap=min((ruling.cap for ruling in rulings if ruling.cap is not None), default=None),
        cause=deciding.ruling.cause,
        words=_words(deciding.reply, outcome.error),
        hint=max(filter(None, hints), default=None),
        wait=_longest(ruling for ruling in rulings if ruling.action is Action.RETRY),
        rest=_longest(ruling for ruling in rulings if ruling.sign in _RESTING),
        recipients=verdicts,
    )


def _is_of_recipients(reply: Reply | None) -> bool:
    """Whether a 452 is of the number of recipients: it may be of a full disk, too."""
    if reply is None:
        return False
    return (reply.enhanced or "").endswith(".5.3") or "recipients" in reply.text.lower()


def _longest(rulings: Iterable[Ruling]) -> timedelta | None:
    return max((ruling.wait for ruling in rulings if ruling.wait is not None), default=None)


def _all_accepted(outcome: Outcome, recipients: int) -> bool:
    replies = outcome.rcpt_replies[:recipients]
    return len(replies) == recipients and all(reply is not None and reply.is_success for reply in replies)


def _sent(outcome: Outcome, recipients: int) -> Judgement:
    """Say what nearly every judgement says, without asking the tables: this runs once a message."""
    return Judgement(
        action=Action.SENT,
        sign=Sign.SUCCESS,
        phase=outcome.phase,
        reply=outcome.reply,
        is_counted=True,
        words=_words(outcome.reply, None),
        recipients=(Verdict(ACCEPTED, outcome.reply),) * recipients,
    )


def _rule_on_transaction(outcome: Outcome, overrides: Overrides, *, is_fresh: bool) -> Ruling:
    if outcome.uncertain:
        return GARBLED if isinstance(outcome.error, ProtocolError) else NO_ANSWER
    if outcome.reply is not None:
        return rule_on_reply(outcome.phase, outcome.reply, overrides=overrides)
    if outcome.error is None:
        return NO_ANSWER if outcome.phase is Phase.DOT else LOST
    ruling = rule_on_error(outcome.error, overrides=overrides)
    return replace(ruling, sign=Sign.BREAKER) if ruling.is_drop and is_fresh else ruling


def _rule_on_recipients(
    outcome: Outcome, recipients: int, base: Ruling, overrides: Overrides
) -> Iterator[Verdict]:
    """Yield a verdict each: a refusal at RCPT is the recipient's own, all others share the transaction's."""
    shared = Verdict(base, outcome.reply)
    any_accepted = False
    for reply in (*outcome.rcpt_replies, *repeat(None, recipients))[:recipients]:
        if reply is None:
            # After an acceptance: it was never offered to the server.
            yield Verdict(FOLLOW_UP, None) if outcome.accepted else shared
        elif reply.is_success:
            any_accepted = True
            yield shared
        else:
            ruling = rule_on_reply(Phase.RCPT, reply, any_accepted=any_accepted, overrides=overrides)
            yield Verdict(ruling, reply)


def _words(reply: Reply | None, error: TransportError | None) -> str:
    if reply is not None:
        return reply.text
    return "" if error is None else str(error)
