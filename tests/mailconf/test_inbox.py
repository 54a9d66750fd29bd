"""The sandbox inbox: caught mail is content, shown to those who may read it and never run."""

import pytest
from django.urls import reverse

from mailconf import sandbox
from tests.pages import ROLES, assert_strict, client_of, policy_of, text_of

pytestmark = pytest.mark.django_db

LIST = reverse("admin:sandbox")
MAIL = b"""\
From: ana@example.org\r
To: bo@example.com\r
Subject: <script>alert(1)</script>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary="b"\r
\r
--b\r
Content-Type: text/plain\r
\r
The secret link\r
--b\r
Content-Type: text/html\r
\r
<p id="inner">Hi</p><script>alert(2)</script>\r
--b\r
Content-Type: text/html\r
Content-Disposition: attachment; filename="../../x.html"\r
\r
<script>alert(3)</script>\r
--b--\r
"""
PARTS = {"": (), "preview/": (), "attachment/0/": (), "download/": ()}


@pytest.fixture
def caught(settings, tmp_path):
    """One message in the sandbox of this test; its id."""
    settings.MAILCONF_VAR = tmp_path
    return sandbox.Mailbox(sandbox.folder()).keep(
        "ana@example.org", ["bo@example.com", "cy@example.com"], MAIL
    )


@pytest.mark.parametrize("role", ROLES)
def test_caught_mail_is_listed_for_viewers_and_read_by_administrators(role, caught):
    client = client_of(role)
    outside = {"nobody": 302, "anonymous": 302}
    readers = {"superuser": 200, "administrator": 200}

    assert client.get(LIST).status_code == ({"operator": 200, "viewer": 200} | readers | outside).get(
        role, 403
    )
    for part in PARTS:
        assert client.get(f"{LIST}{caught}/{part}").status_code == (readers | outside).get(role, 403), part


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_the_inbox_only_reads(method, caught):
    client = client_of("superuser")
    for address in (LIST, *(f"{LIST}{caught}/{part}" for part in PARTS)):
        assert getattr(client, method)(address).status_code == 405
    assert [mail.id for mail in sandbox.inbox()] == [caught]


def test_a_message_is_shown_and_runs_nothing(caught):
    client = client_of("administrator")

    listed, page = client.get(LIST), client.get(f"{LIST}{caught}/")
    for response in (listed, page):
        assert_strict(response)
        assert "<script>alert" not in response.content.decode()
        assert "<script>alert(1)</script>" in text_of(response)
    assert "The secret link" in text_of(page)
    assert "x.html" in text_of(page)
    assert "cy@example.com" in text_of(page)

    preview = client.get(f"{LIST}{caught}/preview/")
    assert b'<p id="inner">' in preview.content
    assert {"sandbox", "default-src 'none'", "frame-ancestors 'self'"} <= policy_of(preview)
    file = client.get(f"{LIST}{caught}/attachment/0/")
    assert file.headers["Content-Disposition"] == 'attachment; filename="x.html"'
    assert file.headers["Content-Type"] == "application/octet-stream"
    assert client.get(f"{LIST}{caught}/download/").content == MAIL


def test_what_is_not_there_is_404(caught):
    client = client_of("administrator")
    for address in (
        "nothing/",
        f"{caught}/attachment/7/",
        "..%2f..%2fkeys/",
        f"{'0' * 20}-{'0' * 6}/download/",
    ):
        assert client.get(LIST + address).status_code == 404


def test_an_empty_inbox_says_how_to_fill_it(settings, tmp_path):
    settings.MAILCONF_VAR = tmp_path
    assert "Nothing has been caught yet." in text_of(client_of("viewer").get(LIST))


def test_without_a_sandbox_there_is_no_page_and_no_link(settings, tmp_path):
    settings.MAILCONF_VAR, settings.MAILCONF_LOCAL = tmp_path, False
    client = client_of("superuser")

    assert client.get(LIST).status_code == 404
    assert LIST not in client.get(reverse("admin:index")).content.decode()
    sandbox.folder().mkdir()
    assert LIST in client.get(reverse("admin:index")).content.decode()
