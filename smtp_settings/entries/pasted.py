"""What people paste instead of a server's name or a password, taken apart. Pure.

Only what can be read in one way is taken apart; the rest is left for `judges`, which says what is wrong.
"""

import re
from dataclasses import dataclass

#: The schemes of sending, with the port each stands for when none is written (RFC 8314 section 7.3).
_SCHEMES = {"": "", "smtp": "", "submission": "587", "smtps": "465", "submissions": "465"}
_SERVER = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?"
    r"(?:\[(?P<literal>[0-9a-f:.]+)\]|(?P<name>[^\s\[\]:/@?#]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"/?",
    re.IGNORECASE,
)
#: How Google and others show an app password: four groups of four letters.
_APP_PASSWORD = re.compile(r"[a-z]{4}(?:[ \u00a0][a-z]{4}){3}")
_GOOGLE = re.compile(r"(?:^|\.)(?:gmail|google|googlemail)\.com$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PastedServer:
    """A server's name or address, and the port that came with it ("" for none)."""

    host: str
    port: str = ""


def server(text: str) -> PastedServer:
    """Take apart what was typed or pasted as a server; anything else comes back trimmed, as the host.

    >>> server(" smtp.example.com:587 ")
    PastedServer(host='smtp.example.com', port='587')
    >>> server("[2001:db8::1]:465")
    PastedServer(host='2001:db8::1', port='465')
    >>> server("smtps://smtp.example.com")
    PastedServer(host='smtp.example.com', port='465')
    >>> server("https://smtp.example.com/")
    PastedServer(host='https://smtp.example.com/', port='')
    """
    trimmed = text.strip()
    found = _SERVER.fullmatch(trimmed)
    if found is None:
        return PastedServer(trimmed)
    scheme = (found["scheme"] or "").lower()
    if scheme not in _SCHEMES:
        return PastedServer(trimmed)
    return PastedServer(found["literal"] or found["name"], found["port"] or _SCHEMES[scheme])


def password(text: str, host: str) -> str:
    r"""Return a pasted password without line breaks; every other character stays, spaces too.

    Only the app password Google shows in four groups of four letters loses its spaces, and only for a server
    of Google's: elsewhere the same letters may be a pass phrase.

    >>> password("SG.abc\r\n", "smtp.sendgrid.net")
    'SG.abc'
    >>> password("abcd efgh ijkl mnop", "smtp.gmail.com")
    'abcdefghijklmnop'
    """
    one_line = text.replace("\r", "").replace("\n", "")
    if _GOOGLE.search(host.strip().rstrip(".")) and _APP_PASSWORD.fullmatch(one_line.strip()):
        return re.sub(r"[ \u00a0]", "", one_line.strip())
    return one_line
