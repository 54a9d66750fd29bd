"""The admin site: its navigation, the dashboard, the groups, and that no page has anything inline."""

from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings as project
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from delivery import queue, stats
from delivery.admin import sentences
from delivery.models import QueueEntry, Worker
from delivery.queue import Paused
from mailconf.dashboard import CAUSES
from smtp_settings import sealing
from smtp_settings.models import Event, NotificationSettings, SMTPProfile, TestRun
from tests.builders import a_draft, a_profile, evidence
from tests.delivery.queueing import claimed, enqueued, statements
from tests.pages import ROLES, assert_strict, client_of, text_of

pytestmark = pytest.mark.django_db

HOME = reverse("admin:index")


@pytest.fixture(autouse=True)
def fresh_counts():
    """Counts are cached for ten seconds; each test has its own."""
    cache.clear()


def dashboard(role="administrator"):
    """The dashboard as a role sees it, with numbers of this moment."""
    cache.clear()
    response = client_of(role).get(HOME)
    assert response.status_code == 200
    assert_strict(response)
    return response


def alerts(role="administrator"):
    """The alerts, in order."""
    return [alert.text for alert in dashboard(role).context["alerts"]]


def a_worker():
    """A worker session that has just reported; its id."""
    return queue.register_worker()


@pytest.fixture(autouse=True)
def somebody_is_told(db):
    """Whoever sets up notifications has one alert less."""
    NotificationSettings.objects.create(webhook_url="https://alerts.example.com/mail")


# The navigation and the look


THOSE_WHO_LOOK = [
    "Dashboard",
    "Messages",
    "SMTP profiles",
    "OAuth credentials",
    "Sending policy",
    "Notifications",
    "Test runs",
    "Event log",
    "Jobs",
    "Sandbox inbox",
]


@pytest.mark.parametrize(
    ("role", "labels"),
    [
        ("staff", ["Dashboard"]),
        ("viewer", THOSE_WHO_LOOK),
        ("operator", THOSE_WHO_LOOK),
        (
            "administrator",
            [
                "Dashboard",
                "Messages",
                "SMTP profiles",
                "OAuth credentials",
                "Sending policy",
                "Notifications",
                "Test runs",
                "Event log",
                "Jobs",
                "Users",
                "Groups",
                "Sites",
                "Sandbox inbox",
            ],
        ),
    ],
)
def test_the_navigation_has_what_a_user_may_open(role, labels):
    client = client_of(role)
    ways = client.get(HOME).context["navigation"]

    assert [str(way.label) for way in ways] == labels
    for way in ways:
        page = client.get(way.url, follow=True)
        assert page.status_code == 200
        assert [other.label for other in page.context["navigation"] if other.is_current] == [way.label]


def test_the_messages_entry_carries_how_many_wait():
    enqueued(3)
    assert [way.count for way in dashboard("viewer").context["navigation"]][:2] == ["", "3"]


@pytest.mark.parametrize(
    ("name", "tone"), [("Production", "is-bad"), ("Staging", "is-warn"), ("Test 3", "is-quiet")]
)
def test_the_environment_is_named_on_every_page(settings, name, tone):
    settings.MAILCONF_ENVIRONMENT = name
    badge = f'<span class="mc-badge is-plain {tone}">{name}</span>'
    assert badge in dashboard("staff").content.decode()
    assert badge in client_of("anonymous").get(reverse("admin:login")).content.decode()


def _addresses():
    yield HOME
    yield reverse("admin:password_change")
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        for kind, args in (("changelist", []), ("add", [])):
            try:
                yield reverse(f"{name}_{kind}", args=args)
            except NoReverseMatch:
                continue
        yield reverse("admin:app_list", args=[model._meta.app_label])


def test_no_page_has_anything_inline_and_every_page_has_one_heading():
    a_profile()
    enqueued(1)
    client = client_of("superuser")
    for address in _addresses():
        response = client.get(address, follow=True)
        if response.status_code == 403:  # not to be added by hand
            continue
        assert response.status_code == 200, address
        assert_strict(response)
        assert response.content.decode().count("<h1") == 1, address
    login = client_of("anonymous").get(reverse("admin:login"))
    assert_strict(login)
    assert login.content.decode().count("<h1") == 1


def test_our_own_styles_stay_small():
    folder = Path(project.BASE_DIR) / "static" / "mailconf"
    assert sum((folder / name).stat().st_size for name in ("theme.css", "components.css")) < 40_000


def test_the_theme_comes_after_all_of_the_stock_styles():
    page = dashboard().content.decode()
    assert page.index("admin/css/responsive.css") < page.index("mailconf/theme.css")
    assert page.index("mailconf/theme.css") < page.index("mailconf/components.css")
    assert "nav_sidebar" not in page


# The groups


def test_the_groups_have_the_rights_of_their_roles():
    # Made anew: a test that empties the tables may have run before this one.
    with connection.schema_editor() as editor:
        import_module("delivery.migrations.0003_groups").make_groups(apps, editor)
    rights = {
        group.name: set(group.permissions.values_list("codename", flat=True)) for group in Group.objects.all()
    }
    assert set(rights) == {"mailconf viewers", "mailconf operators", "mailconf administrators"}
    assert rights["mailconf viewers"] < rights["mailconf operators"] < rights["mailconf administrators"]
    assert all(name.startswith("view_") for name in rights["mailconf viewers"])
    assert "view_message_body" in rights["mailconf administrators"] - rights["mailconf operators"]
    assert {"pause_smtpprofile", "test_smtpprofile", "retry_message"} <= rights["mailconf operators"]
    assert not any("save_untested_smtpprofile" in names for names in rights.values())
    assert not any(
        name in rights["mailconf administrators"]
        for name in ("add_message", "change_message", "delete_message")
    )


# The dashboard


@pytest.mark.parametrize("role", ROLES)
def test_the_dashboard_opens_for_staff_only(role):
    assert client_of(role).get(HOME).status_code == (302 if role in {"anonymous", "nobody"} else 200)


def test_staff_without_rights_see_no_numbers():
    a_profile(name="Secret relay")
    enqueued(2)
    page = dashboard("staff")
    assert "You may see nothing here yet" in text_of(page)
    assert "You may see nothing here yet" not in text_of(dashboard("viewer"))
    assert page.context["tiles"] == page.context["alerts"] == page.context["servers"] == []
    assert "Secret relay" not in text_of(page)


def test_the_first_steps_turn_green_one_by_one():
    def done():
        return [step.is_done for step in dashboard().context["steps"]]

    assert done() == [False] * 5
    draft = a_draft()
    assert done() == [True, False, False, False, False]
    evidence(draft)
    assert done() == [True, True, False, False, False]
    profile = a_profile()
    assert done() == [True, True, True, False, False]
    lease = a_worker()
    assert done() == [True, True, True, True, False]
    enqueued(1)
    message = claimed(lease, profile_id=profile.pk)[0].message_id
    queue.finish(lease, [queue.Finished(message, queue.SmallState.SENT, 1, profile.pk, 250)])
    cache.clear()
    assert done() == []


def test_the_first_step_links_to_the_form_only_for_those_who_may_add():
    add = reverse("admin:smtp_settings_smtpprofile_add")
    assert add in dashboard("administrator").content.decode()
    assert add not in dashboard("viewer").content.decode()


def test_a_newcomer_sees_the_first_steps_and_no_noughts():
    page = dashboard()
    assert page.context["steps"]
    assert page.context["tiles"] == []
    text = text_of(page)
    assert "Nothing failed." not in text
    assert "An administrator takes these steps." not in text


def test_mail_that_waits_is_counted_below_the_first_steps():
    enqueued(2)
    html = dashboard().content.decode()
    assert -1 < html.index("mc-checklist") < html.index("mc-tiles")


def test_who_may_not_take_the_first_steps_is_told_who_does():
    assert "An administrator takes these steps." in text_of(dashboard("viewer"))


def test_what_shows_nothing_does_not_renew_itself():
    assert "refreshes every 15 s" in text_of(dashboard("viewer"))
    html = dashboard("staff").content.decode()
    assert "mc-foot" not in html
    assert "refresh.js" not in html


def test_the_tiles_show_the_numbers_of_the_database():
    profile, lease = a_profile(), a_worker()
    minute = timezone.now().replace(second=0, microsecond=0)
    queue.add_stats([queue.StatRow(minute, profile.pk, lease, sent=1200, deferred=5, failed=12)])
    enqueued(3)

    tiles = {tile.label: tile for tile in dashboard("viewer").context["tiles"]}

    assert tiles["Queued"].value == "3"
    assert tiles["Queued"].note.startswith("oldest ")
    assert [tiles["Sent, last hour"].value, tiles["Sent, last hour"].note] == ["1,200", "20 per minute"]
    assert [tiles["Failed, 24 hours"].value, tiles["Failed, 24 hours"].note] == ["12", "1.0 % of all"]
    assert tiles["Deferred"].value == tiles["Held"].value == "0"
    client = client_of("viewer")
    assert all(client.get(tile.url).status_code == 200 for tile in tiles.values())


def test_only_a_message_that_was_tried_has_a_next_try_on_its_tile():
    def deferred():
        cache.clear()
        (tile,) = [tile for tile in dashboard("viewer").context["tiles"] if tile.label == "Deferred"]
        return tile.value, tile.note

    enqueued(1, send_at=timezone.now() + timedelta(hours=1))
    assert deferred() == ("0", "")
    enqueued(1)
    lease = a_worker()
    (message,) = claimed(lease)
    queue.settle(lease, [queue.Settled(message.message_id, 7, timedelta(minutes=5), counted=1)])
    value, note = deferred()
    assert value == "1"
    assert note.startswith("next at ")


def test_a_capped_count_says_that_there_are_more(monkeypatch):
    monkeypatch.setattr(stats, "cached_counts", lambda: dict.fromkeys(stats.MessageState, stats.CAP))
    page = dashboard("viewer")
    assert page.context["tiles"][0].value == "10,000+"
    assert page.context["navigation"][1].count == "10,000+"


def test_a_broken_number_is_a_dash_and_the_page_stays(monkeypatch, caplog):
    def broken(*args, **options):
        raise DatabaseError("statement timeout")

    for name in (
        "cached_counts",
        "totals",
        "oldest_ready_at",
        "workers",
        "frequent_failures",
        "profile_facts",
    ):
        monkeypatch.setattr(stats, name, broken)
    a_profile(name="EU relay")

    page = dashboard("administrator")

    assert [tile.value for tile in page.context["tiles"]] == ["-"] * 5
    assert "Not available" in text_of(page)
    assert "EU relay" in text_of(page)
    assert "statement timeout" not in text_of(page)
    assert "not available" in caplog.text


def test_without_a_live_profile_nothing_is_sent_and_that_stands_first():
    a_draft()
    enqueued(1)
    assert alerts()[0] == "No profile is live. Nothing is being sent; new messages wait."
    a_profile()
    assert "No profile is live. Nothing is being sent; new messages wait." not in alerts()


def test_a_silent_worker_is_an_alert_until_one_reports():
    a_profile()
    assert alerts() == ["No worker has ever reported. Nothing is being sent. Start one:"]
    a_worker()
    assert alerts() == []
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=4))
    assert alerts() == ["No worker has reported for 4 min. Nothing is being sent. Start one:"]


def test_paused_servers_are_named_with_who_and_why():
    a_worker()
    faulty, resting = a_profile(name="EU relay"), a_profile(name="Backup")
    client = client_of("operator")
    queue.pause(resting.pk, Paused.PERSON, user_id=client.user.pk)
    queue.pause(faulty.pk, Paused.FAULT, reason="sign-in refused")
    broken = a_profile(name="Third")
    queue.open_breaker(broken.pk, reason="no answer")

    found = [alert.text for alert in client.get(HOME).context["alerts"]]

    assert found[0].startswith("EU relay: Paused: sign-in refused since ")
    assert found[1].startswith("Third: Breaker open, next try ")
    assert found[2].startswith(f"Backup: Paused by {client.user.username} since ")


def test_a_profile_changed_behind_the_gate_is_named():
    a_worker()
    profile = a_profile(name="EU relay")
    a_profile(name="Backup")
    SMTPProfile.objects.filter(pk=profile.pk).update(host="elsewhere.example")
    assert alerts() == [
        "EU relay is not live: its settings are not the tested ones, or its password cannot be read."
    ]
    assert "Not live: settings differ from the tested ones" in text_of(dashboard())


def test_a_missing_key_is_named_and_its_remedy(settings):
    a_worker()
    kid = sealing.current_keyring().primary.kid
    a_profile(name="EU relay", password="s3cret")
    a_profile(name="Plain")
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", sealing.new_key()

    assert alerts()[1:] == [
        f"EU relay is not live: its password was sealed with the key “{kid}”, which is missing. "
        "Put the file with that key back, or enter the password again.",
        f"Plain is not live: it was cleared under the key “{kid}”, which is missing. "
        "Put the file with that key back, or test and save it again.",
    ]
    page = text_of(dashboard())
    assert "The saved password cannot be read with the current key. Enter it again." in page
    assert "Not live: cleared under a key that is missing; test and save again" in page
    assert "settings differ" not in page


def test_no_key_at_all_is_an_alert_of_each_profile(settings):
    a_worker()
    a_profile(name="EU relay")
    settings.MAILCONF_KEYS_FILE = settings.MAILCONF_KEYS = ""
    assert alerts()[1:] == ["EU relay is not live: there is no usable key for stored passwords."]


def test_a_profile_saved_without_a_test_and_debug_recipients_are_not_forgotten():
    a_worker()
    profile = a_profile(name="EU relay", debug_recipients=["debug@example.com"])
    SMTPProfile.objects.filter(pk=profile.pk).update(cleared_without_test="no server yet")
    page = dashboard()
    assert [alert.text for alert in page.context["alerts"]] == ["EU relay was saved without a passed test."]
    assert "EU relay copies every message to debug@example.com." in text_of(page)


def test_what_will_end_is_an_alert_the_warnings_first(settings):
    a_worker()
    profile = a_profile(name="EU relay", password="x")
    settings.MAILCONF_PASSWORD_AGE_DAYS = 90
    run = evidence(profile)
    soon = (timezone.now() + timedelta(days=5, hours=1)).isoformat()
    TestRun.objects.filter(pk=run.pk).update(
        steps=[{"phase": "tls", "evidence": {"certificate_expires_at": soon}}]
    )
    SMTPProfile.objects.update(secret_set_at=timezone.now() - timedelta(days=100))

    first, second = alerts()

    assert first.startswith(f"EU relay: Certificate of {profile.host} expires in 5 days, on ")
    assert second.startswith("EU relay: The saved password is 100 days old.")
    SMTPProfile.objects.update(enabled=False)
    assert not any("Certificate" in text for text in alerts())


def test_the_sandbox_is_one_click_away_on_this_machine(settings):
    link = "Try it with the sandbox server"
    settings.MAILCONF_LOCAL = True
    client = client_of("administrator")
    page = client.get(HOME)
    assert link in text_of(page)
    form = client.get(page.context["steps"][0].other_url)
    assert 'value="127.0.0.1"' in form.content.decode()
    assert f'value="{settings.MAILCONF_SANDBOX_PORT}"' in form.content.decode()
    assert link not in text_of(dashboard("viewer"))
    settings.MAILCONF_LOCAL = False
    assert link not in text_of(dashboard("administrator"))


def test_the_oldest_message_is_an_alert_after_a_quarter_of_an_hour():
    a_worker()
    a_profile()
    enqueued(1)
    assert alerts() == []
    QueueEntry.objects.update(ready_at=timezone.now() - timedelta(minutes=47))
    assert alerts() == ["The oldest message waits 47 min."]


def test_names_of_profiles_and_hosts_are_escaped():
    a_profile(name="<script>alert(1)</script>", debug_recipients=["<b>@example.com"])
    page = dashboard()
    assert "<script>alert" not in page.content.decode()
    assert "<script>alert(1)</script>" in text_of(page)


def test_the_dashboard_costs_the_same_however_many_profiles_there_are():
    a_worker()
    client = client_of("viewer")

    def cost():
        cache.clear()
        with statements() as seen:
            assert client.get(HOME).status_code == 200
        return len(seen)

    a_profile()
    cost()  # the first page of a process asks for what is kept
    one = cost()
    for _ in range(5):
        a_profile()
    assert cost() == one
    assert one <= 40


def test_the_profile_list_knows_what_the_queue_knows():
    profile = a_profile(name="EU relay")
    queue.pause(profile.pk, Paused.FAULT, reason="sign-in refused")
    page = text_of(client_of("viewer").get(reverse("admin:smtp_settings_smtpprofile_changelist")))
    assert "Paused: sign-in refused since" in page


def test_a_reason_that_is_a_sentence_stands_within_one():
    queue.pause(a_profile().pk, Paused.FAULT, reason="Port 26 is not one that may be used.")
    page = text_of(client_of("viewer").get(reverse("admin:index")))
    assert "Paused: Port 26 is not one that may be used since " in page


def test_every_cause_of_a_failure_has_words_on_the_dashboard():
    assert CAUSES.keys() >= sentences._CAUSES.keys()


def test_how_a_server_is_reached_is_not_said_where_there_is_none():
    a_profile(name="Files", transport="pickup", directory="/srv/out", security="none")
    page = client_of("viewer").get(reverse("admin:smtp_settings_smtpprofile_changelist"))
    assert '<td class="field-security_badge"><span class="mc-none">-</span></td>' in page.content.decode()


@pytest.mark.parametrize("page", ["password_change", "password_change_done"])
def test_the_pages_of_ones_own_password_have_the_links_of_every_page(page):
    answer = client_of("viewer").get(reverse(f"admin:{page}"))
    html = answer.content.decode()
    assert_strict(answer)
    assert f'<a href="{reverse("admin:index")}">Dashboard</a> &rsaquo; Password change' in html
    assert f'<a href="{reverse("admin:password_change")}">Change password</a>' in html
    assert "Change password /" not in text_of(answer)


# Lists with nothing in them


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("delivery_bulkjob", "No job yet"),
        ("smtp_settings_testrun", "No test yet"),
        ("smtp_settings_oauthcredential", "No OAuth credential yet"),
        ("smtp_settings_smtpprofile", "No SMTP profile yet"),
        ("smtp_settings_event", "No event yet"),
        ("auth_group", "Nothing here yet."),
    ],
)
def test_an_empty_list_says_what_would_be_there(name, says):
    Group.objects.all().delete()
    client = client_of("superuser")
    Event.objects.all().delete()
    page = client.get(reverse(f"admin:{name}_changelist"))
    assert_strict(page)
    assert says in text_of(page)
    assert 'class="paginator"' not in page.content.decode()


@pytest.mark.django_db
def test_a_list_narrowed_to_nothing_offers_to_clear_the_filters():
    page = client_of("superuser").get(reverse("admin:smtp_settings_event_changelist"), {"kind": "job.done"})
    assert "Nothing matches these filters. Clear filters" in text_of(page)


def test_the_bare_address_of_the_machine_leads_to_the_dashboard(client):
    response = client.get("/")
    assert (response.status_code, response.url) == (302, HOME)
