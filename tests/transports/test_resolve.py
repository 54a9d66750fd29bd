import asyncio
import socket
from ipaddress import ip_address, ip_network

import pytest

from transports import resolve as resolving
from transports.errors import AddressNotAllowed, NameLookupFailed, NameNotFound
from transports.resolve import MOST_ADDRESSES, AddressGuard, parse_host, resolve


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "a metadata service"),
        ("fd00:ec2::254", "a metadata service"),
        ("100.100.100.200", "a metadata service"),
        ("168.63.129.16", "a metadata service"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
        ("198.18.0.1", "reserved"),
        ("64:ff9b:1::808:808", "reserved"),
        ("10.1.2.3", "private"),
        ("172.31.0.1", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "a metadata service"),
        ("::127.0.0.1", "loopback"),
        ("::ffff:0:10.0.0.1", "private"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a9fe:a9fe", "a metadata service"),
        ("2002:7f00:1::1", "loopback"),
        ("2002:a00:1::", "private"),
        ("2001:0:7f00:1::f7f7:f7f7", "loopback"),
        ("2001:0:808:808::80ff:fffe", "loopback"),
        ("2001:db8::5efe:10.0.0.1", "private"),
        ("2001:db8::200:5efe:10.0.0.1", "private"),
        ("8.8.8.8", None),
        ("172.32.0.1", None),
        ("2606:4700::1111", None),
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::808:808", None),
        ("2002:808:808::1", None),
    ],
)
def test_an_address_is_judged_by_its_network_and_by_the_ipv4_address_in_it(address, kind):
    """WIRE E21."""
    assert AddressGuard().refusal(ip_address(address)) == kind


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("10.1.2.3", None),
        ("fd12:3456::1", None),
        ("::ffff:10.0.0.1", None),
        ("fd00:ec2::254", "a metadata service"),
        ("100.100.100.200", "a metadata service"),
        ("127.0.0.1", "loopback"),
        ("169.254.1.1", "link-local"),
    ],
)
def test_private_addresses_can_be_opened_but_not_metadata_or_loopback(address, kind):
    assert AddressGuard(allow_private=True).refusal(ip_address(address)) == kind


def test_an_allowed_network_goes_first_in_every_spelling():
    guard = AddressGuard(allowed_networks=(ip_network("127.0.0.0/8"),))
    assert guard.refusal(ip_address("127.0.0.1")) is None
    assert guard.refusal(ip_address("::ffff:127.0.0.1")) is None
    assert guard.refusal(ip_address("::1")) == "loopback"


@pytest.mark.parametrize(
    ("port", "allowed"), [(25, True), (587, True), (22, False), (6379, False), (2526, False)]
)
def test_only_mail_ports_are_allowed(port, allowed):
    """WIRE E24."""
    assert AddressGuard().allows_port(port) is allowed


def test_allowed_ports_take_numbers_and_ranges():
    guard = AddressGuard(allowed_ports=(25, range(1024, 2048)))
    assert [port for port in (24, 25, 1023, 1024, 2047, 2048) if guard.allows_port(port)] == [25, 1024, 2047]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("smtp.example.com", "smtp.example.com"),
        ("SMTP.Example.COM.", "smtp.example.com"),
        ("localhost", "localhost"),
        ("mail_1.example.com", "mail_1.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_a_host_is_normalised(host, name):
    assert parse_host(host) == name


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        " smtp.example.com",
        "smtp.example.com ",
        "smtp.example.com:587",
        "smtp://smtp.example.com",
        "https://example.com/",
        "/var/run/smtp.sock",
        "user@example.com",
        "a..b",
        "-a.example.com",
        "a-.example.com",
        "a\r\nb",
        "a\x00b",
        "[smtp.example.com]",
        "x" * 64 + ".example",
        ".".join(["abcdefgh"] * 29),
        "a\u202eb.example",
    ],
)
def test_what_is_no_host_is_refused_in_a_sentence(host):
    """WIRE E25."""
    with pytest.raises(ValueError, match="The server "):
        parse_host(host)


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", "127.0.0.1"]
)
async def test_every_spelling_of_loopback_is_judged_by_what_it_resolves_to(host):
    """WIRE E22."""
    with pytest.raises(AddressNotAllowed, match="loopback"):
        await resolve(host, 25, guard=AddressGuard())


async def test_a_port_that_is_not_allowed_is_refused_before_the_look_up():
    with pytest.raises(AddressNotAllowed, match="Port 22"):
        await resolve("no.such.name.invalid", 22, guard=AddressGuard())


async def test_a_name_that_is_none_is_not_looked_up():
    with pytest.raises(NameNotFound, match="must be a name"):
        await resolve("http://example.com", 25, guard=AddressGuard())


def answering(monkeypatch, answer):
    """Stand in for the system's resolver: nothing may leave this machine."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", answer)


async def test_of_fifty_addresses_four_are_kept(monkeypatch):
    """WIRE D28."""

    async def answer(*args, **options):
        return [(2, 1, 6, "", (f"192.0.3.{n}", 0)) for n in range(50)]

    answering(monkeypatch, answer)
    destination = await resolve("smtp.example.com", 25, guard=AddressGuard())
    assert len(destination.addresses) == MOST_ADDRESSES == 4


async def test_addresses_alternate_between_the_families_and_stop_at_four(monkeypatch):
    addresses = ["2606::1", "2606::2", "2606::3", "192.0.3.1", "192.0.3.2", "192.0.3.2"]

    async def answer(*args, **options):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    answering(monkeypatch, answer)
    destination = await resolve("smtp.example.com", 25, guard=AddressGuard())
    assert [str(address) for address in destination.addresses] == [
        "2606::1",
        "192.0.3.1",
        "2606::2",
        "192.0.3.2",
    ]


async def test_a_refused_address_among_good_ones_is_never_tried(monkeypatch):
    async def answer(*args, **options):
        return [(2, 1, 6, "", (address, 0)) for address in ("10.0.0.1", "192.0.3.1", "127.0.0.1")]

    answering(monkeypatch, answer)
    destination = await resolve("smtp.example.com", 25, guard=AddressGuard())
    assert [str(address) for address in destination.addresses] == ["192.0.3.1"]


async def test_the_ip_version_is_kept_to(monkeypatch):
    async def answer(*args, **options):
        return [(2, 1, 6, "", (address, 0)) for address in ("2606::1", "192.0.3.1")]

    answering(monkeypatch, answer)
    destination = await resolve("smtp.example.com", 25, guard=AddressGuard(), ip_version="4")
    assert [str(address) for address in destination.addresses] == ["192.0.3.1"]
    with pytest.raises(NameNotFound, match="no IPv6 address"):
        await resolve("192.0.3.1", 25, guard=AddressGuard(), ip_version="6")


@pytest.mark.parametrize(
    ("errno", "error"),
    [
        (socket.EAI_NONAME, NameNotFound),
        (socket.EAI_NODATA, NameNotFound),
        (socket.EAI_AGAIN, NameLookupFailed),
        (socket.EAI_FAIL, NameLookupFailed),
    ],
)
async def test_a_failed_look_up_says_whether_the_name_exists(monkeypatch, errno, error):
    """WIRE D28: a loop of aliases is EAI_FAIL or EAI_AGAIN, by the name service's mood."""

    async def answer(*args, **options):
        raise socket.gaierror(errno, "words of the system")

    answering(monkeypatch, answer)
    with pytest.raises(error):
        await resolve("smtp.example.com", 25, guard=AddressGuard())


async def test_a_look_up_has_a_deadline(monkeypatch):
    """WIRE D28: a name service that takes 30 s."""

    async def answer(*args, **options):
        await asyncio.Event().wait()

    answering(monkeypatch, answer)
    monkeypatch.setattr(resolving, "LOOKUP_TIMEOUT", 0.01)
    with pytest.raises(NameLookupFailed, match="did not answer"):
        await resolve("smtp.example.com", 25, guard=AddressGuard())


async def test_the_name_is_looked_up_once(monkeypatch):
    """WIRE D28, E23: a second look-up could be answered otherwise."""
    asked = []

    async def answer(name, *args, **options):
        asked.append(name)
        return [(2, 1, 6, "", ("192.0.3.1", 0))]

    answering(monkeypatch, answer)
    await resolve("SMTP.example.com.", 25, guard=AddressGuard())
    assert asked == ["smtp.example.com"]
