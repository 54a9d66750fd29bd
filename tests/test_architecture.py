"""The rules of the house that a tool can hold."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mailconf.env import BASE_DIR

PACKAGES = ("mailconf", "delivery", "smtp_settings", "transports")


def test_imports_go_one_way():
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint_imports, "--no-cache"], cwd=BASE_DIR, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is(package):
    for path in (BASE_DIR / package).rglob("*.py"):
        if "migrations" not in path.parts:
            assert re.match(r'r?"""', path.read_text(encoding="utf-8")), path


def test_the_locks_name_hashes_and_no_index():
    for path in (BASE_DIR / "requirements.lock", BASE_DIR / "requirements-dev.lock"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        assert "--index" not in text
        for entry in re.split(r"\n(?=[a-z0-9])", text.strip()):
            assert "==" in entry, entry[:60]
            assert "--hash=sha256:" in entry, entry[:60]


def test_what_is_run_is_a_part_of_what_is_tested():
    def pins(name):
        return set(re.findall(r"^\S+==\S+", (BASE_DIR / name).read_text(encoding="utf-8"), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")
