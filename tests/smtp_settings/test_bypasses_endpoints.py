"""The endpoints of the test panel under attack (UX 4.6, WIRE 6 E): each checks for itself."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from smtp_settings import test_send
from smtp_settings.models import Event, SMTPProfile, TestRun
from smtp_settings.sealing import Secret
from tests.builders import a_draft, a_profile, a_user, evidence
from tests.servers import smtp_server
from tests.smtp_settings.form_filling import ADD, change_url, entries_for, last_run, press, signing_in
from tests.submitting import form_of

pytestmark = pytest.mark.django_db(transaction=True)  # a test runs in a thread of its own

START = reverse("admin:smtp_settings_testrun_start")
SECRET = "kanarienvogel-7Qz"


@pytest.fixture
def server():
    with smtp_server(security="none", auth=("shop", SECRET)) as running:
        yield running


@pytest.fixture
def user():
    return a_user("superuser")


@pytest.fixture
def client(client, user):
    client.force_login(user)
    return client


def client_for(role):
    client = Client()
    client.user = a_user(role)
    client.force_login(client.user)
    return client


def start(client, values, **more):
    return client.post(START, values | more)


def ended(client, started):
    """Poll a run until it has an end; what the last answer was."""
    deadline = timezone.now() + timedelta(seconds=30)
    while timezone.now() < deadline:
        state = client.get(started.json()["poll"]).json()
        if state["status"] not in ("waiting", "running"):
            return state
    raise AssertionError(f"no end after 30 s: {state['status']}")


def state_url(run):
    return reverse("admin:smtp_settings_testrun_state", args=[run.uuid])


def stop_url(run):
    return reverse("admin:smtp_settings_testrun_stop", args=[run.uuid])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "localhost"),
        ("port", "2526"),
        ("security", "starttls"),
        ("verification", "none"),
        ("username", "other"),
        ("mechanism", "login"),
    ],
)
@pytest.mark.parametrize("kind", ["send", "connect"])
def test_a_kept_password_is_tested_at_no_other_destination(client, server, name, value, kind):
    """E1, E2, E3, B19: also not by a check of the connection, which signs in as well."""
    profile = a_profile(host=server.host, port=server.port, password=SECRET)
    values = form_of(client.get(change_url(profile))) | {"accepts_unverified": "on", name: value}

    answer = start(client, values, _object_id=str(profile.pk), _kind=kind)

    assert answer.status_code == 200
    assert "Enter the password again." in " ".join(answer.json()["errors"]["password"])
    assert server.sessions == 0


def test_a_profile_is_named_by_its_id_and_not_by_what_else_is_posted(client, server):
    """E2: the stored password of another profile is reached by no field."""
    first = a_profile(name="First", host=server.host, port=server.port, password=SECRET)
    second = a_profile(name="Second", host="127.0.0.9", port=2525, password="other")
    values = form_of(client.get(change_url(second))) | {
        "host": server.host, "port": str(server.port), "id": str(first.pk), "pk": str(first.pk),
        "uuid": str(first.uuid),
    }  # fmt: skip

    answer = start(client, values, _object_id=str(second.pk))

    assert "password" in answer.json()["errors"]
    assert server.sessions == 0


@pytest.mark.parametrize(
    ("role", "values", "saved"),
    [("operator", 403, 200), ("viewer", 403, 403), ("staff", 403, 403), ("nobody", 302, 302)],
)
def test_each_role_starts_only_what_it_may(server, role, values, saved):
    """E15, trap 2, B57: operators test saved settings, to their own address."""
    profile = a_profile(host=server.host, port=server.port, password=SECRET)
    owner = client_for("superuser")
    typed = entries_for(owner, server) | {"test_to": "victim@else.example"}
    client = client_for(role)

    assert start(client, typed).status_code == values
    assert start(client, typed, _object_id=str(profile.pk)).status_code == values
    assert server.sessions == 0
    answer = start(client, typed, _object_id=str(profile.pk), _saved="1")
    assert answer.status_code == saved

    if role == "operator":
        assert ended(client, answer)["status"] == "passed"
        assert [message.rcpt_to for message in server.messages] == [(client.user.email,)]
        assert last_run().settings["port"] == server.port


def test_an_inactive_user_starts_nothing(client, server, user):
    """E15."""
    values = entries_for(client, server)
    user.is_active = False
    user.save()

    assert start(client, values).status_code == 302
    assert server.sessions == 0


def test_only_a_post_with_the_token_of_the_page_starts_and_stops(server, user):
    """E16."""
    run = evidence(a_profile(host=server.host, port=server.port), user=user, state="running")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)

    answers = [strict.get(START), strict.post(START), strict.get(stop_url(run)), strict.post(stop_url(run))]

    assert [answer.status_code for answer in answers] == [405, 403, 405, 403]
    assert server.sessions == 0
    run.refresh_from_db()
    assert run.state == "running"


@pytest.mark.parametrize("role", ["operator", "viewer", "staff", "nobody"])
def test_a_run_is_stopped_by_its_owner_and_by_those_who_change_profiles(server, role):
    """Trap 2."""
    run = evidence(a_profile(host=server.host, port=server.port), user=a_user("superuser"), state="running")

    assert client_for(role).post(stop_url(run)).status_code in (302, 403)

    run.refresh_from_db()
    assert run.stop_asked_at is None


@pytest.mark.parametrize(
    ("role", "status"), [("operator", 403), ("staff", 403), ("nobody", 302), ("viewer", 200)]
)
def test_a_foreign_run_is_read_by_those_who_may_see_its_page(server, role, status):
    """Trap 2; the values a person typed are the owner's alone."""
    profile = a_profile(name="Shop", host=server.host, port=server.port, password=SECRET)
    run = evidence(profile, Secret(SECRET), user=a_user("superuser"))

    answer = client_for(role).get(state_url(run))

    assert answer.status_code == status
    if status == 200:
        assert answer.json()["values"] in (None, {})


def test_a_run_that_is_not_there_tells_nothing(client):
    """Trap 2: no way to find out what exists."""
    nowhere = reverse("admin:smtp_settings_testrun_state", args=[uuid4()])

    assert client.get(nowhere).status_code == 404
    assert client_for("staff").get(nowhere).status_code == 403
    assert client_for("nobody").get(nowhere).status_code == 302


@pytest.mark.parametrize(
    "hostile",
    [
        {"_kind": "search"},
        {"_kind": "../../x"},
        {"_kind": ""},
        {"_object_id": "0"},
        {"_object_id": "-1"},
        {"_object_id": "abc"},
        {"_object_id": "1; DROP TABLE"},
        {"_object_id": "9" * 40},
        {"_object_id": "\0"},
        {"_saved": "1"},
        {"_saved": "1", "_object_id": "99999"},
        {"_test_run": "x" * 1000},
        {"_test_run": "\0"},
        {"version": "\0"},
        {"port": "9" * 400},
        {"host": "\0"},
        {"password": "\ud800"},
        {"sites": "abc"},
        {"notify_user": "abc"},
        {"test_to": "x" * 200_000},
        {"ca": "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"},
        {"_apply": "security=tls&port=465"},
        {"_apply": "%"},
        {"_fix": "host=" + "x" * 30_000},
    ],
    ids=str,
)
def test_hostile_words_get_an_answer_and_no_fault(client, server, hostile):
    """E19, E25: whatever is posted, the page gets a sentence it can show."""
    values = entries_for(client, server)
    if "password" in hostile:
        values |= {"auth": "password", "username": "shop", "accepts_clear_auth": "on"}
        hostile = {"password": hostile["password"].encode("utf-8", "surrogatepass")}

    answer = start(client, values | hostile)

    assert answer.status_code in (200, 403, 404), answer.content[:500]
    if answer.status_code == 200 and "id" in answer.json():
        ended(client, answer)


def test_every_start_is_an_event_with_the_address_it_came_from(client, server, user):
    """E24."""
    ended(client, start(client, signing_in(client, server, SECRET)))

    event = Event.objects.get(kind="test.started")
    assert (event.user_id, event.ip) == (user.pk, "127.0.0.1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "::ffff:127.0.0.1", "169.254.169.254"])
def test_no_forbidden_address_is_connected(client, server, settings, host):
    """E21, E22."""
    settings.MAILCONF_ALLOWED_NETWORKS = []

    answer = start(client, entries_for(client, server, host=host))

    if "id" in answer.json():
        assert ended(client, answer)["status"] == "failed"
    assert server.sessions == 0


def test_the_tenth_test_is_the_last_for_a_while(client, server, user):
    """E24, E26, B31: also for checks of the connection."""
    profile = a_profile(host=server.host, port=server.port)
    for _number in range(10):
        evidence(profile, user=user)

    for kind in ("send", "connect"):
        answer = start(client, entries_for(client, server), _kind=kind).json()
        assert answer["limited"].startswith("Ten tests in ten minutes. Wait ")
    assert server.sessions == 0


def test_a_refused_sign_in_is_not_tried_a_fourth_time(client, server):
    """E29."""
    for number in range(3):
        assert (
            ended(client, start(client, signing_in(client, server, f"wrong {number}")))["status"] == "failed"
        )

    assert "refused three times" in start(client, signing_in(client, server, "wrong")).json()["limited"]
    assert server.verbs().count("AUTH") == 3


def test_a_second_test_waits_for_the_first(client, server, user):
    """E24: one at a time, and the page is told where the other one is."""
    running = evidence(a_profile(host=server.host, port=server.port), user=user, state="running")
    TestRun.objects.filter(pk=running.pk).update(finished_at=None)

    answer = start(client, entries_for(client, server)).json()

    assert "still running" in answer["limited"]
    assert answer["run"] == state_url(running)


def test_a_poll_ends_a_run_whose_process_is_gone(client, server, user):
    """E30: reload, poll: a terminal state always comes, without another test being started."""
    run = evidence(a_profile(host=server.host, port=server.port), user=user, state="running")
    long_ago = timezone.now() - timedelta(minutes=5)
    TestRun.objects.filter(pk=run.pk).update(finished_at=None, created_at=long_ago, started_at=long_ago)

    assert client.get(state_url(run)).json()["status"] == "stopped"


def test_a_check_of_the_connection_opens_no_gate(client, server):
    """E13, E11: only an email that was accepted is evidence."""
    values = signing_in(client, server, SECRET)
    started = start(client, values, _kind="connect")
    assert ended(client, started)["status"] == "passed"

    press(client, ADD, values | {"_test_run": started.json()["id"]}, "_save")

    assert not SMTPProfile.objects.exists()
    assert server.messages == []


def test_without_scripts_a_check_sends_nothing_and_opens_no_gate_either(client, server):
    values = signing_in(client, server, SECRET, test_to="")

    page = press(client, ADD, values, "_check")

    assert "The connection works. It does not open Save" in page.content.decode()
    assert server.messages == []
    kept = form_of(page)
    assert kept["host"] == server.host
    press(client, ADD, kept | {"password": SECRET}, "_save")
    assert not SMTPProfile.objects.exists()


def test_a_started_test_is_the_evidence_for_what_was_typed_and_for_nothing_else(client, server):
    """E11, E12."""
    values = signing_in(client, server, SECRET)
    started = start(client, values)
    assert ended(client, started)["status"] == "passed"
    proof = {"_test_run": started.json()["id"]}

    for changed in ({"host": "localhost"}, {"password": "another"}, {"from_address": "x@example.com"}):
        press(client, ADD, values | proof | changed, "_save")
        assert not SMTPProfile.objects.exists(), changed
    press(client, ADD, values | proof | {"password": ""}, "_save")  # the one just tested

    assert SMTPProfile.objects.get().name == "EU relay"


def test_answers_are_kept_by_nobody(client, server, user):
    """UX 4.6: `no-store`."""
    run = evidence(a_profile(host=server.host, port=server.port), user=user)

    for answer in (client.get(state_url(run)), start(client, {})):
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_draft_is_not_tested_as_saved_by_an_operator(server):
    """E15: what nobody has saved as ready is not run by those who may not see to it."""
    draft = a_draft(name="Later", host=server.host, port=server.port)

    answer = start(client_for("operator"), {}, _object_id=str(draft.pk), _saved="1")

    assert answer.status_code in (200, 403)
    if answer.status_code == 200 and "id" in answer.json():
        assert ended(client_for("superuser"), answer)["status"] in ("passed", "failed")


def test_the_poll_costs_next_to_nothing(client, server, user, django_assert_max_num_queries):
    """UX 4.6: one query for the run; the session and the person are two more, a name one."""
    run = evidence(a_profile(host=server.host, port=server.port), user=user)
    client.get(state_url(run))

    with django_assert_max_num_queries(5):
        client.get(state_url(run))


def test_what_was_stopped_says_so_and_is_no_evidence(client, user):
    """B10: Stop ends the connection; what is stopped opens nothing."""
    with smtp_server(security="none") as server:
        values = entries_for(client, server)
        run = test_send.candidate(a_profile(host=server.host, port=server.port), None, user)

        answer = client.post(stop_url(run)).json()

        assert answer["status"] == "stopped"
        assert "Stopped" in answer["badge"]
        press(client, ADD, values | {"_test_run": str(run.uuid)}, "_save")
        assert server.sessions == 0
    assert not SMTPProfile.objects.filter(name="EU relay").exists()
