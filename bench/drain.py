"""Messages per second from the queue to a sink, against a bare aiosmtplib.sendmail() loop.

    python -m bench drain [--messages 2000] [--size 5000] [--connections 4] [--batch 100] [--rounds 3]

Both sides talk to the same sink, a process of its own on loopback, turn by turn in one run. The queue's side
is the whole way: claim, one transaction a message on the wire, outcome committed; its statements are
counted. The bare loop has the message in memory and forgets what happened. One JSON object a line. The
database is a new one, dropped at the end: on DATABASE_URL, else on a private server without fsync.
"""

import argparse
import asyncio
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import aiosmtplib

from bench.sink import a_sink


@contextmanager
def a_database() -> Iterator[None]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    from mailconf import embedded
    from tests import settings

    settings.TEST_VAR.mkdir(mode=0o755, parents=True, exist_ok=True)
    server = embedded.PrivateServer(settings.TEST_SERVER, durable=False) if settings.TEST_SERVER else None
    if server is not None:
        server.start()
    django.setup()
    from django.db import connection

    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
        connection.close()
        if server is not None:
            server.stop()
            server.remove()
        shutil.rmtree(settings.TEST_VAR, ignore_errors=True)


def an_eml(size: int) -> bytes:
    head = b"From: shop@example.org\r\nTo: ann@example.org\r\nSubject: Report\r\n\r\n"
    line = b"x" * 70 + b"\r\n"
    return head + line * max(1, size // len(line))


def fill(messages: int, content: bytes) -> float:
    from delivery.handover import Outgoing, send_many

    began = time.perf_counter()
    for start in range(0, messages, 500):
        send_many([Outgoing(message=content)] * min(500, messages - start))
    return time.perf_counter() - began


def drained(port: int, messages: int, content: bytes, *, connections: int, batch: int) -> dict[str, float]:
    from delivery import dispatcher
    from smtp_settings.models import SMTPProfile
    from tests.builders import a_profile

    SMTPProfile.objects.update(enabled=False)
    a_profile(host="127.0.0.1", port=port, max_connections=connections, messages_per_connection=10_000)
    enqueue = fill(messages, content)
    report = dispatcher.run(until_empty=True, batch_size=batch)
    assert report.sent == messages, report
    return {
        "seconds": report.seconds,
        "statements_per_message": round(report.statements / messages, 4),
        "enqueued_per_second": round(messages / enqueue),
    }


async def bare(port: int, messages: int, content: bytes, connections: int) -> None:
    async def one(count: int) -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, local_hostname="bench")
        await client.connect()
        for _ in range(count):
            await client.sendmail("shop@example.org", ["ann@example.org"], content)
        await client.quit()

    shares = [messages // connections + (i < messages % connections) for i in range(connections)]
    await asyncio.gather(*map(one, shares))


def measured(side: str, messages: int, connections: int, seconds: float, **more: float) -> None:
    line = {
        "bench": "drain",
        "side": side,
        "messages": messages,
        "connections": connections,
        "seconds": round(seconds, 3),
        "per_second": round(messages / seconds),
    }
    print(json.dumps({**line, **more}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--size", type=int, default=5000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    content, messages = an_eml(chosen.size), chosen.messages
    with a_database():
        for _ in range(chosen.rounds):
            for connections in sorted({1, chosen.connections}):
                with a_sink(0.0) as (port, end):
                    began = time.perf_counter()
                    asyncio.run(bare(port, messages, content, connections))
                    seconds = time.perf_counter() - began
                    assert end() == messages
                measured("aiosmtplib.sendmail", messages, connections, seconds)
            with a_sink(0.0) as (port, end):
                found = drained(port, messages, content, connections=chosen.connections, batch=chosen.batch)
                assert end() == messages
            seconds = found.pop("seconds")
            measured("queue", messages, chosen.connections, seconds, batch=chosen.batch, **found)


if __name__ == "__main__":
    main()
