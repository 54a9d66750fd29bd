"""The fields a cause names, marked in the form the server sends: also for who has no scripts."""

import re

import pytest

from smtp_settings.models import SMTPProfile, TestRun
from tests.builders import a_profile, a_user
from tests.pages import assert_strict
from tests.servers import smtp_server
from tests.smtp_settings.form_filling import ADD, change_url, entries_for, press, signing_in
from tests.submitting import form_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def person(client):
    user = a_user("administrator", email="alex@example.com")
    client.force_login(user)
    return user


def marked(page):
    """The rows with a mark, by field; each says in words what the mark means."""
    html = page.content.decode()
    rows = re.findall(r'<div class="form-row field-(\w+)[^"]*is-named', html)
    if re.search(r'<div class="mc-test-to[^"]*is-named', html):
        rows.append("test_to")
    assert html.count(">Look here<") == len(rows)
    return set(rows)


def test_a_refused_sign_in_marks_user_name_and_password(client, person):
    with smtp_server(security="none", auth=("shop", "another")) as server:
        page = press(client, ADD, signing_in(client, server, "a password"), "_send_test")
    assert_strict(page)
    assert marked(page) == {"username", "password"}


def test_a_refused_recipient_marks_where_the_test_goes(client, person):
    with smtp_server(security="none", answers={"RCPT": "550 5.1.1 No such user"}) as server:
        page = press(client, ADD, entries_for(client, server), "_send_test")
    assert marked(page) == {"test_to"}


def test_a_test_that_passes_marks_nothing(client, person):
    with smtp_server(security="none") as server:
        page = press(client, ADD, entries_for(client, server), "_send_test")
    assert TestRun.objects.get().state == "passed"
    assert marked(page) == set()


def test_an_empty_form_marks_nothing(client, person):
    assert marked(client.get(ADD)) == set()


def test_a_field_changed_since_the_test_is_not_marked(client, person):
    with smtp_server(security="none", answers={"MAIL": "550 5.7.60 SendAsDenied"}) as server:
        profile = a_profile(host=server.host, port=server.port, user=person)
        values = form_of(client.get(change_url(profile)))
        page = press(client, change_url(profile), values, "_send_test")
        assert marked(page) == {"from_address"}
        page = press(client, change_url(profile), form_of(page) | {"from_address": "b@example.com"}, "_save")
    assert SMTPProfile.objects.get().from_address == "shop@example.com"
    assert marked(page) == set()


def closed_sections(page):
    """Of each section that folds, whether it comes closed, by its heading."""
    html = page.content.decode()
    return {
        name: not is_open
        for is_open, name in re.findall(r"<details( open)?><summary><h2[^>]*>([^<]+)<", html)
    }


def test_a_section_that_holds_a_marked_field_comes_open(client, person):
    with smtp_server(security="starttls") as server:
        entries = entries_for(client, server, security="starttls", ca="")
        page = press(client, ADD, entries, "_send_test")
    assert_strict(page)
    assert marked(page) & {"ca", "verification"}
    closed = closed_sections(page)
    assert not closed["TLS and network details"]
    assert closed["Limits and retries"]
    assert closed["Notes and history"]


def test_sections_come_closed_while_nothing_is_marked(client, person):
    assert all(closed_sections(client.get(ADD)).values())
