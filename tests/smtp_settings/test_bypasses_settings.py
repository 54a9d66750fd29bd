"""Bad inputs of profiles and tests over HTTP (WIRE 6 E): each ends in a sentence, and nothing is opened."""

import socket
from datetime import timedelta

import django
import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from smtp_settings import wire
from smtp_settings.clearance import activation
from smtp_settings.models import Event, SMTPProfile, TestRun
from tests.builders import a_profile, a_user, evidence
from tests.pages import text_of
from tests.servers import smtp_server
from tests.smtp_settings.form_filling import (
    ADD,
    LIST,
    change_url,
    entries_for,
    last_run,
    press,
    saved_test_url,
    signing_in,
    try_out,
)
from tests.submitting import form_of

pytestmark = pytest.mark.django_db

SECRET = "kanarienvogel-7Qz"


@pytest.fixture
def server():
    with smtp_server(security="none") as running:
        yield running


@pytest.fixture
def closed_server():
    with smtp_server(security="none", auth=("shop", SECRET)) as running:
        yield running


@pytest.fixture
def user():
    return a_user("superuser")


@pytest.fixture
def client(client, user):
    client.force_login(user)
    return client


# The password and its destination


@pytest.mark.parametrize("button", ["_send_test", "_save", "_draft", "_save_anyway"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "localhost"),
        ("port", "2526"),
        ("security", "starttls"),
        ("verification", "none"),
        ("ca", "the authority's"),
        ("username", "other"),
        ("mechanism", "login"),
    ],
)
def test_a_kept_password_goes_to_no_other_destination_by_any_button(
    client, closed_server, name, value, button
):
    """E1, E2, E3."""
    profile = a_profile(host=closed_server.host, port=closed_server.port, password=SECRET)
    if name == "ca":
        value = closed_server.ca_pem
    values = form_of(client.get(change_url(profile)))
    values |= {name: value, "accepts_unverified": "on", "anyway_reason": "The firewall opens tomorrow"}

    press(client, change_url(profile), values, button)

    assert "AUTH" not in closed_server.verbs()
    profile.refresh_from_db()
    if button == "_draft" and profile.is_draft:
        assert profile.password is None
    else:
        assert activation.effective_secret(profile).secret.reveal() == SECRET
        assert activation.is_live(profile)


def test_the_password_of_another_persons_test_is_never_mine(client, closed_server):
    """E12, trap 5: `_test_run` of somebody else means nothing."""
    tested = press(client, ADD, signing_in(client, closed_server, SECRET), "_send_test")
    values = form_of(tested)
    assert values["_test_run"]
    client.force_login(a_user("superuser"))

    for button in ("_save", "_send_test"):
        press(client, ADD, values, button)

    assert not SMTPProfile.objects.exists()
    assert TestRun.objects.count() == 1


def test_the_evidence_of_another_profile_does_not_count(client, server):
    """E12: the same values in another profile need a test of their own."""
    first = a_profile(host=server.host, port=server.port)
    values = form_of(client.get(change_url(first))) | {"from_address": "new@example.com"}
    proof = press(client, change_url(first), values, "_send_test")
    second = a_profile(host=server.host, port=server.port)
    mine = form_of(client.get(change_url(second))) | {"from_address": "new@example.com"}

    refused = press(client, change_url(second), mine | {"_test_run": form_of(proof)["_test_run"]}, "_save")

    assert "Not saved." in text_of(refused)
    second.refresh_from_db()
    assert second.from_address == "shop@example.com"


def test_the_evidence_of_a_saved_profile_makes_no_second_one_live(client, server):
    """E12: posted to the form of a new profile, it neither saves a twin nor breaks the page."""
    profile = a_profile(name="Shop", host=server.host, port=server.port)
    values = form_of(client.get(change_url(profile))) | {"from_address": "new@example.com"}
    proof = form_of(press(client, change_url(profile), values, "_send_test"))["_test_run"]

    twin = entries_for(client, server, name="Twin", from_address="new@example.com", _test_run=proof)
    answers = [press(client, ADD, twin, button).status_code for button in ("_save", "_send_test", "_save")]

    assert set(answers) <= {200, 302}
    assert [way.name for way in wire.ways_out()] == ["Shop"]
    profile.refresh_from_db()
    assert (profile.name, profile.from_address) == ("Shop", "shop@example.com")


def test_passed_evidence_does_not_open_what_was_altered_before_save(client, closed_server):
    """E11: another password after the test is another candidate."""
    tested = press(client, ADD, signing_in(client, closed_server, SECRET), "_send_test")

    refused = press(client, ADD, form_of(tested) | {"password": "another"}, "_save")

    assert "Changed after the test: Password." in text_of(refused)
    assert not SMTPProfile.objects.exists()


@pytest.mark.parametrize(
    "password",
    ["  ends in spaces  ", "a:b:c", "пароль", "🔑🔑", "\ttab", "x" * 1024, "\u00a0", "a\\b\"c'd%s{}", "="],
    ids=["spaces", "colons", "cyrillic", "emoji", "tab", "1024", "no-break space", "signs", "equals"],
)
def test_a_password_reaches_the_server_exactly_as_typed(client, password):
    """E10."""
    with smtp_server(security="none", auth=("shop", password)) as server:
        values = try_out(client, ADD, signing_in(client, server, password))
        saved = press(client, ADD, values, "_save")

        assert last_run().state == "passed", last_run().sentence
        assert saved.status_code == 302
    assert activation.effective_secret(SMTPProfile.objects.get()).secret.reveal() == password


@pytest.mark.parametrize("password", ["a\0b", "x" * 1025, "x" * 4096], ids=["NUL", "1025", "4 KB"])
def test_a_password_that_cannot_be_sent_is_a_sentence(client, closed_server, password):
    """E10."""
    page = press(client, ADD, signing_in(client, closed_server, password), "_send_test")

    assert page.status_code == 200
    assert closed_server.sessions == 0
    assert page.context["problems"]


def test_a_typed_mask_is_tested_as_a_password(client, closed_server):
    """E9: there is no value that means unchanged."""
    profile = a_profile(host=closed_server.host, port=closed_server.port, password=SECRET)
    values = form_of(client.get(change_url(profile))) | {"password": "••••••••"}

    press(client, change_url(profile), values, "_send_test")

    assert last_run().failed_phase == "auth"


# Who may


def test_who_may_not_change_starts_no_test_of_what_is_typed(client, server):
    """E15, trap 2."""
    values = entries_for(client, server)
    profile = a_profile(host=server.host, port=server.port)
    for role in ("operator", "viewer", "staff", "nobody"):
        stranger = Client()
        stranger.force_login(a_user(role))
        for url in (ADD, change_url(profile)):
            assert press(stranger, url, values, "_send_test").status_code in (302, 403), (role, url)

    assert server.sessions == 0
    assert not TestRun.objects.filter(user__isnull=False).exists()


def test_a_user_switched_off_meanwhile_starts_no_test(client, server, user):
    """E15."""
    values = entries_for(client, server)
    profile = a_profile(host=server.host, port=server.port)
    user.is_active = False
    user.save()

    answers = [
        press(client, ADD, values, "_send_test").status_code,
        client.post(saved_test_url(profile)).status_code,
    ]

    assert answers == [302, 302]
    assert server.sessions == 0


def test_a_test_is_neither_a_get_nor_somebody_elses_form(server, user):
    """E16."""
    profile = a_profile(host=server.host, port=server.port)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)

    assert strict.get(saved_test_url(profile)).status_code == 405
    assert strict.post(saved_test_url(profile)).status_code == 403
    for button in ("_send_test", "_save", "_draft", "_save_anyway"):
        assert strict.post(ADD, {"name": "x", button: "1"}).status_code == 403
    assert server.sessions == 0
    assert not TestRun.objects.filter(user=user).exists()


def test_no_list_edits_in_place_and_no_form_has_others_in_it():
    """E18, trap 11: what bypasses a form's checks is switched on nowhere in the admin."""
    assert django.VERSION >= (5, 2, 19)
    admin.autodiscover()
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label in ("smtp_settings", "delivery"):
            assert not model_admin.list_editable, model
            assert not model_admin.inlines, model
            assert not model_admin.save_as, model


def test_a_forged_edit_in_the_list_changes_nothing(client, server):
    """E18, E17."""
    profile = a_profile(host=server.host, port=server.port)
    forged = {
        "form-TOTAL_FORMS": "1",
        "form-INITIAL_FORMS": "1",
        "form-MIN_NUM_FORMS": "0",
        "form-MAX_NUM_FORMS": "1000",
        "form-0-id": profile.pk,
        "form-0-host": "evil.example",
        "form-0-enabled": "",
        "_save": "Save",
    }

    client.post(LIST, forged)
    client.post(LIST, {"action": "delete_selected", "select_across": "1", "post": "yes", "index": "0"})

    profile.refresh_from_db()
    assert (profile.host, activation.is_live(profile)) == (server.host, True)


NEVER_POSTED = {
    "cleared_fingerprint": "f" * 64,
    "cleared_key": "f" * 64,
    "cleared_at": "2026-11-20",
    "cleared_by": "1",
    "cleared_without_test": "x",
    "is_draft": "on",
    "uuid": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
    "secret_version": "9",
    "secret_set_by": "1",
    "created_by": "1",
    "changed_by": "1",
    "id": "77",
    "pk": "77",
}


@pytest.mark.parametrize("name", NEVER_POSTED)
def test_a_posted_column_that_is_no_field_is_ignored(client, server, name):
    """E19."""
    profile = a_profile(name="Shop", host=server.host, port=server.port)
    before = SMTPProfile.objects.values().get(pk=profile.pk)
    values = form_of(client.get(change_url(profile))) | {name: NEVER_POSTED[name], "notes": "x"}

    assert press(client, change_url(profile), values, "_save").status_code == 302

    after = SMTPProfile.objects.values().get(pk=profile.pk)
    saved = {"notes", "version", "changed_at", "changed_by_id"}
    assert {key: value for key, value in after.items() if key not in saved} == {
        key: value for key, value in before.items() if key not in saved
    }


@pytest.mark.parametrize(
    "query",
    [
        "password__startswith=M",
        "password__regex=.",
        "password=x",
        "secret_set_by__password__startswith=p",
        "changed_by__password__startswith=p",
        "oauth_credential__client_secret__startswith=M",
        "test_runs__secret__isnull=False",
        "cleared_fingerprint__startswith=a",
        "o=password",
        "_to_field=password",
        "_to_field=cleared_fingerprint",
        "_popup=1&_to_field=password",
    ],
)
@pytest.mark.parametrize("role", ["superuser", "viewer"])
def test_no_address_of_a_list_asks_about_a_secret(query, role, server):
    """E20: a filter that takes a secret's beginning tells the secret."""
    a_profile(name="Shop", host=server.host, port=server.port, password=SECRET)
    client = Client()
    client.force_login(a_user(role))

    answer = client.get(f"{LIST}?{query}")

    assert answer.status_code in (200, 302, 400)
    if answer.status_code == 200:  # then the query was not understood, and the list is whole
        assert "Shop" in text_of(answer)
        assert SECRET not in text_of(answer)


@pytest.mark.parametrize(
    "query", ["settings__password__startswith=x", "secret__isnull=False", "user__password__startswith=p"]
)
def test_no_address_of_the_test_runs_asks_about_a_secret(client, server, query):
    """E20."""
    a_profile(host=server.host, port=server.port, password=SECRET)

    assert client.get(f"/admin/smtp_settings/testrun/?{query}").status_code in (302, 400)


def test_search_finds_no_secret(client, server):
    """E20."""
    a_profile(name="Shop", host=server.host, port=server.port, password=SECRET)

    assert "No profile matches these filters." in text_of(client.get(LIST, {"q": SECRET}))
    assert "1 SMTP profile" in text_of(client.get(LIST, {"q": "Shop"}))


# Where a test may go

#: Written as people and attackers write loopback, link-local, metadata and what stands for them.
FORBIDDEN = [
    "127.0.0.1",
    "localhost",
    "0.0.0.0",
    "169.254.169.254",
    "100.100.100.200",
    "10.0.0.1",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "[::1]",
    "::",
    "::ffff:127.0.0.1",
    "fd00:ec2::254",
    "fe80::1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::1",
    "2001:0:7f00:1::80ff:fffe",
]
SPELLINGS = [
    "127.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "127.0.0.1.",
    "LOCALHOST",
    "\uff11\uff12\uff17.0.0.1",
]


@pytest.mark.parametrize("host", [*FORBIDDEN, *SPELLINGS])
def test_a_test_connects_to_no_address_of_this_installation(client, server, settings, host):
    """E21, E22, B31."""
    settings.MAILCONF_ALLOWED_NETWORKS = []

    page = press(client, ADD, entries_for(client, server, host=host), "_send_test")

    assert page.status_code == 200
    assert server.sessions == 0
    run = TestRun.objects.last()
    if run is None:
        assert page.context["problems"]
    else:
        assert (run.state, run.failed_phase) == ("failed", "dns")
        assert run.sentence


def test_a_name_that_changes_its_address_between_check_and_connect_reaches_nothing(
    client, server, settings, monkeypatch
):
    """E23: looked up once, and connected to what was judged."""
    settings.MAILCONF_ALLOWED_NETWORKS = ["192.0.2.0/24"]
    asked = []
    real = socket.getaddrinfo

    def rebinding(host, *args, **kwargs):
        if host != "rebinding.example":
            return real(host, *args, **kwargs)
        asked.append(host)
        address = "192.0.2.1" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    values = entries_for(client, server, host="rebinding.example", connect_timeout="1")

    press(client, ADD, values, "_send_test")

    assert len(asked) == 1
    assert server.sessions == 0
    assert last_run().failed_phase == "connect"


@pytest.mark.parametrize("port", ["22", "80", "3306", "5432", "6379", "11211"])
def test_a_test_is_no_port_scanner(client, server, settings, port):
    """E24."""
    settings.MAILCONF_ALLOWED_PORTS = (25, 465, 587, 2465, 2525, 2587)

    press(client, ADD, entries_for(client, server, port=port), "_send_test")

    run = TestRun.objects.last()
    assert run is None or run.failed_phase == "dns"
    assert server.sessions == 0


def test_every_start_is_an_event_with_who_and_where(client, server, user):
    """E24."""
    press(client, ADD, entries_for(client, server), "_send_test")

    event = Event.objects.get(kind="test.started")
    assert event.user_id == user.pk
    assert event.data["server"] == f"{server.host}:{server.port}"


@pytest.mark.parametrize(
    "host",
    [
        "/var/run/postfix",
        "unix:/run/smtp.sock",
        "http://127.0.0.1/",
        "a@b",
        "host name",
        "a\r\nb",
        "..",
        "x" * 254,
        "%00",
    ],
)
def test_what_is_no_host_is_refused_where_it_was_typed(client, server, host):
    """E25."""
    page = press(client, ADD, entries_for(client, server, host=host), "_send_test")

    assert [problem.label for problem in page.context["problems"]] == ["Server"]
    assert not TestRun.objects.exists()


# The test email


def test_a_test_email_has_a_fixed_body_and_goes_where_one_may_send(server):
    """E26: an administrator may change profiles and still not mail strangers with them."""
    person = a_user("administrator")
    person.groups.first().permissions.filter(codename="send_test_elsewhere").delete()
    client = Client()
    client.force_login(person)
    values = entries_for(client, server, notes="BUY NOW", description="BUY NOW")

    refused = press(client, ADD, values | {"test_to": "victim@else.example"}, "_send_test")
    press(client, ADD, values | {"test_to": person.email}, "_send_test")

    assert "only to your own address" in text_of(refused)
    [message] = server.wait_for(1)
    assert message.rcpt_to == (person.email,)
    assert b"BUY NOW" not in message.content


@pytest.mark.parametrize(
    "typed",
    [
        "a@example.com\r\nBcc: b@example.com",
        "a@example.com\r\nRCPT TO:<b@example.com>",
        "a@example.com> NOTIFY=NEVER",
        "<a@example.com>,b@example.com,c@example.com,d@example.com",
        '"a b"@example.com',
        "a@example.com b@example.com",
        "a@localhost",
        "a@[127.0.0.1]",
        "@a.example:b@example.com",
        "a%b@example.com@c",
    ],
)
def test_a_test_recipient_is_one_strict_address(client, server, typed):
    """E27."""
    page = press(client, ADD, entries_for(client, server, test_to=typed), "_send_test")

    heard = [command for command in server.commands if command.startswith("RCPT")]
    assert page.status_code == 200
    assert not heard or heard == ["RCPT TO:<a@example.com>", "RCPT TO:<b@example.com>"][: len(heard)], heard
    assert all(message.content.count(b"\nBcc:") == 0 for message in server.messages)


def test_three_refused_sign_ins_are_followed_by_a_pause(client, closed_server):
    """E29: one mechanism a test, and no fourth try before the minute is over."""
    for number in range(3):
        press(client, ADD, signing_in(client, closed_server, f"wrong {number}"), "_send_test")
    assert closed_server.verbs().count("AUTH") == 3

    page = press(client, ADD, signing_in(client, closed_server, "wrong again"), "_send_test")

    assert "refused three times" in text_of(page)
    assert closed_server.verbs().count("AUTH") == 3


def test_a_run_whose_process_died_ends_for_the_page_too(client, server, user):
    """E30: a terminal state always comes, and the next test is not held up by it."""
    profile = a_profile(host=server.host, port=server.port)
    lost = evidence(profile, user=user)
    long_ago = timezone.now() - timedelta(minutes=2)
    TestRun.objects.filter(pk=lost.pk).update(
        state="running", finished_at=None, created_at=long_ago, started_at=long_ago
    )

    press(client, change_url(profile), form_of(client.get(change_url(profile))), "_send_test")

    lost.refresh_from_db()
    assert lost.state == "stopped"
    assert last_run().state == "passed"


# Two windows


def test_of_two_windows_the_second_to_save_is_told(client, server):
    """E14."""
    profile = a_profile(name="Shop", host=server.host, port=server.port)
    first, second = (form_of(client.get(change_url(profile))) for _window in range(2))
    press(client, change_url(profile), first | {"notes": "first"}, "_save")

    for button in ("_save", "_draft_confirmed", "_save_anyway"):
        reason = {"anyway_reason": "The firewall opens tomorrow"}
        page = press(client, change_url(profile), second | {"notes": "second"} | reason, button)
        assert "after you opened it" in text_of(page), button

    profile.refresh_from_db()
    assert profile.notes == "first"


def test_a_changed_row_behind_the_gate_does_not_send_and_is_named_on_the_first_page(client, server):
    """E6, B16."""
    profile = a_profile(name="Shop", host=server.host, port=server.port)
    SMTPProfile.objects.filter(pk=profile.pk).update(host="localhost")

    assert [way.name for way in wire.ways_out()] == []
    assert "Shop" in text_of(client.get(reverse("admin:index")))
    assert "Not live: settings differ from the tested ones" in text_of(client.get(LIST))

    SMTPProfile.objects.filter(pk=profile.pk).update(host=server.host)
    assert [way.name for way in wire.ways_out()] == ["Shop"]
