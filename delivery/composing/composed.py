"""What composing gives: an envelope and stored content, or one sentence why not."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

#: Octets of a line without its CRLF (RFC 5322 section 2.1.1).
MAX_LINE = 998
#: Octets of a whole message as sent; servers commonly take 25 MB.
MAX_MESSAGE = 25 * 1024 * 1024
#: Octets of a message's header section (as Postfix's header_size_limit), of one field, and how many fields.
MAX_HEADERS = 102_400
MAX_FIELD = 64 * 1024 - 1
MAX_FIELDS = 1_000
#: Parts whose encoded body is larger are stored once, however many messages carry them.
BLOB_SIZE = 64 * 1024
#: Recipients of one message; transactions of at most 100 are made of them when it is sent.
MAX_RECIPIENTS = 10_000


class CannotCompose(ValueError):  # says what happened, as transports.errors
    """What was handed over is no message that can be sent; str() is one sentence naming the fault."""


@dataclass(frozen=True, slots=True)
class Composed:
    """An envelope and its content, ready to be stored.

    `mail_from` is "" for the null sender; with `from_header` None too, the profile supplies the sender.
    `from_header` and `subject` are field bodies in stored form (see `delivery.composing.words`): ASCII,
    exactly as on the wire, folds included; or, subject only, decoded text that is encoded when it is
    written. "" is no Subject field, " " an empty one. `data` is the message without From, Subject and,
    where `message_id` is None, Message-ID: CRLF line ends, 7-bit, at most 998 octets a line. Blob i
    goes in at byte `cuts[i]`; each starts at a line start and ends in CRLF.
    """

    mail_from: str
    rcpt_to: tuple[str, ...]
    from_header: str | None
    subject: str
    message_id: str | None
    data: bytes = field(repr=False)
    cuts: tuple[int, ...] = ()
    blobs: tuple[bytes, ...] = field(default=(), repr=False)
    #: Octets of all attachments together as they are sent (`mime.Parts` says what counts).
    attachments_bytes: int = 0
    #: SHA-256 of what the caller gave: equal for the same message composed twice, whatever the clock said;
    #: empty where nobody asks, as without an idempotency key.
    digest: bytes = field(default=b"", repr=False)

    @property
    def size_bytes(self) -> int:
        """Octets of the content without From and Subject."""
        return len(self.data) + sum(map(len, self.blobs))


def has_long_line(data: bytes) -> bool:
    """Whether a line, up to CRLF, has more than MAX_LINE octets.

    Jumps from one line end to the last that is near enough: a quarter of the time of cutting 5 KB into lines.
    """
    at = 0
    while len(data) - at > MAX_LINE:
        line_end = data.rfind(b"\r\n", at, at + MAX_LINE + 2)
        if line_end < 0:
            return True
        at = line_end + 2
    return False


def digest_of(parts: Iterable[str | bytes]) -> bytes:
    """Hash a sequence so that no two different sequences run together."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode() if isinstance(part, str) else part
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.digest()
