"""Valid objects for tests; a test names only what it is about.

A profile made here is live for the reason every live profile is: its settings have evidence, the gate was
asked, and `activation` cleared it. Only the test email itself is left out
(`tests/smtp_settings/test_test_send.py` sends real ones).
"""

from importlib import import_module
from itertools import count
from types import SimpleNamespace
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone

from smtp_settings import test_send
from smtp_settings.clearance import activation
from smtp_settings.models import SMTPProfile, TestRun
from smtp_settings.sealing import Secret

_numbers = count(1)


def a_user(role="superuser", **fields):
    """A user: "superuser", a role with its group ("administrator", "operator", "viewer"), or "nobody"."""
    number = next(_numbers)
    fields.setdefault("username", f"{role}{number}")
    fields.setdefault("email", f"{fields['username']}@example.com")
    user = get_user_model()(is_staff=role != "nobody", is_superuser=role == "superuser", **fields)
    user.set_password(fields.get("password", "correct horse"))
    user.save()
    if role in ("administrator", "operator", "viewer"):
        user.groups.add(a_group(f"mailconf {role}s"))
    return user


def a_group(name):
    """A role's group; made again where a test with real transactions has emptied the database before."""
    if not Group.objects.filter(name=name).exists():
        groups = import_module("delivery.migrations.0003_groups")
        groups.make_groups(apps, SimpleNamespace(connection=connection))
    return Group.objects.get(name=name)


def unsaved_profile(**fields):
    """A profile with valid values for a server on this machine, not saved."""
    values: dict[str, Any] = {
        "name": f"Profile {next(_numbers)}",
        "host": "127.0.0.1",
        "port": 2525,
        "security": "none",
        "auth": "none",
        "from_address": "shop@example.com",
    }
    return SMTPProfile(**values | fields)


def evidence(profile, secret=None, *, user=None, state="passed", finished_at=None):
    """A finished test run of these very values, as `test_send.run` leaves it."""
    run = test_send.candidate(profile, secret, user, ["inbox@example.com"])
    run.state, run.finished_at = TestRun.State(state), finished_at or timezone.now()
    run.started_at, run.ran_on = run.created_at, "a test"
    run.save()
    return run


def a_profile(*, password="", sites=(), user=None, **fields):
    """A live profile, saved and cleared through the gate; `password` is what it signs in with."""
    if password:
        fields = {"auth": "password", "username": "shop", "accepts_clear_auth": True} | fields
    profile = unsaved_profile(**fields)
    effective = activation.effective_secret(profile, typed=Secret(password) if password else None)
    run = evidence(profile, effective.secret, user=user)
    activation.save_profile(profile, effective, user=user, sites=sites, run=run)
    return profile


def a_draft(**fields):
    """A draft: saved, disabled, not live."""
    profile = unsaved_profile(**fields)
    activation.save_draft(profile, user=None)
    return profile
