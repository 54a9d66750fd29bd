"""The stable word of each cause that has no class of its own."""

import errno
import ssl
from ipaddress import ip_address

import pytest

from tests.wire.clients import a_transport
from tests.wire.evil import evil_server, fin, hang
from transports.base import Phase
from transports.resolve import Destination
from transports.smtp.dialing import _translated
from transports.smtp.look import answers_tls, name_of_same_server
from transports.smtp.translation import translate


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENETUNREACH, "unreachable"),
        (errno.EHOSTUNREACH, "unreachable"),
        (errno.EACCES, "forbidden"),
        (errno.EPERM, "forbidden"),
        (errno.EMFILE, "exhausted"),
        (errno.ENFILE, "exhausted"),
        (errno.EADDRNOTAVAIL, "exhausted"),
        (errno.EIO, "other"),
        (errno.ECONNREFUSED, "refused"),
        (errno.ETIMEDOUT, "timeout"),
    ],
)
def test_a_connection_that_fails_says_why(number, reason):
    error = _translated(OSError(number, "words"), ip_address("192.0.2.1"), 587)
    assert (error.reason, error.evidence) == (reason, {"address": "192.0.2.1", "port": "587"})


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        ("WRONG_VERSION_NUMBER", "no-tls"),
        ("RECORD_LAYER_FAILURE", "no-tls"),
        ("HTTP_REQUEST", "no-tls"),
        ("UNSUPPORTED_PROTOCOL", "version"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "version"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "cipher"),
        ("DH_KEY_TOO_SMALL", "cipher"),
        ("UNSAFE_LEGACY_RENEGOTIATION_DISABLED", "cipher"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "client-certificate"),
        ("EE_KEY_TOO_SMALL", "weak"),
        ("UNEXPECTED_EOF_WHILE_READING", "cut"),
        ("EXCESSIVE_MESSAGE_SIZE", "large"),
        ("SOMETHING_ELSE", "handshake"),
    ],
)
def test_a_handshake_that_fails_says_why(theirs, reason):
    error = ssl.SSLError(1, "words")
    error.reason = theirs
    assert translate(error, Phase.TLS).reason == reason


@pytest.mark.parametrize(
    ("options", "answers"),
    [
        ({"implicit": True}, True),
        ({}, False),
        ({"plan": {"tcp": fin}}, False),
        ({"plan": {"banner": hang}}, False),
    ],
    ids=["tls", "smtp", "gone", "silent"],
)
async def test_a_look_finds_a_port_that_speaks_tls_first(options, answers, monkeypatch):
    if "plan" in options:
        monkeypatch.setattr("transports.smtp.look.LIMIT", 1.0)
    async with evil_server(**options) as server:
        assert await answers_tls("127.0.0.1", a_transport(server.port).settings) is answers


async def test_a_look_at_nothing_finds_nothing():
    assert not await answers_tls("", a_transport(2525).settings)


async def test_of_a_certificates_names_only_one_of_the_same_server_counts():
    settings = a_transport(2525).settings
    here = Destination("127.0.0.1", 2525, (ip_address("127.0.0.1"),))
    assert await name_of_same_server("*.example.org, other.invalid, localhost", here, settings) == "localhost"
    elsewhere = Destination("192.0.2.1", 2525, (ip_address("192.0.2.1"),))
    assert await name_of_same_server("localhost, 192.0.2.1", elsewhere, settings) == ""
