"""Takes a secret out of what a server says, by value: in every encoding it travels in, also in pieces.

A server that echoes a sign-in would otherwise put the password into transcripts, errors and the database.
What a hostile server cannot be kept from: it knows the secret and may say it in a code of its own.
"""

import base64
import re
from typing import cast
from urllib.parse import unquote_to_bytes

REDACTED = b"<secret>"

#: Shorter values would redact ordinary words, and so tell what they are.
SHORTEST = 4

#: Replies found harmless that are remembered: "250 2.1.0 Ok" comes once a message.
MOST_REMEMBERED = 256

#: Longer ones are not: a hostile server would fill the memory.
LONGEST_REMEMBERED = 512

_SPACE = b" \t\r\n"
_RUN = (
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_"  # base64, both alphabets, and hex
)
_REST_OF_RUN = re.compile(b"[%s]*" % re.escape(_RUN))
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_HEADS = re.compile(rb"^[0-9]{3}[ -]?(?:[245]\.[0-9]{1,3}\.[0-9]{1,3}(?=[ \t\r\n]|$))?", re.MULTILINE)
_CODE = re.compile(rb"[0-9]{3}(?:[ -]|$)")
_ENHANCED = re.compile(rb"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?=[ \t\r\n]|$)")


class Redactor:
    r"""Knows the secrets of one sign-in; kept as long as the server may repeat them.

    >>> Redactor(b"hunter2").redact(b"535 hunter2 is aHVudGVyMg==")
    b'535 <secret> is <secret>'
    >>> Redactor(b"hunter2").redact(b"535-you said hun\r\n535 ter2\r\n")
    b'535-<secret>\r\n535 <secret>\r\n'
    """

    def __init__(self, *values: bytes) -> None:
        self._values = sorted(filter(_is_long_enough, values), key=len, reverse=True)
        cores = {core for value in values for core in aligned_base64(value)}
        cores |= {core.translate(_URL_SAFE) for core in cores}
        self._cores = _shortest(set(filter(_is_long_enough, cores)))
        self._hexed = _shortest({text.hex().encode() for text in (*self._values, *self._cores)})
        self._compact = _shortest({_compact(value) for value in self._values} | set(self._cores))
        self._unsigned = [form.replace(b"+", b"") for form in self._compact]
        #: The most octets a form takes: each of the value's as %XX, or two for each of base64 in hex.
        self._longest = 3 * max(map(len, values), default=0)
        self._harmless: set[bytes] = set()

    def redact(self, raw: bytes) -> bytes:
        """Return a reply, or any bytes, with every form of every secret replaced; its codes stay.

        Where a secret is spread over several lines, or disguised by percent signs, all the text goes.
        """
        if raw in self._harmless:
            return raw
        if not self._is_told_by(raw):
            self._remember(raw)
            return raw
        lines = raw.split(b"\n")
        shown = b"\n".join(head + self._redact_text(text) for head, text in map(_split, lines))
        if self._is_told_by(shown.replace(REDACTED, b"\xff")):
            shown = b"\n".join(map(_blank, lines))
        return shown

    def redact_torn(self, raw: bytes) -> bytes:
        """Redact bytes that may end in the middle of a secret: the end of an unfinished line goes."""
        done, end, torn = self.redact(raw).rpartition(b"\n")
        if torn:
            torn = torn[: -self._longest] + REDACTED
        return done + end + torn

    def _remember(self, harmless: bytes) -> None:
        if len(harmless) > LONGEST_REMEMBERED:
            return
        if len(self._harmless) >= MOST_REMEMBERED:
            self._harmless.clear()
        self._harmless.add(harmless)

    def _redact_text(self, text: bytes) -> bytes:
        for value in self._values:
            text = text.replace(value, REDACTED)
        for form in self._cores:
            text = _without_runs(text, form, text)
        for form in self._hexed:
            text = _without_runs(text, form, text.lower())
        return text

    def _is_told_by(self, raw: bytes) -> bool:
        """Whether a secret can be read here, on a line or over those of one reply, spaces left out."""
        if self._is_in(_compact(raw)):
            return True
        has_more_lines = b"-" in raw and raw.find(b"\n") + 1 not in (0, len(raw))  # cheap, and seldom true
        return has_more_lines and self._is_in(_compact(_HEADS.sub(b"", raw)))

    def _is_in(self, view: bytes) -> bool:
        for form in self._compact:
            if form in view:
                return True
        if self._hexed and len(view) >= len(self._hexed[0]):
            lowered = view.lower()
            if any(form in lowered for form in self._hexed):
                return True
        if b"%" not in view and b"+" not in view:
            return False
        unquoted = unquote_to_bytes(view.replace(b"+", b"")).translate(None, _SPACE + b"+")
        return any(form in unquoted for form in self._unsigned)


def aligned_base64(value: bytes) -> list[bytes]:
    """Return what base64 of any text with `value` inside holds, for each of the three places it can begin.

    >>> aligned_base64(b"secret")
    [b'c2VjcmV0', b'NlY3Jld', b'zZWNyZX']
    """
    found = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + value)
        # Only characters whose six bits are all of the value.
        found.append(encoded[-(-before * 8 // 6) : (before + len(value)) * 8 // 6])
    return found


def _is_long_enough(form: bytes) -> bool:
    return len(form) >= SHORTEST


def _shortest(forms: set[bytes]) -> list[bytes]:
    """Leave out forms that hold another one: finding that is enough, the run around it goes as a whole."""
    kept: list[bytes] = []
    for form in sorted(filter(_is_long_enough, forms), key=len):
        if not any(shorter in form for shorter in kept):
            kept.append(form)
    return kept


def _compact(text: bytes) -> bytes:
    return text.translate(None, _SPACE)


def _split(line: bytes) -> tuple[bytes, bytes]:
    """Return the code of a line with its mark, and its text."""
    return (line[:4], line[4:]) if _CODE.match(line) else (b"", line)


def _blank(line: bytes) -> bytes:
    """Return a line without its text; the codes at its start are needed to judge it."""
    head, text = _split(line)
    if not text.strip():
        return line
    enhanced = _ENHANCED.match(text)
    kept = enhanced[0] + b" " if enhanced is not None and head else b""
    return head + kept + REDACTED + text[len(text.rstrip(b"\r")) :]


def _without_runs(text: bytes, form: bytes, searched: bytes) -> bytes:
    """Replace each run of base64 or hex that holds `form`; linear, a regex would not be."""
    kept = []
    position = 0
    while (start := searched.find(form, position)) >= 0:
        end = start + len(form)
        left = len(text[position:start].rstrip(_RUN)) + position
        kept += [text[position:left], REDACTED]
        # Not lstrip(): that copies all that follows, each time.
        position = cast(re.Match[bytes], _REST_OF_RUN.match(text, end)).end()
    return b"".join((*kept, text[position:]))
