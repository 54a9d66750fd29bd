"""What the engine's tests share: mail in the queue, a drain, and what became of it."""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from email.message import EmailMessage

from django.utils import timezone

from delivery import dispatcher
from delivery.handover import Outgoing, send_many
from delivery.models import Attempt, Message, QueueEntry, SmallState

BODY = "Hello.\n"


def queued(count=1, *, to=("bo@example.com",), body=BODY, attachment=b"", **options):
    """Hand over so many messages; their ids, in order."""
    outgoing = [Outgoing(message=_eml(n, to, body, attachment), **options) for n in range(count)]
    return [made.id for made in send_many(outgoing)]


def _eml(n, to, body, attachment):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.com", ", ".join(to), f"Report {n}"
    message.set_content(body)
    if attachment:
        message.add_attachment(attachment, "application", "pdf", filename="report.pdf")
    return message.as_bytes()


def drained(**options):
    """Drain until nothing is left that can be sent."""
    return dispatcher.run(until_empty=True, **options)


def state_of(message_id):
    return SmallState(Message.objects.get(pk=message_id).state)


def attempts_of(message_id):
    return list(Attempt.objects.filter(message_id=message_id).order_by("id"))


def entry_of(message_id):
    return QueueEntry.objects.get(pk=message_id)


def due_again(*ids):
    """Let deferred messages be due now."""
    QueueEntry.objects.filter(pk__in=ids).update(ready_at=timezone.now() - timedelta(seconds=1))


def until(condition, *, timeout=60.0):
    """Wait until a condition holds."""
    give_up_at = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < give_up_at, "the condition did not come true"
        time.sleep(0.01)


class Draining:
    """A drain in a thread of its own."""

    report = None
    error = None

    def __init__(self, options):
        self.thread = threading.Thread(target=self.run, args=(options,))

    def run(self, options):
        try:
            self.report = (
                drained(**options) if options.pop("until_empty", True) else dispatcher.run(**options)
            )
        except BaseException as error:
            self.error = error


@contextmanager
def draining(**options):
    """Drain while the block runs, and wait for the end of it."""
    result = Draining(options)
    result.thread.start()
    try:
        yield result
    finally:
        result.thread.join(120)
    assert not result.thread.is_alive()
    if result.error is not None:
        raise result.error
