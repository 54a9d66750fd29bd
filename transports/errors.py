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
└── NotSendable             the message cannot be carried there (addresses, SMTPUTF8, SIZE, content)
"""

from collections.abc import Mapping

from transports.base import Phase, Reply, TranscriptLine


class TransportError(Exception):
    """The base: `phase` is where, `reply` the server's words if any, str() one sentence for people.

    `evidence` is what a `Step` shows beside the sentence, such as the certificate that was refused.
    `transcript` is what was said until then, when a connection did not come about.
    """

    def __init__(
        self,
        sentence: str,
        *,
        phase: Phase,
        reply: Reply | None = None,
        evidence: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.phase = phase
        self.reply = reply
        self.evidence: dict[str, str] = dict(evidence or {})
        self.transcript: tuple[TranscriptLine, ...] = ()


class NameNotFound(TransportError):
    """The server's name does not exist."""


class NameLookupFailed(TransportError):
    """DNS gave no usable answer in time."""


class AddressNotAllowed(TransportError):
    """The address guard or the port list refused; nothing was opened."""


class CouldNotConnect(TransportError):
    """No address of the server could be reached."""


class ConnectionRefused(CouldNotConnect):
    """The machine answers, but nothing listens on the port."""


class ConnectTimeout(CouldNotConnect):
    """Nothing answered within the limit."""


class ConnectionLost(TransportError):
    """The peer closed or reset the connection."""


class ReplyTimeout(TransportError):
    """No complete reply within the phase's limit."""


class ProtocolError(TransportError):
    """What came is not a readable SMTP reply, or one reply too many."""


class ReplyRefused(TransportError):
    """A readable reply that ends the session before a message was begun."""


class TLSNotOffered(TransportError):
    """STARTTLS is required and the server does not offer it."""


class TLSFailed(TransportError):
    """The TLS handshake broke."""


class CertificateRefused(TLSFailed):
    """The certificate is not one we accept.

    `reason` is a stable word: expired, early, name, self-signed, unknown, weak, long, other.
    """

    def __init__(
        self, sentence: str, *, phase: Phase, reason: str, evidence: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence, phase=phase, evidence=evidence)
        self.reason = reason


class AuthNotOffered(TransportError):
    """The server offers no sign-in mechanism this profile may use."""


class AuthNotEncrypted(TransportError):
    """The profile signs in, the connection is not encrypted, and nobody chose that."""


class CredentialsNotUsable(TransportError):
    """The user name, password or token cannot be said in a sign-in: NUL, no text, too long, missing."""


class NotSendable(TransportError):
    """Nothing was said of this message: no server could carry it, or this one cannot (SMTPUTF8, SIZE)."""
