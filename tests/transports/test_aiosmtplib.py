"""What we use of aiosmtplib, and nothing else of it: an upgrade that changes one of these fails here.

`transports.smtp.greeting` gives it a connected socket, and lets it shake hands where TLS comes first, read
the greeting, say EHLO and HELO, and say STARTTLS as a command; that command's handshake, and all after the
last EHLO, is ours. One private name is used: its protocol's buffer.
"""

import asyncio
import inspect
import socket
import ssl

import aiosmtplib
import pytest

from tests.servers import authority_pem
from tests.wire import certificates
from tests.wire.clients import until
from tests.wire.evil import and_then, drip, evil_server, fin, flood, hang, rst, say


def a_client(server, **options):
    """Return a client as we make one: a connected socket, our own name, no STARTTLS of its own."""
    context = None
    if options.get("use_tls"):
        context = ssl.create_default_context(cadata=options.pop("ca_pem", authority_pem()))
    return aiosmtplib.SMTP(
        hostname="127.0.0.1",
        port=None,
        sock=options.pop("sock"),
        start_tls=False,
        tls_context=context,
        local_hostname="client.example.org",
        **options,
    )


async def a_socket(server):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    return sock


async def connected(server, **options):
    client = a_client(server, sock=await a_socket(server), **options)
    return client, await client.connect(timeout=5)


async def failure(server, *, limit=5, **options):
    """Return what connecting raises."""
    client = a_client(server, sock=await a_socket(server), **options)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the test's question
        await client.connect(timeout=limit)
    assert client.transport is None
    return caught.value


def test_the_version_is_one_these_tests_were_written_for():
    assert aiosmtplib.__version__.startswith("5.1.")


async def test_connecting_reads_the_greeting_and_says_nothing():
    async with evil_server() as server:
        client, response = await connected(server)
        assert (response.code, response.message) == (220, "evil.example.org ESMTP")
        assert server.heard == []
        client.close()


async def test_a_given_name_is_used_and_ehlo_keeps_the_lines_apart():
    async with evil_server() as server:
        client, _ = await connected(server)
        response = await client.ehlo(timeout=5)
        assert server.heard == ["EHLO client.example.org"]
        assert response.message.split("\n") == [
            "evil.example.org", "PIPELINING", "SIZE 1000000", "AUTH PLAIN LOGIN", "SMTPUTF8",
        ]  # fmt: skip
        assert (await client.helo(timeout=5)).code == 250
        client.close()


async def test_nothing_signs_in_or_encrypts_by_itself():
    async with evil_server(starttls=True) as server:
        client, _ = await connected(server)
        await client.ehlo(timeout=5)
        assert server.verbs() == ["EHLO"]
        client.close()


async def test_what_came_with_a_reply_stays_in_the_buffer():
    """The one private name: `refuse_surplus` looks into it."""
    async with evil_server({"ehlo": say("250 evil", "250 and more")}) as server:
        client, _ = await connected(server)
        await client.ehlo(timeout=5)
        assert bytes(client.protocol._buffer) == b"250 and more\r\n"
        client.close()


async def test_an_ordinary_reply_leaves_the_buffer_empty():
    async with evil_server() as server:
        client, _ = await connected(server)
        await client.ehlo(timeout=5)
        assert not client.protocol._buffer
        client.close()


async def test_starttls_can_be_said_as_a_command_and_its_surplus_is_seen():
    async with evil_server({"starttls": and_then("250 injected")}, starttls=True) as server:
        client, _ = await connected(server)
        await client.ehlo(timeout=5)
        response = await client.execute_command(b"STARTTLS", timeout=5)
        assert response.code == 220
        assert bytes(client.protocol._buffer) == b"250 injected\r\n"
        client.close()


async def test_its_own_starttls_would_discard_the_surplus_and_go_on():
    """Why ours does not use it. When this fails, theirs aborts, and may be used again."""
    async with evil_server({"starttls": and_then("250 injected")}, starttls=True) as server:
        client, _ = await connected(server)
        await client.starttls(tls_context=ssl.create_default_context(cadata=authority_pem()), timeout=5)
        client.close()


async def test_a_handshake_can_be_put_between_its_protocol_and_the_socket():
    async with evil_server(starttls=True) as server:
        client, _ = await connected(server)
        await client.ehlo(timeout=5)
        await client.execute_command(b"STARTTLS", timeout=5)
        encrypted = await asyncio.get_running_loop().start_tls(
            client.transport,
            client.protocol,
            ssl.create_default_context(cadata=authority_pem()),
            server_hostname="127.0.0.1",
            ssl_handshake_timeout=5,
        )
        client.transport = client.protocol.transport = encrypted
        assert (await client.ehlo(timeout=5)).code == 250
        assert client.get_transport_info("ssl_object").version() == "TLSv1.3"
        client.close()


async def test_another_protocol_can_take_the_connection_over():
    """`set_protocol` does not announce itself; what is dropped leaves the transport alone."""
    heard = []

    class Ours(asyncio.Protocol):
        def connection_made(self, transport):
            heard.append("made")

        def data_received(self, data):
            heard.append(data)

    async with evil_server() as server:
        client, _ = await connected(server)
        await client.ehlo(timeout=5)
        transport = client.transport
        transport.set_protocol(Ours())
        del client
        transport.write(b"RSET\r\n")
        await until(lambda: heard)
        assert heard == [b"250 2.0.0 Ok\r\n"]
        transport.abort()


@pytest.mark.parametrize(
    ("action", "kind", "cause"),
    [
        (say("554 5.7.1 No"), aiosmtplib.SMTPConnectResponseError, type(None)),
        (say("250 Hello"), aiosmtplib.SMTPConnectResponseError, type(None)),
        (say("SSH-2.0-OpenSSH"), aiosmtplib.SMTPResponseException, type(None)),
        (flood, aiosmtplib.SMTPResponseException, type(None)),
        (fin, aiosmtplib.SMTPConnectError, aiosmtplib.SMTPServerDisconnected),
        (rst, aiosmtplib.SMTPConnectError, aiosmtplib.SMTPServerDisconnected),
    ],
    ids=["554", "250", "ssh", "flood", "fin", "rst"],
)
async def test_a_failed_greeting_raises_what_is_translated(action, kind, cause):
    async with evil_server({"banner": action}) as server:
        error = await failure(server)
    assert type(error) is kind
    assert isinstance(error.__cause__, cause)


@pytest.mark.parametrize("action", [hang, drip], ids=["silent", "dripping"])
async def test_the_limit_of_a_reply_is_absolute(action):
    async with evil_server({"banner": action}) as server, asyncio.timeout(5):
        error = await failure(server, limit=0.3)
    assert type(error) is aiosmtplib.SMTPConnectTimeoutError
    assert isinstance(error.__cause__, aiosmtplib.SMTPReadTimeoutError)


async def test_a_silent_handshake_is_told_from_a_silent_greeting():
    async with evil_server({"tcp": hang}) as server, asyncio.timeout(5):
        error = await failure(server, limit=0.3, use_tls=True)
    assert not isinstance(error.__cause__, aiosmtplib.SMTPException)
    async with evil_server({"banner": hang}, implicit=True) as server, asyncio.timeout(5):
        error = await failure(server, limit=0.5, use_tls=True)
    assert isinstance(error.__cause__, aiosmtplib.SMTPReadTimeoutError)


async def test_a_refused_certificate_comes_inside_a_connect_error():
    context, ca_pem = certificates.wrong_name()
    async with evil_server(context=context, implicit=True) as server:
        error = await failure(server, use_tls=True, ca_pem=ca_pem)
    assert type(error) is aiosmtplib.SMTPConnectError
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
    assert error.__cause__.verify_code == 64


async def test_old_tls_only_is_an_error_that_is_translated():
    context, ca_pem = certificates.issued()
    context.maximum_version = context.minimum_version = ssl.TLSVersion.TLSv1_2
    async with evil_server(context=context, implicit=True) as server:
        client_context = ssl.create_default_context(cadata=ca_pem)
        client_context.minimum_version = ssl.TLSVersion.TLSv1_3
        client = aiosmtplib.SMTP(
            hostname="127.0.0.1", sock=await a_socket(server), use_tls=True, tls_context=client_context
        )
        with pytest.raises(aiosmtplib.SMTPConnectError) as caught:
            await client.connect(timeout=5)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (say("502 5.5.1 What?"), aiosmtplib.SMTPHeloError),
        (say("354 Eh?"), aiosmtplib.SMTPHeloError),
        (say("zzz"), aiosmtplib.SMTPResponseException),
        (fin, aiosmtplib.SMTPServerDisconnected),
        (rst, aiosmtplib.SMTPServerDisconnected),
        (hang, aiosmtplib.SMTPReadTimeoutError),
    ],
    ids=["502", "354", "garbage", "fin", "rst", "hang"],
)
async def test_a_failed_ehlo_raises_what_is_translated(action, kind):
    async with evil_server({"ehlo": action}) as server:
        client, _ = await connected(server)
        with pytest.raises(kind) as caught:
            await client.ehlo(timeout=0.5)
        assert type(caught.value) is kind
        client.close()


@pytest.mark.parametrize("name", ["a b", "a\r\nb", ""])
async def test_a_name_that_adds_to_the_command_is_refused(name):
    with pytest.raises(ValueError, match="local_hostname"):
        aiosmtplib.SMTP(hostname="x", local_hostname=name)


async def test_closing_is_public_and_drops_the_connection():
    """Our client remembers its TLS there; `connect` calls it before it raises."""
    called = []

    class Client(aiosmtplib.SMTP):
        def close(self):
            called.append(self.transport is not None)
            super().close()

    async with evil_server({"banner": fin}) as server:
        client = Client(hostname="127.0.0.1", sock=await a_socket(server), start_tls=False)
        with pytest.raises(aiosmtplib.SMTPConnectError):
            await client.connect(timeout=5)
    assert called[0] is True
    assert client.transport is None


def test_the_parameters_we_pass_are_there():
    parameters = inspect.signature(aiosmtplib.SMTP.__init__).parameters
    ours = {"hostname", "port", "sock", "use_tls", "start_tls", "tls_context", "local_hostname"}
    assert ours <= set(parameters)
    assert parameters["start_tls"].default is None  # sends a password in clear where STARTTLS is stripped
