r"""Mail addresses by RFC 5321's own grammar, and the address lists of header fields (RFC 5322 section 3.4).

Written by hand and linear, because the library's parsers were fooled more than once (CVE-2023-27043) and trim
or split what they do not understand. What is not understood here is refused: nothing is repaired but the case
of a domain and its A-labels (IDNA 2008).
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import idna

from delivery.composing.composed import CannotCompose

#: Octets (RFC 5321 section 4.5.3.1).
MAX_LOCAL, MAX_DOMAIN, MAX_PATH = 64, 253, 254
#: Characters of one mailbox with its display name; longer input is refused before it is parsed.
MAX_MAILBOX = 1_000

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED = re.compile(r'"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"')
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
#: Scripts that may stand together in one label (UTS 39, highly restrictive); Common letters do not count.
_TOGETHER = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox of a header field: the text before the angle bracket as written, and the address."""

    name: str
    address: str


def checked(text: str, what: str = "The address") -> str:
    """Give a bare address in the form the envelope carries, or raise CannotCompose.

    The local part stays exactly as it is, the domain becomes lower case and A-labels.

    >>> checked("Ann@Grüße.example")
    'Ann@xn--gre-6ka8l.example'
    """
    if len(text) > MAX_MAILBOX:
        raise CannotCompose(f"{what} is {len(text)} characters long; at most {MAX_PATH} are possible.")
    try:
        return _checked(text)
    except _NotAnAddress as error:
        raise CannotCompose(f"{what} {_shown(text)} {error}") from None


class _NotAnAddress(Exception):
    """What is wrong with a text, as the end of a sentence."""


@lru_cache(maxsize=1024)  # most messages have one sender, and a recipient stands in To and the envelope
def _checked(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise _NotAnAddress("is not of the form name@domain.")
    _check_local(local)
    result = f"{local}@{_a_labels(domain)}"
    if len(result.encode()) > MAX_PATH:
        raise _NotAnAddress(f"is longer than {MAX_PATH} octets.")
    return result


def _check_local(local: str) -> None:
    try:
        octets = len(local.encode())
    except UnicodeEncodeError:
        raise _NotAnAddress("holds half of a character (a lone surrogate).") from None
    if octets > MAX_LOCAL:
        raise _NotAnAddress(f"has more than {MAX_LOCAL} octets before the @.")
    if _QUOTED.fullmatch(local):
        return
    if not _DOT_ATOM.fullmatch(local) or not (local.isascii() or all(map(_is_plain, local))):
        raise _NotAnAddress("is not written as RFC 5321 asks before the @.")
    if "%" in local or "!" in local:
        raise _NotAnAddress("holds a route (% or !); relaying by routes is refused.")


def _is_plain(character: str) -> bool:
    """Whether a character shows itself: no control, no white space, no direction mark, nothing unassigned."""
    return character.isascii() or unicodedata.category(character)[0] not in "CZ"


@lru_cache(maxsize=1024)  # many recipients share a provider
def _a_labels(domain: str) -> str:
    if domain.startswith("["):
        raise _NotAnAddress("names a machine by its number; only domain names are used.")
    if len(domain) > MAX_DOMAIN:
        raise _NotAnAddress(f"has a domain of more than {MAX_DOMAIN} characters.")
    ascii_form = domain.lower() if domain.isascii() else _idna(domain)
    labels = ascii_form.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _NotAnAddress("has no valid domain after the @.")
    if len(labels) < 2 or labels[-1].isdigit():
        raise _NotAnAddress("has no full domain name after the @.")
    if len(ascii_form) > MAX_DOMAIN:
        raise _NotAnAddress(f"has a domain of more than {MAX_DOMAIN} characters.")
    if "xn--" in ascii_form:
        _check_scripts(ascii_form)
    return ascii_form


def _idna(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise _NotAnAddress("has a domain that IDNA 2008 does not allow.") from None


def _check_scripts(domain: str) -> None:
    """Refuse labels that mix scripts: they are made to look like another name."""
    for label in domain.split("."):
        try:
            characters = idna.decode(label)
        except (idna.IDNAError, UnicodeError):
            raise _NotAnAddress("has a domain that IDNA 2008 does not allow.") from None
        scripts = {unicodedata.name(c, "?").split(" ")[0] for c in characters if c.isalpha()}
        if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
            raise _NotAnAddress("mixes letters of several scripts in one label of its domain.")


def _shown(text: str) -> str:
    """Quote text for a sentence: bounded, and nothing that could act on a terminal or a log."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


#: What Python, Django or a reader may take for the end of a line, and halves of characters.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_TOKEN = re.compile(
    r"""(?P<space>[ \t]+)
      | (?P<quoted>"(?:[^"\\\r\n]|\\[^\r\n])*")
      | (?P<special>[(),:;<>@\[\]\\"])
      | (?P<text>[^ \t"(),:;<>@\[\]\\\r\n]+)""",
    re.VERBOSE,
)


#: What most address fields hold: one mailbox without quotes, comments or groups.
_PLAIN_MAILBOX = re.compile(
    r"""\ *(?:(?P<bare>[^\s"(),:;<>@\[\]\\]+@[^\s"(),:;<>@\[\]\\]+)
      | (?P<name>[^\t\r\n"(),:;<>@\[\]\\]*)<(?P<inside>[^\s"(),:;<>@\[\]\\]+@[^\s"(),:;<>@\[\]\\]+)>)\ *""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    def is_special(self, characters: str) -> bool:
        """Whether it is one of these characters, unquoted."""
        return self.kind == "special" and self.text in characters


def mailboxes(value: str, field: str) -> list[Mailbox]:
    """Read the address list of a header field; groups are opened, comments dropped, addresses `checked`.

    Raises CannotCompose naming `field`. An empty list or empty groups give nothing.

    >>> [m.address for m in mailboxes('"Doe, J." <j@example.org>, k@example.net (K), L: l@x.example;', "To")]
    ['j@example.org', 'k@example.net', 'l@x.example']
    """
    bad = _CONTROL.search(value)
    if bad:
        raise CannotCompose(f"{field} holds the control character U+{ord(bad[0]):04X}.")
    plain = _PLAIN_MAILBOX.fullmatch(value)
    if plain is not None:
        address = checked(plain["bare"] or plain["inside"], f"{field}:")
        return [Mailbox((plain["name"] or "").strip(), address)]
    return _listed(value, field)


def _listed(value: str, field: str) -> list[Mailbox]:
    """Read any address list, token by token."""
    return [box for item in _items(_tokens(value, field), field) for box in _mailbox(item, field)]


def _items(tokens: list[_Token], field: str) -> Iterator[list[_Token]]:
    """Cut an address list at its commas; the name of a group and its colon and semicolon fall away."""
    current: list[_Token] = []
    in_group = in_angle = False
    for token in tokens:
        if token.is_special("<>"):
            in_angle = token.text == "<"
        if in_angle or not token.is_special(",:;"):
            current.append(token)
            continue
        if token.text == ":" and (in_group or any(t.is_special("<>") for t in current)):
            raise CannotCompose(f"{field} holds a colon where none can stand.")
        if token.text == ";" and not in_group:
            raise CannotCompose(f"{field} holds a semicolon outside a group; separate addresses by commas.")
        if token.text != ":":
            yield current
        in_group = token.text == ":" or (in_group and token.text != ";")
        current = []
    if in_group or in_angle:
        raise CannotCompose(f"{field} ends inside a group or an angle bracket.")
    yield current


def mailbox(value: str, field: str) -> Mailbox:
    """Read exactly one mailbox (`a@b.example` or `Name <a@b.example>`), or raise CannotCompose."""
    if len(value) > MAX_MAILBOX:
        raise CannotCompose(f"{field} is {len(value)} characters long; that is no address.")
    found = mailboxes(value, field)
    if len(found) != 1:
        raise CannotCompose(f"{field} {_shown(value)} holds {len(found)} addresses where one is wanted.")
    return found[0]


def _tokens(value: str, field: str) -> list[_Token]:
    tokens, at, depth = [], 0, 0
    while at < len(value):
        match = _TOKEN.match(value, at)
        if match is None:
            raise CannotCompose(f"{field} holds a character that cannot stand in an address list.")
        kind, text = str(match.lastgroup), match.group()
        at = match.end()
        if text == "\\" and depth:
            at += 1  # a quoted-pair in a comment
        elif text == "(" or (text == ")" and depth):
            depth += 1 if text == "(" else -1
        elif not depth:
            tokens.append(_Token(kind, text))
    if depth:
        raise CannotCompose(f"{field} holds a comment that does not end.")
    return tokens


def _mailbox(tokens: list[_Token], field: str) -> list[Mailbox]:
    """Read the tokens between two commas: nothing, an address, or a name and an address in angle brackets."""
    written = "".join(token.text for token in tokens).strip()
    if not written:
        return []
    angles = [i for i, token in enumerate(tokens) if token.is_special("<>")]
    if not angles:
        return [Mailbox("", checked(written, f"{field}:"))]
    opens, *rest = angles
    after = "".join(token.text for token in tokens[rest[0] + 1 :]).strip() if rest else "?"
    if len(angles) != 2 or tokens[opens].text != "<" or tokens[rest[0]].text != ">" or after:
        raise CannotCompose(f"{field}: {_shown(written)} is not of the form Name <name@domain>.")
    if any(token.kind == "special" and not token.is_special("[]") for token in tokens[:opens]):
        raise CannotCompose(f"{field}: the name in {_shown(written)} must be quoted.")
    name = "".join(token.text for token in tokens[:opens]).strip()
    inside = "".join(token.text for token in tokens[opens + 1 : rest[0]]).strip()
    return [Mailbox(name, checked(inside, f"{field}:") if inside else "")]
