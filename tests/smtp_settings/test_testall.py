"""The test page: one email through each ticked profile, followed to the end, with and without a script."""

import json
from uuid import UUID, uuid4

import pytest
from django.urls import reverse

from smtp_settings import test_send
from smtp_settings.models import Event, TestRun
from tests.builders import a_draft, a_profile
from tests.pages import assert_strict, client_of, text_of
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db
PAGE = reverse("admin:smtp_settings_smtpprofile_test_all")


def ordered(client, *profiles, **data):
    return client.post(PAGE, {"profile": [profile.pk for profile in profiles], **data})


def batch_of(response):
    return response.url.rstrip("/").rpartition("/")[2]


def state_of(client, batch, seq=""):
    url = reverse("admin:smtp_settings_smtpprofile_test_all_state", args=[batch])
    return json.loads(client.get(url, {"seq": seq}).content)


def test_the_live_profiles_are_ticked_and_drafts_are_not_there():
    a_profile(name="EU relay")
    a_profile(name="Disabled", enabled=False)
    a_draft(name="Draft")
    page = client_of("administrator").get(PAGE)
    assert_strict(page)
    choices = {choice.name: choice.is_ticked for choice in page.context["choices"]}
    assert choices == {"EU relay": True, "Disabled": False}
    assert "Send test emails" in text_of(page)


def test_one_email_goes_through_each_and_the_page_counts_and_names_the_cause():
    with (
        smtp_server(security="none") as good,
        smtp_server(security="none", answers={"RCPT": "550 5.1.1 No such user here"}) as bad,
    ):
        first = a_profile(name="Good", host=good.host, port=good.port)
        second = a_profile(name="Bad", host=bad.host, port=bad.port)
        left_out = a_profile(name="Left out")
        client = client_of("administrator")
        started = ordered(client, first, second, recipients="qa@example.com")
        batch = batch_of(started)
        before = client.get(started.url)
        assert_strict(before)
        assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in before.content.decode()
        assert state_of(client, batch)["announce"] == "0 of 2 done"

        test_send.run_batch(UUID(batch), test_send.WEB)

    state = state_of(client, batch)
    assert (state["done"], state["announce"]) == (True, "1 passed, 1 failed")
    assert "html" not in state_of(client, batch, seq=state["seq"])
    page = client.get(started.url)
    assert_strict(page)
    assert "follow.js" not in page.content.decode()
    assert "http-equiv" not in page.content.decode()
    text = text_of(page)
    assert "To qa@example.com." in text
    assert "1 passed, 1 failed" in text
    assert left_out.name not in text
    failed = TestRun.objects.get(state="failed")
    assert reverse("admin:smtp_settings_testrun_change", args=[failed.pk]) in page.content.decode()
    (row,) = [row for row in page.context["rows"] if row.name == "Bad"]
    assert row.sentence
    assert [message.rcpt_to for message in good.messages] == [("qa@example.com",)]


def test_an_operator_tests_to_the_own_address_only():
    profile, client = a_profile(), client_of("operator")
    page = client.get(PAGE)
    assert 'name="recipients"' not in page.content.decode()
    refused = client.post(PAGE, {"profile": profile.pk, "recipients": "boss@example.com"}, follow=True)
    assert "only to your own address" in text_of(refused)
    assert not TestRun.objects.filter(user=client.user).exists()
    batch = batch_of(ordered(client, profile))
    assert TestRun.objects.get(batch=batch).recipients == [client.user.email]


def test_nothing_ticked_and_hostile_numbers_start_nothing():
    a_profile()
    client = client_of("administrator")
    for data in ({}, {"profile": ["0", "x", "99999999999999999999", "' OR 1=1"]}):
        page = client.post(PAGE, data, follow=True)
        assert "There is no profile to test." in text_of(page)
    assert not TestRun.objects.filter(user=client.user).exists()


def test_the_ticked_of_the_list_are_tested_at_once():
    profile, client = a_profile(), client_of("operator")
    data = {"action": "test_selected", "_selected_action": [profile.pk], "index": "0", "select_across": "0"}
    response = client.post(reverse("admin:smtp_settings_smtpprofile_changelist"), data)
    assert TestRun.objects.get(batch=batch_of(response)).recipients == [client.user.email]


def test_a_second_batch_waits_for_the_first():
    profile, client = a_profile(), client_of("administrator")
    ordered(client, profile)
    page = client.post(PAGE, {"profile": profile.pk}, follow=True)
    assert "Another of your tests is still running." in text_of(page)


def test_stop_ends_what_has_not_begun():
    profile, client = a_profile(), client_of("operator")
    batch = batch_of(ordered(client, profile))
    stop = reverse("admin:smtp_settings_smtpprofile_test_all_stop", args=[batch])
    assert client.get(stop).status_code == 405
    page = client.post(stop, follow=True)
    assert "1 stopped" in text_of(page)
    assert Event.objects.filter(kind="test.stopped", user=client.user).exists()


def test_operators_see_their_own_batches_and_administrators_stop_any():
    profile, operator = a_profile(), client_of("operator")
    batch = batch_of(ordered(operator, profile))
    other, administrator = client_of("operator"), client_of("administrator")
    url = reverse("admin:smtp_settings_smtpprofile_test_all_batch", args=[batch])
    stop = reverse("admin:smtp_settings_smtpprofile_test_all_stop", args=[batch])
    assert other.get(url).status_code == other.post(stop).status_code == 404
    assert administrator.get(url).status_code == 200
    administrator.post(stop)
    assert TestRun.objects.get(batch=batch).state == "stopped"


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("staff", 403), ("nobody", 302)])
def test_who_may_not_test_gets_nothing(role, status):
    profile, client = a_profile(), client_of(role)
    batch = uuid4()
    for name in ("batch", "state"):
        url = reverse(f"admin:smtp_settings_smtpprofile_test_all_{name}", args=[batch])
        assert client.get(url).status_code == status
    assert client.get(PAGE).status_code == status
    assert ordered(client, profile).status_code == status
    assert not TestRun.objects.exclude(batch=None).exists()


def test_no_secret_is_in_the_page_or_the_answer():
    profile, client = a_profile(password="kanarienvogel"), client_of("administrator")
    started = ordered(client, profile)
    assert "kanarienvogel" not in client.get(started.url).content.decode()
    assert "kanarienvogel" not in str(state_of(client, batch_of(started)))
