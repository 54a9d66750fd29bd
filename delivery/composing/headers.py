"""Header sections at the level of bytes: where each field stands, and which cannot stay as it is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import policy
from email.errors import MessageError
from email.headerregistry import AddressHeader
from email.message import Message
from email.parser import BytesParser

from delivery.composing.addresses import checked
from delivery.composing.composed import MAX_FIELD, MAX_FIELDS, MAX_HEADERS, MAX_LINE, CannotCompose
from delivery.composing.front import phrase
from delivery.composing.words import written

#: WIRE's name of a field: printable ASCII without the colon, at most 76.
NAME = re.compile(r"[!-9;-~]{1,76}")
#: Fields whose body is an address list.
ADDRESS_FIELDS = frozenset(
    f"{resent}{name}"
    for resent in ("", "resent-")
    for name in ("from", "sender", "reply-to", "to", "cc", "bcc")
)
_PARAMETER_FIELDS = frozenset({"content-type", "content-disposition"})
#: Fields that steer a provider: whoever writes the message must not decide these.
_PROVIDER = re.compile(r"x-(?:ses|mailgun)-", re.IGNORECASE)
_BAD_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE = re.compile(rb"(?P<name>[!-9;-~]{1,76}):|(?P<fold>[ \t]+\S)|(?P<blank>[ \t]+(?:\r|$))")


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: its name as written, its bytes from `start` to `end` (CRLF and folds included)."""

    name: str
    start: int
    end: int
    lines: bytes = field(repr=False)

    @property
    def key(self) -> str:
        """The name in lower case."""
        return self.name.lower()

    @property
    def body(self) -> bytes:
        """The bytes behind the colon, one leading space and the final CRLF removed."""
        return self.lines[len(self.name) + 1 : -2].removeprefix(b" ")


@dataclass(frozen=True, slots=True)
class Head:
    """A header section: its fields, where it ends and where the body begins (the empty line lies between)."""

    fields: tuple[Field, ...]
    end: int
    body: int

    def all(self, key: str) -> list[Field]:
        """Every field of that lower-case name."""
        return [f for f in self.fields if f.key == key]

    def parsed(self) -> Message:
        """Give the section to the standard library, for its reading of MIME parameters."""
        lines = b"".join(f.lines for f in self.fields if f.key.startswith("content-"))
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
    return Head(tuple(fields), at, min(at + 2, end))


def _field(raw: bytes, name: str, start: int, end: int) -> Field:
    if end - start > MAX_FIELD:
        raise CannotCompose(f"The header field {name} is longer than {MAX_FIELD:,} bytes.")
    lines = raw[start:end]
    return Field(name, start, end, lines if lines.endswith(b"\r\n") else lines + b"\r\n")


def _no_field(line: bytes, number: int) -> str:
    shown = ascii(line[:60].rstrip(b"\r\n").decode("utf-8", "replace"))
    if number == 1:
        return f"This is not a mail message: it does not begin with a header field but with {shown}."
    return f"Line {number} of the header is neither a field nor the continuation of one: {shown}."


def clean(found: Field) -> bytes | None:
    """Give a field's lines as they may be sent, or None to leave them as they are.

    Raises CannotCompose for control characters, lines over 998 octets and bytes that are not UTF-8.
    """
    if _BAD_CONTROL.search(found.lines):
        raise CannotCompose(f"The header field {found.name} holds a control character.")
    if max(map(len, found.lines.split(b"\r\n"))) > MAX_LINE:
        raise CannotCompose(
            f"The header field {found.name} has a line of more than {MAX_LINE} bytes; fold it."
        )
    return None if found.lines.isascii() else _encode(found)


def _encode(found: Field) -> bytes:
    """Encode a field with raw UTF-8 (RFC 6532) so that it is ASCII and reads the same."""
    try:
        text = found.body.decode().replace("\r\n", "")
    except UnicodeDecodeError:
        raise CannotCompose(
            f"The header field {found.name} holds bytes that are not ASCII; encode them as RFC 2047 says."
        ) from None
    if found.key in ADDRESS_FIELDS:
        return written(found.name, ",\r\n ".join(_addresses(found.name, text)))
    if found.key in _PARAMETER_FIELDS:
        return _with_parameters(found.name, text)
    return written(found.name, text.strip())


def _addresses(name: str, text: str) -> Iterator[str]:
    header = policy.default.header_factory(name, text)
    assert isinstance(header, AddressHeader)  # noqa: S101  # for the type checker: only address fields come here
    for group in header.groups:
        members = []
        for one in group.addresses:
            address = checked(one.addr_spec, f"{name}:")
            if not address.isascii():
                raise CannotCompose(
                    f"{name}: {address!a} has characters before the @ that no header field can carry; "
                    "give this address in the envelope only."
                )
            members.append(f"{phrase(one.display_name)} <{address}>" if one.display_name else address)
        if group.display_name is None:
            yield from members
        else:
            yield f"{phrase(group.display_name)}: {', '.join(members)};"


def _with_parameters(name: str, text: str) -> bytes:
    try:
        folded: str = policy.SMTP.header_factory(name, text).fold(policy=policy.SMTP)
        lines = folded.encode("ascii")
    except (UnicodeError, MessageError, ValueError, IndexError, AttributeError):
        lines = b""
    if not re.fullmatch(rb"[^\r\n]+\r\n(?:[ \t]+\S[^\r\n]*\r\n)*", lines):
        raise CannotCompose(
            f"The header field {name} holds bytes that are not ASCII; encode them as RFC 2231 says."
        )
    return lines


def refuse_provider_fields(names: Iterator[str] | list[str]) -> None:
    """Refuse fields that would steer the provider behind the profile's back."""
    for name in names:
        if _PROVIDER.match(name):
            raise CannotCompose(
                f"The header field {name} steers a mail provider and is not accepted in a message."
            )
