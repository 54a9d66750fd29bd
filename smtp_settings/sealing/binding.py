"""What a sealed secret is bound to: its row, its field, and the destination it may be sent to."""

import hashlib
import json
from dataclasses import dataclass, fields
from ipaddress import ip_address
from typing import Any, Protocol
from uuid import UUID

import idna


class HasSecret(Protocol):
    """A row that holds a sealed secret."""

    uuid: UUID
    secret_version: int


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a secret may go. Every field alone counts (Keycloak #39486, #39931, #49242 forgot some)."""

    transport: str = ""
    host: str = ""
    port: int = 0
    security: str = ""
    verification: str = ""
    ca: str = ""
    username: str = ""
    mechanism: str = ""
    provider: str = ""
    tenant: str = ""
    token_url: str = ""
    scope: str = ""
    api_base: str = ""

    def differences(self, other: "Destination") -> tuple[str, ...]:
        """Name the fields that differ, in the order of the form."""
        return tuple(
            field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)
        )


@dataclass(frozen=True, slots=True)
class Binding:
    """The associated data of one sealed secret."""

    model: str
    uuid: str
    field: str
    secret_version: int
    destination: Destination

    def associated_data(self) -> bytes:
        """Return canonical JSON: sorted keys, no spaces, ASCII."""
        # Not `asdict`, which copies deeply: a list of profiles opens a secret for each.
        values = {name: getattr(self, name) for name in self.__slots__}
        values["destination"] = {name: getattr(self.destination, name) for name in Destination.__slots__}
        return json.dumps({"v": 1, **values}, sort_keys=True, separators=(",", ":")).encode()


def binding_for(row: HasSecret, field: str = "password") -> Binding:
    """Bind a field of a profile, an OAuth credential or another row with the same columns.

    Columns a row does not have count as empty, so each kind of row binds what it knows of a destination.
    """
    return Binding(
        model=type(row).__name__,
        uuid=str(row.uuid),
        field=field,
        secret_version=row.secret_version,
        destination=destination_of(row),
    )


def destination_of(row: object) -> Destination:
    """Read a row's destination, normalised so that spelling alone never counts as another server."""

    def text(name: str) -> str:
        value: Any = getattr(row, name, "")  # Any: columns of several models
        return str(value or "").strip()

    return Destination(
        transport=text("transport"),
        host=normal_host(text("host")),
        port=int(text("port") or 0),
        security=text("security"),
        verification=text("verification"),
        ca=_digest(text("ca")),
        username=text("username") or text("client_id"),
        mechanism=text("mechanism"),
        provider=text("provider"),
        tenant=text("tenant"),
        token_url=text("token_url"),
        scope=text("scope"),
        api_base=" ".join(filter(None, (text("api_domain").lower(), text("region").lower()))),
    )


def normal_host(host: str) -> str:
    """Return the form in which a server is compared: A-labels in lower case, addresses compressed.

    What is neither a name nor an address stays as it is, in lower case: refusing it is not decided here.

    >>> normal_host("SMTP.Exämple.com ")
    'smtp.xn--exmple-cua.com'
    """
    host = host.strip().lower()
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return host


def _digest(pem: str) -> str:
    return hashlib.sha256("\n".join(pem.split()).encode()).hexdigest() if pem else ""
