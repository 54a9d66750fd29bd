"""django-post_office and django-mailer as contestants: environment, process and database are their own.

`make bench-peers` makes the environment `.venv-peers` from `bench/requirements-peers.txt`, pinned: their
latest releases on the same Django and psycopg as ours. `bench/peers/run.py` runs inside it.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench.rig import database_url, drop, tell
from bench.sink import a_sink

_ROOT = Path(__file__).parents[2]
_PYTHON = _ROOT / ".venv-peers" / "bin" / "python"
_DATABASE = "bench_peers"

HOW_TO = "django-post_office and django-mailer are not installed: run `make bench-peers`."


@dataclass(frozen=True, slots=True)
class Setting:
    """How a peer is set up; for django-mailer nothing of it means anything."""

    peer: str
    processes: int = 1
    threads: int = 5
    batch: int = 100
    log_level: int = 2

    @property
    def facts(self) -> dict[str, Any]:
        """Return all but the name."""
        return {name: value for name, value in asdict(self).items() if name != "peer"}


#: As it is when nothing is set.
DEFAULT = Setting("post_office")
#: django-mailer sends one message after the other over one connection, in one process.
MAILER = Setting("django_mailer", threads=1)
#: What its documentation offers for speed: larger batches (they share connections, and one UPDATE), fewer or
#: more threads, a second process for the second core, and no row in its log for each success.
CANDIDATES = tuple(
    Setting("post_office", processes=processes, threads=threads, batch=batch, log_level=1)
    for processes, threads, batch in (
        (1, 1, 1000),
        (1, 5, 1000),
        (1, 16, 1000),
        (2, 1, 2000),
        (2, 5, 2000),
        (2, 8, 10_000),
    )
)


def is_installed() -> bool:
    """Whether `make bench-peers` has been run."""
    return _PYTHON.exists()


@contextmanager
def a_database() -> Iterator[None]:
    """Make a database with the peers' tables beside ours, and drop it at the end; nothing without them."""
    if not is_installed():
        yield
        return
    drop(_DATABASE)
    with psycopg.connect(database_url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))
    try:
        _run("migrate")
        yield
    finally:
        drop(_DATABASE)


def drain(
    setting: Setting, messages: int, *, size: int, rtt_ms: float = 0.0, attachment_mb: float = 0.0
) -> dict[str, float]:
    """Let a peer queue so many messages and carry them to a sink of their own; what it says of the latter."""
    options = {**setting.facts, "messages": messages, "size": size, "attachment_mb": attachment_mb}
    with a_sink(rtt_ms / 1000) as (port, end):
        done: dict[str, float] = _run("drain", setting.peer, port=port, **options)
        assert end() == messages, f"{setting.peer} lost mail, or sent some twice"
    return done


def enqueue(messages: int, single: int, *, size: int) -> dict[str, float]:
    """Let post_office queue messages, in bulk and one by one; nothing is sent."""
    done: dict[str, float] = _run("enqueue", "post_office", messages=messages, single=single, size=size)
    return done


def best_of(candidates: Sequence[Setting], messages: int, size: int) -> Setting:
    """Return the setting with which post_office is fastest on loopback, by one trial each."""
    trials = []
    for setting in candidates:
        seconds = drain(setting, messages, size=size)["seconds"]
        tell("drain", trial="post_office", **setting.facts, per_second=round(messages / seconds))
        trials.append((seconds, setting))
    return min(trials, key=lambda trial: trial[0])[1]


def _run(*words: str, **options: object) -> Any:  # Any: JSON
    """Run `bench.peers.run` in the peers' environment and return what it prints."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(_ROOT / "bench" / "peers"),
        "DJANGO_SETTINGS_MODULE": "peer_settings",
        "PEER_DATABASE": database_url(_DATABASE),
        "PEER_OPTIONS": json.dumps(options),
    }
    script = str(_ROOT / "bench" / "peers" / "run.py")
    done = subprocess.run(
        [str(_PYTHON), script, *words], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)
