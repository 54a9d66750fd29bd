"""The database's own bell, LISTEN and NOTIFY: an idle drain hears at once that something was enqueued.

It only makes mail earlier. Drains look by themselves now and then; and behind a pooler that shares
connections between transactions nobody hears anything.
"""

from django.db import connection

from delivery.queue.statements import run

CHANNEL = "mailconf_queue"

# For this transaction alone, which stores nothing: all that notify share a lock, and a disk would hold it.
_NOTIFY = f"SELECT set_config('synchronous_commit', 'off', true), pg_notify('{CHANNEL}', '')"


def wake_drains() -> None:
    """Tell the drains that listen; within a transaction, which holds back what it says, do nothing."""
    if not connection.in_atomic_block:
        run(_NOTIFY)
