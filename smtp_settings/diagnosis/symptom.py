"""What is known of a session that failed: facts of the wire and of its steps, no judgement."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from transports.base import Reply

_REPLY = re.compile(r"(\d{3})(?: ([245]\.\d{1,3}\.\d{1,3}))?(?: (.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Symptom:
    """One failure.

    `phase` is that of `transports.base.Phase`, or "secret", "token", "local", "api" for what is no phase of
    SMTP, "fault" for an error of ours, "" where no step had begun. `reason` is the stable word of
    `transports.errors`, "" after a reply. `code`, `enhanced` and `text` are the server's deciding reply, 0
    and "" without one. `seen` holds what the steps found out, by the keys of their evidence; the last step
    that names a key has it. `pem` is a certificate that was refused, `detail` the error's own English
    sentence.
    """

    phase: str
    reason: str = ""
    code: int = 0
    enhanced: str = ""
    text: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)
    pem: str = ""
    detail: str = ""

    @classmethod
    def of_reply(cls, phase: str, reply: Reply | None, **more: Any) -> Self:  # Any: the other fields
        """Return the symptom of a reply; None is none."""
        if reply is None:
            return cls(phase, **more)
        return cls(phase, code=reply.code, enhanced=reply.enhanced or "", text=reply.text, **more)

    @classmethod
    def of_words(cls, phase: str, words: str, **more: Any) -> Self | None:  # Any: the other fields
        """Return the symptom of a reply as `Reply` writes itself, with its codes; None of any other words."""
        found = _REPLY.fullmatch(words)
        if found is None:
            return None
        return cls.of_reply(phase, Reply(int(found[1]), found[3] or "", found[2]), **more)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:  # Any: JSON
        """Return what `to_json` made; what an older version wrote and this one does not know is left out."""
        known = {one.name for one in fields(cls)}
        return cls(**{"phase": ""} | {name: value for name, value in values.items() if name in known})

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return it as plain values, what is empty left out."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def words(self) -> str:
        """The reply in one line with its codes, as a server writes it."""
        return " ".join(str(part) for part in (self.code, self.enhanced, self.text) if part)
