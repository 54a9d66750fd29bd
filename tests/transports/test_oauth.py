"""The token client against a real authorization server on loopback: every flow, every failure."""

import datetime
import json
import logging
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.authorization import authorization_server
from tests.ports import free_port
from transports.base import Phase, Secret
from transports.errors import TokenNotAvailable, TokenRefused
from transports.oauth import (
    AuthorizationCode,
    Client,
    ClientCredentials,
    RefreshToken,
    ServiceAccount,
    fetch,
    lifetime,
)
from transports.oauth_assertions import certificate_ends, facts_of_service_account
from transports.posting import parse_url
from transports.resolve import AddressGuard

GUARD = AddressGuard(
    allowed_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")), allowed_ports=(range(1024, 65536),)
)


@pytest.fixture
def provider():
    with authorization_server() as running:
        yield running


def a_client(provider, **values):
    known = {
        "token_url": provider.token_url,
        "client_id": provider.client_id,
        "scope": provider.scope,
        "account": provider.account,
        "secret": Secret(provider.client_secret),
    }
    return Client(**known | values)


async def got(client, grant=None, **options):
    return await fetch(client, grant or ClientCredentials(), guard=GUARD, allow_http=True, **options)


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def certificate_of(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailconf")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


# The flows


async def test_an_application_gets_a_token_with_its_secret(provider):
    tokens = await got(a_client(provider))
    assert tokens.access_token.reveal() in provider.access_tokens
    assert (tokens.lifetime_seconds, tokens.refresh_token, tokens.scope) == (3600, None, "mail.send")
    assert provider.posts == [
        {
            "grant_type": "client_credentials",
            "scope": "mail.send",
            "client_id": "mailconf-app",
            "client_secret": provider.client_secret,
        }
    ]


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())],
    ids=["RSA", "EC"],
)
async def test_an_application_gets_a_token_with_its_certificate(provider, key):
    provider.public_key = public(key)
    secret = Secret(pem(key) + certificate_of(key))
    tokens = await got(a_client(provider, secret=secret))
    assert tokens.access_token.reveal() in provider.access_tokens
    assert "client_secret" not in provider.posts[0]
    assert certificate_ends(secret).year == 2027


async def test_a_code_is_exchanged_with_its_verifier(provider):
    asked = {
        "redirect_uri": "https://mail.example.com/back",
        "state": "s",
        # RFC 7636 appendix B
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    }
    code = provider.allow(asked).split("code=")[1].split("&")[0]
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    grant = AuthorizationCode(Secret(code), asked["redirect_uri"], Secret(verifier))
    tokens = await got(a_client(provider), grant)
    assert tokens.refresh_token.reveal() in provider.refresh_tokens
    assert tokens.account == provider.account
    with pytest.raises(TokenRefused) as refused:
        await got(a_client(provider), grant)
    assert refused.value.reason == "invalid_grant"


async def test_a_refresh_token_gives_the_next_one(provider):
    provider.refresh_tokens.add("refresh-1")
    tokens = await got(a_client(provider), RefreshToken(Secret("refresh-1")))
    assert {tokens.refresh_token.reveal()} == provider.refresh_tokens != {"refresh-1"}
    provider.rotates = False
    tokens = await got(a_client(provider), RefreshToken(tokens.refresh_token))
    assert tokens.refresh_token is None


@pytest.mark.parametrize("is_file", [True, False], ids=["JSON file", "PEM"])
async def test_a_service_account_speaks_for_the_mailbox(provider, is_file):
    key = rsa.generate_private_key(65537, 2048)
    provider.public_key = public(key)
    file = json.dumps({"type": "service_account", "client_email": "robot@x.example", "private_key": pem(key)})
    secret = Secret(file if is_file else pem(key))
    tokens = await got(a_client(provider, secret=secret), ServiceAccount())
    assert tokens.access_token.reveal() in provider.access_tokens
    assert set(provider.posts[0]) == {"grant_type", "assertion"}
    assert facts_of_service_account(secret).get("client_email", "") == ("robot@x.example" if is_file else "")


async def test_a_clock_that_is_wrong_costs_one_more_post(provider):
    key = rsa.generate_private_key(65537, 2048)
    provider.public_key, provider.clock = public(key), 3600 * 5
    tokens = await got(a_client(provider, secret=Secret(pem(key))), ServiceAccount())
    assert tokens.access_token.reveal() in provider.access_tokens
    assert len(provider.posts) == 2


async def test_a_refused_secret_costs_one_post_whatever_the_clock(provider):
    provider.clock = 3600
    with pytest.raises(TokenRefused) as refused:
        await got(a_client(provider, secret=Secret("wrong")))
    assert len(provider.posts) == 1
    assert int(refused.value.evidence["clock_skew"].split(" ")[0]) >= 3590


# Refusals


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("invalid_client", "invalid_client"),
        ("invalid_grant", "invalid_grant"),
        ("invalid_scope", "invalid_scope"),
        ("unauthorized_client", "unauthorized_client"),
        ("admin_policy_enforced", "admin_policy_enforced"),
        ("who_knows", "refused"),
    ],
)
async def test_a_refusal_has_a_stable_reason_and_the_providers_words(provider, error, reason):
    provider.refuse(error, "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 0815")
    with pytest.raises(TokenRefused) as refused:
        await got(a_client(provider))
    assert (refused.value.phase, refused.value.reason) == (Phase.TOKEN, reason)
    words = f"400 {error} AADSTS7000215: Invalid client secret provided. Trace ID: 0815"
    assert str(refused.value.reply) == words


async def test_a_secret_that_comes_back_in_a_refusal_is_taken_out(provider, caplog):
    caplog.set_level(logging.DEBUG)
    provider.refuse("invalid_client", f"no such secret: {provider.client_secret}")
    with pytest.raises(TokenRefused) as refused:
        await got(a_client(provider))
    assert str(refused.value.reply) == "400 invalid_client no such secret: <secret>"
    assert provider.client_secret not in caplog.text + repr(refused.value.__dict__)


@pytest.mark.parametrize(
    ("status", "body", "headers", "reason", "wait"),
    [
        (429, {"error": "slow"}, {"Retry-After": "120"}, "busy", 120.0),
        (429, "", {"Retry-After": "999999"}, "busy", 3600.0),
        (503, "<html>down</html>", {}, "trouble", None),
        (500, {"error": "server_error"}, {"Retry-After": "soon"}, "trouble", None),
        (400, {"error": "temporarily_unavailable"}, {}, "trouble", None),
        (200, "<html>Welcome to the hotel</html>", {}, "unreadable", None),
        (200, {"token_type": "Bearer"}, {}, "unreadable", None),
        (200, {"access_token": "two words"}, {}, "unreadable", None),
        (200, {"access_token": "x", "token_type": "mac"}, {}, "unreadable", None),
        (200, {"access_token": "x", "refresh_token": 7}, {}, "unreadable", None),
        (200, [1], {}, "unreadable", None),
        (200, b"\xff\xfe", {}, "unreadable", None),
        (200, "[" * 60_000, {}, "unreadable", None),
        (200, {"access_token": "x", "token_type": "Bearer", "more": "x" * 70_000}, {}, "unreadable", None),
    ],
)
async def test_what_may_pass_is_told_from_a_refusal(provider, status, body, headers, reason, wait):
    provider.answer(status, body, headers)
    with pytest.raises(TokenNotAvailable) as error:
        await got(a_client(provider))
    assert (error.value.phase, error.value.reason) == (Phase.TOKEN, reason)
    assert error.value.retry_seconds == wait


async def test_a_redirect_is_not_followed(provider):
    provider.answer(307, "", {"Location": provider.token_url})
    with pytest.raises(TokenRefused) as refused:
        await got(a_client(provider))
    assert (refused.value.reason, len(provider.posts)) == ("address", 1)


async def test_a_server_that_is_silent_is_given_up(provider):
    with provider.gate, pytest.raises(TokenNotAvailable) as error:
        await got(a_client(provider), deadline=0.3)
    assert error.value.reason == "timeout"


async def test_a_token_url_nobody_listens_on_is_no_refusal():
    client = Client(f"http://127.0.0.1:{free_port()}/token", "a", "b")
    with pytest.raises(TokenNotAvailable) as error:
        await got(client)
    assert error.value.reason == "lost"


# Where a token URL may lead (E31, E32)


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.com/token",
        "https://169.254.169.254/latest",
        "https://127.0.0.1/token",
        "https://[::ffff:127.0.0.1]/token",
        "https://2130706433/token",
        "https://10.0.0.1/token",
        "https://login.example.com:22/token",
        "https://ann:secret@login.example.com/token",
        "https://login.example.com/token#x",
        "ftp://login.example.com/",
        "https:///token",
        "https://a b/token",
        "https://login.example.com:99999/",
        "",
    ],
)
async def test_a_token_url_inside_the_house_or_in_clear_is_refused(url):
    with pytest.raises(TokenRefused) as refused:
        await fetch(Client(url, "a", "b"), ClientCredentials(), guard=AddressGuard(allowed_ports=(443,)))
    assert refused.value.reason == "address"


async def test_http_is_not_opened_by_the_guard_alone(provider):
    with pytest.raises(TokenRefused) as refused:
        await fetch(a_client(provider), ClientCredentials(), guard=GUARD)
    assert (refused.value.reason, provider.posts) == ("address", [])


async def test_a_certificate_nobody_trusts_ends_it(provider):
    class Never(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(self.path)

    heard = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Never)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *args: None
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        with pytest.raises(TokenNotAvailable) as error:
            await got(a_client(provider, token_url=f"https://127.0.0.1:{server.server_address[1]}/token"))
    finally:
        server.shutdown()
        server.server_close()
    assert (error.value.reason, heard) == ("lost", [])


def test_an_address_says_its_host_and_port():
    assert parse_url("https://login.example.com/token") == ("login.example.com", 443)
    assert parse_url("https://login.example.com:8443/t?x=1") == ("login.example.com", 8443)


# Keys


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        ("not a key", "The private key cannot be read"),
        ('{"type": "service_account"}', "not the JSON file"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "The private key cannot be read"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "must be an RSA key"),
    ],
)
async def test_a_key_that_cannot_sign_is_said_so_and_nothing_is_posted(provider, secret, sentence):
    with pytest.raises(TokenRefused) as refused:
        await got(a_client(provider, secret=Secret(secret)), ServiceAccount())
    assert refused.value.reason == "not-usable"
    assert sentence in str(refused.value)
    assert secret not in str(refused.value)
    assert provider.posts == []


async def test_a_key_of_another_certificate_is_not_used(provider):
    key, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    with pytest.raises(TokenRefused, match="not that of the certificate"):
        await got(a_client(provider, secret=Secret(pem(key) + certificate_of(other))))
    with pytest.raises(TokenRefused, match="certificate is missing"):
        await got(a_client(provider, secret=Secret(pem(key))))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [(3599, 3599), ("3598", 3598), (-1, 60), (0, 60), (1e99, 86400), ("abc", 3600), (None, 3600),
     (float("nan"), 3600), ([], 3600), (True, 3600)],
)  # fmt: skip
def test_a_lifetime_is_believed_within_reason(said, seconds):
    assert lifetime(said) == seconds
