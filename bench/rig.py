"""What the measurements stand on: a database of their own, mail in it, worker processes, lines of JSON.

The database is a new one, dropped at the end: on the server of DATABASE_URL, else on a private one without
fsync. Workers are processes of their own (`bench.worker`), as they are in production, so that their memory
and their processor time are theirs alone.
"""

import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

MB = 1_000_000
SENDER, RECIPIENT = "shop@example.org", "ann@example.org"
#: What one message is when nothing else is said.
SIZE_BYTES = 5000

Facts = dict[str, Any]


# What is said


def parser(doc: str | None) -> ArgumentParser:
    """Return a parser whose help is the module's docstring; --json is accepted by all."""
    made = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="the output is JSON in any case, an object a line")
    return made


def tell(bench: str, **facts: object) -> None:
    """Print one line."""
    print(json.dumps({"bench": bench, **facts}), flush=True)


def per_second(count: int, seconds: Sequence[float]) -> int:
    """Return the rate of the median round."""
    return round(count / statistics.median(seconds))


def median(values: Iterable[float]) -> float:
    """Return the middle of the rounds."""
    return statistics.median(values)


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """Return how many times as fast ours is; None when one of them was not measured."""
    return round(ours / theirs, 2) if ours and theirs else None


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of all do not exceed."""
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def memory_mb(key: str) -> float:
    """Return what the kernel counts for this process: VmRSS now, VmHWM at the most."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    assert found is not None
    return round(int(found[1]) * 1024 / MB, 1)


def machine() -> Facts:
    """Return what a reader has to know about where it was measured; needs the database."""
    from delivery.queue.statements import run

    names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
    shown = {f"postgresql_{name}": run(f"SHOW {name}")[0][0] for name in names}
    load = round(os.getloadavg()[0], 2)
    return {"cpus": os.cpu_count(), "load": load, "python": platform.python_version(), **shown}


# The database


@contextmanager
def a_database() -> Iterator[None]:
    """Set up Django on a new database with our tables; drop it at the end."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    from mailconf import embedded
    from tests import settings

    for folder in (settings.TEST_VAR, settings.STATIC_ROOT):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    server = embedded.PrivateServer(settings.TEST_SERVER, durable=False) if settings.TEST_SERVER else None
    if server is not None:
        server.start()
    django.setup()
    from django.db import connection

    name = connection.settings_dict["NAME"]
    bench = connection.settings_dict["TEST"]["NAME"] = f"bench_{name}"  # the tests' may be in use
    drop(bench)
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.close()
        drop(bench)
        if server is not None:
            server.stop()
            server.remove()
        shutil.rmtree(settings.TEST_VAR, ignore_errors=True)


def drop(name: str) -> None:
    """Remove a database of ours, also when a killed measurement or a vacuum still has it open."""
    with psycopg.connect(database_url("postgres"), autocommit=True) as connection:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        connection.execute(statement.format(sql.Identifier(name)))


def database_url(name: str = "") -> str:
    """Return the address of the measurement's database, or of another one on the same server."""
    from django.db import connection

    found = connection.settings_dict
    host = found["HOST"] or found["OPTIONS"].get("host", "")
    url = f"postgresql://{found['USER']}:{found['PASSWORD']}@/{name or found['NAME']}?host={host}"
    return url + (f"&port={found['PORT']}" if found["PORT"] else "")


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that works on the same database."""
    base = {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    return os.environ | base | more


def written_ahead(act: Callable[[], object]) -> Facts:
    """Return the bytes of the server's log that `act` caused, and those that are images of whole pages.

    It counts what the whole server writes: nobody else may use it meanwhile.
    """
    from delivery.queue.statements import run

    def look() -> tuple[int, int]:
        run("SELECT pg_stat_force_next_flush()")
        return run("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, wal_fpi FROM pg_stat_wal")[0]

    bytes_before, images_before = look()
    act()
    time.sleep(1.2)  # a backend tells its counts once a second, and on its end
    bytes_after, images_after = look()
    return {"bytes": bytes_after - bytes_before, "page_images": images_after - images_before}


# Mail


def a_body(size: int = SIZE_BYTES) -> str:
    """Return text of about so many bytes, in lines."""
    line = "x" * 70 + "\r\n"
    return line * max(1, size // len(line))


def an_eml(size: int = SIZE_BYTES) -> bytes:
    """Return a message with a body of about so many bytes."""
    head = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: Report\r\n\r\n"
    return (head + a_body(size)).encode("ascii")


def fill(messages: int, content: bytes) -> float:
    """Put so many messages into the queue, 500 a call; return the seconds that took."""
    from delivery.handover import Outgoing, send_many

    began = time.perf_counter()
    for start in range(0, messages, 500):
        send_many([Outgoing(message=content)] * min(500, messages - start))
    return time.perf_counter() - began


def only_profile(port: int, *, connections: int) -> None:
    """Let the sink at this port be the only server there is."""
    from smtp_settings.models import SMTPProfile
    from tests.builders import a_profile

    SMTPProfile.objects.update(enabled=False)
    a_profile(host="127.0.0.1", port=port, max_connections=connections, messages_per_connection=10_000)


@contextmanager
def our_backend() -> Iterator[None]:
    """Let Django's own functions hand mail to us: its test database swaps nothing, but be sure."""
    from django.test import override_settings

    with override_settings(EMAIL_BACKEND="delivery.email_backend.EmailBackend"):
        yield


# Workers


@dataclass(frozen=True, slots=True)
class Drained:
    """What one or more workers did together; `seconds` is from the start signal to the end of the last."""

    seconds: float
    sent: int
    statements: int
    cpu_seconds: float
    peak_rss_mb: float
    rss_mb: Sequence[tuple[int, float]]


def drain(*, workers: int = 1, batch: int = 100) -> Drained:
    """Let so many worker processes, all ready before the clock starts, empty the queue together."""
    command = [sys.executable, "-m", "bench.worker", "--batch", str(batch)]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(workers)
        ]
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                sys.exit("A worker did not start.")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        written = [process.communicate()[0] for process in processes]
    if not all(written):
        sys.exit("A worker failed.")
    reports = [json.loads(one) for one in written]
    return Drained(
        seconds=max(report["seconds"] for report in reports),
        sent=sum(report["sent"] for report in reports),
        statements=sum(report["statements"] for report in reports),
        cpu_seconds=sum(report["cpu_seconds"] for report in reports),
        peak_rss_mb=max(report["peak_rss_mb"] for report in reports),
        rss_mb=reports[0]["rss_mb"],
    )
