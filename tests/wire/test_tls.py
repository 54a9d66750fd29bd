"""TLS against servers that break, strip or fake it (WIRE D7, D22-D25, D27, R24, R25)."""

import asyncio
import ssl
from dataclasses import replace

import pytest
import trustme

from tests.servers import server_context, smtp_server
from tests.wire import certificates
from tests.wire.clients import PASSWORD, PATIENT, Recorder, a_content, a_transport, an_envelope, short, until
from tests.wire.evil import and_then, drip, evil_server, fin, hang, raw, rst, say, say_and_go
from transports.base import Phase, StepVerdict
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
from transports.smtp.tls import WatchedSSLObject

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


BAD = {
    "expired": (certificates.expired, "expired", "has expired"),
    "early": (certificates.early, "early", "not valid yet"),
    "wrong name": (certificates.wrong_name, "name", "another name"),
    "wrong address": (certificates.wrong_address, "name", "another name"),
    "unknown authority": (certificates.unknown, "unknown", "not signed by a known authority"),
    "self-signed": (certificates.self_signed, "self-signed", "signed by itself"),
    "sha-1": (certificates.sha1, "weak", "too weak"),
    "short key": (certificates.short_key, "weak", "too weak"),
    "ten deep": (certificates.ten_deep, "long", "too many others"),
}


@both_kinds
@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_certificate_is_refused_in_its_own_words_and_shown(security, kind):
    """WIRE D24. The certificate is that of the refused handshake: there is no second connection."""
    make, reason, words = BAD[kind]
    context, ca_pem = make()
    recorder = Recorder()
    async with evil_server(context=context, **KINDS[security]) as server:
        error = await refusal(server, security, recorder, ca_pem=ca_pem)
        assert server.connections <= 1
    assert type(error) is CertificateRefused
    assert (error.phase, error.reason) == (Phase.TLS, reason)
    assert words in str(error)
    step = recorder.steps[-1]
    assert (step.phase, step.verdict, step.detail) == (Phase.TLS, StepVerdict.FAILED, str(error))
    evidence = step.evidence
    assert len(evidence["certificate_sha256"]) == 95
    assert evidence["certificate_subject"]
    assert evidence["certificate_issuer"]
    assert evidence["certificate_expires_at"] > evidence["certificate_starts_at"]
    names = {"wrong name": "other.example.org", "wrong address": "192.0.2.1"}
    assert names.get(kind, "127.0.0.1") in evidence["certificate_names"]


@both_kinds
async def test_a_certificate_of_a_megabyte_is_refused_in_its_own_words(security):
    """WIRE D24."""
    context, ca_pem = certificates.a_megabyte()
    async with evil_server(context=context, **KINDS[security]) as server:
        error = await refusal(server, security, ca_pem=ca_pem)
    assert (type(error), error.phase) == (TLSFailed, Phase.TLS)
    assert "larger than any real ones" in str(error)


@both_kinds
async def test_a_refused_certificate_without_evidence_is_still_refused(security, monkeypatch):
    """The chain of a failed handshake is no public thing before Python 3.13."""
    monkeypatch.setattr(WatchedSSLObject, "_unverified_chain", lambda self: [])
    recorder = Recorder()
    async with evil_server(context=certificates.unknown()[0], **KINDS[security]) as server:
        error = await refusal(server, security, recorder)
    assert type(error) is CertificateRefused
    assert "certificate_sha256" not in recorder.steps[-1].evidence


@pytest.mark.parametrize("has_public", [True, False])
def test_the_chain_is_read_where_this_python_keeps_it(has_public):
    class Certificate:
        def public_bytes(self, form):
            assert form == ssl._ssl.ENCODING_DER
            return b"der"

    class Inner:
        def get_unverified_chain(self):
            return [Certificate()]

    class Here(WatchedSSLObject):
        def __init__(self):
            pass

        _sslobj = None if has_public else Inner()
        get_unverified_chain = (lambda self: [b"der"]) if has_public else None

    assert Here()._unverified_chain() == [b"der"]


@both_kinds
async def test_an_unchecked_certificate_is_a_choice_and_a_warning(security):
    recorder = Recorder()
    async with evil_server(context=certificates.wrong_name()[0], **KINDS[security]) as server:
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


def speaking_at_most(version):
    context, ca_pem = certificates.issued()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    return context, ca_pem


@both_kinds
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "minimum"), [("TLSv1", "1.2"), ("TLSv1_1", "1.2"), ("TLSv1_2", "1.3")], ids=["1.0", "1.1", "1.2"]
)
async def test_old_tls_is_refused(security, name, minimum):
    """WIRE D25."""
    context, ca_pem = speaking_at_most(getattr(ssl.TLSVersion, name))
    async with evil_server(context=context, **KINDS[security]) as server:
        error = await refusal(server, security, ca_pem=ca_pem, minimum_tls=minimum)
    assert isinstance(error, TLSFailed)
    assert error.phase is Phase.TLS


@both_kinds
async def test_the_server_hears_the_name_that_is_meant(security):
    """Server Name Indication (RFC 6066): one address serves many names."""
    asked = []
    context = server_context()
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with evil_server(context=context, **KINDS[security]) as server:
        session = await a_transport(server.port, security=security, host="localhost").open()
        await session.close()
    assert asked == ["localhost"]


async def test_stripped_starttls_is_refused():
    """WIRE D23."""
    async with evil_server() as server:
        error = await refusal(server, "starttls")
        assert (type(error), error.phase) == (TLSNotOffered, Phase.TLS)
        assert server.verbs() == ["EHLO"]


@pytest.mark.parametrize("code", [454, 501, 554])
async def test_refused_starttls_is_refused(code):
    """WIRE D23."""
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


@pytest.mark.parametrize(
    "injected",
    [
        ("250-evil.example.org", "250-AUTH XINJECTED", "250 XINJECTED"),
        ("250 Ok",),
        ("",),
        ("235 2.7.0 Signed in",),
    ],
    ids=["capabilities", "a reply", "a line end", "a sign-in"],
)
async def test_plain_text_behind_the_220_ends_the_session(injected):
    """WIRE D22, CVE-2026-55558: whoever put it there has a hand in the connection. No handshake is begun."""
    shaken = []

    async def handshake(peer, honest):
        shaken.append(await peer.reader.read(1))

    plan = {"starttls": and_then(*injected), "handshake": handshake}
    async with evil_server(plan, starttls=True) as server:
        error = await refusal(server, "starttls")
        await until(lambda: shaken)
        assert server.verbs() == ["EHLO", "STARTTLS"]
    assert (type(error), error.phase) == (ProtocolError, Phase.TLS)
    assert shaken == [b""]


async def test_plain_text_that_comes_later_is_no_handshake():
    """WIRE D22: in a packet of its own it is taken for the server's part of TLS."""

    async def inject(peer, honest):
        await peer.reader.read(1)
        await peer.write(b"250-evil.example.org\r\n250 AUTH XINJECTED\r\n")

    async with evil_server({"handshake": inject}, starttls=True) as server:
        error = await refusal(server, "starttls")
    assert isinstance(error, TLSFailed)


async def answer_in_plain_text(peer, honest):
    """Take the client's hello and answer in SMTP."""
    await peer.reader.read(1)
    await peer.write(b"250 this is no TLS\r\n")


async def test_only_the_last_ehlo_counts():
    """WIRE D27."""
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
    """WIRE D7."""
    async with evil_server() as server:
        error = await refusal(server, "tls")
    assert type(error) is TLSFailed
    assert str(error) == "The server does not speak TLS from the start on this port. It may expect STARTTLS."


@pytest.mark.parametrize("security", ["none", "starttls"])
@pytest.mark.parametrize("gives_up", [False, True], ids=["waits", "gives up"])
async def test_a_tls_port_that_does_not_greet_a_plain_client_is_named(security, gives_up):
    """WIRE D7: both sides wait, until one closes."""
    plan = {"tcp": fin} if gives_up else {}
    async with evil_server(plan, implicit=not gives_up) as server:
        error = await refusal(server, security, timeouts=PATIENT if gives_up else short("banner"))
    assert (type(error), error.phase) == (ConnectionLost if gives_up else ReplyTimeout, Phase.BANNER)
    assert "expects TLS from the start" in str(error)


async def test_with_implicit_tls_nobody_is_told_to_try_it():
    async with evil_server({"banner": hang}, implicit=True) as server:
        error = await refusal(server, "tls", timeouts=short("banner", seconds=1))
    assert "expects TLS" not in str(error)


@pytest.mark.parametrize("banner", [10, 0.05], ids=["longer", "shorter"])
async def test_the_handshake_of_implicit_tls_has_its_own_limit(banner):
    """Whatever that of the greeting is; aiosmtplib knows one for both."""
    recorder = Recorder()
    async with evil_server({"tcp": hang}) as server, asyncio.timeout(5):
        limits = replace(PATIENT, tls=0.3, banner=banner)
        error = await refusal(server, "tls", recorder, timeouts=limits)
    assert (type(error), error.phase) == (ReplyTimeout, Phase.TLS)
    assert 290 <= recorder.steps[-1].ms < 3000


async def test_the_greeting_has_its_whole_limit_after_the_handshake():
    recorder = Recorder()
    async with evil_server({"banner": hang}, implicit=True) as server, asyncio.timeout(5):
        limits = replace(PATIENT, tls=10, banner=0.4)
        error = await refusal(server, "tls", recorder, timeouts=limits)
    assert (type(error), error.phase) == (ReplyTimeout, Phase.BANNER)
    assert recorder.verdicts()[-2:] == ["tls done", "banner failed"]
    assert 390 <= recorder.steps[-1].ms < 3000


async def drip_tls(peer, honest):
    """Answer the client's hello with a record that never gets complete."""
    await peer.reader.read(1)
    for byte in b"\x16\x03\x03\x10\x00" + bytes(100):
        await peer.write(bytes([byte]))
        await asyncio.sleep(0.05)


async def test_a_dripping_handshake_has_an_absolute_deadline():
    async with evil_server({"handshake": drip_tls}, starttls=True) as server, asyncio.timeout(5):
        error = await refusal(server, "starttls", timeouts=short("tls", seconds=0.3))
    assert (type(error), error.phase) == (ReplyTimeout, Phase.TLS)


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
