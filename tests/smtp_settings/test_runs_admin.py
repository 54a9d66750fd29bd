"""The list of test runs and a run's own page: every kind of run in its words."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from smtp_settings import test_send
from smtp_settings.finding import searching
from smtp_settings.finding.rows import Row
from smtp_settings.models import TestRun
from tests.builders import a_profile, a_user, unsaved_profile
from tests.pages import client_of
from tests.statements import fewest_asked

LIST = "/admin/smtp_settings/testrun/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client):
    client.force_login(a_user("administrator"))
    return client


def ended(run, **values):
    """Let a run have ended."""
    values = {"state": "passed", "finished_at": timezone.now(), "started_at": timezone.now()} | values
    TestRun.objects.filter(pk=run.pk).update(**values)
    run.refresh_from_db()
    return run


def a_test(**options):
    return test_send.candidate(unsaved_profile(name="Shop"), None, None, ["inbox@example.com"], **options)


def page_of(client, run):
    return client.get(f"{LIST}{run.pk}/change/").content.decode()


def test_the_list_names_the_kind_the_place_and_the_result_of_each(admin):
    ended(a_test(), ran_on="worker mail-2")
    ended(a_test(kind="connect"), ran_on=test_send.WEB_IN_PLACE)
    ended(searching.order("shop@example.com", None), ran_on=test_send.WEB)
    ended(searching.order("nowhere.example", None), state="failed", ran_on=test_send.SHELL)
    page = admin.get(LIST).content.decode()
    for words in (
        "Test email", "Connection check", "Search for settings", "worker mail-2", "web server", "command",
        "Passed", "Connected", "Found", "Nothing found", "shop@example.com",
    ):  # fmt: skip
        assert words in page, words
    assert "not taken by" not in page


@pytest.mark.parametrize("kind", ["send", "connect", "search"])
def test_the_list_can_be_narrowed_to_a_kind(admin, kind):
    a_test()
    a_test(kind="connect")
    searching.order("example.com", None)
    page = admin.get(LIST, {"kind__exact": kind}).content.decode()
    assert page.count('class="field-at') == 1


def test_a_run_that_was_received_says_when(admin):
    run = ended(a_test(), received_at=timezone.now())
    assert "Received" in page_of(admin, run)
    assert "Received" not in page_of(admin, ended(a_test()))


def test_a_connection_check_names_no_recipient(admin):
    page = page_of(admin, ended(a_test(kind="connect")))
    assert "Connection check of Shop" in page
    assert "Sent to" not in page


def test_the_page_of_a_search_shows_what_was_found_and_no_buttons(admin):
    row = Row(host="smtp.example.com", port=587, security="starttls", certificate="ok", mechanisms=("PLAIN",))
    run = ended(searching.order("shop@example.com", None), results=[row.as_json()])
    page = page_of(admin, run)
    assert "Search for the settings of shop@example.com" in page
    assert "smtp.example.com:587" in page
    assert "_fix" not in page


def test_the_page_of_a_run_that_lost_its_process_ends_it(admin):
    run = a_test()
    then = timezone.now() - timedelta(seconds=20)
    TestRun.objects.update(state="running", started_at=then, heartbeat_at=then)
    assert "process that ran it was stopped" in page_of(admin, run)


def test_the_page_of_a_run_under_way_is_loaded_again_without_scripts(admin):
    run = a_test()
    TestRun.objects.update(state="running", started_at=timezone.now(), heartbeat_at=timezone.now())
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page_of(admin, run)
    assert "http-equiv" not in page_of(admin, ended(run))


def test_who_may_not_see_a_run_does_not_move_it_either(client):
    run = a_test()
    then = timezone.now() - timedelta(seconds=20)
    TestRun.objects.update(state="running", started_at=then, heartbeat_at=then)
    client.force_login(a_user("operator"))
    client.get(f"{LIST}{run.pk}/change/")
    run.refresh_from_db()
    assert run.state == TestRun.State.RUNNING


def test_the_list_costs_the_same_queries_for_many_runs(admin):
    for _number in range(30):
        ended(a_test(), user=a_user("viewer"))
    statements, _page = fewest_asked(lambda: admin.get(LIST))
    assert len(statements) <= 9, statements


# Who may not see profiles


VIEW = "smtp_settings.view_testrun"
HIDDEN = ("Shop", "relay.example.com", "shop@example.net", "Welcome to the relay")


@pytest.fixture
def named():
    """A failed test of a saved profile, which names it, its server and what that said."""
    profile = a_profile(name="Shop", host="relay.example.com")
    TestRun.objects.all().delete()  # what it was cleared by
    run = test_send.candidate(profile, None, None, ["inbox@example.com"])
    return ended(
        run,
        state="failed",
        failed_phase="mail",
        sentence="relay.example.com did not take shop@example.net.",
        reply="550 5.7.1 Welcome to the relay",
        transcript=[{"direction": "server", "text": "220 Welcome to the relay", "at_ms": 3}],
    )


def looker(*permissions):
    """Somebody who sees test runs and nothing else but these."""
    return client_of("staff", permissions=[VIEW, *permissions])


@pytest.mark.parametrize("path", ["", "{}/change/", "{}/history/"])
def test_who_may_not_see_profiles_reads_the_name_of_none(named, path):
    blind, seeing = looker(), looker("smtp_settings.view_smtpprofile")

    answer = blind.get(LIST + path.format(named.pk))
    page = answer.content.decode()

    assert answer.status_code == 200
    assert [word for word in HIDDEN if word in page] == []
    assert "/smtpprofile/" not in page
    assert "Shop" in seeing.get(LIST + path.format(named.pk)).content.decode()
    if not path:
        assert page.count('class="field-at') == 1
    elif "change" in path:
        assert "Failed" in page
        assert "those who may see profiles" in page


@pytest.mark.parametrize("query", ["Shop", "relay", "zz"])
def test_who_may_not_see_profiles_learns_none_by_asking(named, query):
    for asked in ({"q": query}, {"o": "4"}):
        answer = looker().get(LIST, asked)
        assert (answer.status_code, answer.context["cl"].result_count) == (200, 1), asked
        assert "Profile or server" not in answer.content.decode()
    assert looker().get(LIST, {"settings__name__startswith": query}).status_code == 400
    found = looker("smtp_settings.view_smtpprofile").get(LIST, {"q": query}).context["cl"].result_count
    assert found == int(query != "zz")


def test_who_may_not_see_profiles_is_told_no_state_of_a_run_by_its_address(named):
    url = reverse("admin:smtp_settings_testrun_state", args=[named.uuid])
    assert looker().get(url).status_code == 403
    assert looker("smtp_settings.view_smtpprofile").get(url).status_code == 200


def test_a_tester_who_may_not_see_profiles_reads_no_name_in_their_own_runs(named):
    tester = client_of("staff", permissions=["smtp_settings.test_smtpprofile"])
    TestRun.objects.update(user=tester.user)
    for path in (LIST, f"{LIST}{named.pk}/change/"):
        page = tester.get(path).content.decode()
        assert [word for word in HIDDEN if word in page] == [], path


def test_a_run_looked_at_by_who_may_not_see_profiles_keeps_what_it_holds(named):
    then = timezone.now() - timedelta(seconds=20)
    TestRun.objects.update(state="running", finished_at=None, started_at=then, heartbeat_at=then)
    looker().get(f"{LIST}{named.pk}/change/")
    named.refresh_from_db()
    assert (named.state, named.name) == (TestRun.State.STOPPED, "Shop")
