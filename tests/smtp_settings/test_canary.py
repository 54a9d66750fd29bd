"""A canary password goes through everything and turns up nowhere (F1-F9)."""

import base64
import io
import logging
import sys
import traceback

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from smtp_settings import rotation, sealing, test_send, wire
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import effective_secret, stored_secret
from smtp_settings.models import SMTPProfile
from smtp_settings.sealing import Secret, new_key
from tests.builders import unsaved_profile
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db

CANARY = "c4nary-pa55word"
CODINGS = [
    CANARY,
    base64.b64encode(CANARY.encode()).decode(),
    base64.b64encode(f"\0shop\0{CANARY}".encode()).decode(),
    CANARY.encode().hex(),
]


def in_any_coding(text):
    return [coding for coding in CODINGS if coding in text]


def everything_stored():
    """All rows of all tables as text; what is binary also as hexadecimal digits."""
    with connection.cursor() as cursor:
        texts = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            texts += [row[0] for row in cursor.fetchall()]
    return "\n".join(texts)


def signing_in_at(server):
    return unsaved_profile(
        name="Shop",
        host=server.host,
        port=server.port,
        auth="password",
        username="shop",
        accepts_clear_auth=True,
    )


def test_a_canary_is_stored_and_logged_nowhere(caplog, settings):
    caplog.set_level(logging.DEBUG)
    with smtp_server(auth=("shop", CANARY)) as server:
        profile = signing_in_at(server)
        effective = effective_secret(profile, typed=Secret(CANARY))
        run = test_send.run(test_send.candidate(profile, effective.secret, None, ["inbox@example.com"]))
        assert run.state == "passed", run.sentence
        activation.save_profile(profile, effective, user=None, run=run)
        assert any(CANARY in coding or "AUTH" in coding for coding in server.commands)
    settings.MAILCONF_KEYS = f"{new_key()},{settings.MAILCONF_KEYS}"
    list(rotation.reseal_all())
    out = io.StringIO()
    call_command("dumpdata", "smtp_settings", stdout=out)
    call_command("verify_secrets", stdout=out)
    shown = [everything_stored(), caplog.text, out.getvalue(), repr([effective, profile, run, vars(profile)])]
    shown += [repr(wire.ways_out()), repr(vars(run))]
    assert not in_any_coding("\n".join(shown))
    assert stored_secret(SMTPProfile.objects.get()).reveal() == CANARY


def test_a_server_that_repeats_the_password_gets_it_nowhere(caplog):
    caplog.set_level(logging.DEBUG)
    with smtp_server(auth=("shop", "x"), answers={"AUTH": f"535 5.7.8 {CANARY} is wrong"}) as server:
        run = test_send.candidate(signing_in_at(server), Secret(CANARY), None, ["inbox@example.com"])
        run = test_send.run(run)
    assert run.failed_phase == "auth"
    assert not in_any_coding(everything_stored() + caplog.text + repr(vars(run)))


def test_no_traceback_shows_it(settings):
    profile = unsaved_profile(auth="password", username="shop", accepts_clear_auth=True)
    shown = []
    for fail in (
        lambda: sealing.open_sealed(b"junk", sealing.binding_for(profile)),
        lambda: activation.save_profile(profile, effective_secret(profile, typed=Secret(CANARY)), user=None),
        lambda: activation.save_untested(
            profile, effective_secret(profile, typed=Secret(CANARY)), user=None, reason=""
        ),
    ):
        with pytest.raises(Exception) as raised:  # noqa: PT011  # whatever it is, it must not show it
            fail()
        lines = traceback.TracebackException.from_exception(raised.value, capture_locals=True).format()
        shown += lines
    frames = "\n".join(line for line in shown if "test_canary" not in line and "CANARY" not in line)
    assert not in_any_coding(frames)


def test_a_refused_command_does_not_print_it(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(CANARY + "\n"))
    with smtp_server(auth=("shop", "another")) as server, pytest.raises(CommandError) as refused:
        call_command(
            "set_profile",
            "Shop",
            f"host={server.host}",
            f"port={server.port}",
            "security=none",
            "auth=password",
            "username=shop",
            "accepts_clear_auth=yes",
            "--test-to",
            "inbox@example.com",
            "--password-stdin",
        )
    printed = capsys.readouterr()
    assert not in_any_coding(printed.out + printed.err + str(refused.value))
