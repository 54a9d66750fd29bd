"""The system checks of the keys: a sentence instead of a traceback."""

from io import StringIO

import pytest
from django.core import checks
from django.core.management import call_command

from smtp_settings import sealing
from smtp_settings.checks import TAG, check_key_values
from smtp_settings.models import KeyCheck, OAuthCredential
from tests.builders import a_draft, a_profile


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
def test_a_key_that_passwords_need_and_nobody_has_is_e002_with_its_name_and_the_remedy(settings):
    kid = sealing.current_keyring().primary.kid
    a_profile(password="s3cret")
    a_profile(password="an0ther")
    a_credential()
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", sealing.new_key()

    [error] = check_key_values(databases=["default"])

    assert error.id == "mailconf.E002"
    assert f"3 profiles or OAuth credentials need the key “{kid}”" in error.msg
    assert f"Put the file with the key “{kid}” back, or enter the passwords again" in error.hint


@pytest.mark.django_db
def test_a_profile_without_a_password_needs_the_key_it_was_cleared_under(settings):
    a_profile()
    a_profile(enabled=False)  # not in use: nothing is missing
    a_draft()
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", sealing.new_key()

    [error] = check_key_values(databases=["default"])

    assert error.msg.startswith("1 profile or OAuth credential needs the key")


@pytest.mark.django_db
def test_what_was_sealed_anew_needs_the_old_key_no_more(settings):
    a_profile(password="s3cret")
    a_profile()
    a_credential()
    old, new = settings.MAILCONF_KEYS, sealing.new_key()
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", f"{new},{old}"
    call_command("rotate_keys", stdout=StringIO())
    settings.MAILCONF_KEYS = new

    assert check_key_values(databases=["default"]) == []


def a_credential():
    credential = OAuthCredential(name="Contoso", provider="microsoft", flow="browser", client_id="1")
    for column in ("client_secret", "refresh_token"):
        secret = sealing.seal(sealing.Secret(column), sealing.binding_for(credential, column))
        setattr(credential, column, secret)
    credential.save()


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
