"""docs/coming-from.md: every setting of ours that it names exists."""

import re

import pytest
from django.core.management import get_commands

from delivery.management.commands.import_queue import Command as ImportQueue
from delivery.takeover.django_mailer import DjangoMailer
from delivery.takeover.post_office import PostOffice
from mailconf.env import BASE_DIR, variables
from smtp_settings.management.commands.import_settings import Command as ImportSettings
from smtp_settings.models import SendingPolicy, SMTPProfile

TEXT = (BASE_DIR / "docs" / "coming-from.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ", 1) for line in TEXT.splitlines() if line.startswith("| ") and " | " in line]
KNOWN = (
    {field.name for model in (SMTPProfile, SendingPolicy) for field in model._meta.get_fields()}
    | {variable.name for variable in variables().values()}
    | set(get_commands())
)


def test_every_setting_of_ours_exists():
    named = {word for _there, here in ROWS for word in re.findall(r"`([A-Za-z_]+)[^`]*`", here)}
    assert len(named) > 40
    assert named <= KNOWN, named - KNOWN


@pytest.mark.parametrize(
    "section", ["KPImailer", "Kentico", "Qalyptus", "KeyManager", "LogiSense", "a Django project"]
)
def test_each_system_has_its_table(section):
    chapter = TEXT.split(f"## From {section}\n")[1].split("\n## ")[0]
    assert chapter.count("\n| ") >= 8


def test_the_options_and_packages_it_names_exist():
    options = set()
    for command in (ImportQueue(), ImportSettings()):
        parser = command.create_parser("manage.py", "x")
        options |= {name for action in parser._actions for name in action.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) <= options
    packages = set(re.findall(r"import_queue (\w+)", TEXT))
    assert packages == {PostOffice.name, DjangoMailer.name}
