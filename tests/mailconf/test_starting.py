"""What the start says besides starting (`tests/acceptance/test_make_run.py` really starts it)."""

import pytest

from mailconf import starting
from smtp_settings import sealing
from tests.builders import a_profile

pytestmark = pytest.mark.django_db


def test_with_the_right_keys_the_start_says_nothing_of_them():
    a_profile(password="s3cret")
    assert starting.key_warnings() == []


def test_the_start_names_the_key_that_is_missing_and_goes_on(settings):
    kid = sealing.current_keyring().primary.kid
    a_profile(password="s3cret")
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", sealing.new_key()

    [warning] = starting.key_warnings()

    assert f"1 profile or OAuth credential needs the key “{kid}”" in warning
    assert f"Put the file with the key “{kid}” back" in warning


def test_the_start_says_that_a_key_is_not_the_one_it_is_named_after(settings):
    kid = sealing.current_keyring().primary.kid
    a_profile(password="s3cret")
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", f"{kid}:{sealing.new_key().partition(':')[2]}"
    assert any(f"“{kid}” is not the key that sealed" in warning for warning in starting.key_warnings())


def test_the_start_says_what_a_key_that_is_none_lacks(settings):
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", "k:passphrase"
    [warning] = starting.key_warnings()
    assert "“k” is not 32 random bytes" in warning
