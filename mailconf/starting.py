"""Everything on one machine, in the order it starts: what `make run` does.

One command owns all processes: it makes what is missing, starts them, watches them, and ends them in the
opposite order. It says one sentence for what it cannot do, and then leaves nothing running.
"""

import asyncio
import contextlib
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.utils import get_random_secret_key
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from mailconf import children, embedded, welcome
from mailconf.env import BASE_DIR
from mailconf.supervisor import Say, Service, Stop, Supervisor
from smtp_settings import checks, sealing
from smtp_settings.models import TestRun

HOST = "127.0.0.1"
#: Web and sandbox answer after two seconds here; a loaded machine gets more.
_READY_SECONDS = 60.0
_MIGRATE_LOCK = 0x6D636F6E  # advisory, "mcon": two starts at one database migrate one after the other
#: Celery warns root at each start, in eight lines; PostgreSQL, which does matter, does not run as root here.
_ROOT_WARNING = "ignore:You're running the worker with superuser privileges:UserWarning"


class CannotStart(RuntimeError):
    """It cannot start; one sentence says why and what to change."""


class _StoppedEarly(Exception):
    """Somebody pressed Ctrl-C while it started."""


def run(write: Callable[[str], object]) -> None:
    """Start everything, and return when it was asked to stop and all of it has ended.

    Raises CannotStart, ServerUnavailable or ServiceFailed with one sentence; then, too, all of it has ended.
    """
    start = _Start(var=settings.MAILCONF_VAR, say=_one_line_at_a_time(write), stop=Stop())
    start.stop.install()
    with contextlib.ExitStack() as ending, contextlib.suppress(_StoppedEarly):
        start.everything(ending)


def _one_line_at_a_time(write: Callable[[str], object]) -> Say:
    lock = threading.Lock()

    def say(line: str) -> None:
        with lock:
            write(line)

    return say


def key_warnings() -> list[str]:
    """Return what is wrong with the keys of the stored passwords, in the words of the system checks."""
    found = [*checks.check_keys(), *checks.check_key_values(databases=["default"])]
    return [f"{message.msg} {message.hint}" for message in found]


@dataclass(frozen=True)
class _Start:
    var: Path
    say: Say
    stop: Stop

    def everything(self, ending: contextlib.ExitStack) -> None:
        """Take the steps in order; `ending` collects how to undo them."""
        began = time.monotonic()
        self._make_var()
        ending.enter_context(self._alone())
        supervisor = Supervisor(folder=self.var / "run", cwd=BASE_DIR, say=self.say, stop=self.stop)
        supervisor.end_leftovers([service.name for service in _services(self.var)])
        self._make_secrets()
        if settings.MAILCONF_PORT == settings.MAILCONF_SANDBOX_PORT:
            raise CannotStart(
                f"MAILCONF_PORT and MAILCONF_SANDBOX_PORT are both {settings.MAILCONF_PORT}: "
                "the pages and the mail sandbox need a port each."
            )
        _refuse_taken_port(settings.MAILCONF_SANDBOX_PORT, "MAILCONF_SANDBOX_PORT", "the mail sandbox")
        _refuse_taken_port(settings.MAILCONF_PORT, "MAILCONF_PORT", "the pages")
        if settings.MAILCONF_EMBEDDED:
            ending.enter_context(self._database_server())
        ending.callback(connection.close)
        self._go_on()
        self._migrate()
        for warning in key_warnings():  # a warning only: mail is kept and the pages open
            self.say(warning)
        administrator = welcome.make_administrator()
        self._collect_static()
        ending.callback(supervisor.end)
        for service in _services(self.var):
            self._go_on()
            supervisor.start(service)
        self._wait_for(supervisor, lambda: _answers(settings.MAILCONF_SANDBOX_PORT), "The mail sandbox")
        is_first = self._welcome()
        self._wait_for(supervisor, lambda: _is_ready(settings.MAILCONF_PORT), "The web server")
        connection.close()  # from here on only the children need the database
        self._say_where_to_look(administrator, time.monotonic() - began, is_first=is_first)
        supervisor.watch()
        self.say("Stopping: pages, workers, sandbox, database. Ctrl-C again ends them at once.")

    def _go_on(self) -> None:
        if self.stop.is_asked():
            raise _StoppedEarly

    # Before any process

    def _make_var(self) -> None:
        try:
            for folder in (self.var, self.var / "run", settings.MAILCONF_STATE_DIR):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.var / "run" / "probe"
            probe.write_bytes(b"\0" * 4096)
            probe.unlink()
        except (FileExistsError, NotADirectoryError) as error:
            file = _file_in_the_way(Path(error.filename))
            is_of_var = file in {self.var, self.var / "run", *self.var.parents}
            raise CannotStart(
                f"{file} is a file, and a folder is needed there. Move it away, or set "
                f"{'MAILCONF_VAR' if is_of_var else 'MAILCONF_STATE_DIR'} to a folder."
            ) from None
        except OSError as error:
            raise CannotStart(
                f"mailconf cannot write in {self.var}: {error.strerror}. "
                "Make it writable, or set MAILCONF_VAR to another folder."
            ) from None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        lock = self.var / "run" / "up.pid"
        with contextlib.ExitStack() as holding:
            try:
                descriptor = holding.enter_context(children.locked(lock))
            except children.AlreadyRunning:
                raise CannotStart(
                    f"mailconf is already running in {self.var} (process {lock.read_text().strip()}). "
                    "Stop it, or set MAILCONF_VAR, MAILCONF_PORT and MAILCONF_SANDBOX_PORT for a second one."
                ) from None
            os.write(descriptor, f"{os.getpid()}\n".encode())
            holding.callback(lock.unlink, missing_ok=True)
            yield

    def _make_secrets(self) -> None:
        if not os.environ.get("SECRET_KEY") and not os.environ.get("SECRET_KEY_FILE"):
            settings.SECRET_KEY = _kept_secret(self.var / "secret_key", get_random_secret_key)
        own_keys = self.var / "keys"
        if Path(settings.MAILCONF_KEYS_FILE) == own_keys:
            _kept_secret(own_keys, sealing.new_key)

    # The database

    @contextlib.contextmanager
    def _database_server(self) -> Iterator[None]:
        server = embedded.PrivateServer.of(self.var)
        if not server.place.data.exists():
            self.say("Making a private PostgreSQL.")
        server.start()
        try:
            yield
        finally:
            server.stop()

    def _migrate(self) -> None:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            raise CannotStart(f"The database does not answer: {' '.join(str(error).split())}") from None
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_MIGRATE_LOCK])
            try:
                executor = MigrationExecutor(connection)
                if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                    self.say("Making the tables.")
                    call_command("migrate", interactive=False, verbosity=0)
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATE_LOCK])

    # Files

    def _collect_static(self) -> None:
        """Collect the static files, unless they are the same as last time."""
        stamp = self.var / "run" / "static"
        present = _static_digest()
        if stamp.exists() and stamp.read_text() == present:
            return
        call_command("collectstatic", interactive=False, clear=True, verbosity=0)
        stamp.write_text(present)

    # Processes

    def _wait_for(self, supervisor: Supervisor, answers: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not answers():
            supervisor.check()
            if self.stop.wait(0.05):
                raise _StoppedEarly
            if time.monotonic() > deadline:
                raise CannotStart(f"{what} does not answer after {_READY_SECONDS:.0f} s; see above.")

    def _welcome(self) -> bool:
        run = welcome.make_sandbox_profile(settings.MAILCONF_SANDBOX_PORT)
        if run is None:
            return False
        if run.state != TestRun.State.PASSED:
            self.say(f"The profile of the sandbox did not pass its test: {run.sentence}")
            return False
        welcome.send_sample_report()
        return True

    def _say_where_to_look(
        self, administrator: welcome.NewAdministrator | None, seconds: float, *, is_first: bool
    ) -> None:
        pages = f"http://{HOST}:{settings.MAILCONF_PORT}/admin/"
        self.say("")
        self.say(f"mailconf is ready after {seconds:.1f} s. Ctrl-C stops everything.")
        self.say(f"  Pages          {pages}")
        if administrator:
            self.say(f"  User name      {administrator.username}")
            self.say(f"  Password       {administrator.password}   (shown this once)")
        self.say(f"  Sandbox inbox  {pages}sandbox/")
        self.say(f"  Mail sandbox   {HOST}:{settings.MAILCONF_SANDBOX_PORT} (catches mail, delivers none)")
        self.say(f"  Data           {self.var}")
        if is_first:
            self.say("A sample report with a PDF is on its way through the queue to the sandbox inbox.")
        self.say("")


def _services(var: Path) -> list[Service]:
    """List the processes in the order of their start; they end in the opposite one."""
    python = sys.executable
    # Gossip and the like are for several machines; a worker that carries mail may need its grace to finish.
    celery = [python, "-W", _ROOT_WARNING, "-m", "celery", "--quiet", "--app", "mailconf.celery", "worker"]
    celery += ["--loglevel", "WARNING"]
    celery += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    beat = ["--beat", "--schedule", str(var / "run" / "beat")]
    web = [python, "-m", "gunicorn", "mailconf.wsgi", "--bind", f"{HOST}:{settings.MAILCONF_PORT}"]
    web += ["--worker-class", "gthread", "--workers", "1", "--threads", "4", "--no-control-socket"]
    web += ["--graceful-timeout", "5", "--log-level", "warning"]
    return [
        Service("sandbox", [python, str(BASE_DIR / "manage.py"), "sandbox"]),
        Service(
            "mail", [*celery, "--queues", "mail", "--hostname", "mail@local", "--pool", "solo", *beat], 80
        ),
        Service("work", [*celery, "--queues", "work", "--hostname", "work@local", "--pool", "solo"], 80),
        Service("web", web),
    ]


def _kept_secret(path: Path, make: Callable[[], str]) -> str:
    """Return what the file holds; make it, readable by its owner only, when it is not there."""
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make() + "\n")
        part.rename(path)
    return path.read_text(encoding="ascii").strip()


def _file_in_the_way(path: Path) -> Path:
    """Return the file that stands where this path, or one above it, should be a folder."""
    return next((found for found in (path, *path.parents) if found.is_file()), path)


def _static_digest() -> str:
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            found = Path(storage.path(path)).stat()
            digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


# Ports


def _refuse_taken_port(port: int, variable: str, what: str) -> None:
    try:
        asyncio.run(_listen_once(port))
    except OSError as error:
        raise CannotStart(
            f"Port {port} for {what} cannot be used: {error.strerror}. Set {variable} to a free one."
        ) from None


async def _listen_once(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, HOST, port)
    server.close()
    await server.wait_closed()


def _answers(port: int) -> bool:
    return bool(asyncio.run(_exchange(port, b"")))


def _is_ready(port: int) -> bool:
    return asyncio.run(_exchange(port, b"GET /readyz HTTP/1.0\r\n\r\n")).split(b" ")[1:2] == [b"200"]


async def _exchange(port: int, request: bytes) -> bytes:
    """Return the first line that is said on the port, b"" when nobody is there."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(request)
                return await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""
