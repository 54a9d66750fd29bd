"""The profile form over HTTP, with real SMTP servers: nothing untested is saved as live, on any path."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from smtp_settings import sealing
from smtp_settings.clearance import activation
from smtp_settings.models import Event, SMTPProfile, TestRun
from tests.acceptance.processes import until
from tests.builders import a_draft, a_profile, a_user, evidence
from tests.servers import smtp_server
from tests.smtp_settings.test_carrying import no_thread_is_left  # noqa: F401  # for every test here
from tests.submitting import buttons_of, form_of

pytestmark = pytest.mark.django_db

ADD = "/admin/smtp_settings/smtpprofile/add/"
LIST = "/admin/smtp_settings/smtpprofile/"
NEVER_TESTED = (
    "Not saved. These connection settings have not passed a test. Choose “Send test email”, then save. "
    "Or choose “Save as draft”."
)
CANARY = "kanarienvogel-7Qz"


def change_url(profile):
    return reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])


def test_url(profile):
    return reverse("admin:smtp_settings_smtpprofile_test", args=[profile.pk])


test_url.__test__ = False


@pytest.fixture
def server():
    with smtp_server(security="none") as running:
        yield running


@pytest.fixture
def user():
    return a_user("superuser")


@pytest.fixture
def client(client, user):
    client.force_login(user)
    return client


def entries_for(client, server, **fields):
    """A new profile as typed into the empty form."""
    values = form_of(client.get(ADD))
    values |= {"name": "EU relay", "host": server.host, "port": str(server.port), "security": "none"}
    return values | {"auth": "none", "from_address": "shop@example.com", **fields}


def press(client, url, values, *buttons):
    """Submit the entries with a button, as a browser does; the page that follows."""
    return client.post(url, values | dict.fromkeys(buttons, "1"))


def test_and_save(client, url, values):
    tested = press(client, url, values, "_send_test")
    return press(client, url, form_of(tested) | {"password": values.get("password", "")}, "_save")


test_and_save.__test__ = False


def the_only_profile():
    return SMTPProfile.objects.get()


def text_of(response):
    return response.content.decode()


# The gate


def test_saving_without_a_test_is_refused_and_the_entries_stay(client, server):
    values = entries_for(client, server, description="For the shop")

    page = press(client, ADD, values, "_save")

    assert page.status_code == 200
    assert NEVER_TESTED in text_of(page)
    assert form_of(page)["description"] == "For the shop"
    assert not SMTPProfile.objects.exists()
    assert server.sessions == 0


def test_a_passed_test_lets_the_same_settings_be_saved_and_live(client, server, user):
    tested = press(client, ADD, entries_for(client, server), "_send_test")

    assert "accepted the email for" in text_of(tested)
    assert not SMTPProfile.objects.exists()
    [message] = server.wait_for(1)
    assert message.rcpt_to == (user.email,)

    saved = press(client, ADD, form_of(tested), "_save")

    assert saved.status_code == 302
    profile = the_only_profile()
    assert activation.is_live(profile)
    assert profile.enabled
    assert not profile.is_draft
    assert profile.created_by == user
    assert len(server.messages) == 1


def test_the_test_shows_its_steps_and_the_conversation(client, server):
    page = text_of(press(client, ADD, entries_for(client, server), "_send_test"))

    for step in ("Look up the server name", "Connect", "Server greeting", "EHLO", "MAIL FROM", "RCPT TO"):
        assert step in page
    assert "Not encrypted (as configured)" in page
    assert "Passed with notes" in page
    assert "S: 220 sink.example.org ESMTP ready" in page


def test_a_failed_test_names_the_step_and_keeps_save_shut(client):
    with smtp_server(
        security="none", answers={"MAIL": "550 5.7.1 You may not send as shop@example.com"}
    ) as server:
        tested = press(client, ADD, entries_for(client, server), "_send_test")
        refused = press(client, ADD, form_of(tested), "_save")

    assert "550 5.7.1 You may not send as shop@example.com" in text_of(tested)
    assert "not tried" in text_of(tested)
    assert "The test failed. Fix the settings" in text_of(tested)
    assert NEVER_TESTED in text_of(refused)
    assert not SMTPProfile.objects.exists()


CHANGES = [
    ("host", "localhost", "Server"),
    ("port", "2526", "Port"),
    ("security", "starttls", "Security"),
    ("from_address", "other@example.com", "From address"),
    ("bounce_address", "bounce@example.com", "Bounce address"),
    ("minimum_tls", "1.3", "Lowest TLS version"),
    ("ip_version", "4", "IP version"),
    ("source_address", "127.0.0.1", "Source address"),
    ("ehlo_name", "mail.example.com", "EHLO name"),
    ("mechanism", "plain", "Sign-in mechanism"),
    ("pipelining", "sequential", "Pipelining"),
]


@pytest.mark.parametrize(("name", "value", "label"), CHANGES)
def test_each_connection_field_changed_after_the_test_shuts_the_gate(client, server, name, value, label):
    tested = press(client, ADD, entries_for(client, server), "_send_test")

    refused = press(client, ADD, form_of(tested) | {name: value}, "_save")

    assert f"Not saved. Changed after the test: {label}. Or choose “Save as draft”." in text_of(refused)
    assert not SMTPProfile.objects.exists()


def test_every_changed_field_is_named(client, server):
    tested = press(client, ADD, entries_for(client, server), "_send_test")

    refused = press(client, ADD, form_of(tested) | {"host": "localhost", "port": "2526"}, "_save")

    assert "Not saved. Changed after the test: Server, Port. Or choose “Save as draft”." in text_of(refused)
    assert "You changed Server, Port after the test." in text_of(refused)


def test_the_tested_value_typed_back_opens_the_gate_again(client, server):
    tested = press(client, ADD, entries_for(client, server), "_send_test")
    refused = press(client, ADD, form_of(tested) | {"from_address": "other@example.com"}, "_save")

    saved = press(client, ADD, form_of(refused) | {"from_address": "shop@example.com"}, "_save")

    assert saved.status_code == 302


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "Another name"),
        ("notes", "x"),
        ("max_retries", "3"),
        ("priority", "low"),
        ("per_minute", "25"),
    ],
)
def test_what_shapes_no_session_is_saved_without_another_test(client, server, user, name, value):
    profile = a_profile(host=server.host, port=server.port)
    values = form_of(client.get(change_url(profile)))

    saved = press(client, change_url(profile), values | {name: value}, "_save")

    assert saved.status_code == 302
    profile.refresh_from_db()
    assert str(getattr(profile, name)) == value
    assert activation.is_live(profile)


def test_with_always_every_save_needs_a_test(client, server, settings):
    profile = a_profile(host=server.host, port=server.port)
    settings.MAILCONF_TEST_BEFORE_SAVE = "always"

    refused = press(client, change_url(profile), form_of(client.get(change_url(profile))), "_save")

    assert "Not saved." in text_of(refused)


def test_another_persons_test_does_not_count(client, server):
    other = a_user("superuser")
    profile = a_profile(host=server.host, port=server.port)
    client.force_login(other)
    values = form_of(client.get(change_url(profile))) | {"from_address": "new@example.com"}
    press(client, change_url(profile), values, "_send_test")
    client.force_login(a_user("superuser"))

    refused = press(client, change_url(profile), values, "_save")

    sentence = f"Not saved. {other.username} tested these settings; a test of your own is needed."
    assert sentence in text_of(refused)


def test_a_test_counts_for_30_minutes(client, server):
    tested = press(client, ADD, entries_for(client, server), "_send_test")
    long_ago = timezone.now() - timedelta(minutes=31)
    TestRun.objects.update(created_at=long_ago, started_at=long_ago, finished_at=long_ago)
    run = TestRun.objects.get()

    refused = press(client, ADD, form_of(tested), "_save")

    assert "Not saved." in text_of(refused)
    assert not SMTPProfile.objects.exists()
    assert run.state == TestRun.State.PASSED


def test_on_a_saved_profile_an_old_test_is_named_as_the_reason(client, server):
    profile = a_profile(host=server.host, port=server.port)
    values = form_of(client.get(change_url(profile))) | {"from_address": "new@example.com"}
    tested = press(client, change_url(profile), values, "_send_test")
    long_ago = timezone.now() - timedelta(minutes=31)
    TestRun.objects.update(created_at=long_ago, started_at=long_ago, finished_at=long_ago)

    refused = press(client, change_url(profile), form_of(tested), "_save")

    assert "Not saved. The test is older than 30 minutes. Or choose “Save as draft”." in text_of(refused)


@pytest.mark.parametrize(
    "buttons", [(), ("_continue",), ("_addanother",), ("_saveasnew",), ("_popup",), ("action",)]
)
def test_no_forged_button_goes_round_the_gate(client, server, buttons):
    profile = a_profile(name="Live", host=server.host, port=server.port)
    values = form_of(client.get(change_url(profile))) | {"host": "localhost", "name": "Forged"}

    for url in (ADD, change_url(profile)):
        page = press(client, url, values, *buttons)
        assert page.status_code == 200
        assert "Not saved." in text_of(page)

    profile.refresh_from_db()
    assert (profile.host, SMTPProfile.objects.count()) == (server.host, 1)


def test_no_bulk_action_reaches_profiles(client, server):
    profile = a_profile(host=server.host, port=server.port)
    for action in ("delete_selected", "enable", ""):
        data = {
            "action": action,
            "_selected_action": [profile.pk],
            "select_across": "1",
            "index": "0",
            "post": "yes",
        }
        client.post(LIST, data)
    forged = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": profile.pk, "form-0-host": "x"}
    client.post(LIST, forged | {"_save": "Save"})

    profile.refresh_from_db()
    assert profile.host == server.host


def test_a_live_profile_tested_and_not_saved_stays_as_it_is(client, server):
    profile = a_profile(host=server.host, port=server.port)
    values = form_of(client.get(change_url(profile))) | {"from_address": "new@example.com"}

    press(client, change_url(profile), values, "_send_test", "_save", "_save_anyway")

    profile.refresh_from_db()
    assert profile.from_address == "shop@example.com"
    assert activation.is_live(profile)


# The password


def signed_in(client, server, password=CANARY, **fields):
    return entries_for(
        client, server, auth="password", username="shop", password=password, accepts_clear_auth="on", **fields
    )


@pytest.fixture
def closed_server():
    with smtp_server(security="none", auth=("shop", CANARY)) as running:
        yield running


def test_the_password_just_tested_is_saved_though_the_field_comes_back_empty(client, closed_server):
    tested = press(client, ADD, signed_in(client, closed_server), "_send_test")
    assert form_of(tested)["password"] == ""
    assert "Leave empty to save the password you just tested." in text_of(tested)

    press(client, ADD, form_of(tested), "_save")

    profile = the_only_profile()
    assert activation.effective_secret(profile).secret.reveal() == CANARY
    assert activation.is_live(profile)


def test_an_untouched_save_keeps_the_saved_password(client, closed_server):
    test_and_save(client, ADD, signed_in(client, closed_server))
    profile = the_only_profile()
    page = client.get(change_url(profile))
    assert "•••••••• saved" in text_of(page)

    saved = press(client, change_url(profile), form_of(page) | {"notes": "x"}, "_save")

    assert saved.status_code == 302
    profile.refresh_from_db()
    assert activation.effective_secret(profile).secret.reveal() == CANARY


def test_a_typed_mask_is_a_password(client, closed_server):
    test_and_save(client, ADD, signed_in(client, closed_server))
    profile = the_only_profile()

    values = form_of(client.get(change_url(profile))) | {"password": "••••••••"}
    refused = press(client, change_url(profile), values, "_save")

    assert "Changed after the test: Password." in text_of(refused)


REBINDING = [
    ("host", "localhost"),
    ("port", "2526"),
    ("security", "starttls"),
    ("username", "other"),
    ("verification", "none"),
    ("mechanism", "login"),
]


@pytest.mark.parametrize("button", ["_send_test", "_save"])
@pytest.mark.parametrize(("name", "value"), REBINDING)
def test_the_saved_password_never_follows_to_another_destination(client, closed_server, name, value, button):
    profile = a_profile(host=closed_server.host, port=closed_server.port, password=CANARY)
    values = form_of(client.get(change_url(profile))) | {"accepts_unverified": "on"}

    page = press(client, change_url(profile), values | {name: value}, button)

    assert f"The saved password was entered for {closed_server.host}. Enter the password again." in text_of(
        page
    )
    assert closed_server.sessions == 0


def test_the_tested_password_does_not_follow_either(client, closed_server):
    tested = press(client, ADD, signed_in(client, closed_server), "_send_test")

    page = press(client, ADD, form_of(tested) | {"host": "localhost"}, "_send_test")

    assert "Enter the password again: the tested one was entered for other settings." in text_of(page)
    assert closed_server.sessions == 1


@pytest.mark.parametrize(
    ("name", "value", "label"), [("port", "2526", "Port"), ("username", "o", "User name")]
)
def test_a_save_after_a_change_blames_the_change_and_then_asks_for_the_password(
    client, closed_server, name, value, label
):
    tested = press(client, ADD, signed_in(client, closed_server), "_send_test")

    page = press(client, ADD, form_of(tested) | {name: value}, "_save")

    assert [(problem.label, problem.sentence) for problem in page.context["problems"]] == [
        ("", f"Not saved. Changed after the test: {label}. Or choose “Save as draft”."),
        ("Password", "Enter the password again: the tested one was entered for other settings."),
    ]
    assert page.context["panel"].line.startswith(f"You changed {label} after the test.")
    assert not SMTPProfile.objects.exists()


def test_a_saved_profile_changed_after_the_test_of_a_new_password_blames_the_change(client, closed_server):
    profile = a_profile(host=closed_server.host, port=closed_server.port, password="old one")
    values = form_of(client.get(change_url(profile))) | {"password": CANARY}
    tested = press(client, change_url(profile), values, "_send_test")

    page = press(client, change_url(profile), form_of(tested) | {"port": "2526"}, "_save")

    assert "Not saved. Changed after the test: Port." in text_of(page)
    assert "Enter the password again" in text_of(page)


def test_a_password_never_entered_is_what_is_missing(client, closed_server):
    page = press(client, ADD, signed_in(client, closed_server, password=""), "_save")

    assert "Enter the password, or choose “None”." in text_of(page)
    assert "Changed after the test" not in text_of(page)


def test_a_password_typed_and_not_tested_is_asked_for_again(client, closed_server):
    test_and_save(client, ADD, signed_in(client, closed_server))
    profile = the_only_profile()
    values = form_of(client.get(change_url(profile)))
    refused = press(client, change_url(profile), values | {"password": "new one"}, "_save")
    assert "a typed password is not sent back" in text_of(refused)

    page = press(client, change_url(profile), form_of(refused), "_send_test")

    assert "Enter the password again." in text_of(page)


def test_a_new_password_replaces_the_saved_one_after_its_test(client, closed_server):
    test_and_save(client, ADD, signed_in(client, closed_server))
    profile = the_only_profile()
    closed_server.auth = ("shop", "  new, with spaces ")
    values = form_of(client.get(change_url(profile))) | {"password": "  new, with spaces "}

    tested = press(client, change_url(profile), values, "_send_test")
    press(client, change_url(profile), form_of(tested), "_save")

    profile.refresh_from_db()
    assert activation.effective_secret(profile).secret.reveal() == "  new, with spaces "
    assert activation.is_live(profile)


def test_removing_the_password_while_it_is_needed_is_refused(client, closed_server):
    profile = a_profile(host=closed_server.host, port=closed_server.port, password=CANARY)
    values = form_of(client.get(change_url(profile))) | {"remove_password": "on"}

    assert "Enter the password, or choose “None”." in text_of(
        press(client, change_url(profile), values, "_save")
    )


def test_without_a_sign_in_the_password_goes_and_so_does_the_user_name(client, server):
    profile = a_profile(host=server.host, port=server.port, password=CANARY)
    values = form_of(client.get(change_url(profile))) | {"auth": "none"}

    test_and_save(client, change_url(profile), values)

    profile.refresh_from_db()
    assert (profile.password, profile.username, profile.auth) == (None, "", "none")


def test_the_password_is_in_no_page_run_event_or_log(client, closed_server, caplog):
    values = signed_in(client, closed_server)
    pages = [press(client, ADD, values | {"port": "x"}, "_save"), press(client, ADD, values, "_save")]
    tested = press(client, ADD, values, "_send_test")
    pages += [tested, press(client, ADD, form_of(tested), "_save")]
    profile = the_only_profile()
    run = TestRun.objects.get()
    for url in (change_url(profile), LIST, f"/admin/smtp_settings/testrun/{run.pk}/change/"):
        pages.append(client.get(url))
    pages += [client.get("/admin/smtp_settings/testrun/"), client.get("/admin/smtp_settings/event/")]

    written = [text_of(page) for page in pages]
    written += [str(run.steps), str(run.transcript), str(run.settings), run.sentence, caplog.text]
    written += [str(event.data) for event in Event.objects.all()]

    assert all(page.status_code in (200, 302) for page in pages)
    assert not [text for text in written if CANARY in text]


def test_a_missing_key_is_a_sentence_on_the_page(client, closed_server, settings):
    profile = a_profile(host=closed_server.host, port=closed_server.port, password=CANARY)
    settings.MAILCONF_KEYS = ""
    for values in (form_of(client.get(change_url(profile))), signed_in(client, closed_server)):
        for button in ("_save", "_send_test"):
            page = press(client, change_url(profile), values, button)
            assert page.status_code == 200
            assert "key" in text_of(page)
    assert closed_server.sessions == 0
    assert client.get(LIST).status_code == 200


def test_a_saved_password_that_does_not_open_is_asked_for_again(client, closed_server):
    profile = a_profile(host=closed_server.host, port=closed_server.port, password=CANARY)
    broken = bytearray(SMTPProfile.objects.get(pk=profile.pk).password)
    broken[-1] ^= 1
    SMTPProfile.objects.filter(pk=profile.pk).update(password=bytes(broken))
    values = form_of(client.get(change_url(profile)))

    page = press(client, change_url(profile), values, "_save")

    assert "The saved password cannot be read with the current key. Enter it again." in text_of(page)


UNREADABLE = "The saved password cannot be read with the current key. Enter it again."


def test_a_missing_key_is_what_list_and_page_say(client, closed_server, settings):
    profile = a_profile(host=closed_server.host, port=closed_server.port, password=CANARY)
    plain = a_profile(host=closed_server.host, port=closed_server.port)
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", sealing.new_key()

    opened, listed = client.get(change_url(profile)), text_of(client.get(LIST))

    assert text_of(opened).count(UNREADABLE) == 2  # how it stands, and beside the field
    assert "Leave empty to keep the saved password" not in text_of(opened)
    assert UNREADABLE in listed
    for page in (listed, text_of(client.get(change_url(plain)))):
        assert "Not live: cleared under a key that is missing; test and save again" in page
        assert "settings differ" not in page


def test_a_password_entered_again_under_the_new_key_is_live(client, closed_server, settings):
    profile = a_profile(host=closed_server.host, port=closed_server.port, password=CANARY)
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", sealing.new_key()
    values = form_of(client.get(change_url(profile))) | {"password": CANARY}

    test_and_save(client, change_url(profile), values)

    profile.refresh_from_db()
    assert activation.is_live(profile)
    assert UNREADABLE not in text_of(client.get(change_url(profile)))


def test_a_test_of_a_saved_profile_says_what_to_do_about_its_key(client, closed_server, settings):
    profile = a_profile(host=closed_server.host, port=closed_server.port, password=CANARY)
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", sealing.new_key()

    page = text_of(client.post(test_url(profile), follow=True))

    assert "Put the file with that key back, or enter the password again." in page
    assert closed_server.sessions == 0


# Drafts, and saving without a test


def test_a_draft_needs_only_a_name(client):
    values = form_of(client.get(ADD)) | {"name": "Later"}

    press(client, ADD, values, "_draft")

    profile = the_only_profile()
    assert profile.is_draft
    assert not profile.enabled
    assert not activation.is_live(profile)
    assert values["enabled"] == "on"


def test_a_draft_with_a_wrong_value_is_refused(client):
    page = press(client, ADD, form_of(client.get(ADD)) | {"name": "Later", "port": "x"}, "_draft")

    assert "Enter a whole number." in text_of(page)
    assert not SMTPProfile.objects.exists()


def test_a_draft_becomes_live_by_a_test_and_a_save(client, server):
    profile = a_draft(name="Later", host=server.host, port=server.port)
    page = client.get(change_url(profile))
    assert "This profile is a draft and is not used." in text_of(page)

    test_and_save(client, change_url(profile), form_of(page))

    profile.refresh_from_db()
    assert activation.is_live(profile)
    assert profile.enabled


def test_a_draft_of_a_live_profile_asks_before_it_stops_sending(client, server):
    profile = a_profile(name="EU relay", host=server.host, port=server.port)
    values = form_of(client.get(change_url(profile))) | {"host": ""}

    asked = press(client, change_url(profile), values, "_draft")
    assert "Saving a draft takes EU relay off the air" in text_of(asked)
    html = asked.content.decode()
    assert html.index('id="mc-ask"') < html.index('id="id_name"'), "the question is where the page opens"
    profile.refresh_from_db()
    assert activation.is_live(profile)

    press(client, change_url(profile), form_of(asked), "_draft_confirmed")

    profile.refresh_from_db()
    assert profile.is_draft
    assert not activation.is_live(profile)


def test_a_draft_with_another_server_drops_the_password_and_says_so(client, closed_server):
    profile = a_profile(host=closed_server.host, port=closed_server.port, password=CANARY)
    values = form_of(client.get(change_url(profile))) | {"host": "localhost"}

    response = client.post(change_url(profile), values | {"_draft_confirmed": "1"}, follow=True)

    profile.refresh_from_db()
    assert profile.is_draft
    assert profile.password is None
    assert "The saved password was not kept" in text_of(response)


def test_saving_anyway_needs_its_permission(client, server):
    client.force_login(a_user("administrator"))
    values = entries_for(client, server, anyway_reason="The firewall opens tomorrow")
    assert "_save_anyway" not in buttons_of(client.get(ADD))

    assert press(client, ADD, values, "_save_anyway").status_code == 403
    assert not SMTPProfile.objects.exists()


def test_saving_anyway_needs_a_reason_and_is_kept_in_the_log(client, server, user):
    values = entries_for(client, server, anyway_reason="too short")
    assert "at least 10 characters" in text_of(press(client, ADD, values, "_save_anyway"))
    assert not SMTPProfile.objects.exists()

    press(client, ADD, values | {"anyway_reason": "The firewall opens tomorrow"}, "_save_anyway")

    profile = the_only_profile()
    assert activation.is_live(profile)
    assert profile.cleared_without_test == "The firewall opens tomorrow"
    [event] = Event.objects.filter(kind="profile.saved_untested")
    assert (event.user_id, event.data["reason"]) == (user.pk, "The firewall opens tomorrow")
    assert "Saved without a test" in text_of(client.get(LIST))
    assert server.sessions == 0


# Two people


def test_a_save_over_somebody_elses_is_refused_and_shows_both_values(client, server, user):
    profile = a_profile(name="EU relay", host=server.host, port=server.port)
    mine = form_of(client.get(change_url(profile))) | {"notes": "mine"}
    press(
        client, change_url(profile), form_of(client.get(change_url(profile))) | {"notes": "theirs"}, "_save"
    )

    page = press(client, change_url(profile), mine, "_save")

    assert f"{user.username} changed this profile at" in text_of(page)
    assert "theirs" in text_of(page)
    assert form_of(page)["notes"] == "mine"
    profile.refresh_from_db()
    assert profile.notes == "theirs"

    assert press(client, change_url(profile), form_of(page), "_save").status_code == 302


def test_a_save_without_the_version_is_refused(client, server):
    profile = a_profile(host=server.host, port=server.port)
    values = form_of(client.get(change_url(profile)))
    values.pop("version")

    assert "changed this profile" in text_of(press(client, change_url(profile), values, "_save"))


# What is typed


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"host": "https://smtp.example.com:587/"}, "Enter only the host name: smtp.example.com"),
        ({"host": ""}, "Enter the server."),
        ({"port": "0"}, "Ensure this value is greater than or equal to 1."),
        ({"port": "65536"}, "Ensure this value is less than or equal to 65535."),
        ({"auth": "password", "password": "x"}, "Enter the user name, or choose “None”."),
        ({"auth": "password", "username": "x"}, "Tick this, or choose an encrypted connection."),
        ({"security": "tls", "verification": "none"}, "Tick this, or let the certificate be checked."),
        ({"from_policy": "force", "from_address": ""}, "Enter the address every message is sent from."),
        ({"debug_recipients": "a@example.com, b"}, "“b” is not a mail address."),
        ({"from_name": "x\x0by"}, "Line breaks and control characters are not allowed here."),
        ({"ca": "x"}, "This is not a certificate in PEM form"),
        ({"retry_delay": "600", "retry_cap": "60"}, "The retry cap cannot be less than the retry delay."),
        ({"ehlo_name": "a b"}, "“a b” is not a host name."),
        ({"transport": "mailgun"}, "Enter the domain you send from at Mailgun."),
        ({"transport": "pickup", "directory": "out"}, "Enter the whole path, beginning with “/”."),
        ({"auth": "oauth2"}, "Choose the OAuth credential to sign in with."),
        ({"test_to": "a@example.com,b@example.com,c@example.com,d@example.com"}, "at most 3 addresses"),
    ],
)
def test_a_wrong_entry_gets_its_sentence_and_starts_no_test(client, server, fields, sentence):
    page = press(client, ADD, entries_for(client, server, **fields), "_send_test")

    assert sentence in text_of(page)
    assert not TestRun.objects.exists()
    assert server.sessions == 0


def test_a_section_with_an_error_is_open(client, server):
    page = text_of(press(client, ADD, entries_for(client, server, retry_delay="0"), "_save"))
    limits = page[: page.index("Limits and retries")].rsplit("<fieldset", 1)[1]

    assert "<details" not in limits


def test_entries_are_saved_in_their_canonical_form(client, server):
    values = entries_for(
        client, server, debug_recipients="Qa <qa@example.com>; ops@example.com", subject_prefix="[STAGING] "
    )

    test_and_save(client, ADD, values)

    profile = the_only_profile()
    assert profile.debug_recipients == ["qa@example.com", "ops@example.com"]
    assert profile.subject_prefix == "[STAGING] "


def test_a_new_default_takes_the_place_of_the_old_one(client, server):
    old = a_profile(name="Old", is_default=True, host=server.host, port=server.port)
    page = client.get(ADD)
    assert "Old is the default now." in text_of(page)
    assert "is_default" not in form_of(page)

    test_and_save(client, ADD, entries_for(client, server, is_default="on"))

    old.refresh_from_db()
    assert not old.is_default
    assert SMTPProfile.objects.get(name="EU relay").is_default


def test_columns_nobody_may_post_are_ignored(client, server):
    values = entries_for(client, server)
    forged = {"cleared_fingerprint": "f" * 64, "is_draft": "on", "uuid": "0" * 32, "secret_version": "9"}

    assert press(client, ADD, values | forged, "_save").status_code == 200
    test_and_save(client, ADD, values | forged)

    profile = the_only_profile()
    assert profile.cleared_fingerprint != "f" * 64
    assert not profile.is_draft


# The page


def test_enter_presses_save_and_never_a_test(client):
    assert buttons_of(client.get(ADD))[0] == "_save"


def test_a_hostile_servers_words_are_shown_and_inert(client):
    banner = "220 <script>alert(1)</script> {{7*7}} javascript:x \x1b[2J \u202e evil"
    refusal = "550 5.7.1 <img src=x onerror=alert(2)> no"
    with smtp_server(security="none", answers={"BANNER": banner, "RCPT": refusal}) as server:
        page = press(client, ADD, entries_for(client, server), "_send_test")
    run = TestRun.objects.get()
    texts = [text_of(page), text_of(client.get(f"/admin/smtp_settings/testrun/{run.pk}/change/"))]

    for text in texts:
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;img src=x onerror=alert(2)&gt;" in text
        assert "\x1b" not in text
        assert "\u202e" not in text


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_test_talks_to_the_server(client, user):
    def sessions_in_a_transaction():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
                " AND datname = current_database() AND pid <> pg_backend_pid()"
            )
            found = cursor.fetchone()[0]
        connection.close()
        return found

    seen = []
    with (
        ThreadPoolExecutor(1) as another_thread,  # Django's connections belong to threads
        smtp_server(
            security="none",
            answers={
                "RCPT": lambda _: seen.append(another_thread.submit(sessions_in_a_transaction).result())
            },
        ) as server,
    ):
        press(client, ADD, entries_for(client, server), "_send_test")

    assert seen == [0]


def test_a_person_can_make_ten_tests_in_ten_minutes(client, server):
    values = entries_for(client, server)
    for _number in range(10):
        press(client, ADD, values, "_send_test")

    page = press(client, ADD, values, "_send_test")

    assert "Ten tests in ten minutes. Wait" in text_of(page)
    assert server.accepted == 10
    assert not SMTPProfile.objects.exists()


# The list, and tests of saved settings


def test_the_list_says_how_each_profile_stands(client, server):
    live = a_profile(name="Live", host=server.host, port=server.port)
    a_draft(name="Started")
    moved = a_profile(name="Moved", host=server.host, port=server.port)
    SMTPProfile.objects.filter(pk=moved.pk).update(host="elsewhere.example")
    a_profile(name="Off", host=server.host, port=server.port, enabled=False)

    page = text_of(client.get(LIST))

    for words in ("Not encrypted", "Draft", "Not live: settings differ from the tested ones", "Disabled"):
        assert words in page
    assert f"127.0.0.1<wbr>:{live.port}" in page  # a port is not broken in two
    assert "Passed" in page


def test_the_list_costs_the_same_queries_for_many_profiles(client, django_assert_max_num_queries):
    for number in range(8):
        a_profile(name=f"Profile {number:03}", password="x")
    with django_assert_max_num_queries(14):
        client.get(LIST)


def test_the_list_neither_searches_nor_filters_by_secrets(client, server):
    a_profile(host=server.host, port=server.port, password=CANARY)
    for query in (
        "password__isnull=False",
        "password__startswith=M",
        "secret_set_by__password__startswith=p",
    ):
        assert client.get(f"{LIST}?{query}").status_code in (302, 400)
    assert client.get(LIST, {"_to_field": "password"}).status_code in (200, 400)
    assert client.get(f"{ADD}?_to_field=password").status_code == 400


@pytest.mark.django_db(transaction=True)
def test_an_operator_tests_a_saved_profile_to_the_own_address_only(client, server):
    operator = a_user("operator")
    profile = a_profile(host=server.host, port=server.port)
    client.force_login(operator)

    response = client.post(test_url(profile), {"test_to": "somebody@else.example"}, follow=True)

    [message] = server.wait_for(1)
    until(lambda: TestRun.objects.latest("id").finished_at)
    assert message.rcpt_to == (operator.email,)
    assert response.redirect_chain == [
        (reverse("admin:smtp_settings_testrun_change", args=[TestRun.objects.latest("id").pk]), 302)
    ]
    assert "accepted the email for" in text_of(client.get(response.redirect_chain[0][0]))


def test_a_test_of_saved_settings_is_a_post(client, server):
    profile = a_profile(host=server.host, port=server.port)

    assert client.get(test_url(profile)).status_code == 405
    assert server.sessions == 0


def test_a_request_forged_from_another_site_tests_nothing(server, user):
    from django.test import Client

    profile = a_profile(host=server.host, port=server.port)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)

    assert strict.post(test_url(profile)).status_code == 403
    assert strict.post(ADD, {"_send_test": "1"}).status_code == 403
    assert server.sessions == 0


# Roles


ROLES = {
    #            GET list, add, change, POST add (test), change (save), delete, test saved
    "administrator": (200, 200, 200, 200, 302, 200, 302),
    "operator": (200, 403, 200, 403, 403, 403, 302),
    "viewer": (200, 403, 200, 403, 403, 403, 403),
    "nobody": (302, 302, 302, 302, 302, 302, 302),
}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_reaches_what_it_may(client, server, role):
    profile = a_profile(host=server.host, port=server.port)
    values = entries_for(client, server, name="Another")
    client.force_login(a_user(role))

    answers = (
        client.get(LIST).status_code,
        client.get(ADD).status_code,
        client.get(change_url(profile)).status_code,
        press(client, ADD, values, "_send_test").status_code,
        press(client, change_url(profile), values, "_save").status_code,
        client.get(f"{LIST}{profile.pk}/delete/").status_code,
        client.post(test_url(profile)).status_code,
    )

    assert answers == ROLES[role]
    assert server.sessions == {"administrator": 1}.get(role, 0)  # that of a saved one runs beside
    started = TestRun.objects.exclude(user=None).count()
    assert started == {"administrator": 2, "operator": 1}.get(role, 0)


def test_a_viewer_sees_values_and_no_secret_not_even_sealed(client, closed_server):
    profile = a_profile(host=closed_server.host, port=closed_server.port, password=CANARY)
    client.force_login(a_user("viewer"))

    page = text_of(client.get(change_url(profile)))

    assert closed_server.host in page
    assert "saved (set" in page
    assert "memory at" not in page
    assert "_send_test" not in page
    assert "MC1" not in page


def test_a_viewer_sees_what_the_method_uses_and_no_empty_section(client):
    client.force_login(a_user("viewer"))
    pages = [
        client.get(change_url(profile)).content.decode()
        for profile in (a_profile(), a_profile(transport="sendmail", host=""))
    ]

    server, program = ({*re.findall(r"field-(\w+)", page)} for page in pages)
    assert {"host", "verification", "auth", "max_retries", "reply_rules"} <= server
    assert not {"host", "verification", "auth", "password_state", "reply_rules"} & program
    assert {"program", "line_ends", "max_retries"} <= program
    assert ["TLS and network details" in page for page in pages] == [True, False]
    assert (
        not {"username", "password_state", "oauth_credential", "accepts_clear_auth"} & server
    )  # auth is none


def test_a_viewer_reads_names_and_not_keys(client):
    client.force_login(a_user("viewer"))
    shown = text_of(client.get(change_url(a_profile(preset="ses"))))
    assert '<div class="readonly">Amazon SES</div>' in shown
    assert '<div class="readonly">Every site</div>' in shown


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_a_page_for_looking_has_no_button_that_saves(client, server, role):
    profile = a_profile(host=server.host, port=server.port)
    client.force_login(a_user(role))

    assert 'name="_save"' not in text_of(client.get(change_url(profile)))


def test_an_operator_is_offered_the_test_of_the_saved_settings(client, server):
    profile = a_profile(host=server.host, port=server.port)
    client.force_login(a_user("operator"))

    page = text_of(client.get(change_url(profile)))

    assert "Test the saved settings" in page
    assert test_url(profile) in page


def test_who_may_test_and_not_view_runs_sees_the_own_ones_only(client, server):
    profile = a_profile(host=server.host, port=server.port)
    tester = get_user_model().objects.create_user("tester", "tester@example.com", "x", is_staff=True)
    tester.user_permissions.set(
        Permission.objects.filter(codename__in=("test_smtpprofile", "view_smtpprofile"))
    )
    runs = []
    for user in (a_user("superuser"), tester):
        client.force_login(user)
        client.post(test_url(profile))
        runs.append(TestRun.objects.latest("id"))

    answers = [client.get(f"/admin/smtp_settings/testrun/{run.pk}/change/").status_code for run in runs]

    assert answers == [302, 200]
    assert text_of(client.get("/admin/smtp_settings/testrun/")).count('class="field-at') == 1


def test_an_operator_sees_the_own_runs_and_others_see_all(client, server):
    profile = a_profile(host=server.host, port=server.port)
    people = {role: a_user(role) for role in ("operator", "administrator", "viewer")}
    for role in ("operator", "administrator"):
        client.force_login(people[role])
        client.post(test_url(profile))
    foreign = reverse(
        "admin:smtp_settings_testrun_change", args=[TestRun.objects.get(user=people["administrator"]).pk]
    )

    seen = {}
    for role, person in people.items():
        client.force_login(person)
        rows = text_of(client.get("/admin/smtp_settings/testrun/")).count('class="field-at')
        seen[role] = (
            rows,
            client.get(foreign).status_code,
            foreign in text_of(client.get(change_url(profile))),
        )

    assert seen == {
        "operator": (1, 302, False),
        "administrator": (3, 200, True),
        "viewer": (3, 200, True),
    }


def test_a_run_is_called_by_its_profile_and_time(client, server, settings):
    settings.TIME_ZONE = "UTC"
    run = evidence(a_profile(name="Shop"))
    TestRun.objects.filter(pk=run.pk).update(created_at=datetime(2026, 11, 21, 9, 9, tzinfo=UTC))
    run.refresh_from_db()

    page = text_of(client.get(f"/admin/smtp_settings/testrun/{run.pk}/change/"))

    assert str(run) == "Test of Shop, 21 Nov 2026 09:09"
    assert f"<h1>{run}</h1>" in page
    assert str(run.uuid) not in page


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("smtp_settings/smtpprofile", "SMTP profiles"),
        ("smtp_settings/testrun", "Test runs"),
        ("smtp_settings/event", "Event log"),
        ("delivery/message", "Messages"),
        ("auth/user", "Users"),
        ("auth/group", "Groups"),
        ("sites/site", "Sites"),
    ],
)
def test_a_list_is_called_what_the_navigation_calls_it(client, path, title):
    page = text_of(client.get(f"/admin/{path}/"))

    assert f"<h1>{title}</h1>" in page
    assert f"<title>{title} | mailconf</title>" in page
    assert "Select " not in page.partition("<main")[2].partition("<form")[0]


def test_deleting_is_refused_while_messages_wait(client, server):
    from smtp_settings import facts

    profile = a_profile(host=server.host, port=server.port)
    before = list(facts._providers)
    facts.provide(lambda ids: {id_: facts.ProfileFacts(pinned=2233, may_delete=False) for id_ in ids})
    try:
        response = client.post(f"{LIST}{profile.pk}/delete/", {"post": "yes"}, follow=True)
    finally:
        facts._providers[:] = before

    assert "This profile cannot be deleted: 2,233 messages are waiting for it." in text_of(response)
    assert SMTPProfile.objects.filter(pk=profile.pk).exists()


def test_an_unused_profile_is_deleted_after_a_confirmation(client, server):
    profile = a_profile(host=server.host, port=server.port)
    assert client.get(f"{LIST}{profile.pk}/delete/").status_code == 200
    assert SMTPProfile.objects.exists()

    client.post(f"{LIST}{profile.pk}/delete/", {"post": "yes"})

    assert not SMTPProfile.objects.exists()


def test_the_event_log_is_for_reading(client, server):
    a_profile(host=server.host, port=server.port)
    event = Event.objects.first()

    assert client.get("/admin/smtp_settings/event/").status_code == 200
    assert client.get("/admin/smtp_settings/event/add/").status_code == 403
    assert client.post(f"/admin/smtp_settings/event/{event.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"/admin/smtp_settings/event/{event.pk}/change/", {"kind": "x"}).status_code == 403
