"""The tables: what a reply or an error means where it happened.

A row is (phase, code, enhanced status code) or (error, phase); of the rows that match, the most specific one
wins. The first digit of a code never decides alone: the same 550 means three things at MAIL, at RCPT and
after the dot. A profile's own rules (`smtp_settings.entries.overrides`) come first, for refusals only.

Where the tables say less or more than is obvious:

- 421 and 530 outrank an enhanced code: the server is closing, or wants a sign-in, whatever else it adds. Only
  crowding told in words outranks them, before a message is begun: there, fewer connections are the cure.
- 2xx has no row before the dot. What ended there with a 2xx ended out of step; that a recipient was accepted
  is read from the replies to RCPT (`judging`).
- "Retry elsewhere" after a desync is RETRY: any server may take it when it is due. ELSEWHERE would fail it at
  the only one.
- MAIL 552 goes to another server without asking which one takes more: SIZE is known once a session is open.
- RCPT 452 4.2.2 names a full mailbox, so it is no "too many recipients" even after an accepted one.
- 1xx, 3xx and garbage after the dot carry DESYNC, which opens the breaker as well: beside waiting, that
  server has to be spoken to one command at a time.
- The dot's 5.7 with any 55x, not 550 alone: filters answer 550, 552 and 554 alike.
"""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache

from delivery.classification.rulings import Action, Ruling, Sign
from smtp_settings.entries.overrides import NO_OVERRIDES, Meaning, Override, Overrides
from transports.base import Phase, Reply
from transports.errors import (
    AddressNotAllowed,
    AuthNotEncrypted,
    AuthNotOffered,
    CertificateRefused,
    CredentialsNotUsable,
    LocalShortage,
    NotSendable,
    NotUsableHere,
    ProtocolError,
    TokenRefused,
    TransportError,
)


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """A rule about replies: `code` is a prefix ("5"), `enhanced` a prefix by parts ("5.7", "*.5.3")."""

    phases: frozenset[Phase]
    code: str
    ruling: Ruling
    enhanced: str = ""
    when_crowded: bool = False  # only when the words speak of too many connections
    after_accepted: bool = False  # only when a recipient before this one was accepted

    def matches(
        self, phase: Phase, code: int, enhanced: str | None, *, is_crowded: bool, any_accepted: bool
    ) -> bool:
        """Whether this row speaks of this reply."""
        return (
            phase in self.phases
            and f"{code:03d}".startswith(self.code)
            and _matches_enhanced(self.enhanced, enhanced)
            and (is_crowded or not self.when_crowded)
            and (any_accepted or not self.after_accepted)
        )

    @property
    def specificity(self) -> tuple[int, ...]:
        """How closely it describes a reply; larger wins. A named detail outweighs a longer code."""
        parts = [part for part in self.enhanced.split(".") if part not in {"", "*"}]
        ends_all = self.code in _END_ALL
        return (self.when_crowded, ends_all, len(parts), len(self.code), self.after_accepted)


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
OPENING = frozenset({Phase.DNS, Phase.CONNECT, Phase.BANNER, Phase.TLS, Phase.EHLO})
_AUTH = frozenset({Phase.AUTH})
_TOKEN = frozenset({Phase.TOKEN})
_MAIL = frozenset({Phase.MAIL})
_RCPT = frozenset({Phase.RCPT})
_DATA = frozenset({Phase.DATA})
_BODY = frozenset({Phase.BODY})
_DOT = frozenset({Phase.DOT})
_ENDING = frozenset({Phase.RSET, Phase.QUIT})
#: Of ways out that are no SMTP: what is looked at before, the answer to a message.
_LOOKING = frozenset({Phase.FIND, Phase.PERMISSION, Phase.SPACE, Phase.KEY, Phase.IDENTITY})
_LOCAL = frozenset({Phase.LOCAL})
_API = frozenset({Phase.API})
_NOT_SMTP = _LOOKING | _LOCAL | _API
_ENVELOPE = _MAIL | _RCPT | _DATA
_CONTENTS = _BODY | _DOT
_BEGUN = _ENVELOPE | _BODY
_NOT_UNDERSTOOD = ("500", "502", "503", "504")
_END_ALL = frozenset({"421", "530"})

#: The cause of a sign-in whose replies were none; one is weather, two in a row are the settings.
SIGN_IN_GARBLED = "sign_in_garbled"
#: The cause of what an operator's rule decided.
OVERRIDE = "override"

_RELEASED = Ruling(Action.RELEASE, Sign.BREAKER)
_PAUSED = Ruling(Action.RELEASE, Sign.PAUSE)
_FEWER = Ruling(Action.RELEASE, Sign.LOWER_LIMIT)
_NO_SIGN_IN = Ruling(Action.RELEASE, Sign.BREAKER, cause=SIGN_IN_GARBLED)
ACCEPTED = Ruling(Action.SENT, Sign.SUCCESS, is_counted=True)
_PUT_OFF = Ruling(Action.RETRY, is_counted=True)
_PUT_OFF_FEWER = Ruling(Action.RETRY, Sign.LOWER_LIMIT, is_counted=True)
_DESYNC = Ruling(Action.RETRY, Sign.DESYNC, is_counted=True, cap=3, cause="protocol")
_SENDER = Ruling(Action.FAIL, is_counted=True, cause="sender")
_SENDER_REFUSED = Ruling(Action.ELSEWHERE, Sign.REFUSES_US, is_counted=True, cause="sender")
_RELAY_DENIED = Ruling(Action.ELSEWHERE, Sign.REFUSES_US, is_counted=True, cause="relay")
_TOO_LARGE = Ruling(Action.ELSEWHERE, is_counted=True, cause="size")
_RECIPIENT = Ruling(Action.FAIL, is_counted=True, cause="recipient")
_MAILBOX_FULL = Ruling(Action.FAIL, is_counted=True, cause="mailbox_full")
FOLLOW_UP = Ruling(Action.RELEASE)
_CONTENT = Ruling(Action.FAIL, is_counted=True, cause="content")
_POLICY = Ruling(Action.FAIL, Sign.REFUSES_US, is_counted=True, cause="policy")
LOST = Ruling(Action.RELEASE, is_drop=True)
NO_ANSWER = Ruling(Action.UNCERTAIN, Sign.BREAKER, is_counted=True, cause="uncertain")
GARBLED = replace(NO_ANSWER, sign=Sign.DESYNC)
_IGNORED = Ruling(Action.RELEASE)

_CROWDED = re.compile(r"too many|concurren|connection limit", re.IGNORECASE)

#: What a reply means where it was said. A row with an empty code catches what no other row of its phase
#: names.
REPLIES: tuple[ReplyRow, ...] = (
    # Before a message was begun it is never the message's fault.
    ReplyRow(OPENING, "", _RELEASED),
    ReplyRow(OPENING, "", _FEWER, when_crowded=True),
    ReplyRow(_TOKEN, "", _PAUSED),
    *(ReplyRow(_TOKEN, code, _RELEASED) for code in ("408", "429", "5")),
    ReplyRow(_AUTH, "", _NO_SIGN_IN),
    ReplyRow(_AUTH, "4", _RELEASED),
    ReplyRow(_AUTH, "432", _FEWER),
    ReplyRow(_AUTH, "5", _PAUSED),
    ReplyRow(_ALL - _TOKEN - _AUTH - _ENDING - _NOT_SMTP, "530", _PAUSED),
    # MAIL, RCPT, DATA
    ReplyRow(_ENVELOPE, "", _DESYNC),
    *(ReplyRow(_ENVELOPE, code, _DESYNC) for code in _NOT_UNDERSTOOD),
    ReplyRow(_ENVELOPE, "421", _FEWER),
    ReplyRow(_ENVELOPE, "4", _PUT_OFF),
    ReplyRow(_MAIL, "5", _SENDER),
    ReplyRow(_MAIL, "535", _SENDER_REFUSED),
    *(ReplyRow(_MAIL, code, _SENDER_REFUSED, enhanced="5.7") for code in ("550", "553", "554")),
    ReplyRow(_MAIL, "552", _TOO_LARGE),
    *(ReplyRow(_MAIL, "5", _TOO_LARGE, enhanced=e) for e in ("5.3.4", "5.2.3")),
    ReplyRow(_RCPT, "5", _RECIPIENT),
    ReplyRow(_RCPT, "5", _MAILBOX_FULL, enhanced="5.2.2"),
    ReplyRow(_RCPT, "552", _MAILBOX_FULL),
    ReplyRow(_RCPT, "4", _PUT_OFF, enhanced="4.2.2"),
    ReplyRow(_RCPT, "452", FOLLOW_UP, after_accepted=True),  # too many recipients: the rest at once
    ReplyRow(_RCPT, "552", FOLLOW_UP, after_accepted=True),  # RFC 5321 section 4.5.3.1.10
    ReplyRow(_RCPT, "", FOLLOW_UP, enhanced="*.5.3", after_accepted=True),
    *(ReplyRow(_RCPT, code, _RELAY_DENIED, enhanced="5.7.1") for code in ("550", "554")),
    ReplyRow(_DATA, "5", _CONTENT),
    # A premature reply in the body, the reply to the dot
    ReplyRow(_BODY, "", _DESYNC),
    ReplyRow(_DOT, "", GARBLED),
    ReplyRow(_DOT, "2", ACCEPTED),
    ReplyRow(_CONTENTS, "4", _PUT_OFF),
    ReplyRow(_CONTENTS, "421", _PUT_OFF_FEWER),  # a refusal: safe to send again
    ReplyRow(_CONTENTS, "5", _CONTENT),
    ReplyRow(_CONTENTS, "55", _POLICY, enhanced="5.7"),
    ReplyRow(_CONTENTS, "552", _TOO_LARGE),  # where SIZE was not announced, or not true
    *(ReplyRow(_CONTENTS, "5", _TOO_LARGE, enhanced=e) for e in ("5.3.4", "5.2.3")),
    ReplyRow(_CONTENTS, "552", _CONTENT, enhanced="5.6"),
    ReplyRow(_CONTENTS, "552", _MAILBOX_FULL, enhanced="5.2.2"),
    *(ReplyRow(_CONTENTS, code, _DESYNC) for code in _NOT_UNDERSTOOD),  # it was not in data mode
    *(ReplyRow(_CONTENTS, code, _CONTENT, enhanced=e) for code in _NOT_UNDERSTOOD for e in ("5.6", "5.7")),
    ReplyRow(_ENDING, "", _IGNORED),
    # The exit status of a program (sysexits.h); with any other it is not set up
    ReplyRow(_LOCAL, "", _PAUSED),
    *(ReplyRow(_LOCAL, code, _PUT_OFF) for code in ("071", "074", "075")),
    ReplyRow(_LOCAL, "065", _CONTENT),
    *(ReplyRow(_LOCAL, code, _RECIPIENT) for code in ("067", "068")),
    # HTTP: what is no refusal and no acceptance did not come from the sending address
    ReplyRow(_API | _LOOKING, "", _PAUSED),
    ReplyRow(_API, "4", _CONTENT),
    *(ReplyRow(_API, code, _PAUSED) for code in ("401", "402", "403", "404", "405", "407")),
    *(ReplyRow(_API, code, _PUT_OFF) for code in ("408", "429", "5")),
    ReplyRow(_API, "413", _TOO_LARGE),
    *(ReplyRow(_LOOKING, code, _RELEASED) for code in ("408", "429", "5")),
)

#: What an error without a reply means where it happened.
ERRORS: tuple[ErrorRow, ...] = (
    ErrorRow(TransportError, OPENING | _AUTH | _TOKEN, _RELEASED),
    ErrorRow(TransportError, _BEGUN, LOST),
    ErrorRow(TransportError, _DOT, NO_ANSWER),
    ErrorRow(TransportError, _ENDING, _IGNORED),
    ErrorRow(TransportError, _LOOKING, _RELEASED),
    ErrorRow(TransportError, _LOCAL | _API, LOST),
    ErrorRow(ProtocolError, _LOOKING | _API, _PAUSED),
    ErrorRow(LocalShortage, _ALL, _RELEASED),
    ErrorRow(ProtocolError, _AUTH, _NO_SIGN_IN),
    ErrorRow(ProtocolError, _BEGUN, _DESYNC),
    ErrorRow(ProtocolError, _DOT, GARBLED),
    *(
        ErrorRow(error, _ALL, _PAUSED)  # the settings cannot work: trying again does not help
        for error in (
            AddressNotAllowed,
            CertificateRefused,
            AuthNotOffered,
            AuthNotEncrypted,
            CredentialsNotUsable,
            TokenRefused,
            NotUsableHere,
        )
    ),
    ErrorRow(NotSendable, _ALL, _CONTENT),
)

# What an operator's rule comes to. Trouble gives the message back for free three times: one that meets it
# alone would be tried again at once for ever. A crowded server that has the content already costs a retry,
# as its 421 does.
_MEANINGS = {
    Meaning.RETRY: _PUT_OFF,
    Meaning.FAIL: Ruling(Action.FAIL, is_counted=True),
    Meaning.ANOTHER_SERVER: Ruling(Action.ELSEWHERE, is_counted=True),
    Meaning.TOO_MANY_CONNECTIONS: _FEWER,
    Meaning.SERVER_TROUBLE: _RELEASED,
    Meaning.PAUSE: _PAUSED,
}
_MEANINGS_BEGUN = _MEANINGS | {Meaning.SERVER_TROUBLE: replace(_RELEASED, is_drop=True)}
_MEANINGS_CONTENTS = _MEANINGS_BEGUN | {Meaning.TOO_MANY_CONNECTIONS: _PUT_OFF_FEWER}


def rule_on_reply(
    phase: Phase, reply: Reply, *, any_accepted: bool = False, overrides: Overrides = NO_OVERRIDES
) -> Ruling:
    """Return what the operator's first fitting rule says, else the most specific row of the table.

    `any_accepted`: a recipient before this one was accepted.
    """
    if overrides.rules:
        override = overrides.find(phase, reply)
        if override is not None:
            return _ruling_of(override, phase)
    is_crowded = phase in OPENING and _CROWDED.search(reply.text) is not None
    return _look_up(phase, reply.code, reply.enhanced, is_crowded=is_crowded, any_accepted=any_accepted)


@lru_cache(maxsize=2048)  # a server has few kinds of refusals; bounded, because it chooses them
def _look_up(
    phase: Phase, code: int, enhanced: str | None, *, is_crowded: bool, any_accepted: bool
) -> Ruling:
    rows = [
        row
        for row in REPLIES
        if row.matches(phase, code, enhanced, is_crowded=is_crowded, any_accepted=any_accepted)
    ]
    return max(rows, key=lambda row: row.specificity).ruling


def _ruling_of(override: Override, phase: Phase) -> Ruling:
    meanings = _MEANINGS
    if phase in _CONTENTS:
        meanings = _MEANINGS_CONTENTS
    elif phase in _ENVELOPE:
        meanings = _MEANINGS_BEGUN
    wait = timedelta(seconds=override.wait) if override.wait else None
    return replace(meanings[override.meaning], cause=OVERRIDE, wait=wait)


def rule_on_error(error: TransportError, *, overrides: Overrides = NO_OVERRIDES) -> Ruling:
    """Return the ruling for an error; one that carries a reply is judged by the reply."""
    if error.reply is not None:
        return rule_on_reply(error.phase, error.reply, overrides=overrides)
    if isinstance(error, NotSendable) and error.reason == "size":
        return _TOO_LARGE
    rows = [row for row in ERRORS if isinstance(error, row.error) and error.phase in row.phases]
    return max(rows, key=lambda row: len(row.error.__mro__)).ruling
