"""What all tests share: the run's folder and its private PostgreSQL, and what needs another program."""

import os
import shutil
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connection

from mailconf import embedded
from tests import settings as test_settings

IN_CI = os.environ.get("CI", "") not in {"", "0", "false"}


def pytest_configure(config: pytest.Config) -> None:
    """Make the run's folder before any test."""
    for folder in (test_settings.TEST_VAR, settings.STATIC_ROOT):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it, however the run ended."""
    shutil.rmtree(test_settings.TEST_VAR, ignore_errors=True)


@pytest.fixture(scope="session")
def database_server() -> Iterator[None]:
    """The PostgreSQL of this run: a private one without fsync, unless DATABASE_URL names one."""
    if test_settings.TEST_SERVER is None:
        yield
        return
    server = embedded.PrivateServer(test_settings.TEST_SERVER, durable=False)
    server.start()
    try:
        yield
    finally:
        server.stop()
        server.remove()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    database_server: None, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """Start the server before pytest-django makes its database, and stop it after that one is gone."""


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
    found = shutil.which(name)
    if found:
        return found
    reason = f"{name} is not installed (Debian package {package})"
    if IN_CI:
        pytest.fail(f"{reason}; CI must have it", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def needs_redis() -> str:
    """The path of redis-server."""
    return _program("redis-server", "redis-server")


@pytest.fixture(scope="session")
def needs_chromium() -> str:
    """The path of Chromium."""
    return _program("chromium", "chromium")
