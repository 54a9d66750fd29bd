"""TLS against servers that break, strip or fake it (WIRE D7, D22-D25, D27, R24, R25)."""

import ssl
from datetime import timedelta

import pytest
import trustme
from django.utils import timezone

from tests.servers import server_context, smtp_server
from tests.wire.clients import PASSWORD, PATIENT, Recorder, a_content, a_transport, an_envelope, short
from tests.wire.evil import and_then, drip, evil_server, fin, hang, raw, rst, say, say_and_go
from transports.base import Phase
from transports.errors import (
    CertificateRefused,
    ConnectionLost,
    ProtocolError,
    ReplyRefused,
    ReplyTimeout,
    TLSFailed,
    TLSNotOffered,
    TransportError,
)

KINDS = {"starttls": {"starttls": True}, "tls": {"implicit": True}}
both_kinds = pytest.mark.parametrize("security", KINDS)


async def refusal(server, security, observer=None, timeouts=PATIENT, **settings):
    """Return the error with which signing in fails; the password must not have been sent."""
    with pytest.raises(TransportError) as caught:
        await a_transport(
            server.port, security=security, password=PASSWORD, timeouts=timeouts, **settings
        ).open(observer)
    assert "AUTH" not in server.verbs()
    return caught.value


@both_kinds
async def test_mail_goes_over_verified_tls(security):
    recorder = Recorder()
    async with evil_server(**KINDS[security]) as server:
        session = await a_transport(server.port, security=security, password=PASSWORD).open(recorder)
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()
        assert len(server.accepted) == 1
    evidence = recorder.evidence(Phase.TLS)
    assert evidence["tls_version"] == "TLSv1.3"
    assert evidence["certificate_names"] == "localhost, 127.0.0.1, ::1"
    assert evidence["certificate_expires_at"].startswith("3000")
    assert len(evidence["certificate_sha256"]) == 95


def expired():
    ca, now = trustme.CA(), timezone.now()
    cert = ca.issue_cert(
        "127.0.0.1",
        not_before=now - timedelta(days=2),
        not_after=now - timedelta(days=1),
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    cert.configure_cert(context)
    return context, ca.cert_pem.bytes().decode()


def wrong_name():
    ca = trustme.CA()
    return server_context("other.example.org", ca=ca), ca.cert_pem.bytes().decode()


def wrong_address():
    ca = trustme.CA()
    return server_context("192.0.2.1", ca=ca), ca.cert_pem.bytes().decode()


def unknown():
    return server_context(ca=trustme.CA()), ""


@both_kinds
@pytest.mark.parametrize(
    ("make", "reason", "words"),
    [
        (expired, "expired", "expired"),
        (wrong_name, "name", "another name"),
        (wrong_address, "name", "another name"),
        (unknown, "unknown", "known authority"),
    ],
)
async def test_a_bad_certificate_is_refused_in_its_own_words(security, make, reason, words):
    context, ca_pem = make()
    async with evil_server(context=context, **KINDS[security]) as server:
        error = await refusal(server, security, ca_pem=ca_pem)
    assert type(error) is CertificateRefused
    assert (error.phase, error.reason) == (Phase.TLS, reason)
    assert words in str(error)


@both_kinds
async def test_an_unchecked_certificate_is_a_choice_and_a_warning(security):
    recorder = Recorder()
    async with evil_server(context=wrong_name()[0], **KINDS[security]) as server:
        session = await a_transport(server.port, security=security, verify=False).open(recorder)
        await session.close()
    assert "tls warning" in recorder.verdicts()
    assert recorder.evidence(Phase.TLS)["certificate_names"] == "other.example.org"


async def test_a_single_certificate_can_be_trusted_without_its_authority():
    leaf = trustme.CA().issue_cert("127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    async with evil_server(starttls=True, context=context) as server:
        own = leaf.cert_chain_pems[0].bytes().decode()
        session = await a_transport(server.port, security="starttls", ca_pem=own).open()
        await session.close()


@both_kinds
async def test_ca_certificates_that_cannot_be_read_are_named(security):
    async with evil_server(**KINDS[security]) as server:
        error = await refusal(server, security, ca_pem="not a certificate")
        assert server.connections == 0
    assert type(error) is TLSFailed
    assert "own CA certificates" in str(error)


@both_kinds
async def test_old_tls_is_refused(security):
    context = server_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with evil_server(context=context, **KINDS[security]) as server:
        error = await refusal(server, security, minimum_tls="1.3")
    assert isinstance(error, TLSFailed)
    assert error.phase is Phase.TLS


async def test_stripped_starttls_is_refused():
    async with evil_server() as server:
        error = await refusal(server, "starttls")
        assert (type(error), error.phase) == (TLSNotOffered, Phase.TLS)
        assert server.verbs() == ["EHLO"]


@pytest.mark.parametrize("code", [454, 501, 554])
async def test_refused_starttls_is_refused(code):
    async with evil_server({"starttls": say(f"{code} No TLS today")}, starttls=True) as server:
        error = await refusal(server, "starttls")
        assert (type(error), error.phase, error.reply.code) == (ReplyRefused, Phase.TLS, code)
        assert server.verbs() == ["EHLO", "STARTTLS"]


@pytest.mark.parametrize("code", [250, 354, 221])
async def test_any_other_answer_to_starttls_is_a_protocol_error(code):
    async with evil_server({"starttls": say(f"{code} Eh?")}, starttls=True) as server:
        error = await refusal(server, "starttls")
    assert (type(error), error.phase) == (ProtocolError, Phase.TLS)


async def test_a_certificate_without_names_is_described():
    recorder = Recorder()
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with ca.cert_pem.tempfile() as cert, ca.private_key_pem.tempfile() as key:
        context.load_cert_chain(cert, key)
    async with evil_server(starttls=True, context=context) as server:
        session = await a_transport(server.port, security="starttls", verify=False).open(recorder)
        await session.close()
    assert recorder.evidence(Phase.TLS)["certificate_names"] == ""


async def test_plaintext_injected_behind_the_220_is_discarded():
    """CVE-2026-55558: capabilities put before the handshake must not be used after it."""
    injected = ("250-evil.example.org", "250-AUTH XINJECTED", "250 XINJECTED")
    async with evil_server({"starttls": and_then(*injected)}, starttls=True) as server:
        try:
            session = await a_transport(server.port, security="starttls").open()
        except TransportError:
            return  # refusing the connection is as good
        assert "XINJECTED" not in session.capabilities
        assert "XINJECTED" not in session.capabilities["AUTH"]
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()


async def answer_in_plain_text(peer, honest):
    """Take the client's hello and answer in SMTP."""
    await peer.reader.read(1)
    await peer.write(b"250 this is no TLS\r\n")


async def test_only_the_last_ehlo_counts():
    after = say("250-evil.example.org", "250 AUTH LOGIN")
    async with evil_server({"ehlo2": after}, starttls=True) as server:
        session = await a_transport(server.port, security="starttls").open()
        assert session.capabilities == {"AUTH": "LOGIN"}
        await session.close()


@pytest.mark.parametrize(
    ("stage", "action", "error", "phase"),
    [
        ("starttls", fin, TLSFailed, Phase.TLS),
        ("starttls", rst, TLSFailed, Phase.TLS),
        ("starttls", hang, ReplyTimeout, Phase.TLS),
        ("starttls", drip, ReplyTimeout, Phase.TLS),
        ("starttls", raw(b"\x00\xff\r\n"), ProtocolError, Phase.TLS),
        ("handshake", fin, TLSFailed, Phase.TLS),
        ("handshake", rst, TLSFailed, Phase.TLS),
        ("handshake", hang, ReplyTimeout, Phase.TLS),
        ("handshake", answer_in_plain_text, TLSFailed, Phase.TLS),
        ("ehlo2", fin, ConnectionLost, Phase.EHLO),
        ("ehlo2", rst, ConnectionLost, Phase.EHLO),
        ("ehlo2", hang, ReplyTimeout, Phase.EHLO),
        ("ehlo2", say_and_go("421 4.3.2 Closing"), ReplyRefused, Phase.EHLO),
        ("ehlo2", raw(b"\x00\xff\r\n"), ProtocolError, Phase.EHLO),
        ("ehlo2", say("250 evil", "250 and more"), ProtocolError, Phase.EHLO),
    ],
    ids=[
        "fin",
        "rst",
        "hang",
        "drip",
        "bytes",
        "fin in handshake",
        "rst in handshake",
        "hang in handshake",
        "no tls",
        "fin after",
        "rst after",
        "hang after",
        "421 after",
        "bytes after",
        "surplus after",
    ],
)
async def test_every_way_to_break_starttls_has_its_phase(stage, action, error, phase):
    async with evil_server({stage: action}, starttls=True) as server:
        limits = short(phase) if action in (hang, drip) else PATIENT
        caught = await refusal(server, "starttls", timeouts=limits)
    assert type(caught) is error
    assert caught.phase is phase


async def test_tls_against_a_plain_port_is_named():
    async with evil_server() as server:
        error = await refusal(server, "tls")
    assert type(error) is TLSFailed
    assert str(error) == "The server does not speak TLS from the start on this port. It may expect STARTTLS."


@pytest.mark.parametrize("security", ["none", "starttls"])
async def test_a_tls_port_does_not_greet_a_plain_client(security):
    async with evil_server(implicit=True) as server:
        error = await refusal(server, security, timeouts=short("banner"))
    assert (type(error), error.phase) == (ReplyTimeout, Phase.BANNER)


@pytest.mark.parametrize(
    ("action", "phase"), [(hang, Phase.BANNER), (fin, Phase.BANNER)], ids=["hang", "fin"]
)
async def test_with_implicit_tls_a_silent_greeting_is_not_blamed_on_the_handshake(action, phase):
    async with evil_server({"banner": action}, implicit=True) as server:
        error = await refusal(server, "tls", timeouts=short("banner", seconds=1))
    assert error.phase is phase


async def test_a_plain_server_that_hangs_up_during_the_handshake_is_a_failed_handshake():
    async with evil_server({"tcp": hang}) as server:
        error = await refusal(server, "tls", timeouts=short("banner"))
        assert (type(error), error.phase) == (ReplyTimeout, Phase.TLS)


@both_kinds
async def test_the_context_is_made_once_for_all_sessions(security):
    async with evil_server(**KINDS[security]) as server:
        transport = a_transport(server.port, security=security)
        contexts = set()
        for _ in range(2):
            session = await transport.open()
            contexts.add(session._protocol._transport.get_extra_info("sslcontext"))
            await session.close()
    assert len(contexts) == 1


async def test_the_certificate_is_checked_against_the_name_though_the_address_is_pinned():
    with smtp_server(security="tls", names=("localhost",)) as server:
        session = await a_transport(server.port, security="tls", host="localhost").open()
        await session.close()
        with pytest.raises(CertificateRefused):
            await a_transport(server.port, security="tls", host="127.0.0.1").open()
