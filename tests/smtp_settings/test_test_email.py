"""The test email: what it says, and the link by which a person tells that it arrived."""

import email
import email.policy
import re

import pytest
from django.core import signing

from smtp_settings import test_send
from smtp_settings.models import Event, TestRun
from smtp_settings.sealing import Secret
from tests.builders import a_user, unsaved_profile
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db

BASE = "https://mail.example.net"
CANARY = "c4nary-pa55 word"


def sent(*, user=None, where="web", link_base=BASE, **fields):
    """The run and its email as a mail program reads it."""
    with smtp_server(auth=("shop", CANARY)) as server:
        profile = unsaved_profile(
            host=server.host,
            port=server.port,
            auth="password",
            username="shop",
            accepts_clear_auth=True,
            **fields,
        )
        run = test_send.candidate(profile, Secret(CANARY), user, ["inbox@example.com"], link_base=link_base)
        run = test_send.run(run, where=where)
        [message] = server.wait_for(1)
    return run, email.message_from_bytes(message.content, policy=email.policy.default)


def texts(message):
    return [message.get_body((kind,)).get_content() for kind in ("plain", "html")]


def link_in(text):
    [link] = re.findall(rf"{BASE}(/\S+?)(?:[\s\"]|$)", text)
    return link


def test_text_and_html_say_what_was_tested_from_where_and_by_whom():
    ann = a_user(username="ann")
    run, message = sent(user=ann, where="worker mail-2", name="Shop <EU>", from_name="Web Shop")
    for text, name in zip(texts(message), ("Shop <EU>", "Shop &lt;EU&gt;"), strict=True):
        for fact in (name, "127.0.0.1", str(run.settings["port"]), "None, not encrypted", "Web Shop",
                     "shop@example.com", "ann", "worker mail-2", " UTC", str(run.uuid)):  # fmt: skip
            assert fact in text
        assert "needs no answer" in text
        assert "spam folder" in text
        assert CANARY not in text


def test_it_is_marked_as_sent_by_a_program():
    run, message = sent()
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Mailconf-Test"] == str(run.uuid)


def test_an_email_sent_by_a_command_has_no_link():
    _run, message = sent(link_base="", where="shell")
    for text in texts(message):
        assert "I received it" not in text
        assert "http" not in text


def test_opening_the_link_asks_and_stores_nothing(client):
    """A mail scanner follows every link before the person does."""
    run, message = sent()
    plain, html = texts(message)
    assert link_in(plain) == link_in(html)
    page = client.get(link_in(plain))
    assert page.status_code == 200
    assert "I received it" in page.content.decode()
    assert client.head(link_in(plain)).status_code == 200
    run.refresh_from_db()
    assert run.received_at is None


def test_the_button_stores_that_the_email_arrived_once(client):
    run, message = sent(user=a_user())
    link = link_in(texts(message)[0])
    assert "arrived" in client.post(link).content.decode()
    run.refresh_from_db()
    first = run.received_at
    assert first is not None
    client.post(link)
    run.refresh_from_db()
    assert run.received_at == first
    event = Event.objects.get(kind="test.received")
    assert (event.user_id, event.data["run"]) == (None, str(run.uuid))


def test_the_button_needs_no_cookie():
    """Mail programs show pages in a browser of their own that keeps none."""
    from django.test import Client

    run, message = sent()
    assert Client(enforce_csrf_checks=True).post(link_in(texts(message)[0])).status_code == 200
    run.refresh_from_db()
    assert run.received_at


def test_the_page_tells_nothing_of_the_settings(client):
    run, message = sent(name="Secret project", user=a_user(username="ann"))
    link = link_in(texts(message)[0])
    pages = [client.get(link), client.post(link), client.get(link)]
    for page in pages:
        words = page.content.decode()
        for fact in ("Secret project", "127.0.0.1", str(run.settings["port"]), "ann@", "shop@", "inbox@"):
            assert fact not in words
        assert "no-store" in page["Cache-Control"]


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_forged_link_leads_nowhere(client, method):
    run, message = sent()
    link = link_in(texts(message)[0])
    forged = [
        link.replace(run.uuid.hex, "0" * 32),
        link[:-2] + ("A" if link[-2] != "A" else "B") + "/",
        f"/test-received/{run.uuid.hex}/",
        f"/test-received/{signing.Signer(salt='another').sign(run.uuid.hex)}/",
    ]
    for one in forged:
        assert getattr(client, method)(one).status_code == 404
    assert not TestRun.objects.exclude(received_at=None).exists()


def test_a_link_to_a_run_that_was_removed_says_so(client):
    run, message = sent()
    run.delete()
    page = client.get(link_in(texts(message)[0]))
    assert page.status_code == 404
    assert "has been removed" in page.content.decode()
