"""django-mailer: `mailer_message` holds what waits, deferred or not; a row that was sent is deleted.

Read for 2.3.2. A row taken over is deleted as after a sending, and leaves the same line in
`mailer_messagelog`, with our number.
"""

from collections.abc import Sequence

from django.db.backends.utils import CursorWrapper

from delivery.handover import Outgoing
from delivery.takeover.package import NotTaken, Reason, Row, Wishes, rows_of
from delivery.takeover.unpickling import Unreadable, message_of

#: Its priority -> ours; 4 is "deferred": refused before, and tried again when somebody asks for it.
_PRIORITIES = {1: "high", 2: "normal", 3: "low", 4: "normal"}
_SUCCESS = "1"

_COUNT = "SELECT count(*) FROM mailer_message"
_LOCK = """
SELECT id, when_added, priority FROM mailer_message
WHERE id > %s ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
"""
_DATA = "SELECT message_data FROM mailer_message WHERE id = %s"  # one at a time: a row may hold files
_LOG = """
INSERT INTO mailer_messagelog
  (message_data, message_id, when_added, priority, when_attempted, result, log_message)
VALUES (NULL, NULL, %s, %s, now(), %s, %s)
"""
_DELETE = "DELETE FROM mailer_message WHERE id = %s"


class DjangoMailer:
    """The tables of django-mailer. Its own worker locks a row while it sends, so it may even be running."""

    name = "mailer"
    table = "mailer_message"

    def count(self, cursor: CursorWrapper) -> int:
        """Count the waiting rows."""
        cursor.execute(_COUNT)
        [(count,)] = cursor.fetchall()
        return int(count)

    def lock(self, cursor: CursorWrapper, *, after: int, limit: int) -> Sequence[Row]:
        """Lock and return the next rows, without their content."""
        cursor.execute(_LOCK, [after, limit])
        return rows_of(cursor)

    def outgoing(self, cursor: CursorWrapper, row: Row, wishes: Wishes) -> Outgoing:
        """Make the message of a row."""
        cursor.execute(_DATA, [row["id"]])
        [(data,)] = cursor.fetchall()
        try:
            message = message_of(data)
        except Unreadable as error:
            raise NotTaken(Reason.UNREADABLE, str(error)) from error
        if not message.recipients():
            raise NotTaken(Reason.NO_RECIPIENTS, "It has no recipients.")
        return Outgoing(
            message=message,
            priority=_PRIORITIES.get(row["priority"], "normal"),
            site=wishes.site,
            profile=wishes.profile,
            tag=self.name,
            idempotency_key=f"{self.name}:{row['when_added']:%Y%m%dT%H%M%S.%f}:{row['id']}",
        )

    def mark(self, cursor: CursorWrapper, row: Row, message_id: int) -> None:
        """Delete a row, as django-mailer does when it has sent it, and leave a line in its log."""
        said = f"Taken over by mailconf as message {message_id}."
        cursor.execute(_LOG, [row["when_added"], row["priority"], _SUCCESS, said])
        cursor.execute(_DELETE, [row["id"]])
