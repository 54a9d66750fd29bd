"""What probes are told."""

import pytest
from django.db import OperationalError, connection
from django.test import Client


def test_the_process_answers_whatever_name_it_is_called_by(settings):
    settings.ALLOWED_HOSTS = ["mail.example.com"]
    answer = Client().get("/healthz", headers={"host": "10.0.0.7:8000"})
    assert (answer.status_code, answer.json()) == (200, {"process": "ok"})


@pytest.mark.django_db
def test_it_is_ready_when_database_migrations_and_keys_are_there():
    answer = Client().get("/readyz")
    assert answer.json() == {"database": "ok", "keys": "ok", "migrations": "ok"}
    assert answer.status_code == 200


@pytest.mark.django_db
def test_it_is_not_ready_without_a_key(settings):
    settings.MAILCONF_KEYS, settings.MAILCONF_KEYS_FILE = "", ""
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["keys"]) == (503, "missing")


@pytest.mark.django_db
def test_it_is_not_ready_on_a_standby():
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "read only")


@pytest.mark.django_db
def test_it_is_not_ready_without_a_database():
    def no_answer(execute, sql, params, many, context):
        raise OperationalError("connection to server at 10.0.0.1 failed")

    with connection.execute_wrapper(no_answer):
        answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"database": "no answer", "keys": "ok"})


@pytest.mark.django_db
def test_it_is_not_ready_while_a_migration_is_pending():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sites'")
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["migrations"]) == (503, "pending")


@pytest.mark.django_db
def test_every_page_carries_the_one_content_security_policy():
    policy = Client().get("/admin/login/").headers["Content-Security-Policy"]
    assert {part.strip() for part in policy.split(";")} == {
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "object-src 'none'",
    }
