"""Builders for the queue's tests: handovers, profiles, workers, threads that race."""

from dataclasses import replace
from hashlib import sha256

from delivery import queue
from delivery.composing import Composed


def composed(body="Hello.\r\n", **changes):
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


def a_handover(body="Hello.\r\n", **options):
    """A handover of a valid message."""
    return queue.Handover(composed(body), **options)
