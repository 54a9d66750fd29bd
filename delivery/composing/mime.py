"""The parts of a message at the level of bytes: what must be re-encoded, and what is stored apart.

Whatever is 7-bit already is not touched: structure is read only to find parts, and text that merely looks
like structure does no harm. Only a part with 8-bit bytes or lines over 998 octets gets a new
Content-Transfer-Encoding, its decoded content unchanged (RFC 2045 section 6).
"""

import base64
import binascii
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message

from delivery.composing.cleaning import clean
from delivery.composing.composed import BLOB_SIZE, CannotCompose, has_long_line
from delivery.composing.headers import Head, read_head

#: Deeper or more numerous parts are not looked into: they are sent if they are 7-bit clean.
MAX_DEPTH, MAX_PARTS = 20, 1_000

_PLAIN_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})
#: What people read; the first of each kind is no attachment.
_BODIES = frozenset({"text/plain", "text/html"})
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
#: RFC 2046 section 5.2: these may have no encoding but 7bit.
_NEVER_ENCODED = frozenset({"message/partial", "message/external-body", "message/rfc822", "message/global"})


@dataclass(frozen=True, slots=True)
class Edit:
    """Bytes that stand in place of `start:end`; as a blob they are stored apart."""

    start: int
    end: int
    new: bytes = field(repr=False)
    is_blob: bool = False


@dataclass
class _Walk:
    """One pass over a message's parts."""

    raw: bytes
    is_open: bool  # the last line end was added: it is no content
    needs_care: bool  # something, somewhere, is not 7-bit or too long
    parts: int = 0
    attachments_bytes: int = 0
    embedded: int = 0  # how deep in embedded messages: those count whole, as the attachments they are
    bodies: set[str] = field(default_factory=set)

    def part(
        self, head: Head, end: int, *, default: str, depth: int, signed: bool, top: bool = False
    ) -> Iterator[Edit]:
        """Give the edits of the part whose body runs to `end`."""
        self.parts += 1
        parsed = head.parsed()
        kind = parsed.get_content_type() if head.all("content-type") else default
        encoding = str(parsed.get("Content-Transfer-Encoding", "")).strip().lower()
        is_open = encoding in _PLAIN_ENCODINGS and depth < MAX_DEPTH and self.parts < MAX_PARTS
        boundary = parsed.get_boundary() or ""
        inner: list[Edit]
        if is_open and kind.startswith("multipart/") and boundary.strip():
            inner = list(self._multipart(head.body, end, boundary, kind, depth=depth, signed=signed))
        elif is_open and kind == "message/rfc822":
            self.embedded += 1
            inner = list(self._message(head.body, end, depth=depth, signed=signed))
            self.embedded -= 1
            self._count(head, end, kind, parsed, inner)
        else:
            inner = list(self._leaf(head, end, kind, encoding, signed=signed))
            self._count(head, end, kind, parsed, inner)
        if encoding in {"8bit", "binary"} and inner and kind.startswith(("multipart/", "message/")):
            yield from _set_encoding(head, "7bit")
        if not top:
            yield from self._fields(head, signed=signed)
        yield from inner

    def _count(self, head: Head, end: int, kind: str, parsed: Message, inner: list[Edit]) -> None:
        """Add what a part weighs as it will be sent, unless it is one of the bodies people read."""
        if self.embedded:
            return
        if kind in _BODIES and kind not in self.bodies and not _is_file(head, parsed):
            self.bodies.add(kind)
            return
        grown = sum(len(edit.new) - (edit.end - edit.start) for edit in inner if edit.start >= head.body)
        self.attachments_bytes += max(0, end - head.body) + grown

    def _fields(self, head: Head, *, signed: bool) -> Iterator[Edit]:
        if not self.needs_care:
            return
        for found in head.fields:
            new = clean(found)
            if new is not None:
                _refuse_signed(signed)
                yield Edit(found.start, found.end, new)

    def _multipart(
        self, start: int, end: int, boundary: str, kind: str, *, depth: int, signed: bool
    ) -> Iterator[Edit]:
        delimiter = re.compile(
            rb"^--" + re.escape(boundary.encode("ascii", "replace")) + rb"(--)?[ \t]*(?:\r\n|\Z)",
            re.MULTILINE,
        )
        default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        signed = signed or kind == "multipart/signed"
        begun = None
        for match in delimiter.finditer(self.raw, start, end):
            if begun is not None:
                yield from self._one(begun, match.start() - 2, default=default, depth=depth, signed=signed)
            begun = None if match[1] else match.end()
            if match[1]:
                break
        if begun is not None:
            yield from self._one(begun, end, default=default, depth=depth, signed=signed)

    def _one(self, start: int, end: int, *, default: str, depth: int, signed: bool) -> Iterator[Edit]:
        """Give the edits of one part of a multipart; one without a readable header is left as it is."""
        if end <= start:
            return
        try:
            head = read_head(self.raw, start, end)
        except CannotCompose:
            return
        yield from self.part(head, end, default=default, depth=depth + 1, signed=signed)

    def _message(self, start: int, end: int, *, depth: int, signed: bool) -> Iterator[Edit]:
        yield from self._one(start, end, default="text/plain", depth=depth, signed=signed)

    def _leaf(self, head: Head, end: int, kind: str, encoding: str, *, signed: bool) -> Iterator[Edit]:
        body = self.raw[head.body : end]
        after = b"\r\n" if self.raw.startswith(b"\r\n", end) else b""  # the delimiter's own
        changed = None
        if self.needs_care and not is_clean(body):
            is_open = self.is_open and end == len(self.raw)
            changed = _reencoded(body[:-2] if is_open else body, kind, encoding)
        if changed:
            _refuse_signed(signed)
            body, new_encoding = changed
            if not (body + after).endswith(b"\r\n"):
                body += b"=\r\n"  # a soft line break: what is decoded has no line end either
            yield from _set_encoding(head, new_encoding)
        if len(body) > BLOB_SIZE and (body + after).endswith(b"\r\n"):
            yield Edit(head.body, end + len(after), body + after, is_blob=True)
        elif changed:
            yield Edit(head.body, end, body)


@dataclass(frozen=True, slots=True)
class Parts:
    """What one look at all parts found: the edits, and the octets of all attachments together as sent.

    An attachment is what the message's page lists as one: every part but the first plain text and the first
    HTML without a file name; an embedded message is one. Sent means encoded: base64 adds a third.
    """

    edits: tuple[Edit, ...]
    attachments_bytes: int


def parts_of(raw: bytes, head: Head, *, is_open: bool) -> Parts:
    """Find what has to change below the top header, in any order and never overlapping.

    `is_open` says that the final CRLF was added, and so is no content of a part that is encoded.

    Raises CannotCompose for what cannot be made 7-bit without changing its meaning: signed parts above all.
    """
    walk = _Walk(raw, is_open, needs_care=not is_clean(raw))
    found = tuple(walk.part(head, len(raw), default="text/plain", depth=0, signed=False, top=True))
    return Parts(found, walk.attachments_bytes)


def _is_file(head: Head, parsed: Message) -> bool:
    """Whether a part of text has a file name, or says that it is an attachment."""
    said = b"".join(found.body for found in head.all("content-disposition")).strip().lower()
    return said.startswith(b"attachment") or b"filename" in said or parsed.get_filename() is not None


def is_clean(data: bytes) -> bool:
    """Whether data is ASCII and no line is longer than 998 octets."""
    return data.isascii() and not has_long_line(data)


def _refuse_signed(signed: bool) -> None:  # noqa: FBT001  # reads as its name says
    if signed:
        raise CannotCompose(
            "A signed part is not 7-bit or has lines over 998 bytes; encoding it would break the signature."
        )


def _set_encoding(head: Head, encoding: str) -> Iterator[Edit]:
    line = f"Content-Transfer-Encoding: {encoding}\r\n".encode("ascii")
    present = head.all("content-transfer-encoding")
    if len(present) > 1:
        raise CannotCompose("A part has more than one Content-Transfer-Encoding and is not 7-bit.")
    if present:
        yield Edit(present[0].start, present[0].end, line)
    else:
        yield Edit(head.end, head.end, line)


def _reencoded(body: bytes, kind: str, encoding: str) -> tuple[bytes, str] | None:
    """Encode a body so that it is clean; None where that cannot be, and the last look refuses the message."""
    if encoding in _PLAIN_ENCODINGS and kind not in _NEVER_ENCODED and not kind.startswith("multipart/"):
        return encode(body, is_text=kind.startswith(("text/", "message/")))
    if encoding == "base64" and body.isascii():
        packed = b"".join(body.split())
        if _BASE64.fullmatch(packed):
            return b"".join(packed[i : i + 76] + b"\r\n" for i in range(0, len(packed), 76)), "base64"
    if encoding == "quoted-printable" and body.isascii():
        return _quoted_printable(quopri.decodestring(body)), "quoted-printable"
    return None


def encode(body: bytes, *, is_text: bool) -> tuple[bytes, str]:
    """Encode a body as it stands, and name how: quoted-printable for text of which little is not ASCII."""
    eight_bit = len(body) - len(body.translate(None, bytes(range(128, 256))))
    if is_text and eight_bit * 6 <= len(body):
        return _quoted_printable(body), "quoted-printable"
    return base64.encodebytes(body).replace(b"\n", b"\r\n"), "base64"


def _quoted_printable(body: bytes) -> bytes:
    """Encode line by line, so that only CRLF stays a line end and white space before it survives."""
    return b"\r\n".join(
        binascii.b2a_qp(line, istext=False).replace(b"=\n", b"=\r\n") for line in body.split(b"\r\n")
    )
