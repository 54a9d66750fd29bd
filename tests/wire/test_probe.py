"""A look at a port: what is found out, and how little is said for it."""

from ipaddress import ip_network

import pytest

from tests.ports import free_port
from tests.servers import authority, smtp_server
from tests.wire import certificates
from tests.wire.evil import evil_server, hang, raw, say
from transports import errors
from transports.base import Phase, Security
from transports.resolve import AddressGuard, resolve
from transports.smtp import probe as probing
from transports.smtp.probe import Prober

GUARD = AddressGuard(allowed_networks=(ip_network("127.0.0.0/8"),), allowed_ports=(range(1, 65536),))


@pytest.fixture(autouse=True)
def trusted(tmp_path, monkeypatch):
    """The authority of the tests is one of the system's."""
    path = tmp_path / "ca.pem"
    path.write_bytes(authority().cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


async def look(port, security, *, host="127.0.0.1", guard=GUARD):
    return await Prober(guard).probe(await resolve(host, port, guard=GUARD), security)


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_what_an_encrypted_server_offers_is_found_out(security):
    with smtp_server(security=security, auth=("shop", "secret"), size_limit=52_428_800) as server:
        found = await look(server.port, security)
    assert (found.error, found.certificate_error, found.security) == (None, None, security)
    assert found.capabilities["AUTH"] == "PLAIN LOGIN"
    assert found.capabilities["SIZE"] == "52428800"
    assert {"PIPELINING", "8BITMIME", "SMTPUTF8"} <= set(found.capabilities)
    assert found.evidence["tls_version"] == "TLSv1.3"
    assert "127.0.0.1" in found.evidence["certificate_names"]
    assert found.evidence["certificate_expires_at"]
    assert found.ms > 0


@pytest.mark.parametrize("security", Security)
async def test_a_probe_says_no_more_than_hello_and_goodbye(security):
    with smtp_server(security=security, auth=("shop", "secret")) as server:
        await look(server.port, security)
        server.wait_until_closed()
    assert set(server.verbs()) <= {"EHLO", "STARTTLS", "QUIT"}
    assert server.verbs()[-1] == "QUIT"


async def test_a_server_without_starttls_is_found_as_one_without_encryption():
    with smtp_server(security="none") as server:
        server.offers.append("AUTH PLAIN LOGIN")
        found = await look(server.port, Security.STARTTLS)
    assert (found.error, found.security) == (None, Security.NONE)
    assert found.capabilities["AUTH"] == "PLAIN LOGIN"
    assert found.capabilities["SIZE"] == "50000000"
    assert "tls_version" not in found.evidence


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (certificates.wrong_name, "name"),
        (certificates.unknown, "unknown"),
        (certificates.self_signed, "self-signed"),
        (certificates.expired, "expired"),
    ],
)
@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_a_bad_certificate_is_told_and_the_rest_seen_anyway(
    made, reason, security, tmp_path, monkeypatch
):
    context, ca_pem = made()
    if ca_pem:
        (tmp_path / "own.pem").write_text(ca_pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    is_implicit = security is Security.TLS
    async with evil_server(starttls=not is_implicit, implicit=is_implicit, context=context) as server:
        found = await look(server.port, security)
    assert found.error is None
    assert found.certificate_error.reason == reason
    assert found.evidence["certificate_sha256"]
    assert "PLAIN" in found.capabilities["AUTH"]
    assert "AUTH" not in server.verbs()


async def test_a_certificate_of_what_speaks_no_smtp_is_not_told():
    context, _ = certificates.unknown()
    async with evil_server(
        {"banner": raw(b"* OK IMAP4 ready\r\n")}, implicit=True, context=context
    ) as server:
        found = await look(server.port, Security.TLS)
    assert isinstance(found.error, errors.ProtocolError)
    assert found.certificate_error is None
    assert "certificate_sha256" not in found.evidence


async def test_nothing_listens():
    found = await look(free_port(), Security.STARTTLS)
    assert isinstance(found.error, errors.ConnectionRefused)


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        ({"banner": raw(b"SSH-2.0-OpenSSH_9.6 secret-banner\r\n")}, errors.ProtocolError),
        ({"banner": raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")}, errors.ProtocolError),
        ({"banner": raw(b"\x00\xff" * 5000)}, errors.TransportError),
        ({"banner": say("554 go away")}, errors.ReplyRefused),
        ({"banner": hang}, errors.ReplyTimeout),
        ({"ehlo": hang}, errors.ReplyTimeout),
        ({"ehlo": say("500 never heard")}, errors.ReplyRefused),
        ({"starttls": say("454 not now")}, errors.ReplyRefused),
        ({"handshake": raw(b"not tls\r\n" * 40)}, errors.TransportError),
    ],
    ids=[
        "ssh",
        "http",
        "noise",
        "554",
        "silence",
        "silence after EHLO",
        "no EHLO",
        "no STARTTLS now",
        "no TLS",
    ],
)
async def test_what_is_no_usable_mail_server_is_an_error_and_not_an_exception(plan, error, monkeypatch):
    if error is errors.ReplyTimeout:
        monkeypatch.setattr(probing, "LIMIT", 0.5)
    async with evil_server(plan, starttls=True) as server:
        found = await look(server.port, Security.STARTTLS)
    assert isinstance(found.error, error)
    assert found.capabilities == {}
    assert "OpenSSH" not in repr(found)


async def test_a_silent_port_is_given_up_at_the_limit(monkeypatch):
    monkeypatch.setattr(probing, "LIMIT", 0.3)
    async with evil_server({"banner": hang}) as server:
        found = await look(server.port, Security.TLS)
    assert isinstance(found.error, errors.ReplyTimeout)
    assert found.error.phase is Phase.TLS
    assert found.ms < 3000


async def test_a_port_off_the_list_is_not_opened():
    with smtp_server() as server:
        found = await look(server.port, Security.NONE, guard=AddressGuard())
    assert isinstance(found.error, errors.AddressNotAllowed)
    assert server.sessions == 0
