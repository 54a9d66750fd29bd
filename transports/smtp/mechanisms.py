"""What each SASL mechanism says: PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195) and XOAUTH2.

A mechanism is a generator: it yields the lines to write, gets the server's challenge (the text of a 334) for
each, and ends when it has nothing more to say. None says more than two lines after its first.
"""

import base64
import hmac
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

from transports.base import Phase, Secret
from transports.errors import CredentialsNotUsable, ProtocolError
from transports.smtp.protocol import SMTPProtocol
from transports.smtp.redaction import REDACTED, Redactor
from transports.smtp.reply import MAX_TEXT, clean
from transports.smtp.settings import OAUTH, SMTPSettings

#: Characters of a refusal's explanation that are kept.
MAX_EXPLANATION = 300

_VISIBLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line to write, with its CRLF; `shown` is what an observer may see of it."""

    data: bytes = field(repr=False)
    shown: bytes


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs in and with what; the secret leaves its wrapping only for the octets of a line."""

    username: str
    secret: Secret

    @classmethod
    def of(cls, settings: SMTPSettings, token: Secret | None = None) -> "Credentials":
        """Open the password, or take the token. Raises CredentialsNotUsable for what cannot be said."""
        is_token = settings.auth == OAUTH
        secret = token if is_token else settings.password() if settings.password is not None else None
        secret = secret or Secret("")
        fault = _fault(settings.username, secret, what="token" if is_token else "password")
        if fault is not None:
            raise CredentialsNotUsable(fault, phase=Phase.AUTH)
        return cls(settings.username, secret)

    @property
    def name(self) -> bytes:
        """The user name on the wire."""
        return self.username.encode()

    @property
    def key(self) -> bytes:
        """The password or token on the wire."""
        return self.secret.reveal().encode()

    @property
    def plain(self) -> bytes:
        """The message of PLAIN."""
        return b"\0" + self.name + b"\0" + self.key

    @property
    def xoauth2(self) -> bytes:
        """The message of XOAUTH2, as Google and Microsoft describe it."""
        return b"user=" + self.name + b"\x01auth=Bearer " + self.key + b"\x01\x01"

    def redactor(self, *more: bytes) -> Redactor:
        """Return what takes this secret out of a server's words, in all forms it is sent in."""
        return Redactor(self.key, self.plain, self.xoauth2, *more)


def _fault(username: str, secret: Secret, *, what: str) -> str | None:
    """Return why these cannot be said, None when they can."""
    value = secret.reveal()
    if not value:
        return f"The {what} is empty."
    if "\0" in username + value:
        return f"The user name or the {what} holds a NUL character."
    if not _is_text(username + value):
        return f"The user name or the {what} holds characters that cannot be sent."
    # RFC 6750 section 2.1; and in XOAUTH2 a control character would end its field.
    if what == "token" and not (_VISIBLE.fullmatch(value) and "\x01" not in username):
        return "The user name or the token holds characters that cannot be in it."
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate; the error carries the value and goes no further
        return False
    return True


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in while it goes on; `explain` takes a server's words about a refusal, cleaned and short."""

    credentials: Credentials
    protocol: SMTPProtocol
    explain: Callable[[str], None]


Dialogue = Generator[Line, str, None]


def _plain(attempt: Attempt) -> Dialogue:
    yield _secret(b"AUTH PLAIN ", attempt.credentials.plain)
    # A server that overlooked the initial response. What it says here means nothing: some answer with words.
    yield _secret(b"", attempt.credentials.plain)


def _login(attempt: Attempt) -> Dialogue:
    _decoded((yield _open(b"AUTH LOGIN")))  # "Username:"; who asks in clear speaks something else
    _decoded((yield _open(base64.b64encode(attempt.credentials.name))))
    yield _secret(b"", attempt.credentials.key)


def _cram_md5(attempt: Attempt) -> Dialogue:
    credentials = attempt.credentials
    challenge = _decoded((yield _open(b"AUTH CRAM-MD5")))
    digest = hmac.new(credentials.key, challenge, "md5").hexdigest().encode()
    # Who sees challenge and digest can guess passwords at leisure.
    attempt.protocol.redactor = credentials.redactor(digest)
    yield _secret(b"", credentials.name + b" " + digest)


def _xoauth2(attempt: Attempt) -> Dialogue:
    message = attempt.credentials.xoauth2
    challenge = yield _secret(b"AUTH XOAUTH2 ", message)
    if not challenge:  # a server that overlooked the initial response
        challenge = yield _secret(b"", message)
    words = attempt.credentials.redactor().redact(_decoded(challenge))
    attempt.explain(clean(words)[:MAX_EXPLANATION])
    yield _open(b"")  # what stands in the challenge is a refusal; an empty line brings the 535


#: In capital letters, as servers offer them.
MECHANISMS: Mapping[str, Callable[[Attempt], Dialogue]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram_md5,
    "XOAUTH2": _xoauth2,
}


def _open(line: bytes) -> Line:
    return Line(line + b"\r\n", line + b"\r\n")


def _secret(command: bytes, message: bytes) -> Line:
    return Line(command + base64.b64encode(message) + b"\r\n", command + REDACTED + b"\r\n")


def _decoded(challenge: str) -> bytes:
    """Decode a challenge. Raises ProtocolError for what is none, or longer than what was kept of it."""
    if challenge == REDACTED.decode():  # a prompt that happens to hold the password's own letters
        return b""
    try:
        if len(challenge) < MAX_TEXT:
            return base64.b64decode(challenge, validate=True)
    except ValueError:  # binascii.Error is one; so is a character outside ASCII
        pass
    raise ProtocolError("The server's question during the sign-in is not readable.", phase=Phase.AUTH)
