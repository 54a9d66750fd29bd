"""What the panel and a run's page offer after a pass: for an email that is not in the inbox."""

import re

import pytest
from django.utils import timezone

from smtp_settings.admin.panel.afterwards import afterwards
from smtp_settings.models import TestRun
from tests.builders import a_user
from tests.pages import assert_strict
from tests.servers import smtp_server
from tests.smtp_settings.form_filling import ADD, entries_for, press
from tests.smtp_settings.test_runs_admin import a_test, ended, page_of

MISSING, SPAM = "It did not arrive", "It is in spam"

pytestmark = pytest.mark.django_db


def titles(run):
    return [one.title for one in afterwards(run)]


def test_a_pass_is_followed_by_what_may_go_wrong_behind_the_server():
    run = ended(a_test(), reply="250 2.0.0 Ok: queued as 4F1C2A")
    missing, spam = afterwards(run)
    assert (missing.title, spam.title) == (MISSING, SPAM)
    assert missing.cause == "127.0.0.1 accepted it as “4F1C2A”; what came after, only its log knows."
    assert missing.advice == (
        "Wait 10 minutes.",
        "Look in the spam folder.",
        "Look at the provider's activity page.",
        "Try another recipient.",
    )
    assert spam.cause == "The domain does not vouch for this server."
    assert "Look at DNS for the From domain: SPF, DKIM, DMARC." in spam.advice


def test_a_server_that_named_nothing_is_not_quoted():
    missing, _spam = afterwards(ended(a_test(), reply="250 Ok"))
    assert missing.cause == "127.0.0.1 accepted it; what came after, only its log knows."


def test_what_arrived_may_still_be_in_spam():
    assert titles(ended(a_test(), received_at=timezone.now())) == [SPAM]


@pytest.mark.parametrize(
    ("options", "values"),
    [({"kind": "connect"}, {}), ({}, {"state": "failed"}), ({}, {"state": "stopped"})],
    ids=["check", "failed", "stopped"],
)
def test_nothing_is_offered_of_what_was_not_sent(options, values):
    assert titles(ended(a_test(**options), **values)) == []


def closed_parts(html):
    return re.findall(r'<details class="mc-report">\s*<summary>([^<]*)</summary>', html)


def test_the_page_of_a_run_offers_them_closed(client):
    client.force_login(a_user("administrator"))
    assert closed_parts(page_of(client, ended(a_test()))) == [MISSING, SPAM]
    assert MISSING not in page_of(client, ended(a_test(), state="stopped"))


def test_the_panel_of_the_profile_offers_them_without_scripts(client):
    client.force_login(a_user("administrator"))
    with smtp_server(security="none") as server:
        page = press(client, ADD, entries_for(client, server, test_to="inbox@example.com"), "_send_test")
    assert_strict(page)
    assert TestRun.objects.get().state == "passed"
    assert closed_parts(page.content.decode()) == [MISSING, SPAM]
