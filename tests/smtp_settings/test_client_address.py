"""From where a person did something: the event log takes it from the request, past no forged header."""

import pytest
from django.test import RequestFactory
from django.urls import reverse

from smtp_settings import client_address
from smtp_settings.models import Event
from tests.builders import a_profile
from tests.pages import client_of

requests = RequestFactory()


@pytest.mark.parametrize(
    ("remote", "expected"),
    [("203.0.113.7", "203.0.113.7"), ("2001:DB8::7", "2001:db8::7"), ("", None), ("/run/web.sock", None)],
)
def test_the_address_is_the_connections_own(remote, expected):
    assert client_address.of(requests.get("/", REMOTE_ADDR=remote)) == expected


def test_a_forwarded_address_counts_only_behind_a_proxy(settings):
    request = requests.get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="198.51.100.9")
    settings.MAILCONF_BEHIND_PROXY = False
    assert client_address.of(request) == "10.0.0.1"
    settings.MAILCONF_BEHIND_PROXY = True
    assert client_address.of(request) == "198.51.100.9"


def test_what_the_client_wrote_before_the_proxy_does_not_count(settings):
    settings.MAILCONF_BEHIND_PROXY = True
    request = requests.get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="1.2.3.4, 198.51.100.9")
    assert client_address.of(request) == "198.51.100.9"
    request = requests.get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="<script>")
    assert client_address.of(request) is None


@pytest.mark.django_db
def test_an_event_of_a_request_carries_the_address_and_one_of_a_worker_none():
    profile = a_profile()
    assert {event.ip for event in Event.objects.all()} == {None}
    client = client_of("superuser")
    client.defaults["REMOTE_ADDR"] = "203.0.113.7"
    client.post(
        reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk]), {"_draft": "1", "name": "x"}
    )
    client.post(reverse("admin:smtp_settings_smtpprofile_test", args=[profile.pk]))

    found = set(Event.objects.filter(user=client.user, kind="test.started").values_list("ip", flat=True))
    assert found == {"203.0.113.7"}
    assert client_address.current() is None
