"""What an operator says a server's refusals mean: an ordered list of rules a profile carries. Pure.

A rule looks at a refusal (4xx or 5xx) and names what it means; the first that fits is used instead of
`delivery.classification`'s own table. It can never make a refusal an acceptance, and never speaks of anything
else: a 2xx, a lost connection, a message nobody answered for.

Stored as JSON, a list of objects; typed as lines:

    stage  code  [enhanced code]  ["words"]  ->  meaning  [wait]

The words are looked for as they are, without regard to case, `*` stands for anything between them: one pass
over the reply, whatever is typed. A regular expression could be made to take hours by a reply.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from transports.base import Phase, Reply

MAX_RULES = 50
MAX_WORDS = 200
MAX_WAIT_SECONDS = 24 * 3600


class Meaning(StrEnum):
    """What a refusal means, for the message or for the server."""

    RETRY = "retry"
    FAIL = "fail"
    ANOTHER_SERVER = "another_server"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    SERVER_TROUBLE = "server_trouble"
    PAUSE = "pause"


#: These say something of a message, and before MAIL there is none.
OF_A_MESSAGE = frozenset({Meaning.RETRY, Meaning.FAIL, Meaning.ANOTHER_SERVER})
#: These may be followed by a wait.
WAITING = frozenset({Meaning.RETRY, Meaning.TOO_MANY_CONNECTIONS, Meaning.SERVER_TROUBLE})
#: The stages before a message is begun at which a server can refuse.
BEFORE_MAIL = frozenset({Phase.BANNER, Phase.TLS, Phase.EHLO, Phase.AUTH})
#: The stages a rule can name, in the order of a session.
STAGES = tuple(
    phase
    for phase in Phase
    if phase in BEFORE_MAIL | {Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.BODY, Phase.DOT}
)

_CODE = re.compile(r"[45](?:[0-9]{0,2}|[0-9]?x{1,2})")
_ENHANCED = re.compile(r"[45](?:\.[0-9]{1,3}){1,2}")
_WAIT = re.compile(r"([0-9]{1,6})([smh]?)")
_UNITS = {"h": 3600, "m": 60, "s": 1}
_KEYS = frozenset({"phase", "code", "enhanced", "words", "meaning", "wait"})
#: What text fields make of quotation marks and arrows.
_TYPED = str.maketrans({"“": '"', "”": '"', "„": '"', "→": "->"})


class Fault(StrEnum):
    """What is wrong with a rule; `smtp_settings.entries.judges` has the sentences."""

    SHAPE = "shape"
    STAGE = "stage"
    CODE = "code"
    ENHANCED = "enhanced"
    CLASH = "clash"
    WORDS = "words"
    MEANING = "meaning"
    WAIT = "wait"
    NO_WAIT = "no_wait"
    NO_MESSAGE = "no_message"
    TOO_MANY = "too_many"


class BadRule(ValueError):
    """A rule that cannot be meant: `fault` says why, `value` is what was given."""

    def __init__(self, fault: Fault, value: str = "") -> None:
        super().__init__(f"{fault}: {value}")
        self.fault = fault
        self.value = value


@dataclass(frozen=True, slots=True)
class Override:
    """One rule. `phase` None: every stage. `code` ("45") and `enhanced` ("4.2") are prefixes, "" fits all.

    `wait`: seconds the message (`retry`) or the server (the others) is left alone at least; 0 for none.
    """

    meaning: Meaning
    phase: Phase | None = None
    code: str = ""
    enhanced: str = ""
    words: str = ""
    wait: int = 0

    def fits(self, phase: Phase, reply: Reply) -> bool:
        """Whether this rule speaks of this reply."""
        if not 400 <= reply.code <= 599 or self.phase not in (None, phase):
            return False
        if phase not in STAGES or (phase in BEFORE_MAIL and self.meaning in OF_A_MESSAGE):
            return False
        return (
            str(reply.code).startswith(self.code)
            and (not self.enhanced or f"{reply.enhanced}.".startswith(f"{self.enhanced}."))
            and holds(reply.text, self.words)
        )


@dataclass(frozen=True, slots=True)
class Overrides:
    """A profile's rules in their order."""

    rules: tuple[Override, ...] = ()

    def find(self, phase: Phase, reply: Reply) -> Override | None:
        """Return the first rule that fits."""
        for rule in self.rules:
            if rule.fits(phase, reply):
                return rule
        return None


#: A profile without rules.
NO_OVERRIDES = Overrides()


def holds(text: str, words: str) -> bool:
    """Whether the parts of `words` between its `*` are in the text, in their order.

    >>> holds("Try later: Too MANY recent messages", "too many*messages")
    True
    """
    text, position = text.casefold(), 0
    for part in words.casefold().split("*"):
        found = text.find(part.strip(), position)
        if found < 0:
            return False
        position = found + len(part.strip())
    return True


def make(
    *, meaning: str, phase: str = "", code: str = "", enhanced: str = "", words: str = "", wait: int = 0
) -> Override:
    """Check the parts of a rule and put it together. Raises BadRule."""
    if phase and phase not in STAGES:
        raise BadRule(Fault.STAGE, phase)
    if meaning not in set(Meaning):
        raise BadRule(Fault.MEANING, meaning)
    if not 0 <= wait <= MAX_WAIT_SECONDS:
        raise BadRule(Fault.WAIT, str(wait))
    code, enhanced = _codes(code, enhanced)
    rule = Override(Meaning(meaning), Phase(phase) if phase else None, code, enhanced, _words(words), wait)
    if rule.phase in BEFORE_MAIL and rule.meaning in OF_A_MESSAGE:
        raise BadRule(Fault.NO_MESSAGE, f"{phase} -> {meaning}")
    if wait and rule.meaning not in WAITING:
        raise BadRule(Fault.NO_WAIT, meaning)
    return rule


def _codes(code: str, enhanced: str) -> tuple[str, str]:
    if code and not (_CODE.fullmatch(code) and len(code) <= 3):
        raise BadRule(Fault.CODE, code)
    if enhanced and not _ENHANCED.fullmatch(enhanced):
        raise BadRule(Fault.ENHANCED, enhanced)
    if code and enhanced and code[0] != enhanced[0]:
        raise BadRule(Fault.CLASH, f"{code} {enhanced}")
    return code.rstrip("x"), enhanced


def _words(text: str) -> str:
    words = " ".join(text.split())
    is_empty = bool(text) and not words.strip("* ")
    if is_empty or len(words) > MAX_WORDS or '"' in words or not words.isprintable():
        raise BadRule(Fault.WORDS, text)
    return words


# As people type it


def read_line(text: str) -> Override:
    """Read one typed rule. Raises BadRule.

    >>> read_line('rcpt 450 4.2.1 "mailbox busy" -> retry 10m').wait
    600
    """
    head, quote, rest = text.translate(_TYPED).partition('"')
    words = ""
    if quote:
        words, quote, rest = rest.partition('"')
        if not (quote and words.strip()):
            raise BadRule(Fault.WORDS, words)
        between, arrow, tail = rest.partition("->")
    else:
        head, arrow, tail = head.partition("->")
        between = ""
    left, right = head.split(), tail.split()
    if not arrow or between.strip() or len(left) not in (2, 3) or len(right) not in (1, 2):
        raise BadRule(Fault.SHAPE, text.strip())
    phase, code, enhanced = (*("" if part == "*" else part.lower() for part in left), "")[:3]
    wait = _read_wait(right[1]) if len(right) == 2 else 0
    return make(meaning=right[0].lower(), phase=phase, code=code, enhanced=enhanced, words=words, wait=wait)


def as_line(rule: Override) -> str:
    """Show a rule as it is typed, in its normal form.

    >>> as_line(Override(Meaning.SERVER_TROUBLE, code="45", wait=5400))
    '* 45x -> server_trouble 90m'
    """
    left = [rule.phase or "*", _shown(rule.code), rule.enhanced, f'"{rule.words}"' if rule.words else ""]
    right = [rule.meaning, _shown_wait(rule.wait)]
    return " ".join(filter(None, [*left, "->", *right]))


def _shown(code: str) -> str:
    return code.ljust(3, "x") if code else "*"


def _read_wait(text: str) -> int:
    found = _WAIT.fullmatch(text.lower())
    seconds = int(found[1]) * _UNITS[found[2] or "s"] if found else 0
    if not 0 < seconds <= MAX_WAIT_SECONDS:
        raise BadRule(Fault.WAIT, text)
    return seconds


def _shown_wait(seconds: int) -> str:
    unit = next(unit for unit, size in _UNITS.items() if seconds % size == 0)
    return f"{seconds // _UNITS[unit]}{unit}" if seconds else ""


# As it is stored


def read_row(row: object) -> Override:
    """Read one rule as it is stored. Raises BadRule."""
    if not isinstance(row, Mapping) or not row.keys() <= _KEYS:
        raise BadRule(Fault.SHAPE, str(row))
    parts: dict[str, Any] = {"meaning": "", **row}  # Any: JSON, looked at below
    wait = parts.pop("wait", 0)
    if type(wait) is not int:
        raise BadRule(Fault.WAIT, str(wait))
    for part in parts.values():
        if not isinstance(part, str):
            raise BadRule(Fault.SHAPE, str(part))
    return make(wait=wait, **parts)


def as_row(rule: Override) -> dict[str, str | int]:
    """Return a rule as it is stored; what it does not say is left out."""
    row: dict[str, str | int] = {
        "phase": str(rule.phase or ""),
        "code": rule.code,
        "enhanced": rule.enhanced,
        "words": rule.words,
        "meaning": str(rule.meaning),
        "wait": rule.wait,
    }
    return {key: value for key, value in row.items() if value}


def read_rows(rows: object) -> tuple[Overrides, dict[int, BadRule]]:
    """Read what is stored: the rules that can be meant, and by their number (from 1) those that cannot."""
    if not isinstance(rows, list):
        return NO_OVERRIDES, {1: BadRule(Fault.SHAPE, str(rows))}
    return _read(enumerate(rows, start=1), read_row)


def read_lines(text: str) -> tuple[Overrides, dict[int, BadRule]]:
    """Read what is typed, one rule a line; faults by the number of the line. Empty lines are left out."""
    lines = enumerate(text.splitlines(), start=1)
    return _read(((n, line) for n, line in lines if line.strip()), read_line)


def _read(
    given: Iterable[tuple[int, Any]],
    read: Callable[[Any], Override],  # Any: a line, or JSON
) -> tuple[Overrides, dict[int, BadRule]]:
    """Read one after another; what is beyond the bound is one fault, at the first too many."""
    rules: list[Override] = []
    faults: dict[int, BadRule] = {}
    for count, (n, one) in enumerate(given, start=1):
        if count > MAX_RULES:
            faults[n] = BadRule(Fault.TOO_MANY)
            break
        try:
            rules.append(read(one))
        except BadRule as fault:
            faults[n] = fault
    return Overrides(tuple(rules)) if rules else NO_OVERRIDES, faults
