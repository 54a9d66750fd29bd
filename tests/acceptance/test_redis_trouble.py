"""Redis flushed, frozen and killed under load: handing over stays fast, mail leaves, all is well again."""

import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from delivery.models import Message, SmallState, Worker
from mailconf.env import BASE_DIR
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import celery_worker, until
from tests.builders import a_profile
from tests.ports import free_port, is_listening
from tests.servers import smtp_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long, pytest.mark.redis]

# One message after another, as a web process would; a line with the seconds each took.
FEEDER = """
import sys, time, django
django.setup()
from django.core.mail import EmailMessage
from delivery.handover import send
while True:
    began = time.monotonic()
    send(EmailMessage("Report", "Hello.", "shop@example.com", ["bo@example.com"]))
    print(time.monotonic() - began, flush=True)
    time.sleep(0.05)
"""


class Broker:
    """A Redis of our own that can be frozen, killed and started again."""

    def __init__(self, program, folder):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.folder = folder
        self.start()

    def start(self):
        self.process = subprocess.Popen([*self.command, "--dir", str(self.folder)], stdout=subprocess.DEVNULL)
        until(lambda: is_listening(self.port))

    def flush(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(100).startswith(b"+OK")

    def end(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@contextmanager
def feeding(environment, log):
    with log.open("w") as out:
        feeder = subprocess.Popen([sys.executable, "-c", FEEDER], env=environment, cwd=BASE_DIR, stdout=out)
        try:
            yield
        finally:
            feeder.kill()
            feeder.wait()


def test_redis_flushed_frozen_and_killed_delays_nobody(process_environment, needs_redis, tmp_path, capsys):
    broker = Broker(needs_redis, tmp_path)
    environment = process_environment | {"REDIS_URL": broker.url, "MAILCONF_VAR": str(tmp_path)}
    log, said = tmp_path / "seconds", []

    def handed_over():
        return [float(line) for line in log.read_text().splitlines()]

    def during(what, *, count):
        """Wait until so many more were handed over and as many more left; say what it took."""
        first, accepted = len(handed_over()), server.accepted
        until(lambda: len(handed_over()) >= first + count and server.accepted >= accepted + count)
        took = sorted(handed_over()[first:])
        said.append(f"{what}: median {1000 * took[len(took) // 2]:.0f} ms, longest {1000 * took[-1]:.0f} ms")

    try:
        with smtp_server() as server, celery_worker(environment, beat=tmp_path / "beat") as worker:
            a_profile(host=server.host, port=server.port)
            with feeding(environment, log):
                until(lambda: server.accepted >= 20)
                during("Redis well", count=50)
                for _ in range(5):
                    broker.flush()
                    during("flushed", count=20)
                broker.process.send_signal(signal.SIGSTOP)
                during("frozen", count=200)
                broker.process.send_signal(signal.SIGCONT)
                during("thawed", count=50)
                broker.end()
                during("killed", count=200)
                broker.start()
                during("started anew", count=50)
            # Nobody lingers any more: only a ring, or beat's kick, can wake the worker now.
            until(lambda: not Worker.objects.filter(state=Worker.State.LIVE).exists(), timeout=400)
            before, began = server.accepted, time.monotonic()
            with feeding(environment, log):
                until(lambda: server.accepted > before)
            said.append(f"woken again after {time.monotonic() - began:.1f} s, the feeder's start with it")
            until(lambda: Message.objects.filter(state=SmallState.QUEUED).count() == 0)
            assert worker.poll() is None
            found = books([server])
    finally:
        broker.end()
    with capsys.disabled():
        print("\n" + "\n".join(said))  # noqa: T201  # the figures are the result
    assert_balanced(found, duplicates=0)
