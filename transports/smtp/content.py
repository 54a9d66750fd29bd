"""Content as it goes over the wire: looked at, dot-stuffed, ended, cut into blocks (RFC 5321 section 4.5.2).

Beside the message itself this needs the memory of a few blocks, whatever its size: what has nothing to stuff
is never copied, what has is copied block by block.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from transports.base import Content

#: Up to this much is one write, with the final dot; above it, the size of a block that has its own deadline.
BLOCK_BYTES = 64 * 1024

#: The write that makes it final.
DOT = b".\r\n"

#: Octets of a line without its CRLF (RFC 5321 section 4.5.3.1.6).
MAX_LINE = 998

# Regular expressions that begin with two literals need half of the time of `in` (2.3 us and 5.2 us for 5 KB
# of text). A search for the dot alone goes before them: it is ten times as fast, and base64 has none.
_DOT_LINE = re.compile(rb"\n\.")
_DOT_AFTER_CR = re.compile(rb"\r\.")
#: Lines, each step as many as fit into the longest that is allowed; it stops before one that does not.
_SHORT_LINES = re.compile(rb"(?s:(?>.{0,%d}\n)*+)" % (MAX_LINE + 1))
#: For fewer dots in 64 KiB a substitution is up to four times as fast as `replace`, for many far slower.
_MANY = 1_000


def flaw(content: Content) -> str | None:
    r"""Return in one sentence why no server may be given this content, None for sound content.

    Whatever a server takes for the end of a line, CRLF, LF or CR, it finds one message in sound content, and
    nothing in it asks for an extension. Composing has looked at every byte and refuses each bare CR and LF;
    this is the second look, of the side that writes: 4 us for 5 KB, and 8 ms for 25 MB, once for a part that
    many messages share. It lets a bare LF pass, because a dot behind one is doubled too.

    >>> flaw(Content((b"a\r\n" + 999 * b"b",)))
    'The message has a line of more than 998 bytes.'
    """
    segments = content.segments
    if len(segments) > 1:
        filled = [segment for segment in segments if segment]
        if not all(segment.endswith(b"\r\n") for segment, _ in pairwise(filled)):
            return "A part of the message does not end with a line end."
    for segment in segments:
        if segment is _Sound.segment:
            continue
        if (sentence := _flaw_of(segment)) is not None:
            return sentence
        if len(segment) > BLOCK_BYTES:
            _Sound.segment = segment
    return None


class _Sound:
    """The large segment that was found sound last: one attachment goes to many, over all connections."""

    segment = b""


def _flaw_of(segment: bytes) -> str | None:
    if not segment.isascii():
        return "The message has 8-bit bytes, which are not sent."
    if b"\0" in segment:
        return "The message has a NUL byte, which mail cannot carry."
    if b"." in segment and _DOT_AFTER_CR.search(segment) is not None:
        return "The message has a dot behind a carriage return alone, where some servers see its end."
    short_lines = _SHORT_LINES.match(segment)
    if short_lines is None or len(segment) - short_lines.end() > MAX_LINE:
        return f"The message has a line of more than {MAX_LINE} bytes."
    return None


def stuffed(segment: bytes) -> bytes:
    r"""Return a segment with the dots at line starts doubled; the same object when there are none.

    >>> stuffed(b".a\r\n.\r\nb.\r\n")
    b'..a\r\n..\r\nb.\r\n'
    """
    if b"." not in segment:
        return segment
    if _DOT_LINE.search(segment) is not None:
        segment = _doubled(segment)
    return b"." + segment if segment.startswith(b".") else segment


def _doubled(data: bytes) -> bytes:
    changed, count = _DOT_LINE.subn(b"\n..", data, _MANY)
    return changed if count < _MANY else data.replace(b"\n.", b"\n..")


def ending(content: Content) -> bytes:
    """Return what the content lacks to end in CRLF."""
    segments = content.segments
    if segments and segments[-1].endswith(b"\r\n"):
        return b""
    for segment in reversed(segments):
        if segment:
            return b"" if segment.endswith(b"\r\n") else b"\r\n"
    return b""


def whole(content: Content, dot: bytes = DOT) -> bytes:
    """Return everything in one piece for a single write; `dot` is the final dot and what goes with it."""
    if len(content.segments) == 1:  # small content always is
        return b"".join((stuffed(content.segments[0]), ending(content), dot))  # one copy, not two
    return b"".join([*map(stuffed, content.segments), ending(content), dot])


def blocks(content: Content) -> Iterator[bytes | memoryview]:
    """Return everything but the final dot in blocks, uncopied where there was nothing to stuff.

    A block is at most 64 KiB of the segment, and so at most twice that when it is stuffed.
    """
    for segment in content.segments:
        view = memoryview(segment)
        for start in range(0, len(segment), BLOCK_BYTES):
            yield _stuffed_block(segment, start) or view[start : start + BLOCK_BYTES]
    if end := ending(content):
        yield end


def _stuffed_block(segment: bytes, start: int) -> bytes | None:
    """Return the block that begins at `start` with its dots doubled, None when there are none."""
    end = start + BLOCK_BYTES
    if segment.find(b".", start, end) < 0:
        return None
    # A dot that stands first in the block stands first in its line if the block before ended one.
    before = max(start - 1, 0)
    leads = segment[before : start + 1] in (b".", b"\n.")
    if not leads and _DOT_LINE.search(segment, start, end) is None:
        return None
    block = _doubled(segment[start:end])
    return b"." + block if leads else block
