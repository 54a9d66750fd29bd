"""Strict reading of SMTP replies (RFC 5321 section 4.2): bytes in, `Reply` out, nothing else.

Stricter than Python's usual `int(line[:3])`, which takes `2_0` and `+25` for numbers; and bounded, because a
peer that never ends its reply would otherwise fill the memory.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from transports.base import Reply

MAX_LINE_BYTES = 8 * 1024
MAX_REPLY_BYTES = 32 * 1024
MAX_LINES = 128
MAX_TEXT = 500

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

#: Longer ones are not remembered: a hostile peer would fill the memory.
_MOST_FAMILIAR_BYTES = 512

#: How many of the bytes that are no reply a person gets to see, as hex.
SHOWN_BYTES = 256

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*?))?\r?", re.DOTALL)
#: One line of ASCII, as most replies are. An enhanced status code of the code's class, or no digit after it.
_ORDINARY = re.compile(
    rb"(([245])[0-9]{2}) (?:(\2\.[0-9]{1,3}\.[0-9]{1,3})(?: |(?=\r)))?(?![245]\.)([ -~]*)\r\n"
)
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")


class UnreadableError(ValueError):
    """What came is no reply. `raw` is all of it: secrets are taken out before people see the start as hex."""

    def __init__(self, sentence: str, raw: bytes) -> None:
        super().__init__(sentence)
        self.raw = raw


def read_reply(buffer: bytes, start: int = 0) -> tuple[bytes, int] | None:
    r"""Find one complete reply at the start of `buffer[start:]`; returns its bytes and where it ends.

    None while it is incomplete. Raises UnreadableError when it cannot become a reply any more.

    >>> read_reply(b"250 2.1.0 Ok\r\n354")
    (b'250 2.1.0 Ok\r\n', 14)
    """
    position, lines = start, 0
    while True:
        end = buffer.find(b"\n", position) + 1
        lines += 1
        if (end or len(buffer)) - position > MAX_LINE_BYTES:
            raise UnreadableError("The server's answer has a line longer than 8 KiB.", buffer[start:])
        if (end or len(buffer)) - start > MAX_REPLY_BYTES or lines > MAX_LINES:
            raise UnreadableError("The server's answer does not end.", buffer[start:])
        if not end:
            return None
        if buffer[position + 3 : position + 4] != b"-":
            return buffer[start:end], end
        if lines == 1:
            _match(buffer[start : end - 1])  # do not wait for the end of what is no reply
        position = end


def _match(line: bytes) -> re.Match[bytes]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise UnreadableError("The server's answer is not an SMTP reply.", line)
    return match


class Read(NamedTuple):
    """What a look at the buffer found: replies with their bytes, where they end, what is wrong there."""

    replies: tuple[tuple[bytes, Reply], ...]
    end: int
    unreadable: UnreadableError | None = None


def read_replies(buffer: bytes) -> Read:
    """Read the complete replies at the start of `buffer`."""
    replies: list[tuple[bytes, Reply]] = []
    position = 0
    try:
        while position < len(buffer) and (found := read_reply(buffer, position)) is not None:
            raw, end = found
            replies.append((raw, parse(raw)))
            position = end
    except UnreadableError as error:
        # What is remembered must not hold the frames of those who read it.
        return Read(tuple(replies), position, error.with_traceback(None))
    return Read(tuple(replies), position)


@lru_cache(maxsize=256)
def _read_familiar(buffer: bytes) -> Read:
    return read_replies(buffer)


def read_next(buffer: bytes) -> Read:
    """Read as `read_replies` does, in a third of the time when the replies behind the first are known.

    The first may hold a queue id; those to an envelope come in the same bytes message after message.
    """
    end = buffer.find(b"\n") + 1
    if not 0 < len(buffer) - end <= _MOST_FAMILIAR_BYTES or not (ordinary := _ordinary(buffer[:end])):
        return read_replies(buffer)
    more = _read_familiar(buffer[end:])
    return Read(((buffer[:end], ordinary), *more.replies), end + more.end, more.unreadable)


def parse(raw: bytes) -> Reply:
    r"""Make the value of one complete reply. Raises UnreadableError.

    >>> parse(b"250 2.1.0 Ok\r\n")
    Reply(code=250, text='Ok', enhanced='2.1.0')
    """
    return _ordinary(raw) or _any_lines(raw)


def _ordinary(raw: bytes) -> Reply | None:
    found = _ORDINARY.fullmatch(raw)
    if found is None:
        return None
    code, _, enhanced, text = found.groups()
    return Reply(int(code), text.strip().decode()[:MAX_TEXT], enhanced.decode() if enhanced else None)


def _any_lines(raw: bytes) -> Reply:
    matches = [_match(line) for line in raw.removesuffix(b"\n").split(b"\n")]
    code = matches[0][1]
    if any(match[1] != code for match in matches):
        raise UnreadableError("The lines of the server's answer carry different codes.", raw)
    texts = [clean(match[3] or b"") for match in matches]
    found = _ENHANCED.match(texts[0])
    enhanced = found[1] if found is not None and ord(found[1][0]) == code[0] else None
    if enhanced is not None:  # servers repeat it on every line
        texts = [text.removeprefix(enhanced).lstrip() for text in texts]
    return Reply(int(code), " ".join(filter(None, texts))[:MAX_TEXT], enhanced)


def clean(raw: bytes) -> str:
    r"""Return a peer's words as storable text: undecodable, control and bidi characters replaced.

    PostgreSQL refuses NUL and lone surrogates, in text and in JSON, and would do so after the acceptance.

    >>> clean(b"caf\xc3\xa9 \x1b[2J \xff")
    'café �[2J �'
    """
    text = raw.decode("utf-8", "replace").replace("\t", " ").strip()
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else REPLACEMENT for character in text)
