"""Sign-ins in the event log."""

import pytest
from django.urls import reverse

from smtp_settings.models import Event
from tests.builders import a_user
from tests.pages import client_of

pytestmark = pytest.mark.django_db


def signing_in(username, password):
    client = client_of("anonymous")
    client.defaults["REMOTE_ADDR"] = "203.0.113.7"
    client.post(reverse("admin:login"), {"username": username, "password": password})
    return Event.objects.get()


def test_a_sign_in_is_an_event_with_its_address():
    person = a_user("viewer", password="correct horse")
    event = signing_in(person.username, "correct horse")
    assert (event.kind, event.user_id, event.ip) == ("person.signed_in", person.pk, "203.0.113.7")


def test_a_refused_sign_in_names_the_account_and_never_what_was_typed():
    person = a_user("viewer", password="correct horse")
    event = signing_in(person.username, "hunter2")
    assert (event.kind, event.level, event.user_id) == ("person.sign_in_refused", "warning", person.pk)
    assert event.data == {}


def test_a_password_typed_as_the_name_is_written_nowhere():
    event = signing_in("my-password-by-mistake", "x")
    assert (event.kind, event.user_id, event.data) == ("person.sign_in_refused", None, {})
