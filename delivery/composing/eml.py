"""A raw RFC 5322 message (`.eml`) made ready: fields as they are, parts too where that is possible."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from django.utils import timezone

from delivery.composing.addresses import checked, mailboxes
from delivery.composing.cleaning import clean
from delivery.composing.composed import MAX_MESSAGE, MAX_RECIPIENTS, CannotCompose, Composed, digest_of
from delivery.composing.headers import Field, Head, read_head, refuse_provider_fields
from delivery.composing.mime import Edit, is_clean, parts_of
from delivery.composing.words import is_as_is, unfolded

#: What editors of Windows put in front of UTF-8: no character of the message.
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BARE_CR, _BARE_LF = re.compile(rb"\r(?!\n)"), re.compile(rb"(?<!\r)\n")
_MBOX = re.compile(rb"\AFrom [^\r\n]*\r\n")
#: Never stored: who else gets it, and what only the last server may write.
_STRIPPED = frozenset({"bcc", "resent-bcc", "return-path"})
#: Written in front at send time, and so kept in columns of their own.
_IN_FRONT = frozenset({"from", "subject"})
_ONCE = ("from", "subject", "message-id")


def compose_eml(
    raw: bytes,
    *,
    mail_from: str | None = None,
    rcpt_to: Sequence[str] | None = None,
    now: datetime | None = None,
    is_keyed: bool = True,
) -> Composed:
    """Make a raw message ready to be stored.

    Line ends may be CRLF throughout or LF throughout; a UTF-8 byte order mark and a line `From ` of an
    mbox file are dropped.
    Without `mail_from` the sender is the Sender field's address, else the From field's, else the
    profile's; without `rcpt_to` the recipients are those of To, Cc and Bcc. "" or "<>" is the null
    sender. Date is added where it is missing (`now`, else the present time); Message-ID is left to the
    queue. The digest is wanted where the message has an idempotency key (`is_keyed`). Raises CannotCompose.
    """
    raw = raw.removeprefix(_BYTE_ORDER_MARK)
    is_open = not raw.endswith((b"\r", b"\n"))
    raw = _MBOX.sub(b"", with_crlf(raw))
    head = read_head(raw, 0, len(raw))
    sender = _sender(head) if mail_from is None else bare_sender(mail_from)
    recipients = _recipients(head) if rcpt_to is None else bare_recipients(rcpt_to)
    digest = digest_of([sender, *recipients, raw]) if is_keyed else b""
    return assemble(raw, head, sender, recipients, is_open=is_open, now=now, digest=digest)


def with_crlf(raw: bytes) -> bytes:
    """Give the bytes with CRLF line ends, the last line too; a bare CR, mixed line ends, NUL are refused."""
    if len(raw) > MAX_MESSAGE:
        raise CannotCompose(_too_large(len(raw)))
    if not raw.strip():
        raise CannotCompose("This is not a mail message: it is empty.")
    if b"\x00" in raw:
        raise CannotCompose(f"Line {_line_of(raw, raw.index(0))} holds a NUL byte, which mail cannot carry.")
    if b"\r" in raw:
        _refuse_bare(raw)
    else:
        raw = raw.replace(b"\n", b"\r\n")
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


def _refuse_bare(raw: bytes) -> None:
    """Refuse a line end that is half of one; a bare CR first, since no kind of file may have it."""
    is_whole = raw.count(b"\r") + raw.count(b"\n") == 2 * raw.count(b"\r\n")
    bare = None if is_whole else _BARE_CR.search(raw) or _BARE_LF.search(raw)
    if bare:
        found, missing = (
            ("carriage return", "line feed") if bare[0] == b"\r" else ("line feed", "carriage return")
        )
        raise CannotCompose(
            f"Line {_line_of(raw, bare.start())} holds a {found} without a {missing}; "
            "line ends must be all CRLF or all LF."
        )


def assemble(
    raw: bytes,
    head: Head,
    mail_from: str,
    rcpt_to: tuple[str, ...],
    *,
    is_open: bool,
    digest: bytes,
    now: datetime | None = None,
    subject: str | None = None,
) -> Composed:
    """Put together what is stored.

    `is_open`: the last CRLF of `raw` was added, not given. `subject` replaces the field's text.
    """
    _check_fields(head)
    parts = parts_of(raw, head, is_open=is_open)
    body = parts.edits
    cleaned = [(found, clean(found)) for found in head.fields]
    changes = [*_top(cleaned), *body]
    if not all(edit.is_blob for edit in body) and not head.all("mime-version"):
        changes.append(Edit(head.end, head.end, b"MIME-Version: 1.0\r\n"))
    start = b"" if head.all("date") else date_field(now)
    data, cuts, blobs = _stored(raw, head, start, changes)
    composed = Composed(
        mail_from=mail_from,
        rcpt_to=rcpt_to,
        from_header=_stored_from(cleaned),
        subject=_stored_subject(head) if subject is None else subject,
        message_id=_message_id(head),
        data=data,
        cuts=cuts,
        blobs=blobs,
        attachments_bytes=parts.attachments_bytes,
        digest=digest,
    )
    check_size(composed)
    return composed


def check_size(composed: Composed) -> None:
    """Refuse a message that is larger than servers take."""
    if composed.size_bytes > MAX_MESSAGE:
        raise CannotCompose(_too_large(composed.size_bytes))


def date_field(moment: datetime | None) -> bytes:
    """Write a Date field; None is the present time."""
    return _dated(moment) if moment else _present(int(timezone.now().timestamp()))


@lru_cache(maxsize=1)  # many messages are handed over in one second
def _present(second: int) -> bytes:
    return _dated(datetime.fromtimestamp(second, UTC))


def _dated(moment: datetime) -> bytes:
    return f"Date: {format_datetime(moment)}\r\n".encode("ascii")


def _stored(
    raw: bytes, head: Head, start: bytes, changes: Iterable[Edit]
) -> tuple[bytes, tuple[int, ...], tuple[bytes, ...]]:
    """Apply the edits; blobs are cut out. The last look at every byte that will be sent."""
    pieces, length = [start], len(start)
    cuts, blobs, at = [], [], 0
    for edit in sorted(changes, key=lambda edit: (edit.start, edit.end)):
        pieces.append(raw[at : edit.start])
        length += edit.start - at
        if edit.is_blob:
            cuts.append(length)
            blobs.append(edit.new)
        else:
            pieces.append(edit.new)
            length += len(edit.new)
        at = edit.end
    pieces.append(raw[at:])
    if head.end == head.body:  # a header section and nothing else, not even the empty line
        pieces.append(b"\r\n")
    data = b"".join(pieces)
    if not is_clean(data) or not all(map(is_clean, blobs)):
        raise CannotCompose(
            "The message holds 8-bit bytes or lines over 998 bytes where nothing can be re-encoded "
            "(outside its parts, or in a part whose encoding does not allow it)."
        )
    return data, tuple(cuts), tuple(blobs)


def _top(cleaned: list[tuple[Field, bytes | None]]) -> Iterable[Edit]:
    for found, lines in cleaned:
        new = b"" if found.key in _STRIPPED | _IN_FRONT or _is_empty_id(found) else lines
        if new is not None:
            yield Edit(found.start, found.end, new)


def _is_empty_id(found: Field) -> bool:
    return found.key == "message-id" and not found.body.strip()


def _check_fields(head: Head) -> None:
    if not head.fields:
        raise CannotCompose("This is not a mail message: it has no header.")
    for key in _ONCE:
        if len(head.all(key)) > 1:
            raise CannotCompose(f"The message has {len(head.all(key))} {head.all(key)[0].name} fields.")
    refuse_provider_fields([found.name for found in head.fields])


def _text(found: Field) -> str:
    """Give a field's body in stored form; `clean` has made sure that it is ASCII or UTF-8."""
    text = found.body.decode()
    if not text.strip():
        return " "
    if text.isascii():
        return text if is_as_is(text) else unfolded(text)
    return unfolded(text).strip()


def _stored_from(cleaned: list[tuple[Field, bytes | None]]) -> str | None:
    for found, lines in cleaned:
        if found.key == "from":
            return (found.body if lines is None else lines[len("From: ") : -2]).decode("ascii")
    return None


def _stored_subject(head: Head) -> str:
    for found in head.all("subject"):
        return _text(found)
    return ""


def _message_id(head: Head) -> str | None:
    for found in head.all("message-id"):
        value = unfolded(found.body.decode("ascii", "replace")).strip()
        return value or None
    return None


def _sender(head: Head) -> str:
    for key in ("sender", "from"):
        for found in head.all(key):
            boxes = mailboxes(_listed(found), found.name)
            if len(boxes) > 1:
                raise CannotCompose(
                    "From names several addresses and there is no Sender field: say who sends."
                )
            if boxes:
                return boxes[0].address
    return ""


def _recipients(head: Head) -> tuple[str, ...]:
    boxes = [
        box
        for key in ("to", "cc", "bcc")
        for found in head.all(key)
        for box in mailboxes(_listed(found), found.name)
    ]
    return _once([box.address for box in boxes if box.address])


def _listed(found: Field) -> str:
    return unfolded(found.body.decode())


def bare_sender(mail_from: str) -> str:
    """Check the bare address of a reverse-path; "" and "<>" are the null sender."""
    return "" if mail_from in {"", "<>"} else checked(mail_from, "The sender")


def bare_recipients(addresses: Sequence[str]) -> tuple[str, ...]:
    """Check bare addresses for the envelope; exact duplicates are dropped, order kept."""
    if isinstance(addresses, str):
        raise CannotCompose("The recipients must be a list of addresses, not one text.")
    return _once([checked(address, "The recipient") for address in addresses])


def _once(addresses: list[str]) -> tuple[str, ...]:
    if not addresses:
        raise CannotCompose("The message has no recipients.")
    found = tuple(dict.fromkeys(addresses))
    if len(found) > MAX_RECIPIENTS:
        raise CannotCompose(
            f"The message has {len(found):,} recipients; at most {MAX_RECIPIENTS:,} are possible."
        )
    return found


def _line_of(raw: bytes, position: int) -> int:
    return max(raw.count(b"\n", 0, position), raw.count(b"\r", 0, position)) + 1


def _too_large(size: int) -> str:
    megabyte = 1024 * 1024
    return (
        f"The message is {size / megabyte:.1f} MB as sent; at most {MAX_MESSAGE // megabyte} MB are possible."
    )
