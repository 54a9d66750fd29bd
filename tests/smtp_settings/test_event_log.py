"""The event log as a page: its filters, its export, and the email log beside it."""

import csv
import io
from datetime import timedelta

import pytest
from django.core import management
from django.urls import reverse
from django.utils import timezone

from smtp_settings import sealing
from smtp_settings.models import Event
from tests.builders import a_profile, a_user
from tests.pages import assert_strict, client_of

pytestmark = pytest.mark.django_db
LOG = reverse("admin:smtp_settings_event_changelist")
EXPORT = reverse("admin:smtp_settings_event_export")
EMAIL_LOG = reverse("admin:smtp_settings_event_email_log")


def an_event(kind="test.passed", *, ago=timedelta(0), **fields):
    event = Event.objects.create(kind=kind, **fields)
    Event.objects.filter(pk=event.pk).update(at=timezone.now() - ago)
    return event.pk


def listed(client, **filters):
    return {row.pk for row in client.get(LOG, filters).context["cl"].result_list}


def exported(client, **filters):
    answer = client.get(EXPORT, filters)
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))


@pytest.fixture
def house():
    person, other = a_user("administrator", username="zzann"), a_user("viewer")
    relay, backup = a_profile(name="Relay"), a_profile(name="Backup")
    Event.objects.all().delete()
    return {
        "paused": an_event("server.paused", profile_id=relay.pk, level="warning", user_id=person.pk),
        "old": an_event("server.paused", profile_id=backup.pk, ago=timedelta(days=3), user_id=other.pk),
        "gone": an_event("profile.deleted", profile_id=99, ago=timedelta(days=20)),
        "person": person,
        "relay": relay,
    }


def test_each_filter_narrows_the_log_down(house):
    client = client_of("administrator")

    assert listed(client) >= {house["paused"], house["old"], house["gone"]}
    assert listed(client, profile=house["relay"].pk) == {house["paused"]}
    assert listed(client, profile=99) == {house["gone"]}
    assert listed(client, user=house["person"].pk) == {house["paused"]}
    assert listed(client, kind="server.paused") == {house["paused"], house["old"]}
    assert listed(client, level="warning") == {house["paused"]}
    assert listed(client, period="day") == {house["paused"]}
    assert listed(client, period="week") == {house["paused"], house["old"]}
    assert listed(client, kind="server.paused", period="day", profile=house["relay"].pk) == {house["paused"]}


@pytest.mark.parametrize(
    "filters",
    [{"profile": "zz"}, {"profile": "99999999999999999999"}, {"user": "-1"}, {"user": "٣"}, {"period": "zz"}],
)
def test_what_is_no_filter_narrows_nothing(house, filters):
    assert listed(client_of("administrator"), **filters) >= {house["paused"], house["old"], house["gone"]}


def test_the_page_offers_the_downloads_to_those_who_may(house):
    page = client_of("administrator").get(LOG, {"level": "warning"})
    assert_strict(page)
    assert f'{EXPORT}?level=warning"' in page.content.decode()
    assert EXPORT not in client_of("viewer").get(LOG).content.decode()


def test_the_export_holds_what_the_filters_leave_and_says_who_took_it(house):
    client = client_of("administrator")
    [row] = exported(client, kind="server.paused", level="warning")

    assert (row["kind"], row["what"], row["who"], row["about"]) == (
        "server.paused", "Profile paused", "zzann", "Relay",
    )  # fmt: skip
    event = Event.objects.get(kind="log.exported")
    assert event.user_id == client.user.pk


def test_a_cell_that_a_spreadsheet_would_run_is_quoted(house):
    an_event("profile.saved", data={"name": '=HYPERLINK("https://evil.example")'})
    [row] = exported(client_of("administrator"), kind="profile.saved")

    assert row["about"].startswith("'=")


@pytest.mark.parametrize("role", ["operator", "viewer", "staff"])
@pytest.mark.parametrize("url", [EXPORT, EMAIL_LOG])
def test_downloads_need_their_permission(house, role, url):
    assert client_of(role).get(url).status_code == 403


def test_the_email_log_comes_with_its_older_files(house, settings, tmp_path):
    settings.MAILCONF_EMAIL_LOG = str(tmp_path / "mail.log")
    settings.MAILCONF_EMAIL_LOG_FILES = 3
    (tmp_path / "mail.log.1").write_text('{"message": 1}\n')
    (tmp_path / "mail.log").write_text('{"message": 2}\n')
    client = client_of("administrator")

    assert EMAIL_LOG in client.get(LOG).content.decode()
    answer = client.get(EMAIL_LOG)
    assert b"".join(answer.streaming_content) == b'{"message": 1}\n{"message": 2}\n'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert Event.objects.get(kind="log.exported").data == {"part": "email log"}


def test_without_an_email_log_there_is_none_to_download(house, settings):
    settings.MAILCONF_EMAIL_LOG = ""
    client = client_of("administrator")

    assert EMAIL_LOG not in client.get(LOG).content.decode()
    assert client.get(EMAIL_LOG).status_code == 404


def test_a_change_of_keys_is_an_event(settings):
    a_profile(password="zz")
    new = sealing.new_key()
    settings.MAILCONF_KEYS = f"{new},{settings.MAILCONF_KEYS}"
    management.call_command("rotate_keys")

    event = Event.objects.get(kind="keys.rotated")
    assert event.data == {"key": new.partition(":")[0], "resealed": 2}  # the profile's and its test's
