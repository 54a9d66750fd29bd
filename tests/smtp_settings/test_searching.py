"""A search from what was typed to rows in the database, with real servers on loopback."""

import socket
import threading
import time
from contextlib import ExitStack

import pytest

from smtp_settings import test_send
from smtp_settings.finding import asking, candidates, searching
from smtp_settings.finding.candidates import NothingToSearch
from smtp_settings.finding.rows import Cause
from smtp_settings.models import Event, TestRun
from smtp_settings.test_send import life
from tests.builders import a_user
from tests.nameserver import name_server
from tests.ports import free_port
from tests.servers import authority, smtp_server
from tests.wire.evil import evil_server_beside, hang, raw
from transports.base import Security

pytestmark = pytest.mark.django_db

CANARY = "SSH-2.0-kanarienvogel"


@pytest.fixture(autouse=True)
def trusted(tmp_path, monkeypatch):
    """The authority of the tests is one of the system's."""
    path = tmp_path / "ca.pem"
    path.write_bytes(authority().cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


@pytest.fixture(autouse=True)
def no_records(settings):
    """A name server that knows nobody."""
    with name_server({}) as server:
        settings.MAILCONF_DNS_SERVERS = [server.address]
        yield


@pytest.fixture
def internet(monkeypatch):
    """Names that lead to addresses, as the system's resolver tells them; all others do not exist."""
    names = {}
    real = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name in names:
            return real(names[name], *args, **kwargs)
        if name.endswith((".example", ".example.com")):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


@pytest.fixture
def usual(monkeypatch):
    """Set the ports that are tried: those of servers on this machine."""

    def set_ports(*ports):
        monkeypatch.setattr(candidates, "USUAL", ports)

    return set_ports


def found_for(text, user=None, **held):
    run = searching.order(text, user, held=held)
    return test_send.run(run, where="a test")


def by_port(run):
    return {row.port: row for row in searching.rows_of(run)}


def test_a_search_finds_what_answers_and_why_the_rest_does_not(internet, usual):
    internet["smtp.shop.example"] = internet["mail.shop.example"] = "127.0.0.1"
    nobody = free_port()
    with (
        smtp_server(security="starttls", auth=("a", "b"), names=("smtp.shop.example",)) as good,
        smtp_server(security="tls", auth=("a", "b"), names=("other.example",)) as other,
        evil_server_beside({"banner": raw(CANARY.encode() + b"\r\n")}) as no_mail,
    ):
        usual(
            (good.port, Security.STARTTLS),
            (other.port, Security.TLS),
            (no_mail.port, Security.STARTTLS),
            (nobody, Security.STARTTLS),
        )
        run = found_for("alex@shop.example")
    assert (run.state, run.kind) == (TestRun.State.PASSED, TestRun.Kind.SEARCH)
    rows = {(row.host, row.port): row for row in searching.rows_of(run)}
    first = rows["smtp.shop.example", good.port]
    assert first.is_trusted
    assert first.mechanisms == ("PLAIN", "LOGIN")
    assert first.tls_version == "TLSv1.3"
    assert rows["mail.shop.example", good.port].certificate == "name"
    assert rows["smtp.shop.example", other.port].certificate == "name"
    assert rows["smtp.shop.example", no_mail.port].cause == Cause.NOT_SMTP
    assert rows["smtp.shop.example", nobody].cause == Cause.REFUSED
    assert set(good.verbs() + other.verbs()) <= {"EHLO", "STARTTLS", "QUIT"}
    assert CANARY not in str(TestRun.objects.values().get(pk=run.pk))


def test_the_provider_that_receives_for_the_domain_is_tried_first(settings, internet, usual):
    usual()
    with name_server({("shop.example", "MX"): ["10 aspmx.l.google.com."]}) as dns:
        settings.MAILCONF_DNS_SERVERS = [dns.address]
        settings.MAILCONF_ALLOWED_PORTS = (587, 465)
        internet["smtp.gmail.com"] = "127.0.0.1"
        run = found_for("alex@shop.example")
    assert [(row.host, row.port, row.preset) for row in searching.rows_of(run)] == [
        ("smtp.gmail.com", 587, "workspace"),
        ("smtp.gmail.com", 465, "workspace"),
    ]


@pytest.mark.parametrize("address", ["10.1.2.3", "169.254.169.254", "127.0.0.1", "64:ff9b::7f00:1"])
def test_what_the_guard_refuses_is_not_connected_and_looks_like_what_cannot_be_reached(
    address, settings, internet, usual
):
    """WIRE E21, E24."""
    settings.MAILCONF_ALLOWED_NETWORKS = []
    internet["smtp.shop.example"] = address
    with smtp_server() as server:
        usual((server.port, Security.STARTTLS))
        run = found_for("alex@shop.example")
        assert server.sessions == 0
    assert run.state == TestRun.State.FAILED
    rows = {row.host: row for row in searching.rows_of(run)}
    assert rows["smtp.shop.example"].cause == Cause.UNREACHABLE
    assert rows["mail.shop.example"].cause == Cause.NO_NAME
    assert address not in str(run.results)


def test_a_port_off_the_list_is_not_even_a_row(settings, usual):
    settings.MAILCONF_ALLOWED_PORTS = (25,)
    with smtp_server() as server:
        run = found_for(f"127.0.0.1:{server.port}")
        assert server.sessions == 0
    assert server.port not in by_port(run)


def test_silent_servers_end_at_the_limit_and_what_answered_stays(monkeypatch, usual):
    monkeypatch.setattr(asking, "LIMIT", 3.0)
    with evil_server_beside({"banner": hang}) as silent, smtp_server() as good:
        usual((silent.port, Security.STARTTLS), (good.port, Security.STARTTLS))
        run = found_for("127.0.0.1")
    rows = by_port(run)
    assert rows[good.port].answered
    assert rows[silent.port].cause == Cause.NOT_TRIED
    assert run.state == TestRun.State.PASSED


def test_never_more_than_eight_ports_are_open_at_a_time(monkeypatch, usual):
    monkeypatch.setattr(asking, "LIMIT", 3.0)
    with ExitStack() as running:
        silent = [running.enter_context(evil_server_beside({"banner": hang})) for _ in range(10)]
        usual(*((server.port, Security.STARTTLS) for server in silent))
        run = found_for("127.0.0.1")
    assert len(run.results) == 10
    assert sum(server.connections for server in silent) == asking.AT_ONCE


@pytest.mark.django_db(transaction=True)
def test_stop_ends_a_search_and_its_connections(usual):
    user = a_user()
    with evil_server_beside({"banner": hang}) as silent:
        usual((silent.port, Security.STARTTLS))
        run = searching.order("127.0.0.1", user)
        working = threading.Thread(target=_in_a_thread, args=(run,))
        working.start()
        wait_for(lambda: silent.open == 1)
        life.stop(run, user)
        working.join(60)
        wait_for(lambda: silent.open == 0)
    run.refresh_from_db()
    assert (run.state, run.sentence) == (TestRun.State.STOPPED, "The search was stopped.")


def _in_a_thread(run):
    from django.db import connections

    try:
        test_send.run(TestRun.objects.get(pk=run.pk))
    finally:
        connections.close_all()


def wait_for(condition):
    give_up_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up_at
        threading.Event().wait(0.02)


def test_a_search_counts_as_a_test_and_is_an_event():
    user = a_user()
    run = searching.order("alex@shop.example", user)
    with pytest.raises(test_send.TooManyTests) as refused:
        searching.order("alex@shop.example", user)
    assert refused.value.run == run
    event = Event.objects.get(kind="test.started")
    assert (event.user_id, event.data["test"]) == (user.pk, "search")


def test_what_is_neither_address_nor_server_starts_nothing():
    with pytest.raises(NothingToSearch):
        searching.order("http://169.254.169.254/latest/", a_user())
    assert not TestRun.objects.exists()


def test_a_search_is_evidence_for_nothing():
    run = found_for("127.0.0.1:1")
    assert run.fingerprint == ""
    assert run.secret is None
