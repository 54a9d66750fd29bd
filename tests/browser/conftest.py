"""A real Chromium on a real server; whatever the browser complains about fails the test.

`AXE_CORE` names axe-core's `axe.min.js` for the accessibility tests. `SCREENSHOTS=1` keeps what the tests
have to show, `PICTURES=1` writes the docs' pictures. A test that fails leaves its windows in
`tests/artefacts`.
"""

import asyncio
import os
import re
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections

from tests.builders import a_user

#: Screenshots for a look; not kept in Git.
ARTEFACTS = Path(__file__).parents[1] / "artefacts"
#: What the README shows.
PICTURES = Path(settings.BASE_DIR) / "docs" / "pictures"
#: No sandbox: containers have none. The rest keeps the browser from talking to its maker.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

DESKTOP, PHONE = 1280, 390
#: Milliseconds a window waits for what it expects: four browsers may share two processors.
PATIENCE = 60_000


class Browser:
    """One browser; every window of it is watched."""

    def __init__(self, chromium, base):
        self.chromium = chromium
        self.base = base
        self.complaints = []

    def window(self, *, user=None, width=DESKTOP, scheme="light", javascript=True, policy=True):
        """A page in a context of its own, signed in as `user` when one is given.

        Without `policy` the browser does not enforce the page's: for tools that style what they look at.
        """
        context = self.chromium.new_context(
            base_url=self.base,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=javascript,
            bypass_csp=not policy,
            reduced_motion="reduce",
            locale="en-GB",
        )
        context.set_default_timeout(PATIENCE)
        if user is not None:
            context.add_cookies([_session_cookie(user, self.base)])
        page = context.new_page()
        page.on("console", lambda message: self._complain(page, f"console: {message.type}: {message.text}"))
        page.on("pageerror", lambda error: self._complain(page, f"page error: {error}"))
        page.on("request", lambda request: self._look_at(page, request.url))
        page.on("response", lambda response: self._read(page, response))
        return page

    def _look_at(self, page, url):
        if not url.startswith((self.base, "data:", "about:")):
            self._complain(page, f"foreign request: {url}")

    def _read(self, page, response):
        if response.status >= 400:
            self._complain(page, f"{response.status}: {response.url}")

    def _complain(self, page, complaint):
        self.complaints.append(f"{page.url}: {complaint}")


def _session_cookie(user, base):
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return {"name": settings.SESSION_COOKIE_NAME, "value": session.session_key, "url": base}


@pytest.fixture(scope="session")
def chromium(request):
    """The one Chromium of this process, and the loop of its driver, set aside while no test needs it.

    The driver ends it when this process ends, however that happens. Chromium's shell is the same browser
    without a window around the page, which takes two thirds of the time.
    """
    program = shutil.which("chromium-headless-shell") or request.getfixturevalue("needs_chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, args=_FLAGS)
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        yield running, loop
        asyncio._set_running_loop(loop)
        running.close()


@contextmanager
def _beside(loop):
    """Mark the driver's loop as the one of this thread, as Playwright does between two calls.

    Its synchronous calls want to find it so; what needs a loop of its own must not.
    """
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(None)


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Remember that a test has failed until its windows are closed."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


def _keep_windows(running, name):
    """Leave a screenshot of each open window; a page that gives none is no second failure."""
    from playwright.sync_api import Error

    ARTEFACTS.mkdir(exist_ok=True)
    stem = "failed-" + re.sub(r"\W+", "-", name)
    pages = [page for context in running.contexts for page in context.pages]
    for number, page in enumerate(pages):
        with suppress(Error):
            page.screenshot(path=ARTEFACTS / f"{stem}-{number}.png", full_page=True, timeout=10_000)


@pytest.fixture
def browser(chromium, live_server, monkeypatch, request):
    """Chromium, watched: a console message, page error, refused policy or foreign request fails the test."""
    running, loop = chromium
    # Beside the driver's loop Django would take our queries for a coroutine's.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with _beside(loop):
        watched = Browser(running, live_server.url)
        yield watched
        try:
            if request.node.stash.get(_FAILED, False):
                _keep_windows(running, request.node.name)
            for context in running.contexts:
                context.close()
        finally:
            connections.close_all()  # beside a loop Django has given the test a connection of its own
    assert watched.complaints == []


@pytest.fixture
def person():
    """Somebody with every permission and a password to type."""
    return a_user("superuser", username="alex", email="alex@example.com", password="correct horse")


@pytest.fixture
def keep():
    """Keep a screenshot of the page under a name, or a picture of the docs; each only when asked for."""

    def keep_picture(page, name, *, picture=None, full_page=True):
        if os.environ.get("SCREENSHOTS"):
            ARTEFACTS.mkdir(exist_ok=True)
            page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=full_page)
        if picture and os.environ.get("PICTURES"):
            PICTURES.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=PICTURES / f"{picture}.png")

    return keep_picture
