"""The settings of each shape, each in a process of its own, as they are read once at its start."""

import base64
import json
import os
import re
import secrets
import subprocess
import sys

import pytest
from django.core import mail
from django.core.management import call_command

from delivery.models import Message
from mailconf.env import BASE_DIR

PRODUCTION = {
    "DATABASE_URL": "postgresql://mailconf@127.0.0.1:1/mailconf",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SECRET_KEY": "5f0c1e9b7a3d8642-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP",
    "MAILCONF_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
    "MAILCONF_HOSTS": "mail.example.com",
}


def manage(*argv, environ):
    """Run manage.py with nothing of this run's environment but the path."""
    return subprocess.run(
        [sys.executable, "manage.py", *argv],
        cwd=BASE_DIR,
        env={"PATH": os.defpath, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def settings(environ, *names):
    script = (
        "import json; from django.conf import settings; "
        f"print(json.dumps({{name: getattr(settings, name) for name in {names!r}}}, default=str))"
    )
    done = manage("shell", "--no-imports", "-c", script, environ=environ)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(environ):
    """Return the one line that a start with these variables says."""
    done = manage("diffsettings", environ=environ)
    assert done.returncode == 1
    (sentence,) = done.stderr.strip().splitlines()  # and no traceback
    return sentence


def test_the_check_for_deployment_is_clean_in_production():
    done = manage("check", "--deploy", "--fail-level", "WARNING", environ=PRODUCTION)
    assert done.returncode == 0, done.stderr
    # Servers that are away fail no check.
    assert re.findall(r"mailconf\.\w+", done.stderr) == ["mailconf.I011", "mailconf.I021"]
    assert "ERROR" not in done.stderr
    assert "WARNING" not in done.stderr


def test_production_is_https_only():
    found = settings(
        PRODUCTION,
        "DEBUG",
        "SESSION_COOKIE_NAME",
        "SESSION_COOKIE_SECURE",
        "SECURE_SSL_REDIRECT",
        "ALLOWED_HOSTS",
    )
    assert found == {
        "DEBUG": False,
        "SESSION_COOKIE_NAME": "__Host-sessionid",
        "SESSION_COOKIE_SECURE": True,
        "SECURE_SSL_REDIRECT": True,
        "ALLOWED_HOSTS": ["mail.example.com"],
    }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({"MAILCONF_HOSTS": ""}, "MAILCONF_HOSTS is not set"),
        ({"MAILCONF_DEBUG": "true"}, "MAILCONF_DEBUG is only for"),
        ({"DATABASE_URL": "sqlite:///db.sqlite3"}, "DATABASE_URL must name a PostgreSQL server"),
        ({"MAILCONF_PROT": "1"}, "MAILCONF_PROT is not a variable"),
    ],
)
def test_production_refuses_to_start_on_a_guess(change, sentence, tmp_path):
    assert sentence in refusal({**PRODUCTION, "MAILCONF_VAR": str(tmp_path), **change})


def test_without_a_database_everything_is_private_and_on_loopback(tmp_path):
    found = settings(
        {"MAILCONF_VAR": str(tmp_path), "MAILCONF_SANDBOX_PORT": "2526"},
        "MAILCONF_EMBEDDED",
        "ALLOWED_HOSTS",
        "MAILCONF_KEYS_FILE",
        "CELERY_BROKER_URL",
        "MAILCONF_ALLOWED_NETWORKS",
        "MAILCONF_ALLOWED_PORTS",
        "SESSION_COOKIE_SECURE",
    )
    assert found["MAILCONF_EMBEDDED"] is True
    assert found["ALLOWED_HOSTS"] == ["127.0.0.1", "localhost", "[::1]"]
    assert found["MAILCONF_KEYS_FILE"] == str(tmp_path / "keys")
    assert found["CELERY_BROKER_URL"] == "filesystem://localhost//"
    assert found["MAILCONF_ALLOWED_NETWORKS"] == ["127.0.0.1/32"]
    assert 2526 in found["MAILCONF_ALLOWED_PORTS"]
    assert found["SESSION_COOKIE_SECURE"] is False


def test_reading_the_settings_makes_no_file(tmp_path):
    subprocess.run(
        [sys.executable, "-c", "import mailconf.settings"],
        cwd=BASE_DIR,
        env={"PATH": os.defpath, "MAILCONF_VAR": str(tmp_path / "var")},
        timeout=60,
        check=True,
    )
    assert not (tmp_path / "var").exists()


def lines_of_the_readme():
    """What the README has a project write into its settings: before its own, and after them."""
    readme = (BASE_DIR / "README.md").read_text(encoding="utf-8")
    [named] = re.findall(r"```python\n(from mailconf\.app_settings.*?)```", readme, re.DOTALL)
    if hasattr(mail, "mailers"):
        named = "".join(line for line in named.splitlines(keepends=True) if "EMAIL_BACKEND =" not in line)
    return named.split("\n\n")


def a_project(folder, *more):
    """A new Django project with the README's lines and more of its own; its environment on top of ours."""
    first, rest = lines_of_the_readme()
    call_command("startproject", "shop", folder)
    own = folder / "shop" / "settings.py"
    shared = "import environ\nDATABASES = {'default': environ.Env().db_url('DATABASE_URL')}"
    own.write_text("\n".join([first, own.read_text(), shared, rest, *more]))
    return {"PYTHONPATH": str(BASE_DIR), "DJANGO_SETTINGS_MODULE": "shop.settings"}


def run_in(folder, environment, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.django_db(transaction=True)
def test_a_project_sends_through_the_queue_as_the_readme_says(process_environment, tmp_path):
    environment = process_environment | a_project(tmp_path)

    done = run_in(tmp_path, environment, "manage.py", "sendtestemail", "bo@example.com")  # checks run first

    assert done.returncode == 0, done.stderr
    assert [message.rcpt_to for message in Message.objects.all()] == [["bo@example.com"]]


WHO_RINGS = """
import django, json; django.setup()
from delivery.tasks import drain
queue = drain.app.amqp.router.route({}, drain.name)["queue"].name
print(json.dumps([drain.app.main, drain.app.conf.broker_url, queue]))
"""
OWN_CELERY = """
from celery import Celery
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
"""


@pytest.mark.parametrize(
    ("more", "celery", "rung"),
    [
        ('INSTALLED_APPS += ["mailconf"]', "", ["mailconf", "redis://127.0.0.1:1/0", "mail"]),
        ("", OWN_CELERY, ["shop", "redis://127.0.0.1:1/0", "mail"]),
        (
            'CELERY_TASK_ROUTES |= {"shop.*": {"queue": "shop"}}',
            OWN_CELERY,
            ["shop", "redis://127.0.0.1:1/0", "mail"],
        ),
    ],
)
def test_a_project_rings_the_workers_of_mailconf_as_the_readme_says(tmp_path, more, celery, rung):
    shared = {"PATH": os.defpath, "REDIS_URL": "redis://127.0.0.1:1/0", "MAILCONF_VAR": str(tmp_path / "var")}
    environment = (
        shared | a_project(tmp_path, more) | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    )
    (tmp_path / "shop" / "__init__.py").write_text(celery)

    done = run_in(tmp_path, environment, "-c", WHO_RINGS)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == rung


def test_a_kept_secret_key_is_used(tmp_path):
    (tmp_path / "secret_key").write_text("kept-from-the-first-start\n")
    assert settings({"MAILCONF_VAR": str(tmp_path)}, "SECRET_KEY") == {
        "SECRET_KEY": "kept-from-the-first-start"
    }


def test_a_command_says_in_a_sentence_that_the_private_database_is_not_running(tmp_path):
    environ = {"MAILCONF_VAR": str(tmp_path), "MAILCONF_KEYS": PRODUCTION["MAILCONF_KEYS"]}
    done = manage("showmigrations", environ=environ)
    assert done.returncode == 1
    assert "The database does not answer" in done.stderr
    assert "`make run`" in done.stderr
    assert "Traceback" not in done.stderr
