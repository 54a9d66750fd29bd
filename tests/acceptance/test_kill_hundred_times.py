"""Workers killed a hundred times under load, judged by two ledgers: the server's and the database."""

import random
import time
from collections import Counter

import pytest

from delivery import queue
from delivery.dispatcher.recording import records
from delivery.dispatcher.recording.journal import NAMES
from delivery.models import Attempt, Failure, Message, QueueEntry, SmallState, Worker
from tests.acceptance.processes import finished, manage, until
from tests.builders import a_profile
from tests.delivery.engine import due_again, queued
from tests.servers import smtp_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

KILLS = 100
MESSAGES = 10_000
CONNECTIONS = 4
WORKERS = 2


def message_id_of(received):
    head = received.content.split(b"\r\n\r\n", 1)[0]
    return next(line for line in head.split(b"\r\n") if line.lower().startswith(b"message-id:")).decode()


class Ledger:
    """What the server accepted, by Message-ID; it only ever grows."""

    def __init__(self, server):
        self.server = server
        self.copies = Counter()
        self._read = 0

    def read(self):
        messages = self.server.messages[self._read :]
        self._read += len(messages)
        self.copies.update(map(message_id_of, messages))
        return self.copies


def answered_in(folder, pid):
    """The messages whose acceptance stands in the journals of a killed process, and nowhere else."""
    found = set()
    leases = Worker.objects.filter(pid=pid).values_list("pk", flat=True)
    for path in [path for lease in leases for path in folder.glob(f"worker-{lease}-*.journal")]:
        try:
            notes = records.read(path.read_bytes()).notes
        except (FileNotFoundError, records.NotAJournal):
            continue  # played back this moment, or given up
        found |= {message_id for message_id, note in notes.items() if note.reply and note.reply.is_success}
    return found


def test_a_hundred_kills_lose_nothing_and_duplicate_only_what_was_in_the_gap(
    process_environment, tmp_path, capsys
):
    folder = tmp_path / "state"
    environment = process_environment | {"MAILCONF_STATE_DIR": str(folder)}
    dice = random.Random(3)
    answered, began = {}, time.monotonic()
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_connections=CONNECTIONS)
        ids = queued(MESSAGES)
        header = {pk: f"Message-ID: {value}" for pk, value in Message.objects.values_list("pk", "message_id")}
        ledger = Ledger(server)
        workers = [manage(environment, "drain") for _ in range(WORKERS)]
        for _ in range(KILLS):
            wanted = server.accepted + dice.randint(1, 150)
            until(lambda wanted=wanted: server.accepted >= min(wanted, MESSAGES), timeout=120)
            time.sleep(dice.random() * 0.02)
            victim = workers.pop(0)
            victim.kill()
            victim.communicate()
            replied = answered_in(folder, victim.pid)
            copies = ledger.read()
            answered |= {pk: copies[header[pk]] for pk in replied if pk not in answered}
            if server.accepted >= MESSAGES - 500:
                more = queued(500)
                ids += more
                header |= {
                    pk: f"Message-ID: {value}"
                    for pk, value in Message.objects.filter(pk__in=more).values_list("pk", "message_id")
                }
            workers.append(manage(environment, "drain"))
        for worker in workers:
            worker.kill()
            worker.communicate()
        while QueueEntry.objects.exists() or Failure.objects.exists():
            held = list(Failure.objects.values_list("message_id", "cause"))
            assert {cause for _, cause in held} <= {"crashes"}
            queue.put_back([message_id for message_id, _ in held], user_id=None)
            due_again(*QueueEntry.objects.values_list("pk", flat=True))
            finished(manage(environment, "drain", "--until-empty"), timeout=300)
        copies = ledger.read()

    unsure = Counter(
        Attempt.objects.filter(outcome=Attempt.Result.UNCERTAIN).values_list("message_id", flat=True)
    )
    per_worker = Counter(
        Attempt.objects.filter(outcome=Attempt.Result.UNCERTAIN).values_list("worker_id", flat=True)
    )
    lost = [pk for pk in ids if not copies[header[pk]]]
    twice = {pk: copies[header[pk]] - 1 for pk in ids if copies[header[pk]] > 1}
    figures = {
        "messages": len(ids),
        "kills": KILLS + WORKERS,
        "lost": len(lost),
        "duplicates": sum(twice.values()),
        "duplicates of answered messages": sum(copies[header[pk]] > seen for pk, seen in answered.items()),
        "answers found in journals": len(answered),
        "uncertain": sum(unsure.values()),
        "most uncertain at one kill": max(per_worker.values(), default=0),
        "suspects": Attempt.objects.filter(outcome=Attempt.Result.RELEASED).count(),
        "taken back only when stale": Attempt.objects.filter(outcome=Attempt.Result.LOST).count(),
        "seconds": round(time.monotonic() - began),
    }
    with capsys.disabled():
        print("\nkill -9:", ", ".join(f"{name} {value}" for name, value in figures.items()))  # noqa: T201  # the figures are the result
    assert not lost
    assert set(Message.objects.values_list("state", flat=True)) == {SmallState.SENT}
    assert all(extra <= unsure[pk] for pk, extra in twice.items())
    assert max(per_worker.values(), default=0) <= CONNECTIONS
    assert not figures["duplicates of answered messages"]
    assert sum(copies.values()) == server.accepted
    assert not list(folder.glob(NAMES))
