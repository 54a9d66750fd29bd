"""The system check of the workers' journals."""

import os

import pytest
from django.core import checks

from delivery.checks import TAG
from tests.builders import a_profile

pytestmark = pytest.mark.django_db  # the tag's other checks look at the keys' check values


def found():
    messages = checks.run_checks(tags=[TAG])
    return [message for message in messages if message.id == "mailconf.W001"]


@pytest.mark.parametrize("name", ["state", "not/made/yet"])
def test_a_folder_that_exists_or_can_be_made_is_fine(settings, tmp_path, name):
    (tmp_path / "state").mkdir()
    settings.MAILCONF_STATE_DIR = tmp_path / name
    assert not found()
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_file_in_its_place_is_w001(settings, tmp_path):
    (tmp_path / "state").write_text("")
    settings.MAILCONF_STATE_DIR = tmp_path / "state" / "here"
    (message,) = found()
    assert str(tmp_path / "state" / "here") in message.msg
    assert "twice" in message.hint


def test_a_folder_without_permission_is_w001(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)  # root may write everywhere
    settings.MAILCONF_STATE_DIR = tmp_path
    assert len(found()) == 1


def test_without_a_live_profile_the_check_of_the_database_says_that_mail_waits():
    def said():
        found = checks.run_checks(tags=[TAG], databases=["default"])
        return [one.msg for one in found if one.id == "mailconf.W005"]

    a_profile(enabled=False)
    assert said() == ["No profile is live: messages wait."]
    a_profile()
    assert said() == []
