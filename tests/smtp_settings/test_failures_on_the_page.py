"""Why a test failed, in the panel of the page (B12): the step, the cause, the fields, and Save stays shut.

The page that scripts put together from the same panel: tests/browser/test_causes.py, by a few of the rows.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test.html import Element, parse_html

from smtp_settings.models import SMTPProfile
from tests.builders import a_user
from tests.ports import free_port
from tests.servers import smtp_server
from tests.smtp_settings.form_filling import ADD, entries_for, press
from tests.submitting import form_of
from tests.wire import certificates
from tests.wire.evil import evil_server_beside, fin

pytestmark = pytest.mark.django_db(transaction=True)

LAST = "Send the message"
TLS_STEP = "STARTTLS and certificate"


@dataclass(frozen=True)
class Failure:
    """One row of the causes: how it is made, and what the page says of it."""

    name: str
    step: str
    cause: str
    fields: tuple[str, ...] = ()
    server: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, Any] = field(default_factory=dict)
    evil: dict[str, Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    tone: str = "Failed"


SIGN_IN = {"auth": "password", "username": "shop", "password": "correct horse", "accepts_clear_auth": True}

FAILURES = [
    Failure(
        "no such name",
        "Look up the server name",
        "does not exist",
        ("Server",),
        entries={"host": "nowhere.invalid"},
    ),
    Failure(
        "address guard",
        "Look up the server name",
        "This address is not allowed as a mail server",
        ("Server",),
        settings={"MAILCONF_ALLOWED_NETWORKS": []},
    ),
    Failure("refused", "Connect", "othing listens on port", (), entries={"port": "closed"}),
    Failure(
        "ssh", "Server greeting", "it speaks SSH", ("Port",), {"answers": {"BANNER": "SSH-2.0-OpenSSH_9.6"}}
    ),
    Failure(
        "web",
        "Server greeting",
        "This is a web server",
        ("Server", "Port"),
        {"answers": {"BANNER": "HTTP/1.1 400 Bad Request"}},
    ),
    Failure(
        "554",
        "Server greeting",
        "The server refuses this machine",
        (),
        {"answers": {"BANNER": "554 5.7.1 Go away"}},
    ),
    Failure(
        "421",
        "Server greeting",
        "Too many connections from us",
        ("Connections at once",),
        {"answers": {"BANNER": "421 4.7.0 Too many connections"}},
    ),
    Failure(
        "silence",
        "Server greeting",
        "The port expects TLS from the first byte",
        ("Security",),
        {"security": "tls"},
        {"security": "starttls", "command_timeout": 2},
    ),
    Failure(
        "no STARTTLS",
        TLS_STEP,
        "does not offer encryption on this port",
        ("Security",),
        {},
        {"security": "starttls"},
    ),
    Failure(
        "no TLS",
        "TLS and certificate",
        "does not speak TLS on this port",
        ("Security",),
        {},
        {"security": "tls"},
    ),
    Failure(
        "other name",
        TLS_STEP,
        "certificate is for",
        ("Server",),
        {"security": "starttls", "names": ("mail.hosting.example",)},
        {"security": "starttls", "host": "localhost", "ip_version": "4", "ca": "the authority's"},
    ),
    Failure(
        "unknown CA",
        TLS_STEP,
        "Not signed by a known authority",
        ("Own CA certificates",),
        {"security": "starttls"},
        {"security": "starttls"},
    ),
    Failure(
        "self-signed",
        TLS_STEP,
        "Not signed by a known authority",
        ("Own CA certificates",),
        entries={"security": "starttls"},
        evil={"starttls": True, "context": certificates.self_signed},
    ),
    Failure(
        "expired",
        TLS_STEP,
        "xpired on",
        (),
        entries={"security": "starttls", "ca": "its"},
        evil={"starttls": True, "context": certificates.expired},
    ),
    Failure(
        "not yet",
        TLS_STEP,
        "ot valid before",
        (),
        entries={"security": "starttls", "ca": "its"},
        evil={"starttls": True, "context": certificates.early},
    ),
    Failure(
        "no sign-in there", "Sign in", "The server does not ask for a sign-in here", ("Sign-in",), {}, SIGN_IN
    ),
    Failure(
        "OAuth only",
        "Sign in",
        "accepts only OAuth 2.0",
        ("Sign-in",),
        entries=SIGN_IN,
        evil={"ehlo": ("250-evil.example.org", "250 AUTH XOAUTH2")},
    ),
    Failure(
        "535",
        "Sign in",
        "The server refused the user name or password",
        ("User name", "Password"),
        {"auth": ("shop", "another")},
        SIGN_IN,
    ),
    Failure(
        "534",
        "Sign in",
        "app password",
        ("Password",),
        {"auth": ("shop", "x"), "answers": {"AUTH": "534 5.7.9 Application-specific password required"}},
        SIGN_IN,
    ),
    Failure(
        "5.7.139",
        "Sign in",
        "sign-in is off for this mailbox",
        (),
        {
            "auth": ("shop", "x"),
            "answers": {
                "AUTH": "535 5.7.139 Authentication unsuccessful, "
                "SmtpClientAuthentication is disabled for the Mailbox"
            },
        },
        SIGN_IN,
    ),
    Failure(
        "530",
        "MAIL FROM",
        "The server wants a sign-in first",
        (),
        {"answers": {"MAIL": "530 5.7.0 Authentication required"}},
    ),
    Failure(
        "sender",
        "MAIL FROM",
        "This account may not send as shop@example.com",
        ("From address",),
        {"answers": {"MAIL": "553 5.7.1 Sender address rejected: not owned by user"}},
    ),
    Failure("relay", "RCPT TO", "does not relay", (), {"answers": {"RCPT": "554 5.7.1 Relay access denied"}}),
    Failure(
        "5.1.1",
        "RCPT TO",
        "The test recipient does not exist",
        ("Send the test email to",),
        {"answers": {"RCPT": "550 5.1.1 No such user"}},
    ),
    Failure(
        "552", LAST, "larger than the server allows", (), {"answers": {"DOT": "552 5.3.4 Message too big"}}
    ),
    Failure("554 at the end", LAST, "refused", (), {"answers": {"DOT": "554 5.7.1 Rejected as spam"}}),
    Failure(
        "lost after the dot",
        LAST,
        "The server may have accepted the message",
        (),
        evil={"plan": {"dot": fin}},
    ),
]


@contextmanager
def server_for(failure):
    """The server of a row, and the authority that signed its certificate."""
    if failure.evil is None:
        with smtp_server(**{"security": "none"} | failure.server) as server:
            yield server, server.ca_pem
        return
    options, pem = dict(failure.evil), ""
    if make := options.pop("context", None):
        options["context"], pem = make()
    with evil_server_beside(options.pop("plan", ()), **options) as server:
        yield server, pem


def typed(failure, server, authority):
    """The entries of a row that differ from those of a whole new profile."""
    entries = dict(failure.entries)
    if entries.get("port") == "closed":
        entries["port"] = free_port()
    if "ca" in entries:
        entries["ca"] = authority
    return entries


def every(part):
    """An element of the page and all in it."""
    yield part
    for child in part.children:
        if isinstance(child, Element):
            yield from every(child)


def found(part, **wanted):
    """The elements with these attributes, `css` and `data_field` as HTML names them; classes one by one."""
    names = {{"css": "class"}.get(name, name.replace("_", "-")): value for name, value in wanted.items()}
    for one in every(part):
        have = dict(one.attributes)
        if all(
            name in have and (value is None or value in (have[name] or "").split())
            for name, value in names.items()
        ):
            yield one


def said(part):
    """The text of an element, one blank between words."""
    texts = [child if isinstance(child, str) else said(child) for child in part.children]
    return " ".join(" ".join(texts).split())


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_a_failure_names_step_cause_and_field(client, settings, failure):
    """B12."""
    for name, value in failure.settings.items():
        setattr(settings, name, value)
    client.force_login(a_user("superuser"))
    with server_for(failure) as (server, authority):
        entries = {
            name: "on" if value is True else str(value)
            for name, value in typed(failure, server, authority).items()
        }
        answer = press(client, ADD, entries_for(client, server, **entries), "_send_test")

    page = parse_html(answer.content.decode())
    (panel,) = found(page, id="mc-test")
    (run,) = found(panel, id="mc-run")
    names = [said(one) for one in found(run, css="mc-step-name")]
    told = dict(zip(names, [said(one) for one in found(run, css="mc-step-state")], strict=True))
    assert failure.tone in [said(one) for one in found(panel, css="mc-badge")]
    assert told[failure.step] == "failed", told
    after = names[names.index(failure.step) + 1 :]
    assert {told[name] for name in after} <= {"not tried"}, told
    (cause,) = found(panel, id="mc-cause")
    assert failure.cause in said(cause), said(cause)
    linked = list(found(cause, data_field=None))
    assert set(failure.fields) <= {said(one) for one in linked}
    for link in linked:
        name = dict(link.attributes)["data-field"]
        assert any(found(page, name=name)), f"{name} is on the page"
    press(client, ADD, form_of(answer), "_save")
    assert not SMTPProfile.objects.exists()
