"""Causes found with real sessions: a scripted server on loopback, its diagnosis and the correction."""

import socket
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

from smtp_settings import test_send
from smtp_settings.admin.panel.causes import cause_of, notes_of
from smtp_settings.correction import decode
from smtp_settings.models import TestRun
from smtp_settings.sealing import Secret
from tests.builders import unsaved_profile
from tests.servers import authority_pem, server_context, smtp_server
from tests.wire import certificates
from tests.wire.evil import evil_server_beside, fin, hang, raw, rst, say, say_and_go

pytestmark = pytest.mark.django_db

CANARY = "c4nary-pa55 word"


def run_of(port, *, secret=None, to=("inbox@example.com",), limit=20.0, **fields):
    """A run with these settings against a server on loopback; what is silent for a second is silent."""
    values = {"port": port, "command_timeout": 1, "connect_timeout": 2} | fields
    run = test_send.candidate(unsaved_profile(**values), Secret(secret) if secret else None, None, to)
    return test_send.run(run, limit=limit)


def signing_in(**more):
    return {
        "auth": "password",
        "username": "shop-account",
        "accepts_clear_auth": True,
        "secret": CANARY,
    } | more


def offering(*words):
    """The lines of an EHLO reply."""
    return tuple(f"250{' ' if word is words[-1] else '-'}{word}" for word in words)


@contextmanager
def nobody():
    """A port where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def evil(plan=(), **options):
    with evil_server_beside(plan, **options) as server:
        yield server.port


@contextmanager
def honest(**options):
    with smtp_server(**options) as server:
        yield server.port


STARTTLS = {"security": "starttls", "ca": authority_pem()}
TLS = {"security": "tls", "ca": authority_pem()}

#: What happens -> (server, settings, id of the row, step)
SCENES = {
    "refused": (nobody(), {}, "connect1", "connect"),
    "a port that is not allowed": (nobody(), {"port": 80}, "port1", "dns"),
    "a URL for a server": (nobody(), {"host": "smtp://127.0.0.1/"}, "name1", "dns"),
    "two dots": (nobody(), {"host": "smtp..example"}, "name2", "dns"),
    "a name of no family": (nobody(), {"ip_version": "6"}, "name6", "dns"),
    "a private address": (nobody(), {"host": "10.0.0.1"}, "name7", "dns"),
    "an address of another machine": (nobody(), {"source_address": "192.0.2.7"}, "source1", "connect"),
    "silent": (evil({"banner": hang}), {}, "banner3", "banner"),
    "gone at once": (evil({"tcp": fin}), {}, "banner4", "banner"),
    "web": (evil({"banner": raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")}), {}, "banner5", "banner"),
    "ssh": (evil({"banner": raw(b"SSH-2.0-OpenSSH_9.6\r\n")}), {}, "banner6", "banner"),
    "imap": (evil({"banner": raw(b"* OK IMAP4rev1 ready\r\n")}), {}, "banner6", "banner"),
    "pop3": (evil({"banner": raw(b"+OK ready\r\n")}), {}, "banner6", "banner"),
    "redis": (evil({"banner": raw(b"-ERR unknown command\r\n")}), {}, "banner6", "banner"),
    "no protocol": (evil({"banner": raw(b"What do you want?\r\n")}), {}, "banner7", "banner"),
    "too many": (evil({"banner": say_and_go("421 4.7.0 too many connections")}), {}, "banner8", "banner"),
    "listed": (evil({"banner": say_and_go("554 5.7.1 blocked by spamhaus")}), {}, "banner9", "banner"),
    "unwanted": (evil({"banner": say_and_go("554 5.7.1 no")}), {}, "banner10", "banner"),
    "our name": (evil({"ehlo": say("504 5.5.2 need fully-qualified hostname")}), {}, "ehlo2", "ehlo"),
    "hung up after EHLO": (evil({"ehlo": fin}), {}, "ehlo3", "ehlo"),
    "TLS where STARTTLS is set": (honest(security="tls"), STARTTLS, "banner1", "banner"),
    "TLS where nothing is set": (honest(security="tls"), {}, "banner1", "banner"),
    "plain where TLS is set": (honest(), TLS, "tls3", "tls"),
    "no STARTTLS": (honest(), STARTTLS, "tls1", "tls"),
    "STARTTLS refused": (
        evil({"starttls": say("454 4.7.0 not now")}, starttls=True), STARTTLS, "tls2", "tls"
    ),
    "words before TLS": (
        evil({"starttls": raw(b"220 go\r\n250 surplus\r\n")}, starttls=True), STARTTLS, "tls15", "tls"
    ),
    "cut in the handshake": (evil({"handshake": rst}, starttls=True), STARTTLS, "tls16", "tls"),
    "own CA that is none": (honest(security="tls"), TLS | {"ca": "none"}, "ca1", "tls"),
    "auth not offered": (evil(ehlo=offering("evil", "SIZE")), signing_in(), "auth2", "auth"),
    "auth after STARTTLS": (
        evil(ehlo=offering("evil", "STARTTLS")), signing_in(), "auth1", "auth"
    ),
    "only tokens": (evil(ehlo=offering("evil", "AUTH XOAUTH2")), signing_in(), "auth4", "auth"),
    "only NTLM": (evil(ehlo=offering("evil", "AUTH NTLM GSSAPI")), signing_in(), "auth5", "auth"),
    "a mechanism it has not": (
        evil(ehlo=offering("evil", "AUTH LOGIN")), signing_in(mechanism="plain"), "auth6", "auth"
    ),
    "wrong password": (honest(auth=("shop-account", "right")), signing_in(), "auth24", "auth"),
    "umlauts": (
        honest(auth=("shop-account", "right")), signing_in(secret="pässwörd"), "auth23", "auth"
    ),
    "app password": (
        evil({"auth": say("534 5.7.9 Application-specific password")}), signing_in(), "auth14", "auth"
    ),
    "encryption demanded": (
        evil({"auth": say("538 5.7.11 Encryption required")}), signing_in(), "auth3", "auth"
    ),
    "gone at the sign-in": (evil({"auth": fin}), signing_in(), "auth25", "auth"),
    "no password": (honest(auth=("shop-account", "x")), signing_in(secret=None), "secret2", "auth"),
    "sign-in wanted": (honest(auth=("shop-account", "right")), {}, "send4", "mail"),
    "sender": (honest(answers={"MAIL": "550 5.7.1 no"}), {}, "send35", "mail"),
    "not the owner": (
        honest(answers={"MAIL": "553 5.7.1 address not owned by user x"}), {}, "send7", "mail"
    ),
    "relay": (honest(answers={"RCPT": "554 5.7.1 Relay access denied"}), {}, "send10", "rcpt"),
    "recipient": (honest(answers={"RCPT": "550 5.1.1 User unknown"}), {}, "send24", "rcpt"),
    "greylisted": (honest(answers={"RCPT": "451 4.7.1 Greylisted for 5 minutes"}), {}, "send33", "rcpt"),
    "full": (honest(answers={"RCPT": "452 4.2.2 Mailbox full"}), {}, "send15", "rcpt"),
    "size": (honest(size_limit=100), {}, "send21", "mail"),
    "content": (honest(answers={"DOT": "554 5.7.1 Spam"}), {}, "send38", "dot"),
    "lost before the dot": (evil({"mail": fin}), {}, "send2", "mail"),
    "lost after the dot": (evil({"dot": fin}), {}, "send1", "dot"),
}  # fmt: skip


@pytest.mark.parametrize("scene", SCENES)
def test_b12_a_session_that_fails_is_diagnosed(scene):
    server, fields, id_, step = SCENES[scene]
    with server as port:
        run = run_of(**{"port": port} | fields)
    assert run.state == TestRun.State.FAILED
    cause = cause_of(run)
    assert (cause.id, run.failed_phase) == (id_, step), run.sentence
    assert cause.cause == run.sentence
    assert CANARY not in f"{cause}"


BAD_CERTIFICATES = {
    "expired": (certificates.expired, "tls9"),
    "early": (certificates.early, "tls10"),
    "wrong name": (certificates.wrong_name, "tls5"),
    "self-signed": (certificates.self_signed, "tls7"),
    "unknown": (certificates.unknown, "tls8"),
    "weak": (certificates.short_key, "tls11"),
    "ten deep": (certificates.ten_deep, "chain1"),
    "a megabyte": (certificates.a_megabyte, "chain1"),
}
KINDS = {"starttls": {"starttls": True}, "tls": {"implicit": True}}


@pytest.mark.parametrize("security", KINDS)
@pytest.mark.parametrize("kind", BAD_CERTIFICATES)
def test_b12_a_bad_certificate_is_diagnosed(kind, security):
    make, id_ = BAD_CERTIFICATES[kind]
    context, ca = make()
    with evil(context=context, **KINDS[security]) as port:
        run = run_of(port, security=security, ca=ca)
    assert (cause_of(run).id, run.failed_phase) == (id_, "tls")


@pytest.mark.parametrize("security", KINDS)
@pytest.mark.parametrize("kind", ["self-signed", "unknown"])
def test_b13_a_trusted_certificate_passes(kind, security):
    context, _ = BAD_CERTIFICATES[kind][0]()
    with evil(context=context, **KINDS[security]) as port:
        refused = run_of(port, security=security)
        [button] = cause_of(refused).buttons
        assert (button.label, button.difference) == (
            "Trust this certificate",
            "Own CA certificates: one certificate more",
        )
        run = run_of(port, security=security, **decode(button.value))
    assert run.state == TestRun.State.PASSED, run.sentence


@pytest.mark.parametrize("scene", ["TLS where STARTTLS is set", "TLS where nothing is set"])
def test_the_correction_of_a_port_that_speaks_tls_first_passes(scene):
    _, fields, _, _ = SCENES[scene]
    with honest(security="tls") as port:
        [button] = cause_of(run_of(port, **fields)).buttons
        run = run_of(port, ca=authority_pem(), **decode(button.value))
    assert button.difference.endswith("→ TLS from the first byte")
    assert run.state == TestRun.State.PASSED


def test_the_correction_of_a_port_that_starts_unencrypted_passes():
    with honest(security="starttls") as port:
        [button] = cause_of(run_of(port, **TLS)).buttons
        run = run_of(port, **TLS | decode(button.value))
    assert button.difference == "Security: TLS from the first byte → STARTTLS"
    assert run.state == TestRun.State.PASSED


def test_a_name_is_offered_only_when_it_is_the_same_server():
    with evil(context=server_context("other.invalid", "localhost"), implicit=True) as port:
        [button] = cause_of(run_of(port, **TLS)).buttons
        run = run_of(port, **TLS | decode(button.value))
    assert decode(button.value) == {"host": "localhost"}
    assert run.state == TestRun.State.PASSED
    with evil(context=server_context("other.invalid"), implicit=True) as port:
        assert not cause_of(run_of(port, **TLS)).buttons


def test_a_test_that_ended_at_its_limit_says_so_beside_the_cause():
    with evil({"banner": hang}) as port:
        run = run_of(port, limit=2, **TLS)
    cause = cause_of(run)
    assert cause.id == "tls4"
    assert cause.how == "The test ended after 2 seconds, while setting up encryption."
    assert cause.buttons[0].label == "Use STARTTLS on 587"


def test_b14_greylisting_says_that_the_settings_look_fine_and_is_no_pass():
    with honest(answers={"RCPT": "451 4.7.1 Greylisted, try again in 300 seconds"}) as port:
        run = run_of(port)
    cause = cause_of(run)
    assert run.state == TestRun.State.FAILED
    assert cause.cause == "The server asks to try again in 5 minutes. Settings look fine."
    assert cause.fine == "Settings are fine up to here."
    assert not cause.buttons


def test_which_of_two_recipients_was_refused_is_said():
    with honest(answers={"RCPT": lambda to: "550 5.1.1 no" if "two@" in to else None}) as port:
        run = run_of(port, to=["one@example.com", "two@example.com"])
    assert run.sentence == "The test recipient does not exist. It was two@example.com."


def test_the_report_holds_what_a_provider_needs_and_no_user_and_no_secret():
    with honest(auth=("shop-account", "right")) as port:
        run = run_of(port, **signing_in())
    report = cause_of(run).report
    for part in (
        "UTC",
        f"127.0.0.1:{port}",
        "535 5.7.8",
        "EHLO [127.0.0.1]",
        "Sign in: failed",
        str(run.uuid),
    ):
        assert part in report
    for part in (CANARY, "shop-account", "c2hvcC1hY2NvdW50"):
        assert part not in report


def test_the_protocol_is_named_and_its_words_are_not_shown():
    with evil({"banner": raw(b"SSH-2.0-OpenSSH_9.6 <script>\r\n")}) as port:
        cause = cause_of(run_of(port))
    assert cause.cause == "This is not a mail sending server: it speaks SSH."
    assert "OpenSSH" not in str(cause)


def test_fields_are_named_and_linked_where_the_form_is():
    with nobody() as port:
        run = run_of(port, host="127.0.0.2")
    [link, _port] = cause_of(run).fields
    assert (link.name, link.label, link.anchor) == ("host", "Server", "#id_host")
    with honest(answers={"RCPT": "550 5.1.1 User unknown"}) as port:
        run = run_of(port)
    [link] = cause_of(run).fields
    assert (link.label, link.anchor) == ("Send the test email to", "#id_test_to")
    assert not cause_of(run, in_form=False).in_form


def test_a_run_from_before_there_were_symptoms_is_diagnosed_by_its_columns():
    with honest(answers={"RCPT": "550 5.1.1 User unknown"}) as port:
        run = run_of(port)
    run.symptom = {}
    assert cause_of(run).id == "send24"


def test_a_run_that_did_not_fail_has_no_cause():
    with honest() as port:
        run = run_of(port)
    assert run.state == TestRun.State.PASSED
    assert cause_of(run) is None
    assert notes_of(run) == ["Not encrypted (as configured). Use STARTTLS if the server offers it."]


@pytest.mark.parametrize(("days", "is_told"), [(13, True), (15, False)])
def test_a_certificate_that_ends_within_two_weeks_is_a_note(days, is_told):
    context, ca = certificates.issued(not_after=timezone.now() + timedelta(days=days))
    with evil(context=context, implicit=True) as port:
        run = run_of(port, security="tls", ca=ca, max_size=1)
    assert run.state == TestRun.State.PASSED
    assert bool(notes_of(run)) is is_told
    run.finished_at -= timedelta(days=400)
    assert notes_of(run) == []  # the record of a test says how things stood then
