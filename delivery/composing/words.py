r"""How a header field's text is stored, written and read (RFC 5322 section 2.2.3, RFC 2047).

The *stored form* of a field body is lossless and, where it can be, readable. ASCII text stands for
itself: it is written as it is, with its folds (CRLF and white space) and encoded-words, so that what
came in as raw bytes leaves as the same bytes. Text with other characters is encoded when it is written.
`readable` undoes both.
"""

import base64
import re
from email.errors import HeaderParseError
from email.header import decode_header

from delivery.composing.composed import has_long_line

#: The line length folding aims at (RFC 5322 section 2.1.1 and RFC 2047 section 2).
FOLD_AT = 76
#: `=?utf-8?b?` and `?=` around at most 75 characters.
_ROOM = 75 - len("=?utf-8?b??=")

_AS_IS = re.compile(r"[\t\x20-\x7e]*(?:\r\n[ \t]+[\x21-\x7e][\t\x20-\x7e]*)*")
_WORD = re.compile(r"=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=")
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


def is_as_is(text: str) -> bool:
    r"""Whether a stored field body is written exactly as it is.

    >>> is_as_is("=?utf-8?q?Gr=C3=BC?=\r\n folded"), is_as_is("Grüße"), is_as_is("a\r\nBcc: b@example.org")
    (True, False, False)
    """
    return _AS_IS.fullmatch(text) is not None


def written(name: str, text: str) -> bytes:
    """Give the whole field with its CRLF: one line while that is at most 998 octets, else folded, encoded."""
    if is_as_is(text):
        gap = "" if text.startswith("\r") else " "
        field = f"{name}:{gap}{text.strip(' ') if text.isspace() else text}\r\n".encode("ascii")
        if fits(field):
            return field
    body = text if is_as_is(text) else encoded(text)
    field = f"{name}: {folded(body, used=len(name) + 2)}\r\n".encode("ascii")
    return field if fits(field) else f"{name}: {encoded(unfolded(text))}\r\n".encode("ascii")


def fits(lines: bytes) -> bool:
    """Whether no line is longer than 998 octets."""
    return not has_long_line(lines)


def encoded(text: str) -> str:
    """Encode text as UTF-8 encoded-words, one a line: Q while a third of it is plain, else B.

    >>> encoded("Grüße")
    '=?utf-8?q?Gr=C3=BC=C3=9Fe?='
    """
    octets = text.encode()
    plain = sum(byte in _Q_SAFE or byte == 0x20 for byte in octets)
    write, letter = (_q, "q") if 3 * plain >= len(octets) else (_b, "b")
    # Base64 makes four characters of three octets, Q one or three of one.
    room = _ROOM if letter == "q" else _ROOM // 4 * 3
    words, start, used = [], 0, 0
    for at, character in enumerate(text):
        length = len(_q(character)) if letter == "q" else len(character.encode())
        if used + length > room:
            words.append(text[start:at])
            start, used = at, 0
        used += length
    words.append(text[start:])
    return "\r\n ".join(f"=?utf-8?{letter}?{write(word)}?=" for word in words)


def _q(text: str) -> str:
    return "".join(
        chr(byte) if byte in _Q_SAFE else "_" if byte == 0x20 else f"={byte:02X}" for byte in text.encode()
    )


def _b(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def folded(text: str, *, used: int) -> str:
    """Fold text between words, so that lines stay near 76 octets; `used` are taken on the first."""
    if "\r\n" in text:
        return text
    lines, line, room = [], "", FOLD_AT - used
    for word in re.split(r"(?<=\S)(?=[ \t]+\S)", text):
        if line and len(line) + len(word) > room:
            lines.append(line)
            line, room = "", FOLD_AT
        line += word
    return "\r\n".join([*lines, line])


def unfolded(text: str) -> str:
    """Remove the folds, keeping their white space."""
    return text.replace("\r\n", "")


def readable(text: str | None) -> str:
    r"""Give a stored field body as people read it: unfolded, encoded-words decoded, never raising.

    What cannot be decoded stays as it is. The result may hold any character: escape it where it is shown.

    >>> readable("=?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?b?IPCfkZs=?=")
    'Grüße 👛'
    """
    plain = unfolded(text or "").strip()
    if "=?" not in plain or not plain.isascii():
        return plain
    try:
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "ascii", "replace")
            for part, charset in decode_header(plain)
        )
    except (HeaderParseError, LookupError, ValueError):
        return plain


def begins_with_word(text: str) -> bool:
    """Whether an encoded-word stands first: white space between two of them is not shown."""
    return _WORD.match(text.lstrip()) is not None
