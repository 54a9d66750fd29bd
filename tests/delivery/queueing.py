"""Builders for the queue's tests: handovers, profiles, claims, threads that race."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256

from django.db import connection

from delivery import models, queue
from delivery.composing import Composed
from smtp_settings.models import SMTPProfile

BODY = "Hello.\r\n"


def composed(body=BODY, **changes):
    """A valid composed message."""
    data = f"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n{body}".encode()
    valid = Composed(
        mail_from="ana@example.org",
        rcpt_to=("Bo@example.com", "cy@example.com"),
        from_header="Ana <ana@example.org>",
        subject="Report",
        message_id=None,
        data=data,
        digest=sha256(data).digest(),
    )
    return replace(valid, **changes)


def a_handover(body=BODY, **options):
    """A handover of a valid message."""
    return queue.Handover(options.pop("composed", None) or composed(body), **options)


def enqueued(count=1, **options):
    """Queue messages; their ids."""
    return [made.id for made in queue.enqueue([a_handover(**options)] * count)]


def a_row_of_profile(name="One", **fields):
    """A profile as the queue sees it: a row."""
    return SMTPProfile.objects.create(name=name, host="127.0.0.1", **fields)


def lanes():
    """Every ready lane, as a claim takes it."""
    return [queue.Lane(ready.pool.id, ready.priority) for ready in queue.ready_lanes()]


def claimed(lease, count=1, profile_id=7):
    """Claim up to so many messages for one profile."""
    return queue.claim(lease, lanes(), [profile_id] * count)


def entry(message_id):
    """The queue entry of a message."""
    return models.QueueEntry.objects.get(pk=message_id)


def state_of(message_id):
    """The stored state of a message."""
    return queue.SmallState(models.Message.objects.values_list("state", flat=True).get(pk=message_id))


def outcomes_of(message_id):
    """How the noted attempts of a message ended, in order."""
    return list(
        models.Attempt.objects.filter(message_id=message_id).order_by("id").values_list("outcome", flat=True)
    )


def silence(lease):
    """Make a worker session look silent for a minute."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {models.Worker._meta.db_table} SET heartbeat_at = now() - interval '1 min'"
            " WHERE id = %s",
            [lease],
        )


def make_due(ids):
    """Bring deferred messages forward."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {models.QueueEntry._meta.db_table} SET ready_at = now() WHERE message_id = ANY(%s)",
            [list(ids)],
        )


def in_threads(*functions):
    """Run each on a connection of its own, all at once; the results in order."""
    start = threading.Barrier(len(functions))

    def run(function):
        try:
            connection.ensure_connection()
            start.wait(60)
            return function()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


@contextmanager
def statements():
    """Collect the SQL that runs inside, but for the savepoints that a test's own transaction causes."""
    seen = []

    def note(execute, sql, params, many, context):
        if "SAVEPOINT" not in sql:
            seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


@contextmanager
def on_another_connection(function):
    """Run a function in a thread; yield the future."""
    with ThreadPoolExecutor(1) as pool:

        def run():
            try:
                return function()
            finally:
                connection.close()

        yield pool.submit(run)


def wait_until(condition, seconds=60):
    """Look until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"


def waits_for_a_lock():
    """Whether another connection to this database waits for a lock."""
    with connection.cursor() as cursor:  # pg_stat_activity would be a snapshot within a transaction
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        return cursor.fetchone()[0]


@contextmanager
def refused_by_the_database(table, value):
    """A value that the table does not take."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT no_odd_value CHECK ({value} IS NOT TRUE)")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT no_odd_value")
