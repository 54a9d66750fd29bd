"""Stored mail for people: bytes in, plain facts out, safe to show whatever the bytes are.

Only pages read mail; sending never parses it, so what cannot be shown is still sent. Everything here has a
limit, and what passes it is refused with a sentence instead of being worked through: nesting and parts are
counted in the raw bytes before the parser starts, because the parser itself is what a MIME bomb is made for.
Nothing here marks text as safe for HTML: templates escape it.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.message import Message
from email.parser import BytesParser

from django.utils.translation import gettext as _

from delivery.composing import readable

#: The largest message that is taken apart; above it only the download is offered.
MAX_SIZE_BYTES = 30 * 1024 * 1024
#: More boundaries or embedded messages than any mail program makes; the parser's cost is lines times nesting.
MAX_BOUNDARIES = 60
#: More parts than a page can list.
MAX_PARTS = 300
#: Header fields shown, and characters of each.
MAX_HEADERS, MAX_HEADER_CHARACTERS = 200, 2_000
#: Characters of a body shown on a page.
MAX_BODY_CHARACTERS = 200_000
#: Bytes of a proposed file name: file systems allow 255, browsers add " (1)".
MAX_NAME_BYTES = 150

_BOUNDARY = re.compile(rb"boundary[*\d]*\s*=|message/rfc822", re.IGNORECASE)
#: Codecs that are no character sets of mail, and whose decoders are slow or raise what nobody expects.
_NO_CHARSETS = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
#: Left as they are although "format" characters: words of Persian or Hindi and emoji are spelled with them.
_JOINERS = "\u200c\u200d"
_HIDDEN = {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"}
_RESERVED_NAMES = re.compile(r"con|prn|aux|nul|(com|lpt)[1-9]", re.IGNORECASE)


class CannotShow(ValueError):
    """The bytes are not shown, and why: one sentence for people."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One part that is not the body; `number` is its place among them, from 0."""

    number: int
    name: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A message as a page shows it: header fields in order and decoded, the bodies, the rest as attachments.

    `is_cut` tells that a body is longer than what is shown.
    """

    headers: tuple[tuple[str, str], ...]
    text: str
    html: str
    attachments: tuple[Attachment, ...]
    is_cut: bool = False


def read(content: bytes) -> Reading:
    """Take a message apart. Raises CannotShow where a limit is passed."""
    text, html, rest = _sorted_parts(_parse(content))
    bodies = [_text_of(part) if part is not None else "" for part in (text, html)]
    return Reading(
        headers=headers_of(content),
        text=visible(bodies[0][:MAX_BODY_CHARACTERS]),
        html=bodies[1][:MAX_BODY_CHARACTERS],
        attachments=tuple(_attachment(number, part) for number, part in enumerate(rest)),
        is_cut=any(len(body) > MAX_BODY_CHARACTERS for body in bodies),
    )


def html_of(content: bytes) -> str:
    """Return the HTML body as it is, for the sandboxed preview only; "" where there is none."""
    _, html, _ = _sorted_parts(_parse(content))
    return _text_of(html) if html is not None else ""


def attachment(content: bytes, number: int) -> tuple[Attachment, bytes] | None:
    """Return an attachment with its bytes, or None where there is no such number."""
    _, _, rest = _sorted_parts(_parse(content))
    if not 0 <= number < len(rest):
        return None
    return _attachment(number, rest[number]), _bytes_of(rest[number])


def headers_of(content: bytes) -> tuple[tuple[str, str], ...]:
    """Return the header fields in order, unfolded, decoded and made visible."""
    head = content[: MAX_HEADERS * MAX_HEADER_CHARACTERS].split(b"\r\n\r\n", 1)[0].split(b"\n\n", 1)[0]
    message = BytesParser(policy=policy.compat32).parsebytes(head, headersonly=True)
    return tuple(
        (visible(str(name)), one_line(readable(str(value)), MAX_HEADER_CHARACTERS))
        for name, value in message.raw_items()
    )[:MAX_HEADERS]


def visible(text: str) -> str:
    r"""Show control, bidi and undecodable characters as escapes, so that they change nothing else.

    >>> visible("a\u202eb\x1b[0m")
    'a\\u202eb\\x1b[0m'
    """
    return "".join(_shown(character) for character in text.replace("\r\n", "\n"))


def one_line(text: str, limit: int = 500) -> str:
    """Return the text in one line: white space collapsed, hidden characters visible, cut with an ellipsis."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def safe_name(name: str, fallback: str) -> str:
    r"""Make a file name of what a stranger wrote: no folders, no hidden characters, no device, not too long.

    >>> safe_name("..\\..\\boot/re\u202eport.pdf", "part")
    'report.pdf'
    """
    base = re.split(r"[/\\]", name)[-1]
    base = "".join(c for c in base if unicodedata.category(c) not in _HIDDEN and c not in '<>:"|?*')
    base = base.strip(" .")
    if not base or _RESERVED_NAMES.fullmatch(base.split(".")[0]):
        return fallback
    stem, dot, suffix = base.rpartition(".")
    keep = MAX_NAME_BYTES - len((dot + suffix).encode())
    if keep < 1 or not stem:
        return base.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    return stem.encode()[:keep].decode(errors="ignore") + dot + suffix


def _parse(content: bytes) -> Message:
    if len(content) > MAX_SIZE_BYTES:
        raise CannotShow(_("This message is too large to be shown here. Download it instead."))
    if len(_BOUNDARY.findall(content)) > MAX_BOUNDARIES:
        raise CannotShow(_("This message has too many nested parts to be shown here. Download it instead."))
    try:
        return BytesParser(policy=policy.compat32).parsebytes(content)
    except (RecursionError, ValueError, LookupError) as error:
        raise CannotShow(_("This message cannot be read. Download it instead.")) from error


def _sorted_parts(message: Message) -> tuple[Message | None, Message | None, list[Message]]:
    """Return the plain text, the HTML, and all other leaves."""
    text: Message | None = None
    html: Message | None = None
    rest: list[Message] = []
    for part in _leaves(message):
        kind = part.get_content_type()
        is_body = part.get_content_disposition() != "attachment" and not part.get_filename()
        if is_body and kind == "text/plain" and text is None:
            text = part
        elif is_body and kind == "text/html" and html is None:
            html = part
        else:
            rest.append(part)
    return text, html, rest


def _leaves(message: Message) -> Iterator[Message]:
    """Yield what is not a multipart; an embedded message is one leaf. Raises CannotShow past MAX_PARTS."""
    waiting, seen = [message], 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen > MAX_PARTS:
            raise CannotShow(_("This message has too many parts to be shown here. Download it instead."))
        children = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(children, list):
            waiting += [child for child in reversed(children) if isinstance(child, Message)]
        else:
            yield part


def _attachment(number: int, part: Message) -> Attachment:
    kind = part.get_content_type()
    fallback = f"part-{number + 1}" + (".eml" if kind == "message/rfc822" else "")
    return Attachment(
        number=number,
        name=safe_name(readable(part.get_filename()), fallback),
        content_type=one_line(kind, 100),
        size_bytes=len(_bytes_of(part)),
    )


def _bytes_of(part: Message) -> bytes:
    children = part.get_payload()
    if isinstance(children, list):  # an embedded message
        try:
            return b"".join(child.as_bytes() for child in children if isinstance(child, Message))
        except (ValueError, LookupError, RecursionError):
            return b""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text_of(part: Message) -> str:
    return _decoded_bytes(_bytes_of(part), part.get_content_charset()).replace("\r\n", "\n")


def _decoded_bytes(data: bytes, charset: str | None) -> str:
    name = (charset or "utf-8").lower().replace("-", "_")
    if name in _NO_CHARSETS:
        name = "utf-8"
    try:
        return data.decode(name, errors="replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", errors="replace")


def _shown(character: str) -> str:
    if character in "\n\t" or character in _JOINERS or unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
