"""What people do with messages, and what the database keeps whoever asks."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sites.models import Site
from django.db import connection
from django.db.models import ProtectedError

from delivery import models, queue
from smtp_settings.models import Event
from tests.delivery.queueing import (
    a_handover,
    a_row_of_profile,
    claimed,
    composed,
    enqueued,
    entry,
    state_of,
)

pytestmark = pytest.mark.django_db


def ended(state, **options):
    """A message that ended so; its id."""
    (message_id,) = enqueued(**options)
    queue.finish(None, [queue.Finished(message_id, state, counted=1)])
    return message_id


@pytest.mark.parametrize("state", queue.NEEDS_A_PERSON)
def test_what_failed_is_put_back_with_retries_from_zero(state):
    message_id = ended(state, priority=3)

    assert queue.put_back([message_id]) == {message_id}

    row = entry(message_id)
    assert (row.attempts, row.crashes, row.priority, row.lease_id) == (0, 0, 3, None)
    assert state_of(message_id) == queue.SmallState.QUEUED
    assert models.Message.objects.get().done_at is None
    assert not models.Failure.objects.exists()
    assert [message.message_id for message in claimed(queue.register_worker())] == [message_id]
    assert queue.put_back([message_id]) == set()


def test_a_doubt_is_put_back_too():
    lease = queue.register_worker()
    (message_id,) = enqueued()
    claimed(lease)
    queue.settle(lease, [queue.Settled(message_id, 7, uncertain=True)])
    queue.hold([message_id])

    queue.put_back([message_id])

    assert entry(message_id).uncertain


def test_a_message_without_content_is_not_put_back():
    message_id = ended(queue.SmallState.FAILED, sensitive=True)

    assert queue.put_back([message_id]) == set()
    assert state_of(message_id) == queue.SmallState.FAILED


def test_sent_messages_are_not_put_back():
    message_id = ended(queue.SmallState.SENT)

    assert queue.put_back([message_id]) == set()


def test_a_deferred_message_is_retried_now_unless_somebody_sends_it():
    lease = queue.register_worker()
    deferred, sending = enqueued(2)
    claimed(lease, 2)
    queue.settle(lease, [queue.Settled(deferred, 7, timedelta(hours=1), counted=1)])

    assert queue.retry_now([deferred, sending]) == {deferred}

    assert [message.message_id for message in claimed(lease, 5)] == [deferred]


def test_waiting_and_held_messages_are_cancelled_and_others_not():
    lease = queue.register_worker()
    (sending,) = enqueued()
    claimed(lease)
    (waiting,) = enqueued()
    held, failed, sent = (
        ended(state) for state in (queue.SmallState.HELD, queue.SmallState.FAILED, queue.SmallState.SENT)
    )

    assert queue.cancel([sending, waiting, held, failed, sent]) == {waiting, held}

    assert state_of(waiting) == state_of(held) == queue.SmallState.CANCELLED
    assert [state_of(other) for other in (sending, failed, sent)] == [
        queue.SmallState.QUEUED,
        queue.SmallState.FAILED,
        queue.SmallState.SENT,
    ]
    assert list(models.Failure.objects.values_list("message_id", flat=True)) == [failed]


def test_a_cancelled_sensitive_message_that_was_held_loses_its_content():
    message_id = ended(queue.SmallState.HELD, sensitive=True)
    assert models.Content.objects.exists()

    queue.cancel([message_id])

    assert not models.Content.objects.exists()


def test_a_held_message_leaves_the_queue_until_it_is_put_back():
    (message_id,) = enqueued()

    assert queue.hold([message_id]) == {message_id}

    assert state_of(message_id) == queue.SmallState.HELD
    assert models.Failure.objects.get().cause == "person"
    assert claimed(queue.register_worker()) == []
    assert queue.put_back([message_id]) == {message_id}


def test_the_event_log_says_who_did_it_to_which_message():
    user = get_user_model().objects.create(username="ana")
    first, second = enqueued(2)

    queue.hold([first, second, 999_999_999], user_id=user.pk)

    assert list(Event.objects.order_by("message_id").values_list("kind", "message_id", "user_id")) == [
        ("message.held", first, user.pk),
        ("message.held", second, user.pk),
    ]


# Send again


def test_a_copy_is_a_new_message_that_names_the_old():
    site, profile = Site.objects.create(domain="shop.example"), a_row_of_profile()
    (old,) = queue.enqueue(
        [a_handover(tag="report", priority=1, site_id=site.pk, profile_id=profile.pk, idempotency_key="k")]
    )

    copy = queue.send_again([old.id])[old.id]

    before, after = (models.Message.objects.get(pk=made.id) for made in (old, copy))
    assert copy.created
    assert after.copy_of_id == old.id
    assert (after.tag, after.priority, after.site_id, after.pinned_profile_id) == (
        "report",
        1,
        site.pk,
        profile.pk,
    )
    assert (after.rcpt_to, after.subject, after.from_header) == (
        before.rcpt_to,
        before.subject,
        before.from_header,
    )
    assert entry(copy.id).pool_id == entry(old.id).pool_id
    data = bytes(models.Content.objects.get(pk=copy.id).data)
    assert data == f"Message-ID: {copy.message_id}\r\n".encode() + composed().data
    assert copy.message_id != old.message_id
    assert list(Event.objects.order_by("id").values_list("kind", "message_id", "data")) == [
        ("message.sent_again", old.id, {"copy": copy.id}),
        ("message.is_copy", copy.id, {"copy_of": f"#{old.id}"}),
    ]


def test_a_copy_has_one_message_id_even_where_the_sender_gave_a_folded_one():
    own = composed(
        message_id="<own@example.org>",
        data=b"MIME-Version: 1.0\r\nMessage-Id:\r\n <own@example.org>\r\nX-End: 1\r\n"
        b"\r\nMessage-ID: no header\r\n",
        cuts=(91,),
        blobs=(b"blob\r\n",),
    )
    (old,) = queue.enqueue([a_handover(composed=own)])

    copy = queue.send_again([old.id])[old.id]

    content = models.Content.objects.get(pk=copy.id)
    data = bytes(content.data)
    assert data == (
        f"Message-ID: {copy.message_id}\r\n".encode()
        + b"MIME-Version: 1.0\r\nX-End: 1\r\n\r\nMessage-ID: no header\r\n"
    )
    assert len(data) - content.cuts[0] == len(own.data) - 91
    assert content.blob_ids == models.Content.objects.get(pk=old.id).blob_ids


def test_a_copy_of_a_message_without_a_body_has_one_message_id_too():
    (old,) = queue.enqueue([a_handover(composed=composed(data=b"X-Only: header\r\n"))])

    copy = queue.send_again([old.id])[old.id]

    data = bytes(models.Content.objects.get(pk=copy.id).data)
    assert data == f"Message-ID: {copy.message_id}\r\nX-Only: header\r\n".encode()


def test_a_message_whose_content_is_gone_is_not_copied():
    message_id = ended(queue.SmallState.SENT, sensitive=True)

    assert queue.send_again([message_id]) == {}
    assert models.Message.objects.count() == 1


def test_a_message_whose_large_parts_go_while_it_is_copied_is_left_out():
    """Retention removes a content and its parts between our reading the one and the other."""
    large = {"blobs": (b"blob\r\n",), "cuts": (len(composed().data),)}
    gone, whole = (queue.enqueue([a_handover(composed=composed(**fields))])[0].id for fields in (large, {}))
    models.Blob.objects.all().delete()

    assert list(queue.send_again([gone, whole])) == [whole]


# The tables


def options_of(model):
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [model._meta.db_table])
        return dict(option.split("=") for option in cursor.fetchone()[0] or [])


def test_hot_tables_have_room_for_updates_in_place_and_an_eager_vacuum():
    assert options_of(models.QueueEntry) == {
        "fillfactor": "60",
        "autovacuum_vacuum_scale_factor": "0.01",
        "autovacuum_vacuum_threshold": "1000",
        "autovacuum_vacuum_cost_delay": "0",
        "autovacuum_analyze_scale_factor": "0.05",
    }
    assert options_of(models.Message) == {"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"}
    assert {options_of(model)["fillfactor"] for model in (models.Worker, models.Slot)} == {"50"}
    assert options_of(models.Rate) == {"fillfactor": "20"}


@pytest.mark.parametrize("model", [models.Content, models.Blob])
def test_content_is_stored_uncompressed(model):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attstorage FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'data'",
            [model._meta.db_table],
        )
        assert cursor.fetchone()[0] in {"e", b"e"}


def columns_of(model):
    """Name and length of each column in the table's order; a length below 0 is a text's."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname, attlen FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND NOT attisdropped ORDER BY attnum",
            [model._meta.db_table],
        )
        return cursor.fetchall()


@pytest.mark.parametrize(
    "model",
    [
        models.QueueEntry,
        models.Attempt,
        models.Failure,
        models.Slot,
        models.Worker,
        models.Stat,
    ],
)
def test_wide_columns_stand_first(model):
    lengths = [length for _, length in columns_of(model) if length > 0]

    assert lengths == sorted(lengths, reverse=True)


def test_what_the_end_of_a_message_writes_stands_last_and_wide_columns_first_on_either_side():
    """PostgreSQL logs a row that is updated on its page from the first byte that changes."""
    columns = columns_of(models.Message)
    begin = [name for name, _ in columns].index("done_at")
    kept, written = columns[:begin], columns[begin:]

    assert {name for name, _ in written} == {
        "done_at", "profile_id", "state", "attempts", "code", "enhanced", "reply", "verdicts",
    }  # fmt: skip
    for part in (kept, written):
        lengths = [length for _, length in part if length > 0]
        assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("kind", ["site", "profile"])
def test_a_site_or_profile_that_messages_wait_for_cannot_be_deleted(kind):
    owner = Site.objects.create(domain="shop.example") if kind == "site" else a_row_of_profile()
    (message_id,) = enqueued(**{f"{kind}_id": owner.pk})
    with pytest.raises(ProtectedError):
        owner.delete()

    queue.hold([message_id])
    with pytest.raises(ProtectedError):
        owner.delete()

    queue.cancel([message_id])
    owner.delete()
    assert not models.Pool.objects.exists()
