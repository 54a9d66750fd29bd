"""Emails to those who look after a server: a message was given up, a server pauses or refuses us.

They go through the queue like any other mail, and are stored in the database transaction that records what
they are about: neither lost nor doubled. None is ever about another: the queue leaves out what has their tag.
The first comes at once; what happens in the quarter of an hour after it is told together in the next.

Called where outcomes are written, in the worker's database thread; whatever goes wrong here, the outcome
stands, and the log says what went wrong.
"""

from collections.abc import Mapping

from delivery import queue
from delivery.notices.broadcast import mail_trial, trial_body
from delivery.notices.calling import call_due
from delivery.notices.guarding import never_in_the_way
from delivery.notices.posting import post
from delivery.notices.readers import Readers
from delivery.notices.watching import watch

__all__ = [
    "call_due",
    "mail_trial",
    "message_given_up",
    "send_due",
    "server_paused",
    "server_refuses",
    "trial_body",
    "watch",
]


def message_given_up(messages: Mapping[int, int | None]) -> None:
    """Tell of messages that ended unsent: id -> the profile tried last, None where none was.

    Call it in the transaction that ends them, after the statement that does.
    """
    if not messages:
        return
    told: dict[str, list[int]] = {}
    with never_in_the_way():
        if facts := queue.notice_facts(messages):
            readers = Readers()
            for fact in facts:
                profile_id = messages[fact.message_id] or fact.profile_id
                if address := readers.of(profile_id, fact.site_id):
                    told.setdefault(address, []).append(fact.message_id)
    for address in sorted(told):  # in one order for all: two workers wait, and do not lock each other out
        with never_in_the_way():
            queue.note_for(address, message_ids=told[address])
            _send(address)


def server_paused(profile_id: int, _reason: str = "") -> None:
    """Tell that a server pauses for a fault. The reason may be the server's own words: the page has them."""
    with never_in_the_way():
        if address := Readers().of(profile_id, None):
            queue.note_for(address, paused_ids=[profile_id])
            _send(address)


def server_refuses(profile_id: int) -> None:
    """Tell that a server refuses this machine before it knows for what; its words are on the page."""
    with never_in_the_way():
        if address := Readers().of(profile_id, None):
            queue.note_for(address, refusing_ids=[profile_id])
            _send(address)


def send_due() -> int:
    """Send the emails whose quarter of an hour is over; return how many. Cheap when there are none."""
    sent = 0
    for address in queue.due_readers():
        with never_in_the_way():
            sent += _send(address)
    return sent


def _send(address: str) -> bool:
    due = queue.take_notice(address)
    if due is not None:
        post(due)
    return due is not None
