"""Content as it goes over the wire: dot-stuffed, ended, cut into blocks (RFC 5321 section 4.5.2)."""

from collections.abc import Iterator

from transports.base import Content

#: Up to this much is one write, with the final dot; above it, the size of a block that has its own deadline.
BLOCK_BYTES = 64 * 1024

#: The write that makes it final.
DOT = b".\r\n"


def stuffed(segment: bytes) -> bytes:
    r"""Return a segment with the dots at line starts doubled; the same object when there are none.

    The content is CRLF when it is stored, so two replacements do it: 4 us for 5 KB, where a regular
    expression takes 35 us.

    >>> stuffed(b".a\r\n.\r\nb.\r\n")
    b'..a\r\n..\r\nb.\r\n'
    """
    if b"\n." in segment:
        segment = segment.replace(b"\n.", b"\n..")
    return b"." + segment if segment.startswith(b".") else segment


def ending(content: Content) -> bytes:
    """Return what the content lacks to end in CRLF."""
    last = next((segment for segment in reversed(content.segments) if segment), b"\r\n")
    return b"" if last.endswith(b"\r\n") else b"\r\n"


def whole(content: Content) -> bytes:
    """Return everything in one piece, the final dot too: for a single write."""
    return b"".join([*map(stuffed, content.segments), ending(content), DOT])


def blocks(content: Content) -> Iterator[bytes | memoryview]:
    """Return everything but the final dot in blocks, uncopied where there was nothing to stuff."""
    for segment in content.segments:
        view = memoryview(stuffed(segment))
        for start in range(0, len(view), BLOCK_BYTES):
            yield view[start : start + BLOCK_BYTES]
    if end := ending(content):
        yield end
