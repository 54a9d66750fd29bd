"""What can happen on the wire, one class per cause. Errors say what happened, never what follows.

TransportError
├── NameNotFound            the name does not exist
├── NameLookupFailed        no answer, or a broken one, from DNS
├── AddressNotAllowed       the address guard or the port list refused it; nothing was opened
├── CouldNotConnect
│   ├── ConnectionRefused
│   └── ConnectTimeout
├── ConnectionLost          the peer went away
├── ReplyTimeout            no reply within the phase's limit
├── ProtocolError           what came is not a readable reply, or one too many
├── ReplyRefused            a readable reply that ends the session (banner, EHLO, STARTTLS, AUTH)
├── TLSNotOffered           STARTTLS is wanted and not offered
├── TLSFailed               the handshake broke
│   └── CertificateRefused  the certificate is not one we accept
├── AuthNotOffered          no mechanism we may use
├── AuthNotEncrypted        a sign-in over plain text was not chosen
├── CredentialsNotUsable    no server could be told this user name, password or token
├── TokenRefused            who issues access tokens gave none, and asking again does not help
├── TokenNotAvailable       who issues access tokens did not answer, or asks to wait
├── NotSendable             the message cannot be carried there (addresses, SMTPUTF8, SIZE, content)
├── NotUsableHere           a program, directory or library cannot be used where this process runs
│   └── LocalShortage       nothing is wrong with it but that there is no room left
└── ProgramStopped          a program was ended before it had said how it went
"""

from collections.abc import Mapping

from transports.base import Phase, Reply, TranscriptLine


class TransportError(Exception):
    """The base: `phase` is where, `reply` the server's words if any, str() one sentence for people.

    `evidence` is what a `Step` shows beside the sentence, such as the certificate that was refused.
    `transcript` is what was said until then, when a connection did not come about. `reason` is a stable word
    for the cause, within the phase; each class has one of its own, and says below which others it is given.
    """

    reason = "other"

    def __init__(
        self,
        sentence: str,
        *,
        phase: Phase,
        reply: Reply | None = None,
        evidence: Mapping[str, str] | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(sentence)
        self.phase = phase
        self.reply = reply
        self.reason = reason or self.reason
        self.evidence: dict[str, str] = dict(evidence or {})
        self.transcript: tuple[TranscriptLine, ...] = ()


class NameNotFound(TransportError):
    """The server's name does not exist.

    `reason`: no-name, bad-name (what stands there is no name), no-address (none of the wanted family).
    """

    reason = "no-name"


class NameLookupFailed(TransportError):
    """DNS gave no usable answer in time."""

    reason = "no-answer"


class AddressNotAllowed(TransportError):
    """The address guard or the port list refused; nothing was opened.

    `reason`: address, port.
    """

    reason = "address"


class CouldNotConnect(TransportError):
    """No address of the server could be reached.

    `reason`: refused, timeout, unreachable (no route), forbidden (a firewall of this machine or near it),
    exhausted (no socket left here), source-address (not one of this machine), other.
    """

    reason = "other"


class ConnectionRefused(CouldNotConnect):
    """The machine answers, but nothing listens on the port."""

    reason = "refused"


class ConnectTimeout(CouldNotConnect):
    """Nothing answered within the limit."""

    reason = "timeout"


class ConnectionLost(TransportError):
    """The peer closed or reset the connection."""

    reason = "lost"


class ReplyTimeout(TransportError):
    """No complete reply within the phase's limit."""

    reason = "timeout"


class ProtocolError(TransportError):
    """What came is not a readable SMTP reply, or one reply too many.

    `reason`: unreadable, surplus (more than was asked for), and at the greeting what the peer speaks: ssh,
    http, imap, pop3, redis, not-smtp.
    """

    reason = "unreadable"


class ReplyRefused(TransportError):
    """A readable reply that ends the session before a message was begun."""

    reason = "refused"


class TLSNotOffered(TransportError):
    """STARTTLS is required and the server does not offer it."""

    reason = "not-offered"


class TLSFailed(TransportError):
    """The TLS handshake broke.

    `reason`: handshake, no-tls (the peer does not speak it), timeout, cut, version, cipher,
    client-certificate (it wants one from us), weak (its certificate's key), large (its certificates),
    own-ca (the profile's own cannot be read).
    """

    reason = "handshake"


class CertificateRefused(TLSFailed):
    """The certificate is not one we accept.

    `reason`: expired, early, name, self-signed, unknown, weak, form (made as is no longer accepted), long,
    other. `pem` is the certificate itself, "" where it cannot be had.
    """

    def __init__(
        self,
        sentence: str,
        *,
        phase: Phase,
        reason: str,
        evidence: Mapping[str, str] | None = None,
        pem: str = "",
    ) -> None:
        super().__init__(sentence, phase=phase, evidence=evidence, reason=reason)
        self.pem = pem


class AuthNotOffered(TransportError):
    """The server offers no sign-in mechanism this profile may use.

    `reason`: not-offered (no sign-in at all), no-mechanism (none that fits).
    """

    reason = "not-offered"


class AuthNotEncrypted(TransportError):
    """The profile signs in, the connection is not encrypted, and nobody chose that."""

    reason = "not-encrypted"


class CredentialsNotUsable(TransportError):
    """The user name, password or token cannot be said in a sign-in: NUL, no text, too long, missing.

    `reason`: credentials, no-password.
    """

    reason = "credentials"


class TokenRefused(TransportError):
    """The provider gave no access token (RFC 6749 section 5.2); only a person can change that.

    `reason` is the provider's own word where it is one of those known (`transports.oauth.REFUSALS`), or:
    not-connected (nobody signed in yet), not-usable (what was stored cannot be used), account (another one
    signed in), scope (less was granted than is needed), address (the token URL may not be asked), refused.
    `reply` holds HTTP's status with the provider's words.
    """

    reason = "refused"


class TokenNotAvailable(TransportError):
    """No answer about an access token, or one that says to wait; `retry_seconds` is how long it said.

    `reason`: timeout, lost, unreadable, busy (429), trouble (5xx), resting (not asked: it was of late).
    """

    reason = "lost"
    retry_seconds: float | None = None


class NotSendable(TransportError):
    """Nothing was said of this message: no server could carry it, or this one cannot.

    `reason`: content, addresses, smtputf8, size.
    """

    reason = "content"


class NotUsableHere(TransportError):
    """A program, a directory or a library cannot be used where this process runs.

    `reason`: the name of its errno (ENOENT, EACCES, ..), not-allowed (the program is not one that may be
    run), maildrop (the directory is Postfix's own), not-installed (a library that is an extra).
    """

    reason = "other"


class LocalShortage(NotUsableHere):
    """There is no room left: on the disk, of processes or of open files. `reason` as above."""


class ProgramStopped(TransportError):
    """A program was ended by a signal, or by us at its limit.

    `reason`: stopped, timeout.
    """

    reason = "stopped"
