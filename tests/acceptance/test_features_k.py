"""Every promise K of the list of features, through the pages, a worker or a browser; one server for all."""

import threading
import time
from datetime import timedelta

import pytest
from django.urls import reverse

from delivery import pacing
from delivery.models import Message, QueueEntry, SmallState
from smtp_settings.clearance import activation
from smtp_settings.models import SMTPProfile
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
    save,
    state_of,
    text_of,
    try_out,
    worked,
    worked_apart,
)
from tests.browser import form_page
from tests.browser.conftest import *  # noqa: F403  # the browser
from tests.delivery.engine import attempts_of, draining, due_again, queued, until
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

LATER = "451 4.3.0 Try again later"


def test_k1_k3_k10_k11_k12_one_page_tests_the_settings_and_saves_them_only_then(browser, server, person):
    page = browser.window(user=person)
    form_page.open_form(page)
    for name in ("host", "max_retries", "send_offset", "debug_recipients"):
        assert page.locator(f"#id_{name}").count() == 1, name
    assert {box.get_attribute("value") for box in page.locator("input[name=security]").all()} == {
        "starttls",
        "tls",
        "none",
    }
    form_page.fill_in(page, server)
    page.click(form_page.SAVE, force=True)  # it says why not; see aria-disabled
    assert SMTPProfile.objects.count() == 0

    assert form_page.run_test(page).startswith("Passed")
    assert set(form_page.steps(page).values()) >= {"done"}
    [message] = server.wait_for(1)
    assert message.rcpt_to == (person.email,)
    assert form_page.save_is_open(page)
    with page.expect_navigation():
        page.click(form_page.SAVE)

    assert activation.is_live(SMTPProfile.objects.get())


def test_k2_a_pasted_host_is_cleaned_and_a_port_is_one_of_65535(client):
    values = entries_for(client, smtp_stand_in, host=" smtps://mail.example.com:2465/ ", port="")
    press(client, ADD, values, "_draft")
    saved = SMTPProfile.objects.get()
    assert (saved.host, saved.port) == ("mail.example.com", 2465)

    page = press(client, ADD, values | {"name": "Two", "host": "b.example.com", "port": "65536"}, "_draft")
    assert page.status_code == 200
    assert SMTPProfile.objects.count() == 1


class smtp_stand_in:  # noqa: N801  # stands for a server whose address nobody asks
    """A place that no test connects to."""

    host, port = "mail.example.com", 587


def test_k3_starttls_never_falls_back_to_plain_text(server):
    profile_of(server, security="starttls")
    (message_id,) = queued()

    worked()

    assert server.messages == []
    assert "MAIL" not in server.verbs()
    assert state_of(message_id) is SmallState.QUEUED


def test_k4_the_from_address_and_name_of_the_profile_stand_in_the_message(server):
    profile_of(server, from_address="shop@example.com", from_name="The Shop", from_policy="force")
    queued()

    worked()

    [message] = server.wait_for(1)
    assert b"From: The Shop <shop@example.com>\r\n" in message.content


def test_k5_a_user_name_and_a_password_or_neither(client, server):
    alone = entries_for(client, server, auth="password", username="shop", accepts_clear_auth="on")
    before = server.sessions
    assert press(client, ADD, alone, "_send_test").status_code == 200
    assert server.sessions == before

    profile_of(server)
    queued()
    worked()
    assert "AUTH" not in server.verbs()
    with smtp_server(auth=("shop", "open sesame")) as closed:
        tested = entries_for(client, closed, **alone | {"port": str(closed.port), "password": "open sesame"})
        assert "accepted the email for" in text_of(press(client, ADD, tested, "_send_test"))


def test_k6_max_retries_are_counted_after_the_first_attempt_and_for_temporary_failures_only(server):
    profile_of(server, max_retries=1)
    refused = {"RCPT": lambda to: "550 5.1.1 No such user" if "nobody" in to else LATER}
    with answering(server, **refused):
        (later,), (never,) = queued(), queued(to=["nobody@example.com"])
        worked()
        assert (state_of(later), state_of(never)) == (SmallState.QUEUED, SmallState.FAILED)
        due_again(later)
        worked()
    assert state_of(later) is SmallState.FAILED
    assert [len(attempts_of(one)) for one in (later, never)] == [2, 1]


def test_k6_a_server_that_is_away_uses_no_retry_while_another_one_takes_the_message(server):
    with smtp_server() as away:
        port = away.port
    profile_of(server, name="Backup", priority="low", max_retries=0)
    profile_of(server, name="Default", is_default=True, max_retries=0)
    SMTPProfile.objects.filter(name="Default").update(port=port)
    default = SMTPProfile.objects.get(name="Default")
    SMTPProfile.objects.filter(pk=default.pk).update(cleared_fingerprint=activation.fingerprint_of(default))
    (message_id,) = queued()

    worked()

    assert state_of(message_id) is SmallState.SENT
    assert len(server.messages) == 1


def test_k7_the_retry_delay_spaces_out_the_retries(client, server):
    profile = profile_of(server, retry_delay=100, backoff="fixed")
    (message_id,) = queued()
    with answering(server, RCPT=LATER):
        worked()
    entry = QueueEntry.objects.get(pk=message_id)
    wait = entry.ready_at - attempts_of(message_id)[0].at
    assert timedelta(seconds=79) < wait < timedelta(seconds=121)

    assert "Tried again every 100 seconds, given up after" in text_of(client.get(change_url(profile)))


def test_k8_the_send_offset_lies_between_two_sends_and_before_the_first(server):
    offset = timedelta(seconds=1)
    profile_of(server, send_offset=1)
    began = time.monotonic()
    queued(3)

    worked()

    moments = [received.at for received in server.wait_for(3)]
    grace = pacing.grace(offset).total_seconds()
    assert moments[-1] - began >= 3 - grace
    assert moments[0] - began >= 1 - grace


def test_k8_messages_that_wait_for_the_send_offset_say_so(client, server):
    profile_of(server, send_offset=600)
    first, second = queued(2)
    stop = threading.Event()
    with draining(until_empty=False, stop=stop):
        until(lambda: "Waits for the send offset until" in page_of_message(client, first))
        until(lambda: "Waits for the send offset. Position 2" in page_of_message(client, second))
        stop.set()
    assert server.messages == []


def test_k9_debug_recipients_get_a_copy_that_no_header_names_and_that_fails_nothing(client, server):
    profile = profile_of(server, debug_recipients=["dee@example.com"])
    copied, refused = queued(2)
    with answering(server, RCPT=lambda to, seen=[]: seen.append(to) or None):
        worked()
    assert {received.rcpt_to for received in server.messages} == {("bo@example.com", "dee@example.com")}
    assert all(b"dee@example.com" not in received.content for received in server.messages)

    (alone,) = queued()
    with answering(server, RCPT=lambda to: "550 5.1.1 No" if "dee@" in to else None):
        worked()
    assert {state_of(one) for one in (copied, refused, alone)} == {SmallState.SENT}
    warning = f"{profile.name} copies every message to dee@example.com."
    for url in (
        reverse("admin:index"),
        change_url(profile),
        reverse("admin:smtp_settings_smtpprofile_changelist"),
    ):
        assert warning in text_of(client.get(url)), url


def test_k13_new_settings_are_used_only_after_they_passed_and_the_old_ones_until_then(client, server):
    with smtp_server(auth=("new", "open sesame")) as other:
        profile = profile_of(server)
        changes = {"port": str(other.port), "auth": "password", "username": "new", "accepts_clear_auth": "on"}
        changes |= {"password": "open sesame"}
        assert "have not passed a test" in text_of(save(client, profile, **changes))
        queued()
        worked()
        assert (len(server.messages), other.sessions) == (1, 0)

        url = change_url(profile)
        tested = try_out(client, url, form_of(client.get(url)) | changes)
        assert press(client, url, tested, "_save").status_code == 302
        queued()
        worked()
        assert (len(server.messages), len(other.messages)) == (1, 2)  # the test's and this one


def test_k14_a_message_says_why_it_waits_or_what_ended_it_and_links_the_field(client, server):
    profile = profile_of(server)
    late, gone = queued(2)
    with answering(server, MAIL="553 5.7.1 Sender address rejected: not owned by user"):
        worked()
    with answering(server, RCPT=LATER):
        (late,) = queued()
        worked()

    assert "The server asked to wait: 451 4.3.0 Try again later" in page_of_message(client, late)
    page = client.get(reverse("admin:delivery_message_change", args=[gone])).content.decode()
    assert "553 5.7.1 Sender address rejected" in page
    assert f'href="{change_url(profile)}#' in page


def test_k15_the_form_says_what_an_offset_comes_to_in_an_hour(client, server):
    profile = profile_of(server, send_offset=2)

    assert "1,800" in text_of(client.get(change_url(profile)))


def test_k16_the_page_of_a_message_shows_what_was_really_sent_and_to_whom(client, server):
    profile_of(server)
    (message_id,) = queued(to=["bo@example.com", "cy@example.com"], body="What it says.\n")

    worked()

    assert "What it says." in page_of_message(client, message_id, "content")
    shown = page_of_message(client, message_id)
    assert "bo@example.com" in shown
    assert "cy@example.com" in shown


def test_k17_limits_are_saved_without_a_new_test_and_hold_for_waiting_messages(client, server):
    profile, before = profile_of(server, max_retries=0), server.sessions
    assert save(client, profile, max_retries="3", retry_delay="45").status_code == 302
    profile.refresh_from_db()
    assert activation.is_live(profile)
    assert server.sessions == before

    (message_id,) = queued()
    with answering(server, RCPT=LATER):
        worked()
    assert state_of(message_id) is SmallState.QUEUED  # with none it would have failed
    assert save(client, profile, max_retries="1").status_code == 302
    due_again(message_id)
    with answering(server, RCPT=LATER):
        worked()
    assert state_of(message_id) is SmallState.FAILED


def test_k18_an_empty_password_keeps_the_saved_one_and_follows_to_no_other_server(client):
    with smtp_server(auth=("shop", "open sesame")) as closed:
        profile = profile_of(closed, password="open sesame")
        assert save(client, profile, name="Renamed").status_code == 302
        queued()
        worked()
        assert Message.objects.get().state == SmallState.SENT

        for name, value in (("port", "2526"), ("username", "other")):
            page = press(
                client, change_url(profile), form_of(client.get(change_url(profile))) | {name: value}, "_save"
            )
            assert page.status_code == 200, name
            assert "assword" in text_of(page)
    profile.refresh_from_db()
    assert (profile.name, profile.username) == ("Renamed", "shop")


def test_k17_the_example_with_five_retries_survives_a_hiccup_of_a_worker_of_its_own(
    process_environment, server
):
    profile_of(server, max_retries=5, retry_delay=1, backoff="fixed")
    hiccup = iter([LATER])
    with answering(server, RCPT=lambda _to: next(hiccup, None)):
        (message_id,) = queued()
        worked_apart(process_environment)
        due_again(message_id)
        worked()
    assert state_of(message_id) is SmallState.SENT
