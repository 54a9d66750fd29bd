"""What a search found at one port, as a value and as the JSON of `TestRun.results`."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from smtp_settings.finding.candidates import Candidate
from transports import errors
from transports.base import Phase, Security
from transports.smtp.probe import Probed


class Cause(StrEnum):
    """Why nothing usable answered: no more than a test of these settings would tell."""

    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    NO_NAME = "no-name"
    NO_LOOKUP = "no-lookup"
    SILENT = "silent"
    CLOSED = "closed"
    NOT_SMTP = "not-smtp"
    NO_TLS = "no-tls"
    TURNED_AWAY = "turned-away"
    NOT_TRIED = "not-tried"


#: The first that fits; kinds before their base.
_CAUSES: tuple[tuple[type[errors.TransportError], Cause], ...] = (
    (errors.ConnectionRefused, Cause.REFUSED),
    (errors.ConnectTimeout, Cause.TIMEOUT),
    (errors.NameNotFound, Cause.NO_NAME),
    (errors.NameLookupFailed, Cause.NO_LOOKUP),
    (errors.TLSFailed, Cause.NO_TLS),
    (errors.ReplyRefused, Cause.TURNED_AWAY),
    (errors.ReplyTimeout, Cause.SILENT),
    (errors.ConnectionLost, Cause.CLOSED),
    (errors.ProtocolError, Cause.NOT_SMTP),
)

_MECHANISM = re.compile(r"[A-Z0-9][A-Z0-9_-]{1,19}")
#: More than any server offers; the list is a stranger's.
_MOST_MECHANISMS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One server and port. `port` is 0 when the name itself could not be used.

    `cause` is "" when a mail server answered. `certificate` is "" for none seen, "ok", or why it was refused
    (`CertificateRefused.reason`); `expires_at` is ISO 8601. `size_bytes` is the largest message, 0 where the
    server names none; `ms` is the time of the probe.
    """

    host: str
    port: int = 0
    security: str = ""
    preset: str = ""
    cause: str = ""
    tls_version: str = ""
    certificate: str = ""
    names: str = ""
    expires_at: str = ""
    mechanisms: tuple[str, ...] = ()
    size_bytes: int = 0
    ms: int = 0

    @property
    def answered(self) -> bool:
        """Whether a mail server answered."""
        return not self.cause

    @property
    def is_encrypted(self) -> bool:
        """Whether mail and password would travel encrypted."""
        return self.answered and self.security != Security.NONE

    @property
    def is_trusted(self) -> bool:
        """Whether it is encrypted and the certificate was accepted."""
        return self.is_encrypted and self.certificate == "ok"

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the row for `TestRun.results`."""
        return asdict(self)


def row_from(values: Mapping[str, Any]) -> Row:  # Any: JSON
    """Return a row that `as_json` wrote."""
    return Row(**{**values, "mechanisms": tuple(values.get("mechanisms") or ())})


def cause_of(error: errors.TransportError) -> Cause:
    """Return the class of an error; what the guard refused cannot be told from what cannot be reached."""
    found = next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.UNREACHABLE)
    if found is Cause.SILENT and error.phase is Phase.TLS:
        return Cause.NO_TLS
    return found


def row_of(candidate: Candidate, probed: Probed) -> Row:
    """Return what a probe found, without a word of what is no mail server's."""
    ms = round(probed.ms)
    if probed.error is not None:
        return failed(candidate, cause_of(probed.error), ms=ms)
    evidence, refused = probed.evidence, probed.certificate_error
    certificate = refused.reason if refused is not None else ("ok" if evidence.get("tls_version") else "")
    return Row(
        host=candidate.host,
        port=candidate.port,
        security=str(probed.security),
        preset=candidate.preset,
        tls_version=evidence.get("tls_version", ""),
        certificate=certificate,
        names=evidence.get("certificate_names", ""),
        expires_at=evidence.get("certificate_expires_at", ""),
        mechanisms=_mechanisms(probed.capabilities),
        size_bytes=_size(probed.capabilities),
        ms=ms,
    )


def failed(candidate: Candidate, cause: Cause, *, ms: int = 0) -> Row:
    """Return the row of a port where nothing usable answered."""
    return Row(
        host=candidate.host,
        port=candidate.port,
        security=str(candidate.security),
        preset=candidate.preset,
        cause=str(cause),
        ms=ms,
    )


def _mechanisms(capabilities: Mapping[str, str]) -> tuple[str, ...]:
    names = [name for name in capabilities.get("AUTH", "").split() if _MECHANISM.fullmatch(name)]
    return tuple(names[:_MOST_MECHANISMS])


def _size(capabilities: Mapping[str, str]) -> int:
    text = capabilities.get("SIZE", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0
