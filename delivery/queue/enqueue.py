"""Store messages and put them in the queue, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction

from delivery.models import MessagePriority
from delivery.queue import at_once, blobs, idempotency, storing
from delivery.queue.identity import make_message_id
from delivery.queue.routes import Route, domain_of, pools_for
from delivery.queue.statements import named, run
from delivery.queue.storing import Values
from delivery.queue.values import Enqueued, Handover

# A subquery, or the sequence's name is looked up for every number. The switches of the queue come along.
_IDS = named("""
SELECT nextval((SELECT pg_get_serial_sequence('{message}', 'id'))), now(),
       (SELECT json_object_agg(coalesce(site_id, 0), queue_enabled) FROM {policy}
        WHERE queue_enabled IS NOT NULL)
FROM generate_series(1, %(count)s::int)
""")


@dataclass(frozen=True, slots=True)
class _Row:
    """A message about to be stored."""

    id: int
    message_id: str
    handover: Handover
    is_at_once: bool = False  # its caller waits, and the queue is switched off for its site
    prefix: bytes = b""  # the Message-ID header, where the content has none

    @property
    def data(self) -> bytes:
        return self.prefix + self.handover.composed.data

    @property
    def size(self) -> int:
        composed = self.handover.composed
        return len(self.prefix) + len(composed.data) + sum(map(len, composed.blobs))


def enqueue(handovers: Sequence[Handover]) -> list[Enqueued]:
    """Store the messages and queue them, all or none; one answer per handover, in order.

    Runs in the caller's transaction, or in one of its own. A handover whose idempotency key is known gives
    the stored message (`created` False). Raises IdempotencyConflict when the key stands for other content.
    Rings nobody: the caller does, after commit.
    """
    if not handovers:
        return []
    with transaction.atomic():
        ids = run(_IDS, {"count": len(handovers)})
        switches, now = ids[0][2] or {}, ids[0][1]
        made = [
            _row(row_id, handover, is_at_once=_is_at_once(handover, switches, now))
            for (row_id, *_), handover in zip(ids, handovers, strict=True)
        ]
        answers = _answers(made)
        new = [row for row, answer in zip(made, answers, strict=True) if answer.created]
        if new:
            pools = pools_for(_route(row.handover) for row in new)
            storing.store(*_rows(new, pools, _blob_ids(new), now=now))
        return answers


def _route(handover: Handover) -> Route:
    return Route(handover.site_id, domain_of(handover.composed.from_header), handover.profile_id)


def _is_at_once(handover: Handover, switches: Mapping[str, bool], now: datetime) -> bool:
    """Whether its caller sends it: the queue is off for its site, and it may leave already."""
    if not handover.caller_waits or (handover.send_at is not None and handover.send_at > now):
        return False
    return not switches.get(str(handover.site_id), switches.get("0", True))


def _row(row_id: int, handover: Handover, *, is_at_once: bool) -> _Row:
    composed = handover.composed
    if composed.message_id is not None:
        return _Row(row_id, composed.message_id, handover, is_at_once)
    domain = (
        domain_of(composed.from_header)
        or domain_of(composed.mail_from)
        or str(getattr(settings, "MAILCONF_MESSAGE_ID_DOMAIN", "mailconf.invalid"))
    )
    message_id = make_message_id(row_id, domain)
    return _Row(row_id, message_id, handover, is_at_once, f"Message-ID: {message_id}\r\n".encode())


def _answers(made: list[_Row]) -> list[Enqueued]:
    """Say for each row whether it is new or stands for a message whose key is known."""
    keyed = [
        idempotency.Keyed(row.handover.idempotency_key, row.id, row.handover.composed.digest)
        for row in made
        if row.handover.idempotency_key is not None
    ]
    known = idempotency.take(keyed) if keyed else {}
    answers = []
    for row in made:
        key = row.handover.idempotency_key
        if key is None or key not in known:
            answer = Enqueued(row.id, row.message_id, created=True, is_at_once=row.is_at_once)
        else:
            answer = known[key]
        if key is not None:  # for a second one with the same key in this call
            known.setdefault(key, Enqueued(row.id, row.message_id, created=False))
        answers.append(answer)
    return answers


def _blob_ids(new: list[_Row]) -> dict[int, list[int]]:
    """Store the large parts; a sensitive message shares none, so that they can go with it."""
    shared = blobs.store(
        part for row in new if not row.handover.sensitive for part in row.handover.composed.blobs
    )
    found = {}
    for row in new:
        if parts := row.handover.composed.blobs:
            ids = blobs.store(parts, owner=row.id) if row.handover.sensitive else shared
            found[row.id] = [ids[part] for part in parts]
    return found


def _rows(
    new: list[_Row], pools: dict[Route, int | None], stored: dict[int, list[int]], *, now: datetime
) -> tuple[list[Values], list[Values], list[Values]]:
    """Make the rows of message, content and entry, with the columns in the order of `storing`."""
    messages: list[Values] = []
    contents: list[Values] = []
    entries: list[Values] = []
    for row in new:
        wish, composed, shift = row.handover, row.handover.composed, len(row.prefix)
        due_at = max(wish.send_at, now) if wish.send_at else now  # a past moment would look like a long wait
        envelope = (composed.mail_from, composed.rcpt_to[0].lower(), composed.from_header, composed.subject)
        wishes = (wish.expires_at, wish.copy_of, wish.site_id, wish.profile_id)
        priority = MessagePriority(wish.priority).value  # psycopg's binary COPY would cut what does not fit
        kind = (composed.attachments_bytes, priority, wish.sensitive)
        rcpt_to = list(composed.rcpt_to)
        messages.append((row.id, due_at, *wishes, *kind, wish.tag, row.message_id, *envelope, rcpt_to))
        cuts = [cut + shift for cut in composed.cuts]
        contents.append((row.id, row.size, row.data, cuts, stored.get(row.id, [])))
        ready_at = due_at + at_once.KEPT if row.is_at_once else due_at
        entries.append((row.id, ready_at, pools[_route(wish)], priority))
    return messages, contents, entries
