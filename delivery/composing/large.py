"""Large attachments, set aside while Django builds a message and encoded once, whoever gets them.

One file often goes to thousands of people, a message each. The standard library needs 80 ms to write a
megabyte of it (measured, Python 3.11, of them 67 in its generator); encoded here it takes 5, and for the next
message nothing. Each file is replaced by a line drawn by lot, and that line by the file as a blob.
"""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.core.mail import EmailMessage, EmailMultiAlternatives

from delivery.composing.composed import BLOB_SIZE, Composed

#: Classes whose `message()` is known to write attachments as they are: another may sign or encrypt them.
_AS_GIVEN = (EmailMessage, EmailMultiAlternatives)
#: Written as text or looked into, and so not encoded as they are.
_NOT_BINARY = ("text/", "message/", "multipart/")
#: Files that are remembered encoded, and the octets of all of them.
_MOST_KEPT, _MOST_BYTES = 4, 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asides:
    """A message's attachments, the large ones as stand-ins; `encoded` has their lines by the stand-in's."""

    attachments: Sequence[Any]  # Any: Django's triples, or MIME parts
    encoded: Mapping[bytes, bytes]

    def put_back(self, composed: Composed) -> Composed | None:
        """Give the message with its files as blobs; None when a stand-in does not stand there once."""
        if not self.encoded:
            return composed
        places = [(composed.data.find(b"\r\n" + line) + 2, line) for line in self.encoded]
        if any(at < 2 or composed.data.count(line) != 1 for at, line in places):
            return None
        removed = [(at, len(line), self.encoded[line]) for at, line in places]
        removed += [(cut, 0, blob) for cut, blob in zip(composed.cuts, composed.blobs, strict=True)]
        pieces, cuts, blobs, at, length = [], [], [], 0, 0
        for start, taken, blob in sorted(removed, key=lambda one: one[0]):
            pieces.append(composed.data[at:start])
            length += start - at
            cuts.append(length)
            blobs.append(blob)
            at = start + taken
        grown = sum(len(lines) - len(line) for line, lines in self.encoded.items())
        return replace(
            composed,
            data=b"".join([*pieces, composed.data[at:]]),
            cuts=tuple(cuts),
            blobs=tuple(blobs),
            attachments_bytes=composed.attachments_bytes + grown,
        )

    def without_stand_ins(self, raw: bytes) -> list[bytes]:
        """Give what the written message says, whatever was drawn by lot: for its digest."""
        for number, line in enumerate(self.encoded):
            raw = raw.replace(line, b"aside-%d\r\n" % number)
        return [raw, *self.encoded.values()]


def set_aside(message: EmailMessage, attachments: Sequence[Any]) -> Asides:  # Any: as above
    """Replace the large files among the attachments, where the message's class writes them as they are."""
    if type(message) not in _AS_GIVEN:
        return Asides(attachments, {})
    given: list[Any] = []
    encoded: dict[bytes, bytes] = {}
    for one in attachments:
        if not _is_large(one):
            given.append(one)
            continue
        name, content, kind = one
        stand_in = secrets.token_hex(20).encode()
        encoded[base64.b64encode(stand_in) + b"\r\n"] = _kept.lines_of(content)
        given.append((name, stand_in, kind))
    return Asides(given, encoded)


def _is_large(attachment: Any) -> bool:  # Any: as above
    if not isinstance(attachment, tuple):
        return False
    _name, content, kind = attachment
    is_binary = isinstance(kind, str) and not kind.lower().startswith(_NOT_BINARY)
    return is_binary and type(content) is bytes and len(content) > BLOB_SIZE


class _Kept:
    """The files encoded last, each for as long as few others follow."""

    def __init__(self) -> None:
        self._files: list[tuple[bytes, bytes]] = []

    def lines_of(self, content: bytes) -> bytes:
        """Give the file as lines of base64 that end in CRLF."""
        for known, lines in self._files:
            if known is content:
                return lines
        lines = base64.encodebytes(content).replace(b"\n", b"\r\n")
        files = [*self._files, (content, lines)][-_MOST_KEPT:]
        while files and sum(len(kept) for _content, kept in files) > _MOST_BYTES:
            files = files[1:]
        self._files = files  # in one step: other threads may be reading
        return lines


_kept = _Kept()
