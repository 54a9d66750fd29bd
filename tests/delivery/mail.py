"""What the tests of composing share: a sender, the bytes on the wire, and how two messages are compared."""

import email
import email.policy
from dataclasses import dataclass

from delivery.composing import CannotCompose, compose_eml, content_of, front


@dataclass(frozen=True)
class ASender:
    """The sender's part of a profile that adds nothing."""

    from_address: str = ""
    from_name: str = ""
    from_policy: str = "message"
    reply_to: str = ""
    bounce_address: str = ""
    subject_prefix: str = ""


SENDER = ASender(from_address="relay@example.org")


def on_the_wire(composed, sender=SENDER):
    """The bytes a server gets, but for the queue's Message-ID."""
    lines = front(composed.from_header, composed.subject, sender, data=composed.data)
    return b"".join(content_of(lines, composed.data, composed.cuts, composed.blobs).segments)


def an_eml(body=b"Hello.\r\n", *fields):
    """A raw message with these further header fields."""
    lines = [b"From: ann@example.org", b"To: bo@example.com", b"Subject: Report", *fields]
    return b"\r\n".join([*lines, b"", body])


def composed_eml(body=b"Hello.\r\n", *fields, **options):
    """A raw message, composed."""
    return compose_eml(an_eml(body, *fields), **options)


def parsed(raw):
    """The message as the standard library reads it."""
    return email.message_from_bytes(raw, policy=email.policy.compat32)


def parts(message):
    """What a reader gets of each part: type, file name, content id, decoded content with LF line ends."""
    return [
        (
            part.get_content_type(),
            part.get_filename(),
            part.get("Content-ID"),
            part.get_content_charset(),
            None if part.is_multipart() else (part.get_payload(decode=True) or b"").replace(b"\r\n", b"\n"),
        )
        for part in message.walk()
    ]


def refusal(compose, *args, **options):
    """The sentence something is refused with; None when it is not."""
    try:
        compose(*args, **options)
    except CannotCompose as error:
        return str(error)
    return None


def fields(message):
    """The header fields in order, unfolded, names in lower case."""
    return [(name.lower(), str(value).replace("\r\n", "\n").strip()) for name, value in message.items()]


def assert_sendable(raw):
    """What WIRE asks of every stored message: 7-bit, CRLF only, lines of at most 998 octets."""
    assert raw.isascii()
    assert b"\0" not in raw
    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")
    assert raw.endswith(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
