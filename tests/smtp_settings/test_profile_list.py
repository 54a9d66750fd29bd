"""The list of profiles: health in words for every state, chips, order of use, and what it costs."""

from datetime import timedelta

import pytest
from django.contrib.sites.models import Site
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from delivery import queue
from delivery.queue import Paused
from smtp_settings.models import SMTPProfile, TestRun
from tests.builders import a_draft, a_profile, evidence
from tests.delivery.queueing import enqueued, statements
from tests.pages import assert_strict, client_of, text_of

pytestmark = pytest.mark.django_db
LIST = reverse("admin:smtp_settings_smtpprofile_changelist")


def page_for(role="administrator", **filters):
    response = client_of(role).get(LIST, filters)
    assert response.status_code == 200
    assert_strict(response)
    return response


def names(**filters):
    return [profile.name for profile in page_for("viewer", **filters).context["cl"].result_list]


def carried(profile, **counts):
    lease = queue.register_worker()
    minute = timezone.now().replace(second=0, microsecond=0)
    queue.add_stats([queue.StatRow(minute, profile.pk, lease, **counts)])


@pytest.fixture
def every_state():
    """A profile in each state, named after what the list says of it."""
    working, slow = a_profile(name="working"), a_profile(name="slow")
    carried(working, sent=10, ms=1000)
    carried(slow, sent=10, ms=42_000)
    client = client_of("operator")
    queue.pause(a_profile(name="paused by a person").pk, Paused.PERSON, user_id=client.user.pk)
    queue.pause(a_profile(name="paused for a fault").pk, Paused.FAULT, reason="sign-in refused")
    queue.open_breaker(a_profile(name="breaker").pk, at_least=timedelta(hours=1))
    a_profile(name="idle")
    a_profile(name="disabled", enabled=False)
    a_draft(name="draft")
    SMTPProfile.objects.filter(pk=a_profile(name="not live").pk).update(host="elsewhere.example")
    SMTPProfile.objects.filter(pk=a_profile(name="untested").pk).update(cleared_without_test="no server yet")
    return client.user


def test_every_state_of_health_has_its_words(every_state):
    words = {
        profile.name: profile.listed_line.words for profile in page_for("viewer").context["cl"].result_list
    }
    assert words.pop("paused by a person").startswith(f"Paused by {every_state.username} since ")
    assert words.pop("paused for a fault").startswith("Paused: sign-in refused since ")
    assert words.pop("breaker").startswith("Breaker open, next try ")
    assert words == {
        "working": "Working",
        "slow": "Slow: 4.2 s per message",
        "idle": "No traffic",
        "disabled": "Disabled",
        "draft": "Draft",
        "not live": "Not live: settings differ from the tested ones",
        "untested": "Saved without a test",
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("working", ["working"]),
        ("slow", ["slow"]),
        ("paused", ["paused by a person", "paused for a fault"]),
        ("breaker", ["breaker"]),
        ("idle", ["idle"]),
        ("disabled", ["disabled"]),
        ("draft", ["draft"]),
        ("not-live", ["not live"]),
        ("untested", ["untested"]),
        ("nothing of the kind", []),
    ],
)
def test_the_chip_of_health_narrows_the_list_down(every_state, kind, expected):
    assert names(health=kind) == expected


def test_the_chips_of_provider_method_security_and_site_narrow_the_list_down():
    site = Site.objects.create(domain="shop.example")
    a_profile(name="Grid", preset="sendgrid", security="starttls", sites=[site])
    a_profile(name="Own", security="none")
    a_draft(name="Files", transport="pickup")

    assert names(provider="sendgrid") == ["Grid"]
    assert names(provider="own") == ["Files", "Own"]
    assert names(method="pickup") == ["Files"]
    assert names(security="starttls") == ["Grid"]
    assert names(security="none") == ["Own"]  # a directory has none to begin with
    assert names(site=str(site.pk)) == ["Grid"]
    assert names(site="every") == ["Files", "Own"]
    assert names(site="x' OR 1=1") == names(site="99999999999999") == []
    assert names(method="pickup", site="every") == ["Files"]


def test_the_search_finds_by_name_server_and_user_name_and_never_by_a_secret():
    a_profile(name="EU relay", host="smtp.example.com", password="hunter2hunter2", username="shop")
    assert names(q="relay") == names(q="smtp.example") == names(q="shop") == ["EU relay"]
    assert names(q="hunter2") == []


@pytest.mark.parametrize(
    "lookup", ["password__startswith", "cleared_fingerprint__startswith", "oauth_credential__client_secret"]
)
def test_no_lookup_in_the_address_reaches_a_secret(lookup):
    a_profile(password="x")
    assert client_of("superuser").get(LIST, {lookup: "a"}).status_code in (302, 400)


def test_a_row_says_what_it_sent_what_waits_and_how_its_last_test_ended():
    profile = a_profile(name="EU relay", is_default=True)
    carried(profile, sent=1200)
    enqueued(3)
    run = evidence(profile, state="failed")
    TestRun.objects.filter(pk=run.pk).update(finished_at=timezone.now())
    (row,) = page_for().context["cl"].result_list
    page = text_of(page_for())
    assert row.listed_test.state == "failed"
    assert "1,200" in page
    assert (row.listed_facts.waiting, row.listed_facts.sent_24h) == (3, 1200)


def test_a_connection_check_is_no_last_test():
    profile = a_profile()
    run = evidence(profile, state="failed")
    TestRun.objects.filter(pk=run.pk).update(kind="connect")
    (row,) = page_for().context["cl"].result_list
    assert row.listed_test.state == "passed"


def test_the_order_of_use_is_of_the_live_servers_in_use():
    relay = a_profile(name="EU relay", is_default=True, max_connections=4)
    a_profile(name="Amazon SES", priority="high")
    site = Site.objects.create(domain="shop.example")
    a_profile(name="Shop only", priority="normal", sites=[site])
    paused = a_profile(name="Paused one", priority="high")
    queue.pause(paused.pk, Paused.PERSON)
    a_draft(name="Draft one")
    queue.set_limits(relay.pk, queue.Limits(connections=4))
    queue.take_slots(queue.register_worker(), relay.pk, limit=4, want=3)

    page = text_of(page_for("viewer"))

    assert (
        "Order of use now: 1 EU relay (default, 3 of 4 connections) · 2 Amazon SES (High) "
        "Order of use now for shop.example: 1 EU relay (default, 3 of 4 connections) · 2 Amazon SES (High) "
        "· 3 Shop only (Normal)"
    ) in page
    assert "Order of use" not in text_of(page_for("viewer", q="relay"))


def test_an_empty_list_says_what_follows_and_what_to_do():
    page = page_for("administrator")
    assert "No SMTP profile yet" in text_of(page)
    assert (
        "Messages are queued but cannot be sent until one profile exists and has passed a test."
        in text_of(page)
    )
    assert "Set up the first server" in text_of(page)
    assert "Set up the first server" not in text_of(page_for("viewer"))
    a_profile()
    assert "No profile matches these filters." in text_of(page_for("viewer", q="nothing of the kind"))


def test_the_list_names_the_next_page_and_keeps_an_impossible_one_harmless():
    for number in range(45):
        a_draft(name=f"Draft {number:02}")
    assert len(names()) == 40
    assert names(p="2") == [f"Draft {number}" for number in range(40, 45)]
    assert names(p="9999") == names(p="2")


def test_two_hundred_profiles_cost_ten_queries():
    site = Site.objects.create(domain="shop.example")
    for number in range(200):
        a_profile(
            name=f"Server {number}",
            password="x",
            priority="high",
            sites=[site] if number % 3 == 0 else [],
            is_default=number == 0,
        )
    enqueued(5)
    client = client_of("administrator")
    cache.clear()
    client.get(LIST)
    with statements() as seen:
        assert client.get(LIST).status_code == 200

    assert len(seen) <= 10, "\n".join(str(one)[:120] for one in seen)
