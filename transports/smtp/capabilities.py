"""What a server offers, read from the lines of its last EHLO reply (RFC 5321 section 4.1.1.1)."""

import re

from transports.smtp.reply import clean

#: More keywords than this are not looked at; real servers offer about fifteen.
MAX_KEYWORDS = 200

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


def read_capabilities(lines: list[str]) -> dict[str, str]:
    """Return the keywords in upper case with their parameters; the first line is the greeting.

    AUTH lines are united, the old `AUTH=` form too. A SIZE that is no number is left out.

    >>> read_capabilities(["mx", "SIZE 1000", "AUTH LOGIN", "AUTH=PLAIN LOGIN", "x y"])
    {'SIZE': '1000', 'AUTH': 'LOGIN PLAIN', 'X': 'y'}
    """
    found: dict[str, str] = {}
    mechanisms: dict[str, None] = {}
    for line in lines[1 : MAX_KEYWORDS + 1]:
        keyword, _, parameters = clean(line.encode("utf-8", "surrogateescape")).partition(" ")
        keyword = keyword.upper()
        if keyword.startswith("AUTH="):
            keyword, parameters = "AUTH", f"{keyword.removeprefix('AUTH=')} {parameters}"
        if keyword == "AUTH":
            mechanisms.update(dict.fromkeys(parameters.upper().split()))
            parameters = " ".join(mechanisms)
        if keyword == "SIZE" and not _is_size(parameters):
            continue
        if _KEYWORD.fullmatch(keyword):
            found[keyword] = parameters
    return found


def _is_size(text: str) -> bool:
    return text == "" or (text.isascii() and text.isdigit() and len(text) <= 20)
