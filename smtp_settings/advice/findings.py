"""What advice about a domain's records is made of. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from transports.dns import Answer, Found, Kind, Question

#: What DNS said, by name and kind; what was not asked is missing.
Records = Mapping[Question, Answer]


class Verdict(StrEnum):
    """What a record is worth."""

    GOOD = "good"
    LOOK = "look"
    MISSING = "missing"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of advice.

    `record` is its kind for people ("SPF"), `name` where it is published, `found` what is there now, "" for
    nothing, `wanted` the record to publish instead or in addition, "" when there is nothing to copy.
    """

    record: str
    name: str
    verdict: Verdict
    found: str = ""
    wanted: str = ""
    advice: str = ""


def answer_of(records: Records, name: str, kind: Kind) -> Answer:
    """Return what DNS said to a question; one that was not asked has no answer."""
    question = Question(name, kind)
    return records.get(question, Answer(question, Found.FAILED))


def texts(records: Records, name: str, tag: str) -> tuple[str, ...]:
    """Return the TXT records that begin with a version tag ("v=spf1"), as receivers pick them."""
    found = answer_of(records, name, Kind.TXT).values
    return tuple(text for text in found if is_tagged(text, tag))


def is_tagged(text: str, tag: str) -> bool:
    """Whether a record begins with a tag that ends there: "v=spf10" is no "v=spf1".

    >>> is_tagged("V=SPF1 -all", "v=spf1"), is_tagged("v=spf10", "v=spf1")
    (True, False)
    """
    head, rest = text[: len(tag)], text[len(tag) : len(tag) + 1]
    return head.lower() == tag and rest in ("", " ", ";")
