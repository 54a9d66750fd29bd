"""The endpoints of the test panel: who may, what they answer, and that a test runs beside the request."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from smtp_settings import test_send
from smtp_settings.clearance import activation
from smtp_settings.models import Event, SMTPProfile, TestRun
from smtp_settings.sealing import Secret
from tests.acceptance.processes import until
from tests.builders import a_profile, a_user, unsaved_profile
from tests.servers import smtp_server
from tests.smtp_settings.form_filling import ADD, entries_for
from tests.smtp_settings.test_carrying import no_thread_is_left  # noqa: F401  # for every test here
from tests.submitting import form_of
from tests.wire.evil import evil_server_beside, hang

CANARY = "c4nary-pa55 word"
START = "/admin/smtp_settings/smtpprofile/test-runs/start/"


@pytest.fixture
def as_(client):
    def sign_in(role):
        user = role if not isinstance(role, str) else a_user(role)
        client.force_login(user)
        client.user = user
        return client

    return sign_in


def values_for(client, server, **more):
    """What the page's script posts: a new profile, and what the test is of."""
    own = {"test_to": "inbox@example.com", "_object_id": "", "_kind": "send"}
    return entries_for(client, server, **own | more)


def started(client, values):
    answer = client.post(START, values)
    assert answer.status_code == 200, answer.content
    return answer.json()


def followed(client, answer):
    """The state of a run at its end, as the page's script hears of it."""
    assert set(answer) == {"id", "poll", "stop"}, answer

    def state():
        heard.append(client.get(answer["poll"]).json())
        return heard[-1]["status"] in ("passed", "failed", "stopped")

    heard = []
    until(state)
    return heard[-1]


# A start


@pytest.mark.django_db(transaction=True)
def test_a_start_answers_at_once_and_the_page_follows_the_run(as_):
    client = as_("administrator")
    with evil_server_beside({"banner": hang}) as server:
        answer = started(client, values_for(client, server))
        until(lambda: server.open == 1)
        assert client.get(answer["poll"]).json()["status"] == "running"
        stopped = client.post(answer["stop"]).json()
        assert stopped["status"] in ("running", "stopped")
        assert followed(client, answer)["status"] == "stopped"
        until(lambda: server.open == 0)


@pytest.mark.django_db(transaction=True)
def test_a_passed_run_lets_the_same_values_be_saved(as_):
    client = as_("administrator")
    with smtp_server(auth=("shop", CANARY)) as server:
        values = values_for(
            client, server, auth="password", username="shop", password=CANARY, accepts_clear_auth="on"
        )
        answer = started(client, values)
        state = followed(client, answer)
        assert state["status"] == "passed", state
        assert 1700 < state["expires_in"] <= 1800
        assert state["values"]["host"] == server.host
        assert CANARY not in str(state)
        client.post(ADD, values | {"_test_run": answer["id"], "password": ""})
    assert activation.is_live(SMTPProfile.objects.get())


@pytest.mark.django_db(transaction=True)
def test_a_connection_check_needs_no_recipient_and_does_not_open_save(as_):
    client = as_(a_user("administrator", email=""))
    with smtp_server() as server:
        values = values_for(client, server, test_to="", _kind="connect")
        answer = started(client, values)
        state = followed(client, answer)
        assert (state["status"], state["kind"]) == ("passed", "connect")
        page = client.post(ADD, values | {"_test_run": answer["id"], "test_to": ""})
        assert server.accepted == 0
    assert "Not saved" in page.content.decode()
    assert not SMTPProfile.objects.exists()


@pytest.mark.django_db
def test_wrong_entries_are_told_by_field_and_nothing_starts(as_):
    with smtp_server() as server:
        client = as_("administrator")
        answer = started(client, values_for(client, server, host="https://x/", test_to="no address"))
        assert server.sessions == 0
    assert set(answer) == {"errors"}
    assert set(answer["errors"]) >= {"host", "test_to"}
    assert all(isinstance(one, str) for found in answer["errors"].values() for one in found)
    assert not TestRun.objects.exists()


@pytest.mark.django_db
def test_a_kept_password_is_not_said_to_another_server(as_):
    client = as_("administrator")
    with smtp_server(auth=("shop", CANARY)) as server:
        profile = a_profile(password=CANARY)
        values = form_of(client.get(f"/admin/smtp_settings/smtpprofile/{profile.pk}/change/"))
        answer = started(
            client, values | {"_object_id": profile.pk, "_kind": "send", "port": server.port, "password": ""}
        )
        assert server.sessions == 0
    assert "Enter the password again" in " ".join(answer["errors"]["password"])


@pytest.mark.django_db
def test_a_profile_that_was_deleted_meanwhile_is_told(as_):
    with smtp_server() as server:
        client = as_("administrator")
        answer = started(client, values_for(client, server, _object_id="4711"))
    assert "deleted" in answer["errors"]["__all__"][0]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["search", "nonsense", ""])
def test_another_kind_of_test_does_not_start_here(as_, kind):
    with smtp_server() as server:
        client = as_("administrator")
        answer = started(client, values_for(client, server, _kind=kind))
    assert "errors" in answer
    assert not TestRun.objects.exists()


@pytest.mark.django_db
def test_a_second_start_is_told_what_runs(as_):
    client = as_("administrator")
    run = test_send.candidate(unsaved_profile(), None, client.user)
    with smtp_server() as server:
        answer = started(client, values_for(client, server))
    assert "still running" in answer["limited"]
    assert answer["run"] == reverse("admin:smtp_settings_testrun_state", args=[run.uuid])


@pytest.mark.django_db(transaction=True)
def test_a_double_click_sends_one_email(as_):
    client = as_("administrator")
    with smtp_server() as server:
        values = values_for(client, server)
        meeting, answers = threading.Barrier(2), []

        def click():
            own = Client()
            own.force_login(client.user)
            meeting.wait(60)
            answers.append(own.post(START, values).json())
            connection.close()

        clicks = [threading.Thread(target=click) for _number in range(2)]
        for thread in clicks:
            thread.start()
        for thread in clicks:
            thread.join(60)
        [answer] = [one for one in answers if "id" in one]
        [other] = [one for one in answers if "id" not in one]
        followed(client, answer)
        assert other == {"limited": "Another of your tests is still running.", "run": answer["poll"]}
        assert len(server.messages) == 1


@pytest.mark.django_db(transaction=True)
def test_each_start_is_an_event_with_the_address_and_the_kind(as_):
    client = as_("administrator")
    with smtp_server() as server:
        answer = client.post(
            START, values_for(client, server, _kind="connect"), REMOTE_ADDR="203.0.113.9"
        ).json()
        followed(client, answer)
    event = Event.objects.get(kind="test.started")
    assert (event.ip, event.user_id, event.data["test"]) == ("203.0.113.9", client.user.pk, "connect")


@pytest.mark.django_db(transaction=True)
def test_the_link_in_the_email_leads_to_the_address_the_person_uses(as_):
    client = as_("administrator")
    with smtp_server() as server:
        followed(client, started(client, values_for(client, server)))
        [message] = server.messages
    assert TestRun.objects.get().link_base == "http://testserver"
    assert b"http://testserver/test-received/" in message.content.replace(b"=\r\n", b"")


# A saved profile


@pytest.mark.django_db(transaction=True)
def test_an_operator_tests_a_profile_as_it_is_saved_to_the_own_address(as_):
    client = as_("operator")
    with smtp_server(auth=("shop", CANARY)) as server:
        profile = a_profile(password=CANARY, port=server.port)
        answer = started(
            client,
            {"_object_id": profile.pk, "_saved": "1", "_kind": "send", "host": "evil.example",
             "test_to": "else@example.com"},
        )  # fmt: skip
        assert followed(client, answer)["status"] == "passed"
        [message] = server.messages
    assert message.rcpt_to == (client.user.email,)


@pytest.mark.django_db
def test_a_saved_password_that_does_not_open_is_told(as_, settings):
    profile = a_profile(password=CANARY)
    settings.MAILCONF_KEYS = settings.MAILCONF_KEYS_FILE = ""
    answer = started(as_("operator"), {"_object_id": profile.pk, "_saved": "1", "_kind": "send"})
    assert answer["errors"]["__all__"]
    assert not TestRun.objects.filter(user__isnull=False).exists()


# Who may


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["operator", "viewer", "staff"])
def test_the_forms_values_are_tested_only_by_who_may_save_them(as_, role):
    profile = a_profile()
    with smtp_server() as server:
        values = values_for(as_("administrator"), server)
        client = as_(role)
        for object_id in ("", profile.pk):
            assert client.post(START, values | {"_object_id": object_id}).status_code == 403
        assert server.sessions == 0


@pytest.mark.django_db
def test_a_saved_profile_is_tested_only_with_the_permission(as_):
    with smtp_server() as server:
        profile = a_profile(port=server.port)
        answer = as_("viewer").post(START, {"_object_id": profile.pk, "_saved": "1"})
        assert answer.status_code == 403
        assert server.sessions == 0


@pytest.mark.django_db
def test_a_person_who_may_add_but_not_change_does_not_test_changes(as_):
    user = a_user("viewer")
    user.user_permissions.add(Permission.objects.get(codename="add_smtpprofile"))
    profile = a_profile()
    with smtp_server() as server:
        values = values_for(as_("administrator"), server, _object_id=profile.pk)
        assert as_(user).post(START, values).status_code == 403


@pytest.mark.django_db
def test_signed_out_or_inactive_is_led_to_the_sign_in(client, as_):
    run = test_send.candidate(unsaved_profile(), None, None, ["inbox@example.com"])
    urls = [
        START,
        *(reverse(f"admin:smtp_settings_testrun_{name}", args=[run.uuid]) for name in ("state", "stop")),
    ]
    for url in urls:
        assert client.post(url).status_code == 302
    user = a_user("administrator")
    as_(user)
    user.is_active = False
    user.save()
    for url in urls:
        assert client.post(url).status_code == 302


@pytest.mark.django_db
def test_a_start_without_the_token_is_refused_and_none_is_a_get(as_):
    run = test_send.candidate(unsaved_profile(), None, None, ["inbox@example.com"])
    stop = reverse("admin:smtp_settings_testrun_stop", args=[run.uuid])
    client = as_("administrator")
    assert client.get(START).status_code == 405
    assert client.get(stop).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(client.user)
    assert strict.post(START, {}).status_code == 403
    assert strict.post(stop).status_code == 403


@pytest.mark.django_db
def test_who_may_see_a_run_is_who_may_open_its_page(as_):
    owner = a_user("operator")
    run = test_send.candidate(unsaved_profile(), Secret(CANARY), owner)
    state = reverse("admin:smtp_settings_testrun_state", args=[run.uuid])
    for role, status in (("administrator", 200), ("viewer", 200), ("operator", 403)):
        answer = as_(role).get(state)
        assert answer.status_code == status
        if status == 200:
            assert answer.json()["values"] == {}
    answer = as_(owner).get(state)
    assert answer.json()["values"]["host"] == "127.0.0.1"
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_a_run_that_is_not_there_is_not_found_by_who_may_look(as_):
    url = reverse("admin:smtp_settings_testrun_state", args=["7d444840-9dc0-11d1-b245-5ffdce74fad2"])
    assert as_("viewer").get(url).status_code == 404


@pytest.mark.django_db
def test_a_run_is_stopped_by_its_owner_and_by_who_changes_profiles_only(as_):
    run = test_send.candidate(unsaved_profile(), None, a_user("operator"))
    stop = reverse("admin:smtp_settings_testrun_stop", args=[run.uuid])
    assert as_("operator").post(stop).status_code == 403
    assert as_("viewer").post(stop).status_code == 403
    run.refresh_from_db()
    assert run.state == TestRun.State.WAITING
    assert as_("administrator").post(stop).json()["status"] == "stopped"


# A state


@pytest.mark.django_db
def test_an_unchanged_state_comes_without_its_html(as_):
    client = as_("administrator")
    run = test_send.candidate(unsaved_profile(), None, client.user)
    url = reverse("admin:smtp_settings_testrun_state", args=[run.uuid])
    first = client.get(url).json()
    again = client.get(url, {"seq": first["seq"]}).json()
    assert "html" in first
    assert "html" not in again
    assert again["status"] == first["status"]
    test_send.stop(run, client.user)
    later = client.get(url, {"seq": first["seq"]}).json()
    assert later["seq"] > first["seq"]
    assert "html" in later


@pytest.mark.django_db
def test_a_state_asks_for_the_run_once(as_, django_assert_max_num_queries):
    client = as_("administrator")
    run = test_send.candidate(unsaved_profile(), None, client.user)
    with django_assert_max_num_queries(5):  # session, person, permissions (2), run
        client.get(reverse("admin:smtp_settings_testrun_state", args=[run.uuid]))


@pytest.mark.django_db(transaction=True)
def test_a_web_process_that_restarts_ends_the_run_it_had(as_):
    """B24: the page goes on asking, and another process answers."""
    client = as_("administrator")
    run = test_send.candidate(unsaved_profile(), None, client.user)
    then = timezone.now() - timedelta(seconds=12)
    TestRun.objects.update(state="running", started_at=then, heartbeat_at=then)
    state = client.get(reverse("admin:smtp_settings_testrun_state", args=[run.uuid])).json()
    assert state["status"] == "stopped"
    run.refresh_from_db()
    assert "process that ran it was stopped" in run.sentence


@pytest.mark.django_db(transaction=True)
def test_a_page_that_asks_takes_a_run_no_worker_took(as_):
    client = as_("administrator")
    with smtp_server() as server:
        run = test_send.candidate(unsaved_profile(port=server.port), None, client.user)
        TestRun.objects.update(created_at=timezone.now() - timedelta(seconds=6))
        url = reverse("admin:smtp_settings_testrun_state", args=[run.uuid])
        assert client.get(url).json()["status"] == "running"
        until(lambda: client.get(url).json()["status"] == "passed")
        assert len(server.messages) == 1


@pytest.mark.django_db(transaction=True)
def test_the_password_is_in_no_answer_run_event_or_log(as_, caplog):
    client = as_("administrator")
    echo = f"535 5.7.8 what is {CANARY}"
    with smtp_server(auth=("shop", "another"), answers={"AUTH": echo}) as server:
        values = values_for(
            client, server, auth="password", username="shop", password=CANARY, accepts_clear_auth="on"
        )
        state = followed(client, started(client, values))
    run = TestRun.objects.get()
    for where in (state, list(Event.objects.values()), run.steps, run.transcript, run.settings, caplog.text):
        assert CANARY not in str(where)
