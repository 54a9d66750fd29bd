"""Header fields that cannot be sent as they are: refused, or encoded so that they read the same.

By hand and linear: the standard library's readers of addresses and parameters take up to 20 seconds for 60 KB
of hostile text, or end in an IndexError or RecursionError (measured, Python 3.11 and 3.13).
"""

import re

from delivery.composing.addresses import mailboxes
from delivery.composing.composed import MAX_LINE, CannotCompose, has_long_line
from delivery.composing.front import phrase
from delivery.composing.headers import Field
from delivery.composing.words import written

#: Fields whose body is an address list.
ADDRESS_FIELDS = frozenset(
    f"{resent}{name}"
    for resent in ("", "resent-")
    for name in ("from", "sender", "reply-to", "to", "cc", "bcc")
)
_PARAMETER_FIELDS = frozenset({"content-type", "content-disposition"})
_PARAMETER = re.compile(r';\s*([!#$&+.^_`{|}~0-9A-Za-z*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*)')
_UNQUOTE = re.compile(r'\\(.)|"')
_ATTRIBUTE_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{|}~")
_PIECE = re.compile(r"(?:%..|.){1,20}")
_BAD_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def clean(found: Field) -> bytes | None:
    """Give a field's lines as they may be sent, or None to leave them as they are.

    Raises CannotCompose for control characters, lines over 998 octets and bytes that are not UTF-8.
    """
    if _BAD_CONTROL.search(found.lines):
        raise CannotCompose(f"The header field {found.name} holds a control character.")
    if has_long_line(found.lines):
        raise CannotCompose(
            f"The header field {found.name} has a line of more than {MAX_LINE} bytes; fold it."
        )
    return None if found.lines.isascii() else _encode(found)


def _encode(found: Field) -> bytes:
    """Encode a field with raw UTF-8 (RFC 6532) so that it is ASCII and reads the same."""
    try:
        text = found.body.decode().replace("\r\n", "")
    except UnicodeDecodeError:
        raise CannotCompose(
            f"The header field {found.name} holds bytes that are not ASCII; encode them as RFC 2047 says."
        ) from None
    if found.key in ADDRESS_FIELDS:
        return written(found.name, _address_list(found.name, text))
    if found.key in _PARAMETER_FIELDS:
        return _with_parameters(found.name, text)
    return written(found.name, text.strip())


def _address_list(name: str, text: str) -> str:
    """Write an address list in ASCII: names encoded, domains as A-labels; comments and groups fall away."""
    written_boxes = []
    for box in mailboxes(text, name):
        if not box.address.isascii():
            raise CannotCompose(
                f"{name}: {box.address!a} has characters before the @ that no header field can carry; "
                "give this address in the envelope (as Bcc) only."
            )
        shown = box.name if box.name.isascii() else phrase(_UNQUOTE.sub(r"\1", box.name))
        written_boxes.append(f"{shown} <{box.address}>" if shown else box.address)
    return ",\r\n ".join(written_boxes)


def _with_parameters(name: str, text: str) -> bytes:
    """Encode the parameters of a MIME field that are not ASCII (RFC 2231), each on a line of its own."""
    value, *_ = text.partition(";")
    parameters = [(match[1], match[2].strip()) for match in _PARAMETER.finditer(text, len(value))]
    lines = [value.strip(), *(_parameter(key, given) for key, given in parameters)]
    written_field = f"{name}: " + ";\r\n ".join(lines) + "\r\n"
    if not written_field.isascii():
        raise CannotCompose(
            f"The header field {name} holds bytes that are not ASCII; encode them as RFC 2231 says."
        )
    return written_field.encode("ascii")


def _parameter(key: str, given: str) -> str:
    if given.isascii():
        return f"{key}={given}"
    plain = _UNQUOTE.sub(r"\1", given)
    octets = "".join(chr(byte) if byte in _ATTRIBUTE_SAFE else f"%{byte:02X}" for byte in plain.encode())
    pieces = [match[0] for match in _PIECE.finditer(octets)]
    if len(pieces) == 1:
        return f"{key}*=utf-8''{octets}"
    pieces[0] = f"utf-8''{pieces[0]}"
    return ";\r\n ".join(f"{key}*{number}*={piece}" for number, piece in enumerate(pieces))
