"""A Django EmailMessage made ready, losslessly: Django builds the MIME tree, `eml` stores it.

Django (5.2 and 6.1) is asked for the whole message once, on a copy that carries stand-ins where Django
would make something up or get it wrong: Date and Message-ID (a look-up of the machine's name), the
subject (5.2 breaks it at U+2028), domains (5.2 uses IDNA 2003) and file names with folders in them.
"""

import copy
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from email.errors import MessageError
from email.generator import BytesGenerator
from email.message import Message
from io import BytesIO
from typing import Any, TypedDict

from django.core.mail import EmailMessage

from delivery.composing import stand_ins
from delivery.composing.addresses import Mailbox, mailbox, mailboxes
from delivery.composing.cleaning import ADDRESS_FIELDS
from delivery.composing.composed import CannotCompose, Composed, digest_of
from delivery.composing.eml import assemble, bare_recipients, bare_sender, check_size, with_crlf
from delivery.composing.headers import NAME, read_head, refuse_provider_fields
from delivery.composing.large import Asides, set_aside
from delivery.composing.usual import Given, compose_usual

_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s*;[ -~]*)?", re.ASCII)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
_MAX_FILE_NAME = 150
#: Characters of one header's value: Django folds and parses it in a time that grows with the square.
_MAX_VALUE = 16 * 1024
#: Taken into the envelope or written by servers, never by us.
_NOT_WRITTEN = frozenset({"bcc", "resent-bcc", "return-path"})
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LINE_END = re.compile(r"[\r\n\0]")
#: What Python, Django or a reader may take for the end of a line.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")


class _Options(TypedDict):
    mail_from: str | None
    rcpt_to: Sequence[str] | None
    now: datetime | None
    is_keyed: bool


def compose_message(
    message: EmailMessage,
    *,
    mail_from: str | None = None,
    rcpt_to: Sequence[str] | None = None,
    now: datetime | None = None,
    is_keyed: bool = True,
) -> Composed:
    """Make a Django message ready to be stored, or raise CannotCompose.

    The envelope is `from_email` and `recipients()` unless it is given ("" or "<>" is the null sender);
    Bcc stands nowhere else. A Message-ID or Date among the message's headers is kept. `message` is not
    changed. The digest is wanted where it has an idempotency key (`is_keyed`).
    """
    _check_texts(message)
    given = [_attachment(one) for one in message.attachments]
    options: _Options = {"mail_from": mail_from, "rcpt_to": rcpt_to, "now": now, "is_keyed": is_keyed}
    asides = set_aside(message, given)
    composed = asides.put_back(_composed(message, asides, **options))
    if composed is None:  # Django wrote the attachments otherwise than expected
        composed = _composed(message, Asides(given, {}), **options)
    check_size(composed)
    return composed


def _composed(
    message: EmailMessage,
    asides: Asides,
    *,
    mail_from: str | None,
    rcpt_to: Sequence[str] | None,
    now: datetime | None,
    is_keyed: bool,
) -> Composed:
    """Make the message with stand-ins for the files that are set aside."""
    extra = {str(name): _value(str(name), value) for name, value in (message.extra_headers or {}).items()}
    sender, author = _author(message, extra)
    envelope = (
        sender if mail_from is None else bare_sender(mail_from),
        bare_recipients(
            [_box("A recipient", to).address for to in message.recipients()] if rcpt_to is None else rcpt_to
        ),
    )
    refuse_provider_fields(list(extra))
    extra = {name: value for name, value in extra.items() if name.lower() not in _NOT_WRITTEN}
    subject = str(message.subject or "")
    given = Given(*envelope, author, _lists(message), extra, subject)
    if usual := compose_usual(message, given, now=now, is_keyed=is_keyed):
        return usual
    tree = _built(_twin(message, given, asides.attachments))
    written = _serialised(tree)
    raw = with_crlf(written)
    digest = b""
    if is_keyed:
        said = asides.without_stand_ins(_without_boundaries(raw, tree))
        digest = digest_of([envelope[0], *envelope[1], subject, *said])
    raw, has_stand_in = _without_stand_ins(raw)
    head = read_head(raw, 0, len(raw))
    stored = (subject or " ") if has_stand_in else None
    is_open = not written.endswith(b"\n")
    return assemble(raw, head, *envelope, is_open=is_open, now=now, subject=stored, digest=digest)


def _lists(message: EmailMessage) -> dict[str, list[str]]:
    """Give the address fields as Django shall take them, in its order."""
    return {
        "To": [_header_box("To", to) for to in message.to],
        "Cc": [_header_box("Cc", cc) for cc in message.cc],
        "Reply-To": [_header_list("Reply-To", one) for one in message.reply_to],
    }


def _twin(message: EmailMessage, given: Given, attachments: Sequence[Any]) -> EmailMessage:
    """Copy the message with what Django shall write; subclasses keep their own `message()`."""
    twin = copy.copy(message)
    twin.subject = stand_ins.SUBJECT
    twin.from_email = given.author
    twin.to, twin.cc, twin.reply_to = (list(given.lists[name]) for name in ("To", "Cc", "Reply-To"))
    twin.extra_headers = dict(given.extra)
    names = {name.lower() for name in given.extra}
    if "date" not in names:
        twin.extra_headers["Date"] = stand_ins.DATE
    if "message-id" not in names:
        twin.extra_headers["Message-ID"] = stand_ins.MESSAGE_ID
    twin.attachments = list(attachments)
    return twin


def _built(twin: EmailMessage) -> Message:
    try:
        return twin.message()
    except (ValueError, LookupError, MessageError) as error:
        raise CannotCompose(f"Django cannot write the message: {error}") from error


def _serialised(tree: Message) -> bytes:
    written = BytesIO()
    try:
        # As Django's own as_bytes(): a line that begins with "From " stays as it is (Django #13433).
        BytesGenerator(written, mangle_from_=False, policy=tree.policy.clone(linesep="\r\n")).flatten(tree)
    except (ValueError, LookupError, MessageError) as error:
        raise CannotCompose(f"The message cannot be written as bytes: {error}") from error
    return written.getvalue()


def _without_boundaries(raw: bytes, tree: Message) -> bytes:
    """Replace the boundaries the library drew by lot, so that the same message has the same digest."""
    for number, part in enumerate(tree.walk()):
        boundary = part.get_boundary()
        if boundary and boundary.startswith("==============="):
            raw = raw.replace(boundary.encode(), b"boundary-%d" % number)
    return raw


def _without_stand_ins(raw: bytes) -> tuple[bytes, bool]:
    """Remove Date, Message-ID and From where they are stand-ins; tell whether Subject is one."""
    known = {"date": stand_ins.DATE, "message-id": stand_ins.MESSAGE_ID, "from": stand_ins.NOBODY}
    has_stand_in = False
    for found in reversed(read_head(raw, 0, len(raw)).fields):
        body = found.body.decode("ascii", "replace").strip()
        if known.get(found.key) == body:
            raw = raw[: found.start] + raw[found.end :]
        has_stand_in = has_stand_in or (found.key == "subject" and body == stand_ins.SUBJECT)
    return raw, has_stand_in


def _author(message: EmailMessage, extra: dict[str, str]) -> tuple[str, str]:
    """Give the reverse-path and what Django shall take as `from_email`."""
    written = str(message.from_email or stand_ins.NOBODY)
    if "From" in extra:
        _header_list("From", extra["From"])
    if written != stand_ins.NOBODY:
        return _box("From", written).address, _header_box("From", written)
    if "From" not in extra:
        return "", stand_ins.NOBODY
    boxes = mailboxes(extra["From"], "From")
    return (boxes[0].address if boxes else ""), extra["From"]


def _box(field: str, value: object) -> Mailbox:
    return mailbox(str(value), field)


def _header_box(field: str, value: object) -> str:
    return _as_header(field, str(value), [_box(field, value)])


def _header_list(field: str, value: object) -> str:
    return _as_header(field, str(value), mailboxes(str(value), field))


def _as_header(field: str, value: str, boxes: list[Mailbox]) -> str:
    """Give an address field's text for Django: as it is, or with its domains as A-labels."""
    for box in boxes:
        if not box.address.isascii():
            raise CannotCompose(
                f"{field}: {box.address!a} has characters before the @ that no header field can carry; "
                "give this address as Bcc only."
            )
    if value.isascii():
        return value
    return ", ".join(f"{box.name} <{box.address}>" if box.name else box.address for box in boxes)


def _value(name: str, value: object) -> str:
    """Check one extra header: its name by our own pattern, its value for anything that could end the line."""
    if not NAME.fullmatch(name):
        raise CannotCompose(
            f"The header name {name[:80]!a} is not made of 1 to 76 printable ASCII characters."
        )
    text = str(value)
    if len(text) > _MAX_VALUE:
        raise CannotCompose(f"The header field {name} is longer than {_MAX_VALUE:,} characters.")
    bad = _CONTROL.search(text)
    if bad:
        raise CannotCompose(
            f"The header field {name} holds {_named(bad[0])}, which no header field can carry."
        )
    _check_encodable(text, f"The header field {name}")
    return _header_list(name, text) if name.lower() in ADDRESS_FIELDS else text


def _named(character: str) -> str:
    return {"\r": "a carriage return", "\n": "a line feed", "\0": "a NUL"}.get(
        character, f"the control character U+{ord(character):04X}"
    )


def _check_texts(message: EmailMessage) -> None:
    subject = str(message.subject or "")
    bad = _LINE_END.search(subject)
    if bad:
        raise CannotCompose(f"The subject holds {_named(bad[0])}, which no header field can carry.")
    if len(subject) > _MAX_VALUE:
        raise CannotCompose(f"The subject is {len(subject):,} characters long.")
    _check_encodable(subject, "The subject")
    _check_text(message.body, "The body")
    for content, kind in getattr(message, "alternatives", None) or ():
        _check_type(kind)
        _check_text(content, f"The {kind} alternative")


def _check_text(text: object, what: str) -> None:
    if isinstance(text, bytes):
        return
    if "\0" in str(text):
        raise CannotCompose(f"{what} holds a NUL, which mail cannot carry as text.")
    _check_encodable(str(text), what)


def _check_encodable(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CannotCompose(f"{what} holds half of a character (a lone surrogate).") from None


def _check_type(kind: object) -> None:
    if kind is not None and not _TYPE.fullmatch(str(kind)):
        raise CannotCompose(f"{str(kind)[:80]!a} is no MIME type of the form type/subtype.")


def _attachment(attachment: Any) -> Any:  # Any: a MIME part, or Django's triple
    """Check an attachment and give it a file name that names no folder."""
    if isinstance(attachment, Message):
        return attachment
    filename, content, kind = (*attachment, None)[:3]
    _check_type(kind)
    if isinstance(content, str):
        _check_text(content, f"The attachment {filename!a}")
    return filename and safe_file_name(str(filename)), content, kind


def safe_file_name(name: str) -> str:
    r"""Give a file name without folders, controls and direction marks, of at most 150 bytes.

    >>> safe_file_name("../../etc/passwd"), safe_file_name("C:\\x\\Grüße\u202e.pdf"), safe_file_name("CON")
    ('passwd', 'Grüße.pdf', '_CON')
    """
    base = re.split(r"[/\\]", name)[-1]
    base = "".join(
        c for c in base if unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} and c not in _BIDI
    )
    base = base.strip().rstrip(". ") or "attachment"
    if _RESERVED.match(base):
        base = f"_{base}"
    octets = base.encode()
    if len(octets) > _MAX_FILE_NAME:
        stem, dot, extension = base.rpartition(".")
        tail = f"{dot}{extension}" if stem and len(extension.encode()) <= 20 else ""
        base = octets[: _MAX_FILE_NAME - len(tail.encode())].decode(errors="ignore") + tail
    return base
