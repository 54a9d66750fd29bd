"""Every promise L of the list of features, through the pages, a command or a worker."""

import pytest
from django.core.mail import EmailMessage
from django.urls import reverse

from delivery import handover
from delivery.models import Content, Message, SmallState
from delivery.signals import message_not_sent
from smtp_settings.clearance import activation
from smtp_settings.models import SMTPProfile, TestRun
from tests.acceptance.feature_fixtures import *  # noqa: F403  # server, client
from tests.acceptance.features import (
    ADD,
    change_url,
    entries_for,
    form_of,
    page_of_message,
    press,
    profile_of,
    state_of,
    text_of,
    worked,
)
from tests.acceptance.profile_features import Place, tried
from tests.builders import a_profile, a_user
from tests.delivery.engine import queued
from tests.pages import client_of
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db
committing = pytest.mark.django_db(transaction=True)  # what a worker reads

LIST = "/admin/smtp_settings/smtpprofile/"


@committing
def test_l1_invoices_and_resets_leave_and_a_reset_leaves_no_content_behind(server):
    profile_of(server)
    made = [
        handover.send(
            EmailMessage(tag, "x", "shop@example.com", ["ann@example.com"]), tag=tag, sensitive=secret
        )
        for tag, secret in (("invoice", False), ("reset", True))
    ]
    worked()
    assert len(server.wait_for(2)) == 2
    kept = set(Content.objects.values_list("message_id", flat=True))
    assert kept == {made[0].id}


def test_l2_l3_the_list_needs_nothing_first_and_can_be_searched(client):
    assert "Add SMTP profile" in text_of(client.get(LIST))
    a_profile(name="EU relay")
    a_profile(name="Other")
    found = text_of(client.get(LIST, {"q": "EU rel"}))
    assert "EU relay" in found
    assert "Other" not in found


@committing
def test_l4_a_row_tests_its_profile_to_the_signed_in_person_operators_too(server):
    profile = profile_of(server)
    operator = client_of("operator")
    assert "Test" in text_of(operator.get(LIST))
    operator.post(reverse("admin:smtp_settings_smtpprofile_test", args=[profile.pk]))
    assert [message.rcpt_to for message in server.wait_for(1)] == [(operator.user.email,)]


def test_l5_deleting_asks_and_says_what_depends_on_it(client, server):
    profile = profile_of(server, name="EU relay")
    url = reverse("admin:smtp_settings_smtpprofile_delete", args=[profile.pk])
    assert "EU relay" in text_of(client.get(url))
    assert SMTPProfile.objects.exists()
    queued(1, profile="EU relay")
    assert "1 message" in text_of(client.get(url))


def test_l6_l8_l12_add_and_edit_with_a_unique_name_and_a_sign_in(client):
    place = Place("mail.example.com", 587)
    values = entries_for(
        client, place, auth="password", username="shop", password="right-7Qz", security="starttls"
    )
    press(client, ADD, values, "_draft")
    profile = SMTPProfile.objects.get()
    assert (profile.username, profile.auth) == ("shop", "password")
    assert "already exists" in text_of(press(client, ADD, values, "_draft"))
    page = client.get(change_url(profile))
    press(client, change_url(profile), form_of(page) | {"description": "billing"}, "_draft")
    profile.refresh_from_db()
    assert profile.description == "billing"


def test_l7_what_is_required_is_a_word_and_what_is_read_only_is_text(client, server):
    assert "required" in client.get(ADD).content.decode()
    viewer = client_of("viewer")
    page = viewer.get(change_url(profile_of(server))).content.decode()
    assert 'name="host"' not in page
    assert server.host in page


def test_l9_l10_starttls_only_never_goes_on_in_clear(client, server):
    run, _page = tried(client, server, security="starttls")
    assert run.state == TestRun.State.FAILED
    assert "MAIL" not in server.verbs()


@committing
@pytest.mark.parametrize("policy", ["message", "force"])
def test_l11_the_messages_own_sender_wins_or_the_profiles_does(server, policy):
    profile_of(server, from_address="shop@example.com", from_policy=policy)
    handover.send(EmailMessage("s", "x", "Billing <billing@example.com>", ["ann@example.com"]))
    worked()
    [message] = server.wait_for(1)
    head = message.content.partition(b"\r\n\r\n")[0]
    if policy == "message":
        assert b"From: Billing <billing@example.com>" in head
    else:
        assert b"shop@example.com" in head.split(b"From: ")[1].split(b"\r\n")[0]
        assert b"Reply-To: Billing <billing@example.com>" in head


def large_invoice(count=2):
    """An invoice whose attachments are too large together, and none of them alone."""
    message = EmailMessage("Invoice", "x", "shop@example.com", ["ann@example.com"])
    for number in range(count):
        message.attach(f"{number}.pdf", b"%PDF" + bytes(600_000), "application/pdf")
    return handover.send(message).id


@committing
def test_l13_l15_l16_l17_too_large_together_is_failed_the_user_is_told_and_the_application_hears(
    client, server
):
    told = a_user("administrator", email="admin@example.com")
    profile_of(server, max_size=1, notify_user=told)
    heard = []

    def hear(sender, **kwargs):
        heard.append(kwargs)

    message_not_sent.connect(hear)
    try:
        single = large_invoice(1)
        both = large_invoice(2)
        worked()
        worked()
    finally:
        message_not_sent.disconnect(hear)
    assert (state_of(single), state_of(both)) == (SmallState.SENT, SmallState.FAILED)
    assert heard
    assert "larger than the servers take" in page_of_message(client, both)
    server.wait_for(2)
    assert ("admin@example.com",) in {message.rcpt_to for message in server.messages}
    assert all(b"%PDF" not in one.content for one in server.messages if one.rcpt_to == ("admin@example.com",))
    assert Message.objects.filter(state=SmallState.FAILED).count() == 1


def test_l14_a_limit_larger_than_the_servers_is_said_and_the_servers_offered_at_one_click(client):
    with smtp_server(size_limit=5_000_000) as small:
        page = press(client, ADD, entries_for(client, small, max_size="50"), "_send_test")
        assert "this profile allows attachments of 50 MB" in text_of(page)
        assert 'name="_apply" value="max_size=5"' in page.content.decode()
        page = client.post(ADD, form_of(page) | {"_apply": "max_size=5"})
    assert form_of(page)["max_size"] == "5"
    assert "this profile allows attachments" not in text_of(page)
    assert {run.state for run in TestRun.objects.all()} == {TestRun.State.PASSED}


@committing
def test_l14_what_the_server_says_it_does_not_take_is_not_sent_to_it(client):
    with smtp_server(size_limit=500_000) as small:
        profile_of(small, max_size=10)
        message = large_invoice(1)
        worked()
        assert small.messages == []
    assert state_of(message) is SmallState.FAILED
    assert "larger" in page_of_message(client, message)


@committing
def test_l18_the_message_can_be_downloaded_or_sent_after_the_limit_was_raised(client, server):
    profile = profile_of(server, max_size=1)
    message = large_invoice(2)
    worked()
    assert state_of(message) is SmallState.FAILED
    raw = client.get(reverse("admin:delivery_message_download", args=[message]))
    assert b"application/pdf" in b"".join(raw) if raw.streaming else b"application/pdf" in raw.content
    page = client.get(change_url(profile))
    press(client, change_url(profile), form_of(page) | {"max_size": "10"}, "_save")
    assert activation.is_live(SMTPProfile.objects.get())
    client.post(reverse("admin:delivery_message_action", args=[message, "retry"]), follow=True)
    worked()
    assert state_of(message) is SmallState.SENT
