"""What the engine's tests share: mail in the queue, a drain, and what became of it."""

from email.message import EmailMessage

from delivery import dispatcher
from delivery.handover import Outgoing, send_many
from delivery.models import Attempt, Message, QueueEntry, SmallState

BODY = "Hello.\n"


def queued(count=1, *, to=("bo@example.com",), body=BODY, mail_from="shop@example.com", **options):
    """Hand over so many messages; their ids, in order."""
    return [
        made.id for made in send_many([an_outgoing(to, body, mail_from, n, options) for n in range(count)])
    ]


def an_outgoing(to, body, mail_from, n, options):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = mail_from, ", ".join(to), f"Report {n}"
    message.set_content(body)
    return Outgoing(message=message.as_bytes(), **options)


def drained(**options):
    """Drain until nothing is left that can be sent."""
    return dispatcher.run(until_empty=True, **options)


def state_of(message_id):
    return SmallState(Message.objects.get(pk=message_id).state)


def attempts_of(message_id):
    return list(Attempt.objects.filter(message_id=message_id).order_by("id"))


def entry_of(message_id):
    return QueueEntry.objects.get(pk=message_id)
