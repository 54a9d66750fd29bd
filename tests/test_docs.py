"""The documentation says what is so."""

import doctest
import importlib
import re
from dataclasses import fields

import pytest
from django.apps import apps
from django.core.management import get_commands

from mailconf.env import BASE_DIR, variables
from transports.resolve import LOOKUP_TIMEOUT
from transports.smtp import Timeouts

WIRE = (BASE_DIR / "docs" / "wire.md").read_text(encoding="utf-8")
README = (BASE_DIR / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([BASE_DIR / "README.md", BASE_DIR / "CHANGELOG.md", *(BASE_DIR / "docs").glob("*.md")])
PACKAGES = ("mailconf", "delivery", "smtp_settings", "transports")
OURS = {name for name, app in get_commands().items() if str(app).split(".")[0] in PACKAGES}


def modules_with_examples():
    for package in PACKAGES:
        for path in (BASE_DIR / package).rglob("*.py"):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(BASE_DIR).with_suffix("").parts
                yield ".".join(parts).removesuffix(".__init__")


def test_the_table_of_the_environment_is_the_one_in_the_code():
    expected = [
        f"| `{variable.name}` | {f'`{variable.default}`' if variable.default else ''} | {variable.meaning} |"
        for variable in variables().values()
    ]
    rows = [
        line for line in README.splitlines() if re.match(r"\| `(MAILCONF_|DATABASE_|REDIS_|SECRET_)", line)
    ]
    assert rows == expected, "the table should read:\n" + "\n".join(expected)


def test_every_variable_named_in_a_document_exists():
    known = {variable.name for variable in variables().values()}
    for path in DOCUMENTS:
        named = set(re.findall(r"\bMAILCONF_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
        assert named <= known, path


def test_every_command_named_in_a_document_exists():
    django = {"createsuperuser", "collectstatic", "migrate", "check"}
    for path in DOCUMENTS:
        named = set(re.findall(r"manage\.py ([a-z_]+)", path.read_text(encoding="utf-8")))
        assert named <= OURS | django, path


def test_every_command_of_ours_is_in_the_readme():
    table = set(re.findall(r"^\| `([a-z_]+)[^`]*` \| ", README, re.MULTILINE))
    assert table == OURS


def test_every_target_of_make_that_a_document_names_exists():
    targets = set(
        re.findall(r"^([a-z-]+):", (BASE_DIR / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for path in DOCUMENTS:
        named = set(re.findall(r"`make ([a-z-]+)`", path.read_text(encoding="utf-8")))
        assert named <= targets, path


def test_every_link_to_a_file_leads_somewhere():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("name", sorted(modules_with_examples()))
def test_the_examples_in_docstrings_are_true(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_file_named_in_a_document_exists():
    for path in DOCUMENTS:
        for name in re.findall(r"`((?:tests|bench|docs)/[\w/.]+)`", path.read_text(encoding="utf-8")):
            assert (BASE_DIR / name).exists(), f"{path.name} names {name}"


def test_the_limits_of_a_session_are_the_ones_in_the_code():
    rows = re.findall(r"^\| ([a-z, ]+) \| .* \| (\d+) s\b", WIRE, re.MULTILINE)
    documented = {name: float(seconds) for step, seconds in rows for name in step.split(", ")}
    in_the_code = {field.name: field.default for field in fields(Timeouts)} | {"dns": LOOKUP_TIMEOUT}
    in_the_code["body"] = in_the_code.pop("block")
    del in_the_code["rset"]  # it has no row: it leads MAIL
    assert documented == in_the_code


def test_the_engines_statements_name_tables_and_columns_that_exist():
    text = (BASE_DIR / "docs" / "engine.md").read_text(encoding="utf-8")
    tables = {model._meta.db_table: model for model in apps.get_app_config("delivery").get_models()}
    made = importlib.import_module("delivery.migrations.0004_enqueue").FUNCTION
    functions = re.findall(r"CREATE FUNCTION (\w+)", made)
    assert set(re.findall(r"\bdelivery_[a-z]+", text)) <= {*tables, *functions}
    statement = re.search(r"SELECT ([\w, ]+), count\(\*\) FROM delivery_slot", text)
    columns = {field.attname for field in tables["delivery_slot"]._meta.fields}
    assert set(statement[1].split(", ")) <= columns
