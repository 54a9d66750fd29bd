"""What all tests share: the run's folder and its private PostgreSQL, and what needs another program."""

import gc
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import HealthCheck
from hypothesis import settings as generated

from mailconf import embedded
from tests import emptying
from tests import settings as test_settings
from tests.nameserver import name_server
from tests.needs import missing
from tests.order import spread

# No test is timed: a busy machine is no failure.
generated.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
generated.load_profile("untimed")

#: Where most tests wait for a process, a browser or a server.
_PATIENT = ("acceptance", "browser", "real_servers")
#: Where the tests of a file share a server that takes seconds to start.
_WHOLE = ("real_servers/", "mailconf/test_embedded.py")

#: The PostgreSQL of this run: a private one without fsync, unless DATABASE_URL names one.
_server: embedded.PrivateServer | None = None


def _is_part(config: pytest.Config) -> bool:
    """Whether this process runs a part of the tests (pytest-xdist) for one that has made everything ready."""
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folders of this process; start the run's server before any test, once for all processes."""
    global _server
    if config.option.collectonly:
        return
    for folder in (test_settings.TEST_VAR, settings.MAILCONF_VAR, settings.STATIC_ROOT):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not _is_part(config) and test_settings.TEST_SERVER is not None:
        _server = embedded.PrivateServer(test_settings.TEST_SERVER, durable=False)
        _server.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End and remove them, however the run ended."""
    if _is_part(config):
        return
    if _server is not None:
        _server.stop()
        _server.remove()
    shutil.rmtree(test_settings.TEST_VAR, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mix the tests that wait with those that work, behind the order of pytest-randomly and pytest-django."""
    if _is_part(config):
        tests = Path(__file__).parent
        items[:] = spread(
            items,
            config.workerinput["workercount"],
            waits=lambda item: item.path.relative_to(tests).parts[0] in _PATIENT,
            file_of=lambda item: item.path,
            is_whole=lambda item: item.path.relative_to(tests).as_posix().startswith(_WHOLE),
        )


def pytest_collection() -> None:
    """Look for no garbage among thousands of tests that all stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for it again, but not among what was there before the first test."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many cells of the wire matrix passed, mode by mode (tests/wire/test_matrix.py)."""
    passed: Counter[str] = Counter()
    all_cells: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            modes = [str(value) for name, value in report.user_properties if name == "wire matrix"]
            all_cells.update(modes)
            passed.update(modes if outcome == "passed" else [])
    for mode, count in sorted(all_cells.items()):
        terminalreporter.write_line(f"wire matrix, {mode}: {passed[mode]} / {count} cells")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Make the database; after tests with real transactions empty it in a cheaper way than Django's."""
    with django_db_blocker.unblock():
        emptying.remember_what_the_migrations_made()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _case: emptying.empty())
        yield


@pytest.fixture
def through_our_backend(settings):
    """Django's mail takes our way, as in production; the test run has put its own in that place."""
    backend = "delivery.email_backend.EmailBackend"
    if hasattr(mail, "mailers"):
        settings.MAILERS = {"default": {"BACKEND": backend}}
    else:
        settings.EMAIL_BACKEND = backend


@pytest.fixture
def process_environment(transactional_db: None) -> dict[str, str]:
    """The environment for a process that a test starts: the run's keys and folder, the test's database."""
    found = connection.settings_dict
    host, name = found["HOST"] or found["OPTIONS"].get("host", ""), found["NAME"]
    url = f"postgresql://{found['USER']}:{found['PASSWORD']}@/{name}?host={host}"
    if found["PORT"]:
        url += f"&port={found['PORT']}"
    return {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}


def _program(name: str, package: str) -> str:
    """The path of a program, or the end of the test: skipped on a bare machine, failed in CI."""
    return shutil.which(name) or missing(f"{name} is not installed (Debian package {package})")


@pytest.fixture(scope="session")
def needs_redis() -> str:
    """The path of redis-server."""
    return _program("redis-server", "redis-server")


@pytest.fixture(scope="session")
def needs_chromium() -> str:
    """The path of Chromium."""
    return _program("chromium", "chromium")


class _Failing(dict):
    """A table in which every question fails at once."""

    def get(self, key, default=None):
        return "SERVFAIL"


@pytest.fixture(scope="session", autouse=True)
def name_service_that_fails():
    """Answer every question of a page to DNS at once: silence would cost each test the limit of seconds."""
    with name_server(_Failing()) as server:
        settings.MAILCONF_DNS_SERVERS = (server.address,)
        yield


@pytest.fixture(autouse=True)
def nothing_kept():
    """Let no page of a test be shown what was kept for the test before: its policy, its numbers."""
    cache.clear()
