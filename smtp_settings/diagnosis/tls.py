"""Rows of encryption: STARTTLS, the handshake, the certificate."""

from ipaddress import ip_address

from smtp_settings.diagnosis.fixes import change, fact, trust
from smtp_settings.diagnosis.row import Row, Who

S, N, P, W = Who.SETTINGS, Who.NETWORK, Who.PROVIDER, Who.WAIT


def is_address(host: str) -> bool:
    """Whether the server is entered as an address.

    >>> is_address("[2001:db8::1]")
    True
    """
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


_named_alike = fact("host", "certificate_server")  # found to be a name of this very address

TLS = (
    Row("tls1", S, lambda c: c.reason("not-offered"), ("security",), change(port="465", security="tls")),
    Row("tls2", W, lambda c: c.is_refusal),
    Row(
        "tls3",
        S,
        lambda c: c.reason("no-tls") and c.security == "tls",
        ("security",),
        change(security="starttls"),
    ),
    Row(
        "tls4",
        S,
        lambda c: c.reason("timeout") and c.security == "tls",
        ("security",),
        change(port="587", security="starttls"),
    ),
    Row("tls5", S, lambda c: c.reason("name") and is_address(c.host), ("host",), _named_alike),
    Row("tls6", S, lambda c: c.reason("name"), ("host",), _named_alike),
    Row("tls7", S, lambda c: c.reason("self-signed"), ("ca",), trust),
    Row("tls8", S, lambda c: c.reason("unknown"), ("ca",), trust),
    Row("tls9", P, lambda c: c.reason("expired")),
    Row("tls10", N, lambda c: c.reason("early")),
    Row("tls11", P, lambda c: c.reason("weak", "form")),
    Row("tls12", P, lambda c: c.reason("version"), ("minimum_tls",)),
    Row("tls13", P, lambda c: c.reason("cipher")),
    Row("tls14", P, lambda c: c.reason("client-certificate")),
    Row("tls15", P, lambda c: c.reason("surplus")),
    Row("chain1", P, lambda c: c.reason("long", "large")),
    Row("ca1", S, lambda c: c.reason("own-ca"), ("ca",)),
    Row("tls16", N, lambda c: c.reason("cut", "lost", "timeout")),
)
