"""What people do with messages. Only rows nobody is sending are touched; the others are not in the answer.

Each act is an event of every message it was done to, with who did it and the job it belongs to, if any.
"""

import re
from collections.abc import Iterable

from django.db import transaction

from delivery.composing import Composed
from delivery.models import Content, Message, SmallState
from delivery.queue.claim import load_blobs
from delivery.queue.enqueue import enqueue
from delivery.queue.events import add_message_events, note_copy
from delivery.queue.finish import finish
from delivery.queue.statements import named, run
from delivery.queue.values import Enqueued, Finished, Handover

# Without its content (a sensitive message, or one past retention) a message cannot go again: a claim would
# lease it and return nothing.
_PUT_BACK = named("""
WITH back AS (
  DELETE FROM {failure} f WHERE f.message_id = ANY(%(ids)s::bigint[])
    AND EXISTS (SELECT 1 FROM {content} c WHERE c.message_id = f.message_id)
  RETURNING *
), again AS (
  INSERT INTO {entry} (message_id, ready_at, pool_id, priority, uncertain)
  SELECT message_id, now(), pool_id, priority %% 10, uncertain FROM back ON CONFLICT DO NOTHING
)
UPDATE {message} m SET state = %(queued)s, done_at = NULL,
       verdicts = (SELECT jsonb_object_agg(v.key, v.value) FROM jsonb_each(m.verdicts) v
                   WHERE v.value ->> 'state' = 'sent')  -- the refused are tried again, the accepted never
FROM back WHERE m.id = back.message_id
RETURNING m.id
""")

_RETRY_NOW = named("""
UPDATE {entry} SET ready_at = now() WHERE message_id IN (
  SELECT message_id FROM {entry} WHERE message_id = ANY(%(ids)s::bigint[]) AND lease_id IS NULL
  ORDER BY message_id FOR NO KEY UPDATE SKIP LOCKED)
RETURNING message_id
""")

_CANCEL_HELD = named("""
WITH gone AS (
  DELETE FROM {failure} WHERE message_id = ANY(%(ids)s::bigint[]) AND state = %(held)s
  RETURNING message_id
), forgotten AS (
  DELETE FROM {content} c USING gone g, {message} m
  WHERE c.message_id = g.message_id AND m.id = g.message_id AND m.sensitive
  RETURNING c.blob_ids
), emptied AS (DELETE FROM {blob} b USING forgotten f WHERE b.id = ANY(f.blob_ids)
)
UPDATE {message} m SET state = %(cancelled)s, done_at = now() FROM gone WHERE m.id = gone.message_id
RETURNING m.id
""")

_MESSAGE_ID = re.compile(rb"^message-id:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", re.IGNORECASE | re.MULTILINE)


def put_back(ids: Iterable[int], *, user_id: int | None = None, job_id: int | None = None) -> set[int]:
    """Queue failed, expired and held messages that have content again, retries from zero."""
    with transaction.atomic():
        values = {"ids": sorted(ids), "queued": SmallState.QUEUED.value}
        return _noted("message.put_back", user_id, job_id, _ids(run(_PUT_BACK, values)))


def retry_now(ids: Iterable[int], *, user_id: int | None = None, job_id: int | None = None) -> set[int]:
    """Make waiting messages due now."""
    with transaction.atomic():
        return _noted("message.retried", user_id, job_id, _ids(run(_RETRY_NOW, {"ids": sorted(ids)})))


def cancel(ids: Iterable[int], *, user_id: int | None = None, job_id: int | None = None) -> set[int]:
    """End queued, deferred and held messages unsent."""
    wanted = sorted(ids)
    with transaction.atomic():
        done = finish(None, [Finished(message_id, SmallState.CANCELLED) for message_id in wanted])
        values = {"ids": wanted, "held": SmallState.HELD.value, "cancelled": SmallState.CANCELLED.value}
        return _noted("message.cancelled", user_id, job_id, done | _ids(run(_CANCEL_HELD, values)))


def hold(ids: Iterable[int], *, user_id: int | None = None, job_id: int | None = None) -> set[int]:
    """Take queued and deferred messages out of the queue until a person puts them back."""
    with transaction.atomic():
        outcomes = [Finished(message_id, SmallState.HELD, cause="person") for message_id in sorted(ids)]
        return _noted("message.held", user_id, job_id, finish(None, outcomes))


def send_again(ids: Iterable[int], *, user_id: int | None = None) -> dict[int, Enqueued]:
    """Queue a copy of each message that has content: id -> the new message, which names the old as `copy_of`.

    A copy gets a Message-ID of its own, or receivers would drop it as a duplicate. A message whose large
    parts are removed while we read is left out, as one without content.
    """
    with transaction.atomic():
        wanted = Message.objects.in_bulk(sorted(ids))
        handovers = {
            message_id: copy
            for message_id, content in Content.objects.in_bulk(wanted).items()
            if (copy := _copy_of(wanted[message_id], content)) is not None
        }
        made = dict(zip(handovers, enqueue(list(handovers.values())), strict=True))
        for message_id, copy in made.items():
            note_copy("message.sent_again", message_id, copy.id, user_id)
        return made


def _copy_of(message: Message, content: Content) -> Handover | None:
    """Return what hands the copy over; None when its large parts are gone."""
    stored = load_blobs(content.blob_ids)
    if set(content.blob_ids) - stored.keys():
        return None
    data, cuts = _without_message_id(bytes(content.data), list(content.cuts))
    composed = Composed(
        mail_from=message.mail_from,
        rcpt_to=tuple(message.rcpt_to),
        from_header=message.from_header,
        subject=message.subject,
        message_id=None,
        data=data,
        cuts=tuple(cuts),
        blobs=tuple(stored[blob_id] for blob_id in content.blob_ids),
        attachments_bytes=message.attachments_bytes,
    )
    return Handover(
        composed,
        priority=message.priority,
        site_id=message.site_id,
        profile_id=message.pinned_profile_id,
        tag=message.tag,
        sensitive=message.sensitive,
        copy_of=message.pk,
    )


def _without_message_id(data: bytes, cuts: list[int]) -> tuple[bytes, list[int]]:
    """Take the field out; every cut lies behind it, in the body."""
    blank = data.find(b"\r\n\r\n")
    header_end = len(data) if blank < 0 else blank + 2
    header = _MESSAGE_ID.sub(b"", data[:header_end], count=1)
    return header + data[header_end:], [cut - header_end + len(header) for cut in cuts]


def _ids(found: list[tuple[int]]) -> set[int]:
    return {message_id for (message_id,) in found}


def _noted(kind: str, user_id: int | None, job_id: int | None, done: set[int]) -> set[int]:
    add_message_events(kind, done, user_id, job_id=job_id)
    return done
