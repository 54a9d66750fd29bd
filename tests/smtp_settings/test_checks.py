"""The system checks of the keys: a sentence instead of a traceback."""

import pytest
from django.core import checks
from django.core.management import call_command

from smtp_settings import sealing
from smtp_settings.checks import TAG
from smtp_settings.models import KeyCheck
from tests.builders import a_profile


def found(databases=()):
    """The ids found. Django 6.1 takes no word about databases for all of them, Django 5.2 for none."""
    return [
        message.id
        for message in checks.run_checks(tags=[TAG], databases=list(databases))
        if message.id in ("mailconf.E001", "mailconf.E002", "mailconf.E003")
    ]


def test_a_proper_key_is_fine():
    assert found() == []


def test_no_key_is_e001(settings):
    settings.MAILCONF_KEYS_FILE = settings.MAILCONF_KEYS = ""
    assert found() == ["mailconf.E001"]


def test_an_unreadable_key_file_is_e001(settings, tmp_path):
    settings.MAILCONF_KEYS_FILE = str(tmp_path / "absent")
    assert found() == ["mailconf.E001"]


@pytest.mark.parametrize("text", ["k:passphrase", "k:AAAA", "just words"])
def test_a_weak_key_is_e003(settings, text):
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", text
    assert found() == ["mailconf.E003"]


def test_a_key_made_from_secret_key_is_e003(settings):
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", sealing.new_key()
    settings.SECRET_KEY = settings.MAILCONF_KEYS.partition(":")[2]
    assert found() == ["mailconf.E003"]


@pytest.mark.django_db
def test_another_key_under_a_known_name_is_e002(settings):
    a_profile(password="s3cret")
    kid = KeyCheck.objects.get().kid
    assert found(databases=["default"]) == []
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", f"{kid}:{sealing.new_key().partition(':')[2]}"
    assert found(databases=["default"]) == ["mailconf.E002"]
    assert found() == []  # without the database nothing is asked of it


@pytest.mark.django_db
def test_without_a_key_the_database_check_leaves_it_to_e001(settings):
    settings.MAILCONF_KEYS_FILE = settings.MAILCONF_KEYS = ""
    assert found(databases=["default"]) == ["mailconf.E001"]


@pytest.mark.django_db
def test_a_new_key_is_remembered_by_its_check_value():
    a_profile(password="s3cret")
    primary = sealing.current_keyring().primary
    assert bytes(KeyCheck.objects.get(kid=primary.kid).value) == primary.check_value


def test_a_key_can_be_made_where_there_is_none(settings, capsys):
    settings.MAILCONF_KEYS_FILE = settings.MAILCONF_KEYS = ""
    call_command("generate_key")
    assert sealing.parse_keys(capsys.readouterr().out, secret_key="-")
