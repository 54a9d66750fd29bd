"""Every promise Q of the list of features, through the pages, a command or a worker."""

import pytest
from django.core.mail import EmailMessage
from django.urls import reverse

from delivery import handover
from delivery.models import Message, SmallState
from smtp_settings.clearance import activation
from smtp_settings.models import SMTPProfile, TestRun
from tests.acceptance.feature_fixtures import *  # noqa: F403  # server, client
from tests.acceptance.features import (
    ADD,
    answering,
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
from tests.acceptance.profile_features import (
    RIGHT,
    SIGNS_IN,
    Place,
    a_closed_port,
    a_silent_port,
    checked,
    filled,
    hints_of,
    tried,
)
from tests.builders import a_user
from tests.delivery.engine import queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db
committing = pytest.mark.django_db(transaction=True)  # what a worker reads

LIST = "/admin/smtp_settings/smtpprofile/"
MESSAGES = "/admin/delivery/message/"


def draft(client, **fields):
    """Save entries as a draft through the form."""
    press(client, ADD, entries_for(client, Place("mail.example.com", 587), **fields), "_draft")
    return SMTPProfile.objects.filter(name=fields.get("name", "EU relay")).first()


@committing
@pytest.mark.usefixtures("through_our_backend")
def test_q1_reports_and_alerts_of_any_django_code_leave_and_are_told_apart(client, server):
    profile_of(server)
    for tag, priority in (("report", "low"), ("alert", "high")):
        message = EmailMessage(f"A {tag}", "x", "shop@example.com", ["ann@example.com"])
        message.mailconf = {"tag": tag, "priority": priority}
        message.send()
    worked()
    assert len(server.wait_for(2)) == 2
    assert set(Message.objects.values_list("tag", "priority", "subject")) == {
        ("report", 3, "A report"),
        ("alert", 1, "A alert"),
    }


def test_q2_q3_q17_the_test_shows_each_need_as_a_step_and_then_save_opens(client):
    with smtp_server(security="starttls", auth=RIGHT) as server:
        fields = SIGNS_IN | {"security": "starttls", "ca": server.ca_pem}
        values = entries_for(client, server, **fields)
        page = press(client, ADD, values, "_send_test")
        text = text_of(page)
        for step in ("Look up the server name", "Connect", "STARTTLS and certificate", "Sign in"):
            assert step in text
        assert "TLSv1." in text.replace(" ", "")
        press(client, ADD, form_of(page) | {"password": values["password"]}, "_save")
    assert activation.is_live(SMTPProfile.objects.get())


def test_q4_q5_q19_q20_q21_internal_and_cloud_servers_have_presets(client):
    assert filled(client, "m365")[0]["host"] == "smtp.office365.com"
    gmail, said = filled(client, "gmail")
    assert gmail["host"] == "smtp.gmail.com"
    assert "app password" in said
    assert filled(client, "sendgrid")[0]["username"] == "apikey"
    ses = filled(client, "ses", preset_region="eu-west-1")[0]
    assert ses["host"] == "email-smtp.eu-west-1.amazonaws.com"
    assert "receive connector" in filled(client, "exchange")[1]
    assert "trusted network" in filled(client, "relay")[1]
    assert "OAuth 2.0" in hints_of(client, host="smtp.office365.com", username="a@example.com")["auth"]


def test_q6_q7_a_relay_with_and_without_a_sign_in(client):
    with smtp_server(auth=RIGHT) as server:
        run, _page = tried(client, server, **SIGNS_IN)
        assert run.state == TestRun.State.PASSED
        assert "AUTH" in server.verbs()
        server.forget()
        server.auth = None
        server.offers.append("AUTH PLAIN LOGIN")
        run, _page = tried(client, server)
        assert run.state == TestRun.State.PASSED
        assert "AUTH" not in server.verbs()


def test_q8_the_way_from_the_dashboard_to_a_new_profile(client):
    assert LIST in client.get("/admin/").content.decode()
    assert ADD in client.get(LIST).content.decode()
    assert client.get(ADD).status_code == 200


def test_q9_q12_name_description_and_every_kind_of_server(client):
    for number, host in enumerate(["mail.example.com", "192.0.2.7", "2001:db8::1", "localhost"]):
        saved = draft(client, name=f"P{number}", host=host, description="for reports")
        assert (saved.host, saved.description) == (host, "for reports")
    page = press(client, ADD, entries_for(client, Place("b.example.com", 587), name="P1"), "_draft")
    assert "already exists" in text_of(page)


def test_q10_a_refused_sender_points_at_the_from_address(client, server):
    with answering(server, MAIL="550 5.7.60 not allowed to send as this sender"):
        page = press(client, ADD, entries_for(client, server, from_name="Shop"), "_send_test")
    run = TestRun.objects.get()
    assert run.failed_phase == "mail"
    assert "shop@example.com" in run.sentence
    assert '<a href="#id_from_address" data-field="from_address">' in page.content.decode()
    assert "MAIL FROM:<shop@example.com>" in " ".join(server.commands)


@committing
def test_q11_the_prefix_stands_before_every_subject_once(server):
    profile_of(server, subject_prefix="[Shop] ")
    for subject in ("News", "[Shop] News"):
        handover.send(EmailMessage(subject, "x", "shop@example.com", ["ann@example.com"]))
    worked()
    for message in server.wait_for(2):
        assert message.content.count(b"[Shop]") == 1
        assert b"Subject: [Shop] News\r\n" in message.content


def test_q13_q14_each_port_has_its_hint_and_security_its_three_choices(client):
    host = {"host": "smtp.example.com", "username": "shop"}
    assert "Many networks block it" in hints_of(client, port="25", **host)["port"]
    assert "TLS from the first byte" in hints_of(client, port="465", **host)["port"]
    assert "port" not in hints_of(client, port="587", **host)
    page = client.get(ADD).content.decode()
    assert all(f'name="security" value="{value}"' in page for value in ("starttls", "tls", "none"))


def test_q15_user_name_and_password_go_together(client, server):
    before = server.sessions
    page = press(client, ADD, entries_for(client, server, auth="password", username=""), "_send_test")
    assert "Enter the user name" in text_of(page)
    values = SIGNS_IN | {"password": ""}
    page = press(client, ADD, entries_for(client, server, **values), "_send_test")
    assert "Enter the password" in text_of(page)
    assert server.sessions == before


def test_q16_the_test_goes_to_the_signed_in_user_or_to_whom_one_names(client, server):
    person = a_user("superuser", email="ann@example.com")
    client.force_login(person)
    values = entries_for(client, server)
    press(client, ADD, values, "_send_test")
    press(client, ADD, values | {"test_to": "bob@example.com"}, "_send_test")
    assert [message.rcpt_to for message in server.wait_for(2)] == [("ann@example.com",), ("bob@example.com",)]


def test_q18_a_failed_test_keeps_its_steps_its_cause_and_the_conversation(client, server):
    with answering(server, RCPT="550 5.1.1 no such user"):
        run, page = tried(client, server)
    assert "550 5.1.1 no such user" in page
    assert "S: 550 5.1.1" in page
    kept = text_of(client.get(reverse("admin:smtp_settings_testrun_change", args=[run.pk])))
    assert "550 5.1.1 no such user" in kept


@committing
def test_q22_q23_open_refused_and_silent_are_told_apart(client, server):
    run, _page = checked(client, server)
    assert (run.kind, run.state) == (TestRun.Kind.CONNECT, TestRun.State.PASSED)
    assert "MAIL" not in server.verbs()
    with a_closed_port() as place:
        refused, _page = checked(client, place)
    with a_silent_port() as place:
        silent, page = checked(client, place, connect_timeout="1")
    assert refused.sentence != silent.sentence
    assert (refused.failed_phase, silent.failed_phase) == ("connect", "connect")
    assert "firewall" in page.lower()


REFUSED_SIGN_INS = {
    "535 5.7.8 Username and Password not accepted": "refused the user name or password",
    "535 5.7.139 SmtpClientAuthentication is disabled for the Mailbox": "SMTP sign-in is off",
}


@pytest.mark.parametrize(("reply", "words"), REFUSED_SIGN_INS.items())
def test_q24_a_refused_sign_in_is_told_by_its_reply(client, reply, words):
    with smtp_server(auth=RIGHT, answers={"AUTH": reply}) as server:
        run, _page = tried(client, server, **SIGNS_IN)
    assert run.failed_phase == "auth"
    assert words in run.sentence


def test_q25_an_unknown_issuer_and_a_wrong_mode_have_causes_of_their_own(client):
    with smtp_server(security="starttls") as server:
        issuer, page = tried(client, server, security="starttls")
        mode, other = tried(client, server, security="tls")
    assert issuer.failed_phase == mode.failed_phase == "tls"
    assert issuer.sentence != mode.sentence
    assert "Trust this certificate" in page
    assert "Use STARTTLS" in other


@committing
def test_q26_attempts_stand_on_every_message_and_messages_are_found(client, server):
    profile_of(server, name="EU relay")
    with answering(server, RCPT="451 4.3.0 try again later"):
        [message] = queued(1, to=["ann@example.com"])
        worked()
    page = page_of_message(client, message)
    assert "451 4.3.0 try again later" in page
    assert "EU relay" in page
    assert "ann@example.com" in text_of(client.get(MESSAGES, {"q": "ann@example.com"}))


CLASSES = {
    "MAIL": ("550 5.1.8 sender address rejected", "mail"),
    "RCPT": ("550 5.1.1 no such user", "rcpt"),
    "DOT": ("554 5.7.1 message looks like spam", "dot"),
}


@committing
@pytest.mark.parametrize("verb", CLASSES)
def test_q27_q28_refusals_of_sender_recipient_and_content_are_classes_with_a_filter(client, server, verb):
    reply, phase = CLASSES[verb]
    profile_of(server)
    with answering(server, **{verb: reply}):
        [message] = queued(1)
        worked()
        run, _page = tried(client, server)
    assert run.failed_phase == phase
    page = page_of_message(client, message)
    assert reply in page
    if state_of(message) is SmallState.FAILED:
        causes = client.get(MESSAGES, {"state": "failed"}).content.decode()
        assert "cause=" in causes


def test_q27_too_many_and_too_large_are_classes_too(client, server):
    for reply, words in (("450 4.7.1 rate limit exceeded", "faster than"), ("552 5.3.4 too large", "larger")):
        with answering(server, **{"RCPT" if reply.startswith("4") else "DOT": reply}):
            assert words in tried(client, server)[0].sentence


def test_q8_a_saved_profile_is_opened_changed_and_saved_again(client, server):
    profile = profile_of(server)
    page = client.get(change_url(profile))
    press(client, change_url(profile), form_of(page) | {"description": "changed"}, "_save")
    profile.refresh_from_db()
    assert profile.description == "changed"
