"""Settings of the tests: the product's own, with a database, keys and a folder for one run."""

import base64
import os
import secrets
import tempfile
from pathlib import Path

from mailconf import embedded

#: Names the run's folder to the processes that tests start, so that they see the same keys and database.
_RUN = "TEST_RUN_FOLDER"

if _RUN not in os.environ:  # the run itself: nothing of the caller's own installation, except a DATABASE_URL
    for name in [name for name in os.environ if name.startswith("MAILCONF_")]:
        del os.environ[name]
    os.environ.pop("REDIS_URL", None)
    os.environ |= {
        _RUN: f"{tempfile.gettempdir()}/mailconf-test-{os.getpid()}",  # short: it holds a Unix socket
        "SECRET_KEY": secrets.token_urlsafe(50),
        "MAILCONF_LOCAL": "1",
        "MAILCONF_KEYS": f"test:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "MAILCONF_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
        "MAILCONF_ALLOWED_PORTS": "1024-65535",
        "MAILCONF_OAUTH_ALLOW_HTTP": "true",
        "MAILCONF_DNS_SERVERS": "127.0.0.1:1",  # nobody: a test that needs one runs it (tests/nameserver.py)
    }

# Processes that test at the same time have a folder each: a Celery worker that a test starts would take what
# another process asks for, and look for it in a database of its own.
_shared = f"{os.environ[_RUN]}/var"
if os.environ.setdefault("MAILCONF_VAR", _shared) == _shared and "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["MAILCONF_VAR"] = f"{os.environ[_RUN]}/{os.environ['PYTEST_XDIST_WORKER']}"

#: Everything the run writes; tests/conftest.py removes it.
TEST_VAR = Path(os.environ[_RUN])

#: The place of the run's private server, which tests/conftest.py starts; None when DATABASE_URL names one.
TEST_SERVER: embedded.Place | None = None
if not os.environ.get("DATABASE_URL"):
    TEST_SERVER = embedded.place_for(TEST_VAR)
    os.environ["DATABASE_URL"] = f"postgresql://{embedded.NAME}@/{embedded.NAME}?host={TEST_SERVER.sockets}"

from mailconf.settings import *  # noqa: E402, F403
from mailconf.settings import STORAGES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, for nobody's real password
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
