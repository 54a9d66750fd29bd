"""From the commit of a message to its acceptance by the server, on an idle system.

    python -m bench latency [--messages 100] [--broker file redis] [--connections 4] [--json]

A real Celery worker (its main process and `--workers` children), a process that hands mail over, a sink on
loopback, and nobody else in the queue. One message after the other is handed over by `send()`, which commits
and rings; the next follows when the sink has accepted the last, after a pause of 0.2 to 1.2 s (seeded), so
that the worker is met at all moments of its idle rounds. The time is from the return of `send()`, just after
the commit, to the sink's reply to the final dot, on the clock that all processes of a machine share. With the
file broker, and with a Redis of our own; null where there is no redis-server. The first message, for which
the connection is opened, is told apart. Not measured: a busy system (`bench drain`), the network.
"""

import argparse
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from bench import rig
from bench.sink import End, a_sink

#: A message that took longer is counted as this: something is wrong, and the bench says so.
PATIENCE_SECONDS = 60.0


@contextmanager
def a_redis(folder: str) -> Iterator[str | None]:
    """Run a Redis of our own and give its address; None without a redis-server."""
    from tests.acceptance.processes import until
    from tests.ports import free_port, is_listening

    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        until(lambda: is_listening(port))
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def a_sender(environment: dict[str, str]) -> Iterator[Callable[[], float]]:
    """Run a process that hands messages over; a call lets it send one, and returns when it had committed."""
    command = [sys.executable, "-m", "bench.sender"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()

        def send() -> float:
            print("send", file=process.stdin, flush=True)
            return float(process.stdout.readline())

        yield send


def times(send: Callable[[], float], end: End, messages: int) -> list[float]:
    """Hand over one message after the other; the milliseconds of each."""
    pauses, spent = random.Random(9), []
    for number in range(messages + 1):
        committed_at = send()
        while len(accepted := end.accepted_at()) <= number:
            if time.monotonic() > committed_at + PATIENCE_SECONDS:
                sys.exit("A message did not arrive within a minute.")
            time.sleep(0.005)
        spent.append((accepted[number] - committed_at) * 1000)
        time.sleep(pauses.uniform(0.2, 1.2))
    return spent


def a_line(options: argparse.Namespace, broker: str, redis: str | None) -> rig.Facts:
    from tests.acceptance.processes import celery_worker

    environment = rig.environment(REDIS_URL=redis or "")
    with a_sink() as (port, end):
        rig.only_profile(port, connections=options.connections)
        with celery_worker(environment, concurrency=options.workers), a_sender(environment) as send:
            first, *spent = times(send, end, options.messages)
    return {
        "broker": broker,
        "messages": options.messages,
        "p50_ms": round(rig.percentile(spent, 50), 1),
        "p99_ms": round(rig.percentile(spent, 99), 1),
        "most_ms": round(max(spent), 1),
        "first_ms": round(first),
    }


def measure(options: argparse.Namespace) -> None:
    found: rig.Facts = {}
    with TemporaryDirectory() as folder, a_redis(folder) as redis:
        for broker in options.broker:
            if broker == "redis" and redis is None:
                found["redis"] = None
                rig.tell("latency", broker="redis", p50_ms=None, note="There is no redis-server.")
                continue
            found[broker] = a_line(options, broker, redis if broker == "redis" else None)
            rig.tell("latency", **found[broker])
    medians = {
        f"{name}_{key}": one and one[key] for name, one in found.items() for key in ("p50_ms", "p99_ms")
    }
    rig.tell("latency", workers=options.workers, **medians, machine=rig.machine())


def main() -> None:
    parser = rig.parser(__doc__)
    parser.add_argument("--messages", type=int, default=100)
    parser.add_argument("--broker", nargs="+", choices=["file", "redis"], default=["file", "redis"])
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with rig.a_database():
        measure(options)


if __name__ == "__main__":
    main()
