"""A row of the table of causes, and the case it looks at. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

from smtp_settings.diagnosis.symptom import Symptom


class Who(StrEnum):
    """Who has to act."""

    SETTINGS = "S"
    NETWORK = "N"  # this machine's, or between it and the server
    PROVIDER = "P"  # or the server's owner
    RECIPIENT = "R"
    MESSAGE = "M"
    WAIT = "W"  # nobody: it passes
    UNCERTAIN = "U"
    US = "B"
    NOTE = "I"


@lru_cache(maxsize=512)  # the table's own patterns, and no others
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


#: Ways in that servers offer, by how common they are.
STANDARD_WAYS = ((587, "starttls"), (465, "tls"), (2525, "starttls"))


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the provider beforehand; empty for a server that is nobody's we know.

    `near` is a provider's server that the entered name is nearly, `user` the user name that everybody has
    there, `ways` the (port, security) it offers, best first, `per_minute` its limit of messages.
    """

    provider: str = ""
    near: str = ""
    user: str = ""
    ways: tuple[tuple[int, str], ...] = STANDARD_WAYS
    per_minute: int = 0


@dataclass(frozen=True)
class Case:
    """A symptom beside the settings it came up with; `settings` are a profile's columns as plain values."""

    symptom: Symptom
    settings: Mapping[str, Any]  # Any: JSON
    known: Known = Known()

    def get(self, name: str) -> str:
        """Return a setting as text."""
        value = self.settings.get(name)
        return "" if value is None else str(value)

    def seen(self, name: str) -> str:
        """Return what a step found, "" when none did."""
        return self.symptom.seen.get(name, "")

    def says(self, *patterns: str) -> bool:
        """Whether the server's words match one of these regular expressions."""
        words = self.symptom.words
        return any(_pattern(one).search(words) for one in patterns)

    def enhanced(self, *codes: str) -> bool:
        """Whether the enhanced status code is one of these; "x.5.3" is 4.5.3 and 5.5.3."""
        mine = self.symptom.enhanced
        return bool(mine) and (mine in codes or f"x{mine[1:]}" in codes)

    def code(self, *codes: int) -> bool:
        """Whether the reply's code is one of these."""
        return self.symptom.code in codes

    def reason(self, *reasons: str) -> bool:
        """Whether the error's stable word is one of these."""
        return self.symptom.reason in reasons

    @property
    def is_permanent(self) -> bool:
        """Whether the reply is a 5xx."""
        return 500 <= self.symptom.code <= 599

    @property
    def is_temporary(self) -> bool:
        """Whether the reply is a 4xx."""
        return 400 <= self.symptom.code <= 499

    @property
    def is_refusal(self) -> bool:
        """Whether there is a reply, and it refuses."""
        return self.is_permanent or self.is_temporary

    @property
    def is_broken(self) -> bool:
        """Whether the conversation ended without an answer that can be read."""
        return self.reason("lost", "timeout", "unreadable", "surplus", "silent", "closed")

    @property
    def phase(self) -> str:
        """Where it happened."""
        return self.symptom.phase

    @property
    def host(self) -> str:
        """The server's name, in small letters."""
        return self.get("host").lower()

    @property
    def port(self) -> int:
        """The server's port, 0 when it is none."""
        text = self.get("port")
        return int(text) if text.isdecimal() else 0

    @property
    def security(self) -> str:
        """When TLS begins: starttls, tls, none."""
        return self.get("security")

    @property
    def signs_in(self) -> bool:
        """Whether the settings sign in."""
        return self.get("auth") not in ("", "none")

    @property
    def is_oauth(self) -> bool:
        """Whether they do so with a token."""
        return self.get("auth") == "oauth2"

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection was encrypted when it ended."""
        return bool(self.seen("tls_version"))

    @cached_property
    def capabilities(self) -> frozenset[str]:
        """What the server offered in its last EHLO."""
        return frozenset(self.seen("capabilities").upper().split(", "))

    @cached_property
    def mechanisms(self) -> tuple[str, ...]:
        """The mechanisms it offered to sign in with, in its order."""
        return tuple(self.seen("mechanisms").upper().split())


Changes = Mapping[str, str]


def always(_case: Case) -> bool:
    """Match whatever came so far down."""
    return True


def nothing(_case: Case) -> Sequence[Changes]:
    """Offer no correction."""
    return []


@dataclass(frozen=True)
class Row:
    """One cause. `fixes` returns the changes that may be offered, each as a button."""

    id: str
    who: Who
    matches: Callable[[Case], bool]
    fields: tuple[str, ...] = ()
    fixes: Callable[[Case], Sequence[Changes]] = nothing


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a person should change.

    `fields` are form fields to look at ("recipient" is the test's own, "secret" and "key" the password);
    `fixes` the changes of settings that can be offered because their values are known; `facts` what the words
    of `smtp_settings.explaining` name.
    """

    id: str
    who: Who
    fields: tuple[str, ...] = ()
    fixes: tuple[Changes, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
