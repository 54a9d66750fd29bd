"""Header sections at the level of bytes: where each field stands."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email import policy
from email.message import Message
from email.parser import BytesParser
from functools import lru_cache

from delivery.composing.composed import MAX_FIELD, MAX_FIELDS, MAX_HEADERS, CannotCompose

#: WIRE's name of a field: printable ASCII without the colon, at most 76.
NAME = re.compile(r"[!-9;-~]{1,76}")
#: Octets of a MIME field; the library's reading of longer ones takes a time that grows with their square.
_MAX_MIME_FIELD = 4_096
#: Fields that steer a provider: whoever writes the message must not decide these.
_PROVIDER = re.compile(r"x-(?:ses|mailgun)-", re.IGNORECASE)
_LINE = re.compile(rb"(?P<name>[!-9;-~]{1,76}):|(?P<fold>[ \t]+\S)|(?P<blank>[ \t]+(?:\r|$))")


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: its name as written, its bytes from `start` to `end` (CRLF and folds included).

    `key` is the name in lower case.
    """

    name: str
    key: str
    start: int
    end: int
    lines: bytes = field(repr=False)

    @property
    def body(self) -> bytes:
        """The bytes behind the colon, one leading space and the final CRLF removed."""
        return self.lines[len(self.name) + 1 : -2].removeprefix(b" ")


@dataclass(frozen=True, slots=True)
class Head:
    """A header section: its fields, where it ends and where the body begins (the empty line lies between)."""

    fields: tuple[Field, ...]
    by_key: Mapping[str, Sequence[Field]] = field(repr=False)
    end: int
    body: int

    def all(self, key: str) -> Sequence[Field]:
        """Every field of that lower-case name."""
        return self.by_key.get(key, ())

    def parsed(self) -> Message:
        """Give the section to the standard library, for its reading of MIME parameters."""
        fields = [f for f in self.fields if f.key.startswith("content-t")]
        for found in fields:
            if len(found.lines) > _MAX_MIME_FIELD:
                raise CannotCompose(
                    f"The header field {found.name} is longer than {_MAX_MIME_FIELD:,} bytes."
                )
        return _parsed(b"".join(found.lines for found in fields))


@lru_cache(maxsize=256)
def _parsed(lines: bytes) -> Message:
    """Read MIME fields; the same few stand in most messages, and nobody changes what is read."""
    return BytesParser(policy=policy.compat32).parsebytes(lines, headersonly=True)


def read_head(raw: bytes, start: int, end: int) -> Head:
    """Find the fields of the header section that begins at `start`; `raw` has CRLF line ends.

    Raises CannotCompose naming the line: what is no field is not mail.
    """
    fields: list[Field] = []
    name, begun, at, number = "", start, start, 0
    while at < end and raw[at : at + 2] != b"\r\n":
        number += 1
        stop = raw.find(b"\r\n", at, end)
        stop = end if stop < 0 else stop + 2
        match = _LINE.match(raw, at, stop)
        if match is None or (match.lastgroup != "name" and not name):
            raise CannotCompose(_no_field(raw[at:stop], number))
        if match.lastgroup == "name":
            if name:
                fields.append(_field(raw, name, begun, at))
            name, begun = match["name"].decode("ascii"), at
            if len(fields) >= MAX_FIELDS:
                raise CannotCompose(f"The header has more than {MAX_FIELDS:,} fields.")
        at = stop
        if at - start > MAX_HEADERS:
            raise CannotCompose(f"The header is longer than {MAX_HEADERS:,} bytes.")
    if name:
        fields.append(_field(raw, name, begun, at))
    return Head(tuple(fields), _by_key(fields), at, min(at + 2, end))


def _by_key(fields: Sequence[Field]) -> dict[str, list[Field]]:
    by_key: dict[str, list[Field]] = {}
    for found in fields:
        by_key.setdefault(found.key, []).append(found)
    return by_key


def _field(raw: bytes, name: str, start: int, end: int) -> Field:
    if end - start > MAX_FIELD:
        raise CannotCompose(f"The header field {name} is longer than {MAX_FIELD:,} bytes.")
    lines = raw[start:end]
    return Field(name, name.lower(), start, end, lines if lines.endswith(b"\r\n") else lines + b"\r\n")


def _no_field(line: bytes, number: int) -> str:
    shown = ascii(line[:60].rstrip(b"\r\n").decode("utf-8", "replace"))
    if number == 1:
        return f"This is not a mail message: it does not begin with a header field but with {shown}."
    return f"Line {number} of the header is neither a field nor the continuation of one: {shown}."


def refuse_provider_fields(names: Iterator[str] | list[str]) -> None:
    """Refuse fields that would steer the provider behind the profile's back."""
    for name in names:
        if _PROVIDER.match(name):
            raise CannotCompose(
                f"The header field {name} steers a mail provider and is not accepted in a message."
            )
