"""The webhook on the wire: signed, over HTTPS, to no address of our own network, and never led elsewhere."""

import ssl
from ipaddress import ip_network

import pytest
import trustme

from tests.servers import authority
from tests.webhooks import webhook_receiver
from transports import webhook
from transports.base import Secret
from transports.errors import AddressNotAllowed, CouldNotConnect, NameNotFound, TLSFailed
from transports.resolve import AddressGuard

SECRET = "zz-a-shared-secret"
LOOPBACK = AddressGuard(allowed_networks=(ip_network("127.0.0.0/8"),), allowed_ports=(range(1024, 65536),))


def trusting(ca):
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


async def called(url, *, guard=LOOPBACK, **options):
    options.setdefault("context", trusting(authority()))
    return await webhook.call(
        url,
        b'{"kind":"test"}',
        delivery="7",
        timestamp=1795176000,
        secret=Secret(SECRET),
        guard=guard,
        **options,
    )


async def test_a_call_is_one_signed_post_of_the_body():
    with webhook_receiver(tls=True) as receiver:
        status = await called(receiver.url)

    [call] = receiver.calls
    assert status == 204
    assert call.path == "/hook/zzpath"
    assert call.body == b'{"kind":"test"}'
    assert call.is_signed(SECRET)
    assert not call.is_signed("another secret")
    assert call.headers["X-Mailconf-Timestamp"] == "1795176000"
    assert call.headers["X-Mailconf-Delivery"] == "7"
    assert call.headers["Content-Type"].startswith("application/json")
    assert SECRET not in str(call.headers)


async def test_the_signature_covers_the_time_so_that_an_old_call_cannot_be_played_back():
    first = webhook.signature_of(b"{}", timestamp=1, secret=Secret(SECRET))

    assert first != webhook.signature_of(b"{}", timestamp=2, secret=Secret(SECRET))


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_whatever_it_answers_is_returned(status):
    with webhook_receiver(tls=True, statuses=[status]) as receiver:
        assert await called(receiver.url) == status


async def test_a_redirect_is_not_followed():
    with webhook_receiver(tls=True) as elsewhere, webhook_receiver(tls=True, statuses=[307]) as receiver:
        receiver.location = elsewhere.url
        assert await called(receiver.url) == 307

    assert elsewhere.calls == []


async def test_plain_http_needs_a_choice():
    with webhook_receiver() as receiver:
        with pytest.raises(NameNotFound):
            await called(receiver.url)
        assert receiver.calls == []

        assert await called(receiver.url, allow_http=True) == 204


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/hook",
        "https://[::1]/hook",
        "https://10.0.0.8/hook",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:127.0.0.1]/hook",
    ],
)
async def test_our_own_network_is_out_of_reach(url):
    with pytest.raises(AddressNotAllowed):
        await called(url, guard=AddressGuard(allowed_ports=(443,)))


@pytest.mark.parametrize("port", [22, 25, 587, 6379])
async def test_ports_that_are_not_of_the_web_are_out_of_reach(port):
    with pytest.raises(AddressNotAllowed):
        await called(f"https://127.0.0.1:{port}/", guard=AddressGuard(allowed_ports=(443,)))


@pytest.mark.parametrize("url", ["ftp://example.com/", "https://user:word@example.com/", "https:///x", "zz"])
async def test_what_is_no_address_is_not_called(url):
    with pytest.raises(NameNotFound):
        await called(url)


async def test_a_certificate_of_nobody_we_trust_ends_the_call_before_it_is_made():
    with webhook_receiver(tls=True) as receiver, pytest.raises(TLSFailed):
        await called(receiver.url, context=trusting(trustme.CA()))

    assert receiver.calls == []


async def test_the_certificate_must_be_of_the_name():
    with webhook_receiver(tls=True, names=("other.example.com",)) as receiver, pytest.raises(TLSFailed):
        await called(receiver.url)

    assert receiver.calls == []


async def test_nobody_there_is_said():
    with webhook_receiver(tls=True) as receiver:
        pass
    with pytest.raises(CouldNotConnect):
        await called(receiver.url)
