"""Which servers and ports to try for what a person typed. Pure; DNS has been asked before."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from django.utils.translation import gettext as _

from smtp_settings import presets
from smtp_settings.entries import pasted
from smtp_settings.presets import Preset
from transports.base import Security
from transports.resolve import parse_host

#: No more probes than these for one search (WIRE E24).
MOST = 24

#: The usual ports in the order to try. A server without STARTTLS is found as one without encryption.
USUAL: tuple[tuple[int, Security], ...] = (
    (587, Security.STARTTLS),
    (465, Security.TLS),
    (2525, Security.STARTTLS),
    (25, Security.STARTTLS),
)

#: What servers for sending are called; their own name says that it is not the domain.
_SERVER_LABELS = ("smtp", "mail", "mx", "relay", "out", "send", "submission", "localhost")

#: Longer is no address and no name (RFC 5321 section 4.5.3.1).
_LONGEST = 320


class NothingToSearch(ValueError):
    """What was typed is no address and no name; str() is one sentence for people."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed. `domain` is whose mail it is about, "" for an IP address.

    `address` is "" when no address was typed, `host` when one was; `port` is 0 for none.
    """

    domain: str = ""
    address: str = ""
    host: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One port to look at. `preset` is the key of the provider it is taken from, "" for a guess."""

    host: str
    port: int
    security: Security
    preset: str = ""


def read(text: str) -> Wanted:
    """Take apart what was typed. Raises NothingToSearch.

    >>> read("Shop@Example.com")
    Wanted(domain='example.com', address='Shop@example.com', host='', port=0)
    >>> read("smtp.example.com:2526")
    Wanted(domain='smtp.example.com', address='', host='smtp.example.com', port=2526)
    """
    typed = text.strip()
    if not typed:
        raise NothingToSearch(_("Enter an email address or the name of a server."))
    try:
        return _taken_apart(typed)
    except ValueError:
        raise NothingToSearch(
            _("This is no email address and no name of a server. Example: shop@example.com.")
        ) from None


def _taken_apart(typed: str) -> Wanted:
    if len(typed) > _LONGEST:
        raise ValueError
    local, at, domain = typed.rpartition("@")
    return _address(local, domain) if at else _server(typed)


def _address(local: str, domain: str) -> Wanted:
    name = parse_host(domain)
    if not local or _is_ip(name) or not local.isprintable() or " " in local or "@" in local:
        raise ValueError
    return Wanted(domain=name, address=f"{local}@{name}")


def _server(typed: str) -> Wanted:
    given = pasted.server(typed)
    host = parse_host(given.host)
    return Wanted(domain="" if _is_ip(host) else host, host=host, port=int(given.port or 0))


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def candidates(
    wanted: Wanted, *, mx: Sequence[str] = (), allows_port: Callable[[int], bool]
) -> tuple[Candidate, ...]:
    """Return what to look at, the most promising first: at most `MOST`, each server and port once.

    `mx` are the hosts that receive for the domain, in their order.
    """
    found: dict[tuple[str, int], Candidate] = {}
    for candidate in _all(wanted, mx):
        if allows_port(candidate.port):
            found.setdefault((candidate.host, candidate.port), candidate)
    return tuple(found.values())[:MOST]


def _all(wanted: Wanted, mx: Sequence[str]) -> Iterator[Candidate]:
    if wanted.host:
        own = presets.for_host(wanted.host)
        if wanted.port:
            yield _typed_port(wanted, own)
        yield from _of_preset(own, wanted.host)
        if own is not None:
            return
    for preset in _providers(wanted.domain, mx):
        yield from _of_preset(preset)
    for host in _names(wanted):
        yield from (Candidate(host, port, security) for port, security in USUAL)


def _typed_port(wanted: Wanted, preset: Preset | None) -> Candidate:
    """Return the port that was typed, with the security it is known for."""
    known = preset.security_of(wanted.port) if preset is not None else ""
    usual = Security.TLS if wanted.port in (465, 2465) else Security.STARTTLS
    return Candidate(wanted.host, wanted.port, _encrypted(known) if known else usual)


def _of_preset(preset: Preset | None, host: str = "") -> Iterator[Candidate]:
    """Yield a provider's ports at its server; at `host`, where that is one of its."""
    if preset is None:
        return
    server = host if preset.has_host(host) else preset.host
    if server:
        for port in preset.ports:
            yield Candidate(server, port.number, _encrypted(port.security), preset.key)


def _encrypted(security: str) -> Security:
    """Ask for STARTTLS where none is expected: what is offered is found out anyway."""
    return Security.TLS if security == Security.TLS else Security.STARTTLS


def provider_of(domain: str, mx: Sequence[str]) -> Preset | None:
    """Return whose server a domain's people send through, as far as domain and MX tell it; else None."""
    return next(iter(_providers(domain, mx)), None)


def _providers(domain: str, mx: Sequence[str]) -> Iterable[Preset]:
    found = (presets.for_domain(domain), presets.for_mx(mx)) if domain else ()
    return {preset.key: preset for preset in found if preset is not None}.values()


def _names(wanted: Wanted) -> Iterator[str]:
    """Yield the server that was typed, and what a domain's server is likely to be called."""
    if wanted.host:
        yield wanted.host
    if wanted.domain and not wanted.domain.startswith(_SERVER_LABELS):
        yield f"smtp.{wanted.domain}"
        yield f"mail.{wanted.domain}"
