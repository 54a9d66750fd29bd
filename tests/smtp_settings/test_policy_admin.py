"""The policy's pages: what they save, what they ask, what every page says while mail is not as usual."""

import pytest
from django.contrib.auth.models import User
from django.contrib.sites.models import Site
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from delivery.models import QueueEntry, SmallState
from smtp_settings.models import Event, SendingPolicy, Whereabouts
from smtp_settings.policy import Course, Redirect, changing, policies
from tests.builders import a_group
from tests.delivery.engine import queued, state_of
from tests.delivery.policies import policy, site_policy
from tests.submitting import form_of

pytestmark = pytest.mark.django_db

HOME = "/admin/smtp_settings/sendingpolicy/"
USUAL = {
    "emails_enabled": "on",
    "queue_enabled": "on",
    "debug_mode": "off",
    "simulated_failures": "0",
    "simulated_kind": "temporary",
    "redirect_to": "",
    "redirect_except": "",
    "batch_size": "",
    "email_log": "on",
}


def page_of(row):
    return reverse("admin:smtp_settings_sendingpolicy_change", args=[row.pk])


def send(client, row, values):
    """Save these values of the row as it is now."""
    version = SendingPolicy.objects.get(pk=row.pk).version
    return client.post(page_of(row), {"version": version, "_save": "1", **values}, follow=True)


def post(client, row, **changes):
    return send(client, row, {**USUAL, **changes})


def without(values, *names):
    return {name: value for name, value in values.items() if name not in names}


def text_of(answer):
    return answer.content.decode()


def test_the_navigation_leads_to_what_holds_for_all(admin_client):
    answer = admin_client.get(HOME, follow=True)
    assert answer.status_code == 200
    for words in ("Emails enabled", "Log only", "Redirect all to", "Batch size", "Email log", "90 days"):
        assert words in text_of(answer)


def test_switching_off_says_who_did_it_on_every_page(admin_client):
    row = policy()
    queued(3)
    send(admin_client, row, without(USUAL, "emails_enabled"))
    assert policies().overall.course is Course.OFF
    found = text_of(admin_client.get("/admin/"))
    assert "Sending is switched off by admin since" in found
    assert "3 messages wait." in found
    assert "Switch on" in found
    (event,) = Event.objects.filter(kind="policy.saved")
    assert event.data["changes"] == [{"field": "emails_enabled", "old": True, "new": False}]


@pytest.mark.parametrize(
    ("decided", "state"), [("send", SmallState.QUEUED), ("cancel", SmallState.CANCELLED)]
)
def test_ending_a_restriction_asks_and_does_what_it_is_told(admin_client, decided, state):
    row = policy(emails_enabled=False)
    (message_id,) = queued()
    asked = post(admin_client, row)
    assert "1 message waits. It will go to its real recipients." in text_of(asked)
    assert ">Send it<" in text_of(asked)
    assert ">Cancel it first<" in text_of(asked)
    assert policies().overall.course is Course.OFF
    post(admin_client, row, _decided=decided)
    assert policies().overall.course is Course.SEND
    assert state_of(message_id) == state


def test_with_nothing_waiting_nothing_is_asked(admin_client):
    row = policy(debug_mode="log")
    post(admin_client, row)
    assert policies().overall.course is Course.SEND


@pytest.mark.parametrize(
    ("before", "after", "asks"),
    [
        ({"debug_mode": "log"}, {}, True),
        ({"redirect_to": "qa@example.com"}, {}, True),
        ({"redirect_to": "qa@example.com"}, {"redirect_to": "other@example.com"}, True),
        ({"redirect_to": "qa@example.com"}, {"redirect_to": "qa@example.com"}, False),
        ({"emails_enabled": False}, {"debug_mode": "log"}, False),
        ({}, {"redirect_to": "qa@example.com"}, False),
        ({}, {"debug_mode": "log"}, False),
    ],
)
def test_only_what_lets_mail_go_to_more_people_asks(admin_client, before, after, asks):
    row = policy(**before)
    queued()
    assert ("real recipients" in text_of(post(admin_client, row, **after)).split("mc-profile")[0]) is asks


def test_debug_mode_redirect_and_batch_size_are_saved_and_shown(admin_client):
    row = policy()
    post(
        admin_client,
        row,
        debug_mode="log",
        simulated_failures="25",
        simulated_kind="uncertain",
        redirect_to="qa@example.com",
        redirect_except="Example.org, example.net",
        batch_size="50",
    )
    found = policies()
    assert (found.overall.course, found.batch_size, found.overall.simulation.percent) == (Course.LOG, 50, 25)
    assert found.overall.redirect == Redirect("qa@example.com", frozenset({"example.org", "example.net"}))
    shown = text_of(admin_client.get("/admin/"))
    assert "Debug mode: nothing is sent, only logged." in shown
    assert "Every message goes to qa@example.com." in shown


@pytest.mark.parametrize(
    "values",
    [
        {"redirect_to": "nobody"},
        {"redirect_to": "a@example.com\r\nBcc: b@example.com"},
        {"redirect_except": "a@example.com"},
        {"redirect_except": "nodots"},
        {"batch_size": "1001"},
        {"batch_size": "0"},
        {"simulated_failures": "101"},
        {"debug_mode": "maybe"},
    ],
)
def test_what_cannot_be_meant_is_refused(admin_client, values):
    row = policy()
    answer = post(admin_client, row, **values)
    assert "errorlist" in text_of(answer)
    assert not Event.objects.filter(kind="policy.saved").exists()


def test_a_site_begins_as_global_and_says_what_that_is(admin_client):
    policy(emails_enabled=False, debug_mode="log", simulated_failures=5)
    site = Site.objects.create(domain="shop.example.com", name="Shop")
    answer = admin_client.get(f"{HOME}site/{site.pk}/", follow=True)
    for words in ("As global (off)", "As global (Log only)", "as global (5 %)", "shop.example.com"):
        assert words in text_of(answer)
    row = SendingPolicy.objects.get(site=site)
    assert (row.emails_enabled, row.debug_mode, row.simulated_failures) == (None, "", None)
    for field in ("redirect_to", "batch_size", "email_log"):
        assert f'name="{field}"' not in text_of(answer)


def test_a_site_may_differ_and_the_ribbon_names_it(admin_client):
    row = site_policy("shop.example.com")
    answer = send(
        admin_client,
        row,
        {
            "emails_enabled": "false",
            "debug_mode": "",
            "simulated_failures": "",
            "simulated_kind": "temporary",
        },
    )
    assert policies().of(row.site_id).course is Course.OFF
    assert policies().overall.course is Course.SEND
    assert "Sending of shop.example.com is switched off by admin" in text_of(answer)


def test_saving_without_a_change_writes_nothing(admin_client):
    row = policy()
    version = row.version
    post(admin_client, row)
    row.refresh_from_db()
    assert (row.version, Event.objects.filter(kind="policy.saved").count()) == (version, 0)


def test_what_somebody_else_saved_meanwhile_is_not_overwritten(admin_client):
    row = policy()
    mine = form_of(admin_client.get(page_of(row)), "sendingpolicy_form") | {"batch_size": "50"}
    post(admin_client, row, redirect_to="qa@example.com", batch_size="20")

    answer = admin_client.post(page_of(row), mine | {"_save": "1"})
    assert "Somebody saved this page after you opened it." in text_of(answer)
    assert "Saved meanwhile: qa@example.com" in text_of(answer)
    assert "Saved meanwhile: 20" in text_of(answer)
    row.refresh_from_db()
    assert (row.redirect_to, row.batch_size) == ("qa@example.com", 20)

    assert admin_client.post(page_of(row), without(mine, "version") | {"_save": "1"}).status_code == 200
    admin_client.post(
        page_of(row), form_of(answer, "sendingpolicy_form") | {"_save": "1", "_decided": "send"}
    )
    row.refresh_from_db()
    assert (row.redirect_to, row.batch_size) == ("", 50)


def test_a_row_that_changed_between_reading_and_saving_is_stale():
    row = policy()
    same = SendingPolicy.objects.get(pk=row.pk)
    row.batch_size = 20
    changing.save(row, user_id=None)
    same.batch_size = 50
    with pytest.raises(changing.StalePolicy):
        changing.save(same, user_id=None)


def a_copy():
    policies()
    place = Whereabouts.objects.get()
    Whereabouts.objects.create(
        digest="0" * 64, facts=place.facts | {"server": "1"}, confirmed_at=place.confirmed_at
    )
    place.delete()


@pytest.mark.parametrize(("answer", "course"), [("original", Course.SEND), ("copy", Course.LOG)])
def test_a_copy_is_told_on_every_page_and_a_person_says_what_it_is(admin_client, answer, course):
    a_copy()
    queued(2)
    assert "Nothing is sent: this database may be a copy. 2 messages wait." in text_of(
        admin_client.get("/admin/")
    )
    shown = text_of(admin_client.get(HOME, follow=True))
    assert "another database server, or this one made anew" in shown
    admin_client.post(f"{HOME}place/", {"is": answer})
    assert (policies().is_confirmed, policies().overall.course) == (True, course)
    assert QueueEntry.objects.count() == 2
    assert Event.objects.filter(kind="policy.place_confirmed").exists()


def test_what_waits_in_a_copy_can_be_cancelled_first(admin_client):
    a_copy()
    (message_id,) = queued()
    admin_client.post(f"{HOME}place/", {"is": "original", "waiting": "cancel"})
    assert state_of(message_id) == SmallState.CANCELLED
    assert policies().is_confirmed


def test_the_command_tells_and_confirms(capsys):
    call_command("confirm_environment", check=True)
    a_copy()
    with pytest.raises(SystemExit):
        call_command("confirm_environment", check=True)
    assert not policies().is_confirmed
    call_command("confirm_environment")
    assert policies().is_confirmed
    assert "server differ" in capsys.readouterr().out


def test_a_viewer_sees_the_page_and_changes_nothing():
    viewer = User.objects.create_user("vera", is_staff=True)
    viewer.groups.add(a_group("mailconf viewers"))
    client = Client()
    client.force_login(viewer)
    row = policy(emails_enabled=False)
    shown = text_of(client.get(page_of(row)))
    assert "Emails enabled" in shown
    assert 'name="_save"' not in shown
    assert "Switch on" not in shown
    assert client.post(page_of(row), USUAL).status_code == 403
    assert client.post(f"{HOME}place/", {"is": "original"}).status_code == 403


def test_the_queue_is_switched_off_on_the_page_and_the_ribbon_says_so(admin_client):
    row = policy()
    page = text_of(admin_client.get(page_of(row)))
    assert "Off: a message is sent while the program waits, and is not retried." in page
    send(admin_client, row, without(USUAL, "queue_enabled"))
    assert not policies().overall.queue_enabled
    found = text_of(admin_client.get("/admin/"))
    assert "The queue is off: messages are sent while the program waits." in found
    (event,) = Event.objects.filter(kind="policy.saved")
    assert event.data["changes"] == [{"field": "queue_enabled", "old": True, "new": False}]


def test_a_site_switches_its_queue_and_the_ribbon_names_it(admin_client):
    policy()
    row = site_policy("shop.example.com")
    values = {"emails_enabled": "unknown", "queue_enabled": "false", "simulated_kind": "temporary"}
    send(admin_client, row, values)
    assert not policies().of(row.site_id).queue_enabled
    found = text_of(admin_client.get("/admin/"))
    assert "The queue of shop.example.com is off: messages are sent while the program waits." in found


def test_a_site_that_uses_the_queue_all_the_same_is_named(admin_client):
    policy(queue_enabled=False)
    site_policy("shop.example.com", queue_enabled=True)
    assert "shop.example.com uses the queue all the same." in text_of(admin_client.get("/admin/"))
