"""The error pages: a sentence in plain words, a reference, and no need for what failed."""

import logging

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.test import Client
from django.urls import path

from mailconf import urls
from tests.pages import assert_strict, client_of, text_of


def _broken(request):
    raise RuntimeError("a secret detail")


def _away(request):
    raise OperationalError("connection to server at 10.0.0.5 failed")


def _refused(request):
    raise PermissionDenied("Can change SMTP profile")


def _refused_without_words(request):
    raise PermissionDenied


def _suspicious(request):
    raise SuspiciousOperation("a secret detail")


handler400, handler403, handler404 = urls.handler400, urls.handler403, urls.handler404
handler500 = urls.handler500
urlpatterns = [
    path("broken/", _broken),
    path("away/", _away),
    path("refused/", _refused),
    path("refused-without-words/", _refused_without_words),
    path("suspicious/", _suspicious),
]


@pytest.fixture
def client(settings):
    """A client of pages that fail."""
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False)


def test_a_fault_of_ours_has_a_reference_that_is_in_the_log(client, caplog):
    with caplog.at_level(logging.ERROR):
        response = client.get("/broken/")

    assert response.status_code == 500
    assert_strict(response)
    page = text_of(response)
    assert "Something went wrong on our side." in page
    assert "The queue keeps working." in page
    assert "a secret detail" not in page
    reference = page.split("Reference ")[1].split(".")[0]
    assert any(reference in record.getMessage() for record in caplog.records)


def test_a_database_that_is_away_is_503_and_says_when_to_come_back(client):
    response = client.get("/away/")
    assert response.status_code == 503
    assert_strict(response)
    assert response.headers["Retry-After"] == "30"
    assert "The database does not answer." in text_of(response)
    assert "10.0.0.5" not in text_of(response)


def test_a_refusal_names_the_permission(client):
    response = client.get("/refused/")
    assert response.status_code == 403
    assert_strict(response)
    assert "It needs the permission “Can change SMTP profile”. Ask an administrator." in text_of(response)
    assert "Ask an administrator for the permission it needs." in text_of(
        client.get("/refused-without-words/")
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/admin/smtp_settings/smtpprofile/add/", "Can add SMTP profile"),
        ("/admin/auth/user/", "Can view user"),
        ("/admin/smtp_settings/smtpprofile/test/", "Can test saved SMTP profiles"),
    ],
)
def test_a_page_of_the_admin_names_the_permission_it_wants(url, name):
    response = client_of("viewer").get(url)
    assert response.status_code == 403
    assert_strict(response)
    assert f"It needs the permission “{name}”. Ask an administrator." in text_of(response)


@pytest.mark.django_db
def test_what_nobody_may_names_no_permission():
    response = client_of("superuser").get("/admin/smtp_settings/event/add/")
    assert response.status_code == 403
    assert "It needs the permission" not in text_of(response)


@pytest.mark.django_db
def test_a_form_that_was_open_for_too_long_says_what_to_do():
    client = client_of("administrator", enforce_csrf_checks=True)
    response = client.post("/admin/smtp_settings/smtpprofile/add/", {"name": "x"})
    assert response.status_code == 403
    assert_strict(response)
    assert "This page was open for too long. Go back, reload it, and send again." in text_of(response)


def test_a_request_that_makes_no_sense_is_400_without_the_reason(client):
    response = client.get("/suspicious/")
    assert response.status_code == 400
    assert_strict(response)
    assert "This request cannot be answered." in text_of(response)
    assert "a secret detail" not in text_of(response)


def test_an_unknown_address_is_404_without_the_list_of_addresses(client):
    response = client.get("/nothing/<script>/")
    assert response.status_code == 404
    assert_strict(response)
    assert "There is nothing at this address." in text_of(response)
    assert "broken" not in text_of(response)


@pytest.mark.django_db
def test_an_address_the_admin_does_not_take_is_400_with_a_page():
    response = client_of("superuser").get("/admin/delivery/message/?_to_field=subject")
    assert response.status_code == 400
    assert_strict(response)
    assert "This request cannot be answered." in text_of(response)


@pytest.mark.django_db
def test_a_missing_object_of_the_admin_is_no_traceback():
    assert client_of("superuser").get("/admin/no/such/").status_code == 404
