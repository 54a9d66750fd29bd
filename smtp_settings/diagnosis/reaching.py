"""Rows from the name to EHLO. The order is what makes a row right: the first that matches wins."""

from smtp_settings.diagnosis.fixes import (
    change,
    clean_host,
    fewer_connections,
    host_only,
    nearest_host,
    other_ways,
)
from smtp_settings.diagnosis.row import Case, Row, Who, always

S, N, P, W, NOTE = Who.SETTINGS, Who.NETWORK, Who.PROVIDER, Who.WAIT, Who.NOTE

#: Ports on which TLS comes first.
TLS_PORTS = frozenset({465, 2465})


def _is_more_than_a_name(case: Case) -> bool:
    host = case.get("host").strip()
    return clean_host(case) != host and any(mark in host for mark in (*"/@: \t", "://"))


def is_loopback(case: Case) -> bool:
    """Whether the server is this machine itself."""
    address = case.seen("address") or case.host
    return case.host == "localhost" or address.startswith("127.") or address in ("::1", "[::1]")


def _wants_tls_first(case: Case) -> bool:
    """Whether the port waits for the beginning of a handshake while we wait for a greeting."""
    if case.security == "tls":
        return False
    return case.port in TLS_PORTS or case.seen("tls_from_the_first_byte") == "yes"


DNS = (
    Row("name1", S, _is_more_than_a_name, ("host",), host_only),
    Row("port1", S, lambda c: c.reason("port"), ("port",), other_ways),
    Row("name2", S, lambda c: c.reason("bad-name"), ("host",)),
    Row("name3", S, lambda c: c.reason("no-name") and bool(c.known.near), ("host",), nearest_host),
    Row("name4", S, lambda c: c.reason("no-name"), ("host",)),
    Row("name5", N, lambda c: c.reason("no-answer", "timeout")),
    Row("name6", S, lambda c: c.reason("no-address"), ("ip_version",), change(ip_version="any")),
    Row("name7", S, lambda c: c.reason("address"), ("host",)),
)

CONNECT = (
    Row(
        "connect1",
        S,
        lambda c: c.reason("refused") and is_loopback(c),
        ("host", "port"),
        lambda c: other_ways(c) if c.known.provider else [],
    ),
    Row("connect2", S, lambda c: c.reason("refused"), ("port",), other_ways),
    Row(
        "connect3",
        N,
        lambda c: c.reason("timeout") and c.port == 25,
        ("port",),
        change(port="587", security="starttls"),
    ),
    Row("connect4", N, lambda c: c.reason("timeout"), ("port",), other_ways),
    Row("connect5", N, lambda c: c.reason("unreachable"), ("ip_version",), change(ip_version="4")),
    Row("connect6", N, lambda c: c.reason("forbidden")),
    Row("connect7", N, lambda c: c.reason("exhausted"), ("max_connections",)),
    Row("source1", S, lambda c: c.reason("source-address"), ("source_address",)),
)

_BLOCKED = (r"block", r"black", r"\brbl", r"spamhaus", r"reputation", r"listed")

BANNER = (
    Row(
        "banner1",
        S,
        lambda c: c.reason("timeout") and _wants_tls_first(c),
        ("security",),
        change(security="tls"),
    ),
    Row(
        "banner2",
        S,
        lambda c: c.reason("lost") and _wants_tls_first(c),
        ("security",),
        change(security="tls"),
    ),
    Row("banner3", N, lambda c: c.reason("timeout"), ("port", "command_timeout"), other_ways),
    Row("banner4", P, lambda c: c.reason("lost")),
    Row("banner5", S, lambda c: c.reason("http"), ("host", "port"), other_ways),
    Row(
        "banner6",
        S,
        lambda c: c.reason("ssh", "imap", "pop3", "redis"),
        ("port",),
        change(port="587", security="starttls"),
    ),
    Row("banner7", S, lambda c: c.reason("not-smtp", "unreadable", "surplus"), ("host", "port")),
    Row(
        "banner8",
        W,
        lambda c: c.is_temporary and c.says("too many", "connections"),
        ("max_connections",),
        fewer_connections,
    ),
    Row("banner9", P, lambda c: c.is_permanent and c.says(*_BLOCKED)),
    Row("banner10", P, lambda c: c.is_refusal),
)

EHLO = (
    Row("ehlo1", S, lambda c: c.code(421) and c.says("gsmtp"), ("ehlo_name",)),
    Row(
        "ehlo2",
        S,
        lambda c: c.code(501, 504, *range(550, 560)) or c.says("helo", "ehlo", "fqdn", "host ?name"),
        ("ehlo_name",),
    ),
    Row("ehlo3", P, always, ("ehlo_name",)),
)


def _one_family_failed(case: Case) -> bool:
    """Whether an address of the other family was tried in vain before this one."""
    failed, address = case.seen("failed_addresses"), case.seen("address")
    return bool(failed and address) and all((":" in one) != (":" in address) for one in failed.split(", "))


def greeting_name(case: Case) -> str:
    """Return the name in the greeting, "" when there is none."""
    first = case.seen("greeting").split()[:1]
    name = first[0].strip("[]<>,;").lower() if first else ""
    return name if "." in name and not name.replace(".", "").isdigit() else ""


#: Second labels below which countries give names away.
_SHARED = frozenset({"ac", "co", "com", "edu", "gov", "net", "org"})


def domain_of(name: str) -> str:
    """Return what of a name belongs to one owner; good enough to compare two.

    >>> domain_of("smtp.shop.co.uk"), domain_of("smtp.gmail.com")
    ('shop.co.uk', 'gmail.com')
    """
    labels = name.lower().rstrip(".").split(".")
    is_shared = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SHARED
    return ".".join(labels[-3 if is_shared else -2 :])


def _greets_for_another(case: Case) -> bool:
    """Whether somebody else may have answered; a certificate checked for the name says that nobody did."""
    if case.is_encrypted and case.get("verification") == "full":
        return False
    name, host = greeting_name(case), case.host
    is_name = "." in host and not host.replace(".", "").isdigit() and ":" not in host
    return bool(name) and is_name and domain_of(name) != domain_of(host)


NOTES = (
    Row("connect8", NOTE, _one_family_failed, ("ip_version",), change(ip_version="4")),
    Row("banner11", NOTE, _greets_for_another, ("host",)),
)
