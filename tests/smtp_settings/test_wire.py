"""From a profile's row to a way out: what the queue sees, and what reaches the wire."""

import dataclasses

import pytest
from django.contrib.sites.models import Site

from smtp_settings import sealing, wire
from smtp_settings.clearance import activation
from smtp_settings.models import SMTPProfile
from tests.builders import a_draft, a_profile, a_user, unsaved_profile
from transports.smtp import SMTPTransport

pytestmark = pytest.mark.django_db


def transport(**fields):
    built = wire.transport_for(unsaved_profile(**fields))
    assert isinstance(built, SMTPTransport)
    return built.settings


def test_the_queue_sees_limits_and_sender_and_no_secret():
    site, user = Site.objects.create(domain="shop.example"), a_user()
    profile = a_profile(
        name="Shop",
        password="c4nary",
        sites=[site],
        sender_domains=["Example.com"],
        priority="high",
        max_connections=3,
        messages_per_connection=7,
        per_minute=1,
        per_hour=2,
        per_day=3,
        send_offset=4,
        max_retries=5,
        retry_delay=6,
        retry_cap=60,
        give_up_hours=7,
        backoff="fixed",
        max_size=8,
        on_uncertain="hold",
        notify_user=user,
        from_name="The shop",
        from_policy="force",
        reply_to="help@example.com",
        bounce_address="bounces@example.com",
        subject_prefix="[S] ",
        debug_recipients=["debug@example.com"],
    )
    [way] = wire.ways_out()
    seen = dataclasses.asdict(way)
    assert seen.pop("sender") == {
        "from_address": "shop@example.com", "from_name": "The shop", "from_policy": "force",
        "reply_to": "help@example.com", "bounce_address": "bounces@example.com", "subject_prefix": "[S] ",
        "debug_recipients": ("debug@example.com",),
    }  # fmt: skip
    assert (seen["profile_id"], seen["name"], seen["priority"]) == (profile.pk, "Shop", "high")
    assert (seen["site_ids"], seen["sender_domains"]) == ({site.pk}, {"example.com"})
    limits = (
        "max_connections",
        "messages_per_connection",
        "per_minute",
        "per_hour",
        "per_day",
        "send_offset",
    )
    assert [seen[name] for name in limits] == [3, 7, 1, 2, 3, 4]
    retries = (
        "max_retries",
        "retry_delay",
        "retry_cap",
        "give_up_hours",
        "backoff",
        "max_size",
        "on_uncertain",
        "notify_user_id",
    )
    assert [seen[name] for name in retries] == [5, 6, 60, 7, "fixed", 8, "hold", user.pk]
    assert "c4nary" not in repr(way)


def test_the_number_of_queries_does_not_grow(django_assert_num_queries):
    site = Site.objects.create(domain="shop.example")
    for _number in range(12):
        a_profile(password="s3cret", sites=[site])
    with django_assert_num_queries(2):
        assert len(wire.ways_out()) == 12


def test_only_live_and_enabled_profiles_are_ways_out():
    live, disabled = a_profile(), a_profile()
    a_draft()
    SMTPProfile.objects.filter(pk=disabled.pk).update(enabled=False)
    assert [way.profile_id for way in wire.ways_out()] == [live.pk]


def test_a_profile_saved_without_a_test_is_a_way_out():
    activation.save_untested(unsaved_profile(), activation.NO_SECRET, user=a_user(), reason="Only at night.")
    assert wire.ways_out()


def test_every_save_makes_another_version():
    profile = a_profile()
    [before] = wire.ways_out()
    profile.connect_timeout = 9
    activation.save_profile(profile, activation.NO_SECRET, user=None)
    [after] = wire.ways_out()
    assert before.version != after.version
    with pytest.raises(wire.NotLive):
        wire.transport_of(profile.pk, before.version)
    assert wire.transport_of(profile.pk, after.version).settings.timeouts.connect == 9


def test_a_deleted_profile_gives_no_transport():
    profile = a_profile()
    [way] = wire.ways_out()
    profile.delete()
    with pytest.raises(wire.NotLive):
        wire.transport_of(way.profile_id, way.version)


@pytest.mark.parametrize(
    ("fields", "attribute", "expected"),
    [
        ({"host": "smtp.example.com"}, "host", "smtp.example.com"),
        ({"port": 65535}, "port", 65535),
        ({"security": "tls"}, "security", "tls"),
        ({"verification": "none"}, "verify", False),
        ({"verification": "full"}, "verify", True),
        ({"minimum_tls": "1.3"}, "minimum_tls", "1.3"),
        ({"ca": "PEM"}, "ca_pem", "PEM"),
        ({"ip_version": "6"}, "ip_version", "6"),
        ({"source_address": "127.0.0.1"}, "source_address", "127.0.0.1"),
        ({"ehlo_name": "mail.example.com"}, "ehlo_name", "mail.example.com"),
        ({"auth": "password"}, "auth", "password"),
        ({"auth": "none"}, "auth", "none"),
        ({"mechanism": "login"}, "mechanism", "login"),
        ({"mechanism": "cram-md5"}, "mechanism", "cram-md5"),
        ({"auth": "password", "username": "shop"}, "username", "shop"),
        ({"auth": "none", "username": "shop"}, "username", ""),
        ({"accepts_clear_auth": True}, "allow_clear_auth", True),
        ({"pipelining": "sequential"}, "pipelining", "sequential"),
    ],
)
def test_each_value_reaches_the_transport(fields, attribute, expected):
    assert getattr(transport(**fields), attribute) == expected


def test_timeouts_reach_the_transport_and_the_final_dot_keeps_its_own():
    timeouts = transport(connect_timeout=3, command_timeout=4).timeouts
    assert (timeouts.connect, timeouts.banner, timeouts.ehlo, timeouts.mail, timeouts.rcpt) == (3, 4, 4, 4, 4)
    assert timeouts.dot >= 600


def test_the_ports_and_networks_of_the_installation_guard_every_transport(settings):
    settings.MAILCONF_ALLOWED_PORTS = (587, (2000, 3000))
    settings.MAILCONF_ALLOWED_NETWORKS, settings.MAILCONF_ALLOW_PRIVATE = ["192.0.2.0/24"], False
    guard = transport().guard
    assert [guard.allows_port(port) for port in (587, 2000, 3000, 3001, 25)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert not guard.allow_private


def test_a_region_that_nobody_knows_is_a_sentence():
    with pytest.raises(wire.MethodNotAvailable, match="cannot be used with these values"):
        wire.transport_for(unsaved_profile(transport="mailgun", region="mars"))


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        ({"transport": "sendmail", "program_arguments": "-Nnever -G"}, "arguments", ("-Nnever", "-G")),
        ({"transport": "sendmail"}, "line_ends", "lf"),
        ({"transport": "sendmail", "line_ends": "crlf"}, "line_ends", "crlf"),
        ({"transport": "ses", "region": "eu-west-1", "bounce_address": "b@b.c"}, "bounce_address", "b@b.c"),
        ({"transport": "pickup", "directory": "/srv/out"}, "directory", "/srv/out"),
        ({"transport": "mailgun", "region": "eu"}, "base", "https://api.eu.mailgun.net"),
        ({"transport": "mailgun", "region": "us"}, "base", "https://api.mailgun.net"),
        ({"transport": "ses", "region": "eu-west-1", "uses_machine_role": True}, "key", None),
        ({"transport": "ses", "region": "eu-west-1", "from_address": "a@b.c"}, "sender", "a@b.c"),
    ],
)
def test_each_method_has_its_transport(fields, name, expected):
    assert getattr(wire.transport_for(unsaved_profile(**fields)).settings, name) == expected


def test_nothing_shows_the_password_of_a_transport():
    profile = a_profile(password="c4nary")
    built = wire.transport_for(profile)
    assert "c4nary" not in repr(built) + repr(built.settings) + repr(vars(built))


def test_a_sign_in_without_a_stored_password_opens_nothing():
    opener = transport(auth="password", username="shop", accepts_clear_auth=True).password
    with pytest.raises(sealing.SealingError):
        opener()
