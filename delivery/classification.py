"""What becomes of a message, of each recipient and of the server after a reply or an error. Pure.

The rules are two tables, one for replies and one for errors without a reply. A row is (phase, code,
enhanced status code) or (error, phase); of the rows that match, the most specific one wins. The first digit
of a code never decides alone: the same 550 means three things at MAIL, at RCPT and after the dot.
"""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from transports.base import Outcome, Phase, Reply
from transports.errors import (
    AddressNotAllowed,
    AuthNotEncrypted,
    AuthNotOffered,
    CertificateRefused,
    NotSendable,
    ProtocolError,
    TransportError,
)


class Action(StrEnum):
    """What becomes of a message or of one of its recipients."""

    SENT = "sent"
    RETRY = "retry"  # deferred with back-off
    ELSEWHERE = "elsewhere"  # another server is asked once; if there is none, fail
    RELEASE = "release"  # back to the queue at once, nothing counted
    FAIL = "fail"
    UNCERTAIN = "uncertain"


class Sign(StrEnum):
    """What a result says about the server."""

    NONE = "none"
    SUCCESS = "success"
    BREAKER = "breaker"  # weather: it may be back in a while
    PAUSE = "pause"  # configuration: a person has to look
    LOWER_LIMIT = "lower_limit"  # too many connections for it
    DESYNC = "desync"  # replies cannot be attributed
    REFUSES_US = "refuses_us"  # one such reply is the message's, a row of them ours


@dataclass(frozen=True, slots=True)
class Ruling:
    """The right-hand side of a row.

    `is_counted`: it uses up one of the message's retries. `is_drop`: a connection ended with the message
    inside; the fourth one counts. `cap`: after so many counted attempts the message fails, whatever the
    profile allows. `cause`: a short stable word for lists and filters.
    """

    action: Action
    sign: Sign = Sign.NONE
    is_counted: bool = False
    is_drop: bool = False
    cap: int | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """A rule about replies: `code` is a prefix ("5"), `enhanced` a prefix by parts ("5.7", "*.5.3")."""

    phases: frozenset[Phase]
    code: str
    ruling: Ruling
    enhanced: str = ""
    text: re.Pattern[str] | None = None
    after_accepted: bool = False  # only when a recipient before this one was accepted

    def matches(self, phase: Phase, reply: Reply, *, any_accepted: bool) -> bool:
        """Whether this row speaks of this reply."""
        return (
            phase in self.phases
            and f"{reply.code:03d}".startswith(self.code)
            and _matches_enhanced(self.enhanced, reply.enhanced)
            and (self.text is None or self.text.search(reply.text) is not None)
            and (any_accepted or not self.after_accepted)
        )

    @property
    def specificity(self) -> tuple[int, ...]:
        """How closely it describes a reply; larger wins. A named detail outweighs a longer code."""
        parts = [part for part in self.enhanced.split(".") if part not in {"", "*"}]
        return (self.text is not None, len(parts), len(self.code), self.after_accepted)


def _matches_enhanced(pattern: str, enhanced: str | None) -> bool:
    if not pattern:
        return True
    if enhanced is None:
        return False
    wanted, given = pattern.split("."), enhanced.split(".")
    return len(given) >= len(wanted) and all(
        want in {"*", got} for want, got in zip(wanted, given, strict=False)
    )


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """A rule about errors without a reply; the closest class wins."""

    error: type[TransportError]
    phases: frozenset[Phase]
    ruling: Ruling


_ALL = frozenset(Phase)
_OPENING = frozenset({Phase.DNS, Phase.CONNECT, Phase.BANNER, Phase.TLS, Phase.EHLO})
_AUTH = frozenset({Phase.AUTH})
_MAIL = frozenset({Phase.MAIL})
_RCPT = frozenset({Phase.RCPT})
_DATA = frozenset({Phase.DATA})
_BODY = frozenset({Phase.BODY})
_DOT = frozenset({Phase.DOT})
_QUIT = frozenset({Phase.QUIT})
_ENVELOPE = _MAIL | _RCPT | _DATA
_CONTENTS = _BODY | _DOT
_BEGUN = _ENVELOPE | _BODY
_NOT_UNDERSTOOD = ("500", "502", "503", "504")

_RELEASED = Ruling(Action.RELEASE, Sign.BREAKER)
_PAUSED = Ruling(Action.RELEASE, Sign.PAUSE)
_FEWER = Ruling(Action.RELEASE, Sign.LOWER_LIMIT)
_ACCEPTED = Ruling(Action.SENT, Sign.SUCCESS, is_counted=True)
_PUT_OFF = Ruling(Action.RETRY, is_counted=True)
_PUT_OFF_FEWER = Ruling(Action.RETRY, Sign.LOWER_LIMIT, is_counted=True)
_DESYNC = Ruling(Action.RETRY, Sign.DESYNC, is_counted=True, cap=3, cause="protocol")
_SENDER = Ruling(Action.FAIL, is_counted=True, cause="sender")
_SENDER_REFUSED = Ruling(Action.ELSEWHERE, Sign.REFUSES_US, is_counted=True, cause="sender")
_RELAY_DENIED = Ruling(Action.ELSEWHERE, Sign.REFUSES_US, is_counted=True, cause="relay")
_TOO_LARGE = Ruling(Action.ELSEWHERE, is_counted=True, cause="size")
_RECIPIENT = Ruling(Action.FAIL, is_counted=True, cause="recipient")
_MAILBOX_FULL = Ruling(Action.FAIL, is_counted=True, cause="mailbox_full")
_FOLLOW_UP = Ruling(Action.RELEASE)
_CONTENT = Ruling(Action.FAIL, is_counted=True, cause="content")
_POLICY = Ruling(Action.FAIL, Sign.REFUSES_US, is_counted=True, cause="policy")
_LOST = Ruling(Action.RELEASE, is_drop=True)
_NO_ANSWER = Ruling(Action.UNCERTAIN, Sign.BREAKER, is_counted=True, cause="uncertain")
_IGNORED = Ruling(Action.RELEASE)

_CROWDED = re.compile(r"too many|concurren|connection limit", re.IGNORECASE)

#: What a reply means where it was said. A row with an empty code catches what no other row of its phase
#: names.
REPLIES: tuple[ReplyRow, ...] = (
    # Before a message was begun it is never the message's fault.
    ReplyRow(_OPENING, "", _RELEASED),
    ReplyRow(_OPENING, "", _FEWER, text=_CROWDED),
    ReplyRow(_AUTH, "", _RELEASED),
    ReplyRow(_AUTH, "432", _FEWER),
    ReplyRow(_AUTH, "5", _PAUSED),
    ReplyRow(_ALL - _AUTH - _QUIT, "530", _PAUSED),
    # MAIL, RCPT, DATA
    ReplyRow(_ENVELOPE, "", _DESYNC),
    *(ReplyRow(_ENVELOPE, code, _DESYNC) for code in _NOT_UNDERSTOOD),
    ReplyRow(_ENVELOPE, "421", _FEWER),
    ReplyRow(_ENVELOPE, "4", _PUT_OFF),
    ReplyRow(_MAIL, "5", _SENDER),
    ReplyRow(_MAIL, "535", _SENDER_REFUSED),
    *(ReplyRow(_MAIL, code, _SENDER_REFUSED, enhanced="5.7") for code in ("550", "553", "554")),
    ReplyRow(_MAIL, "552", _TOO_LARGE),
    ReplyRow(_MAIL, "5", _TOO_LARGE, enhanced="5.3.4"),
    ReplyRow(_RCPT, "2", _ACCEPTED),
    ReplyRow(_RCPT, "5", _RECIPIENT),
    ReplyRow(_RCPT, "5", _MAILBOX_FULL, enhanced="5.2.2"),
    ReplyRow(_RCPT, "552", _MAILBOX_FULL),
    ReplyRow(_RCPT, "452", _FOLLOW_UP, after_accepted=True),  # too many recipients: the rest at once
    ReplyRow(_RCPT, "552", _FOLLOW_UP, after_accepted=True),  # RFC 5321 section 4.5.3.1.10
    ReplyRow(_RCPT, "", _FOLLOW_UP, enhanced="*.5.3", after_accepted=True),
    *(ReplyRow(_RCPT, code, _RELAY_DENIED, enhanced="5.7.1") for code in ("550", "554")),
    ReplyRow(_DATA, "5", _CONTENT),
    # A premature reply in the body, the reply to the dot
    ReplyRow(_BODY, "", _DESYNC),
    ReplyRow(_DOT, "", _NO_ANSWER),
    ReplyRow(_DOT, "2", _ACCEPTED),
    ReplyRow(_CONTENTS, "4", _PUT_OFF),
    ReplyRow(_CONTENTS, "421", _PUT_OFF_FEWER),  # a refusal: safe to send again
    ReplyRow(_CONTENTS, "5", _CONTENT),
    ReplyRow(_CONTENTS, "55", _POLICY, enhanced="5.7"),
    *(ReplyRow(_CONTENTS, code, _DESYNC) for code in _NOT_UNDERSTOOD),  # it was not in data mode
    *(ReplyRow(_CONTENTS, code, _CONTENT, enhanced=e) for code in _NOT_UNDERSTOOD for e in ("5.6", "5.7")),
    ReplyRow(_QUIT, "", _IGNORED),
)

#: What an error without a reply means where it happened.
ERRORS: tuple[ErrorRow, ...] = (
    ErrorRow(TransportError, _OPENING | _AUTH, _RELEASED),
    ErrorRow(TransportError, _BEGUN, _LOST),
    ErrorRow(TransportError, _DOT, _NO_ANSWER),
    ErrorRow(TransportError, _QUIT, _IGNORED),
    ErrorRow(ProtocolError, _BEGUN, _DESYNC),
    *(
        ErrorRow(error, _ALL, _PAUSED)  # the settings cannot work: trying again does not help
        for error in (AddressNotAllowed, CertificateRefused, AuthNotOffered, AuthNotEncrypted)
    ),
    ErrorRow(NotSendable, _ALL, _CONTENT),
)


def rule_on_reply(phase: Phase, reply: Reply, *, any_accepted: bool = False) -> Ruling:
    """Return the ruling of the most specific row that matches."""
    rows = [row for row in REPLIES if row.matches(phase, reply, any_accepted=any_accepted)]
    return max(rows, key=lambda row: row.specificity).ruling


def rule_on_error(error: TransportError) -> Ruling:
    """Return the ruling for an error; one that carries a reply is judged by the reply."""
    if error.reply is not None:
        return rule_on_reply(error.phase, error.reply)
    rows = [row for row in ERRORS if isinstance(error, row.error) and error.phase in row.phases]
    return max(rows, key=lambda row: len(row.error.__mro__)).ruling


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one recipient, and the words that decided it."""

    ruling: Ruling
    reply: Reply | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of a message after one attempt.

    `recipients` holds a verdict per recipient of the message, in the order given to the session (recipients
    that only ride along are left out); it is empty when no transaction was begun. `action` is what the
    message needs next as a whole; `reply` and `cause` belong to the verdict that decided it. `hint` is a
    wait the server asked for.
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
    recipients: tuple[Verdict, ...] = ()


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


def judge_error(error: TransportError) -> Judgement:
    """Judge a connection that did not come about: always the server's matter."""
    ruling = rule_on_error(error)
    return Judgement(
        action=ruling.action,
        sign=ruling.sign,
        phase=error.phase,
        reply=error.reply,
        cause=ruling.cause,
        words=str(error),
    )


def judge(outcome: Outcome, *, recipients: int, is_fresh: bool) -> Judgement:
    """Judge one transaction.

    `recipients`: how many of the first `rcpt_to` are the message's own. `is_fresh`: nothing was sent over
    this connection before, so that a loss speaks against the server and not against an idle limit.
    """
    base = _rule_on_transaction(outcome, is_fresh=is_fresh)
    verdicts = tuple(_rule_on_recipient(outcome, i, base) for i in range(recipients))
    deciding = min(verdicts, key=lambda verdict: _URGENCY.index(verdict.ruling.action))
    action = deciding.ruling.action
    signs = {base.sign, *(verdict.ruling.sign for verdict in verdicts)}
    caps = [verdict.ruling.cap for verdict in verdicts if verdict.ruling.cap is not None]
    return Judgement(
        action=action,
        sign=min(signs, key=_GRAVITY.index),
        phase=outcome.phase,
        reply=deciding.reply,
        is_counted=any(verdict.ruling.is_counted for verdict in verdicts),
        is_drop=base.is_drop and action is Action.RELEASE,
        cap=min(caps, default=None),
        cause=deciding.ruling.cause,
        words=_words(deciding.reply, outcome.error),
        hint=max(filter(None, (hint_in(verdict.reply) for verdict in verdicts)), default=None),
        recipients=verdicts,
    )


def _rule_on_transaction(outcome: Outcome, *, is_fresh: bool) -> Ruling:
    if outcome.uncertain:
        return _NO_ANSWER
    if outcome.reply is not None:
        return rule_on_reply(outcome.phase, outcome.reply)
    if outcome.error is None:
        return _NO_ANSWER if outcome.phase is Phase.DOT else _LOST
    ruling = rule_on_error(outcome.error)
    return replace(ruling, sign=Sign.BREAKER) if ruling.is_drop and is_fresh else ruling


def _rule_on_recipient(outcome: Outcome, i: int, base: Ruling) -> Verdict:
    replies = outcome.rcpt_replies
    reply = replies[i] if i < len(replies) else None
    if reply is not None and not reply.is_success:
        any_accepted = any(earlier is not None and earlier.is_success for earlier in replies[:i])
        return Verdict(rule_on_reply(Phase.RCPT, reply, any_accepted=any_accepted), reply)
    if outcome.accepted and reply is None:
        return Verdict(_FOLLOW_UP, None)  # never offered to the server
    return Verdict(base, outcome.reply)


def _words(reply: Reply | None, error: TransportError | None) -> str:
    if reply is not None:
        return reply.text
    return "" if error is None else str(error)


_WAIT = re.compile(
    r"(?:try again|retry|come back|again|wait|delayed|greylist\w*|graylist\w*)\D{0,30}?(\d{1,5})\s*(s|m|h)",
    re.IGNORECASE,
)
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}


def hint_in(reply: Reply | None) -> timedelta | None:
    """Find the wait that a temporary refusal names.

    >>> hint_in(Reply(451, "Greylisted, please try again in 5 minutes", "4.7.1"))
    datetime.timedelta(seconds=300)
    """
    if reply is None or not 400 <= reply.code <= 499:
        return None
    found = _WAIT.search(reply.text)
    return int(found[1]) * _UNITS[found[2].lower()] if found else None
