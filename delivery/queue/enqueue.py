"""Store messages and put them in the queue, in the caller's transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from delivery.queue import blobs, idempotency
from delivery.queue.identity import make_message_id
from delivery.queue.routes import Route, domain_of, pools_for
from delivery.queue.statements import array, cursor, named, run, together
from delivery.queue.values import Enqueued, Handover

#: Rows of one INSERT; more save nothing.
_ROWS = 500
#: Bytes of content in one INSERT: a statement's parameters stand in memory on both sides.
_BYTES = 16 * 1024 * 1024
#: From here on COPY.
_COPY = 10_000

_IDS = named("""
SELECT nextval(pg_get_serial_sequence('{message}', 'id')), now() FROM generate_series(1, %(count)s::int)
""")

_MESSAGE = (
    "id, due_at, expires_at, copy_of_id, site_id, pinned_profile_id, attachments_bytes, priority, sensitive,"
    " tag, message_id,"
    " mail_from, rcpt_first, from_header, subject, rcpt_to"
)
_CONTENT = "message_id, size, data, cuts, blob_ids"
_ENTRY = "message_id, ready_at, pool_id, priority"

# %b: as binary where no value is NULL, which saves escaping each.
_INSERTS = (
    named(
        """
INSERT INTO {message} ({columns})
SELECT {all_but_rcpt_to}, rcpt_to::text[]
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::int[], %s::int[],
  %s::int[], %s::smallint[], %s::boolean[], %b::text[], %b::text[], %b::text[], %b::text[], %s::text[],
  %b::text[], %b::text[]) AS t ({columns})
""",
        columns=_MESSAGE,
        all_but_rcpt_to=_MESSAGE.removesuffix(", rcpt_to"),
    ),
    named(
        """
INSERT INTO {content} ({columns})
SELECT message_id, size, data, cuts::int[], blob_ids::bigint[]
FROM unnest(%s::bigint[], %s::int[], %b::bytea[], %b::text[], %b::text[]) AS t ({columns})
""",
        columns=_CONTENT,
    ),
    named(
        """
INSERT INTO {entry} ({columns})
SELECT {columns} FROM unnest(%s::bigint[], %s::timestamptz[], %s::smallint[], %s::smallint[]) AS t ({columns})
""",
        columns=_ENTRY,
    ),
)

_COPIES = (
    named("COPY {message} ({columns}) FROM STDIN", columns=_MESSAGE),
    named("COPY {content} ({columns}) FROM STDIN", columns=_CONTENT),
    named("COPY {entry} ({columns}) FROM STDIN", columns=_ENTRY),
)


@dataclass(frozen=True, slots=True)
class _Row:
    """A message about to be stored."""

    id: int
    message_id: str
    handover: Handover
    route: Route
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
        made = [_row(row_id, handover) for (row_id, _), handover in zip(ids, handovers, strict=True)]
        answers = _answers(made)
        new = [row for row, answer in zip(made, answers, strict=True) if answer.created]
        if new:
            _store(new, now=ids[0][1])
        return answers


def _row(row_id: int, handover: Handover) -> _Row:
    composed = handover.composed
    from_domain = domain_of(composed.from_header)
    route = Route(handover.site_id, from_domain, handover.profile_id)
    if composed.message_id is not None:
        return _Row(row_id, composed.message_id, handover, route)
    domain = (
        from_domain
        or domain_of(composed.mail_from)
        or str(getattr(settings, "MAILCONF_MESSAGE_ID_DOMAIN", "mailconf.invalid"))
    )
    message_id = make_message_id(row_id, domain)
    return _Row(row_id, message_id, handover, route, f"Message-ID: {message_id}\r\n".encode())


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
            answer = Enqueued(row.id, row.message_id, created=True)
        else:
            answer = known[key]
        if key is not None:  # for a second one with the same key in this call
            known.setdefault(key, Enqueued(row.id, row.message_id, created=False))
        answers.append(answer)
    return answers


def _store(new: list[_Row], *, now: datetime) -> None:
    pools = pools_for(row.route for row in new)
    stored = _blob_ids(new)
    if len(new) >= _COPY:
        _copy(_tables(new, pools, stored, now))
        return
    for chunk in _chunks(new):
        _insert(_tables(chunk, pools, stored, now))


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


def _chunks(new: list[_Row]) -> Iterator[list[_Row]]:
    chunk: list[_Row] = []
    size_bytes = 0
    for row in new:
        length = len(row.handover.composed.data)
        if chunk and (len(chunk) == _ROWS or size_bytes + length > _BYTES):
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(row)
        size_bytes += length
    yield chunk


_Table = list[tuple[Any, ...]]  # Any: one type per column


def _tables(
    new: list[_Row], pools: dict[Route, int | None], stored: dict[int, list[int]], now: datetime
) -> tuple[_Table, _Table, _Table]:
    """Make the rows of message, content and entry, with the columns in the order of the statements."""
    messages, contents, entries = [], [], []
    for row in new:
        wish, composed, shift = row.handover, row.handover.composed, len(row.prefix)
        due_at = max(wish.send_at, now) if wish.send_at else now  # a past moment would look like a long wait
        envelope = (composed.mail_from, composed.rcpt_to[0].lower(), composed.from_header, composed.subject)
        wishes = (wish.expires_at, wish.copy_of, wish.site_id, wish.profile_id)
        kind = (composed.attachments_bytes, wish.priority, wish.sensitive)
        rcpt_to = array(composed.rcpt_to)
        messages.append((row.id, due_at, *wishes, *kind, wish.tag, row.message_id, *envelope, rcpt_to))
        cuts = array([cut + shift for cut in composed.cuts])
        contents.append((row.id, row.size, row.data, cuts, array(stored.get(row.id, []))))
        entries.append((row.id, due_at, pools[row.route], wish.priority))
    return messages, contents, entries


def _insert(tables: tuple[_Table, _Table, _Table]) -> None:
    columns = [[list(column) for column in zip(*table, strict=True)] for table in tables]
    together(*zip(_INSERTS, columns, strict=True))


def _copy(tables: tuple[_Table, _Table, _Table]) -> None:
    with cursor() as opened:
        for statement, table in zip(_COPIES, tables, strict=True):
            with opened.copy(statement) as copy:
                for row in table:
                    copy.write_row(row)
