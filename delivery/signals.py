"""What an application may hear of its messages after the commit.

    from delivery.signals import message_not_sent

    @receiver(message_not_sent)
    def look_after(sender, message_id, state, cause, **kwargs): ...

Sent by the worker that gave the message up, once, from a thread of its own: a receiver may use the database,
and neither its errors nor its slowness touch the mail. It is told at most once, whatever becomes of the
connection to the database, and not at all when the process is killed right after the commit, nor of what a
person or the loss of a worker holds: `delivery.handover.status_of` says how things are at any time.
"""

from django.dispatch import Signal

#: A message ended unsent or needs a person. `message_id`: as `send` returned it; `state`: "failed", "expired"
#: or "held"; `cause`: a short word such as "too_large" or "recipient", "" when there is none.
message_not_sent = Signal()
