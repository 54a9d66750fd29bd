"""Handing messages to the queue: what is stored, once, and in how many statements."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.contrib.sites.models import Site
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from delivery import models, queue
from tests.delivery.queueing import (
    a_handover,
    a_row_of_profile,
    composed,
    enqueued,
    entry,
    in_threads,
    on_another_connection,
    statements,
    wait_until,
    waits_for_a_lock,
)

pytestmark = pytest.mark.django_db


@contextmanager
def logged():
    """Collect what Django's query log sees, which sees COPY too, but for the tests' own savepoints."""
    seen = []
    with CaptureQueriesContext(connection) as log:
        yield seen
    seen += [query["sql"] for query in log.captured_queries if "SAVEPOINT" not in query["sql"]]


def test_a_message_is_stored_with_its_content_and_a_queue_entry():
    (made,) = queue.enqueue([a_handover(tag="report")])

    message = models.Message.objects.get()
    assert (message.pk, message.message_id, message.state) == (
        made.id,
        made.message_id,
        queue.SmallState.QUEUED,
    )
    assert (message.mail_from, message.rcpt_to) == ("ana@example.org", ["Bo@example.com", "cy@example.com"])
    assert (message.rcpt_first, message.subject, message.tag) == ("bo@example.com", "Report", "report")
    assert message.from_header == "Ana <ana@example.org>"
    row = models.QueueEntry.objects.get()
    assert (row.message_id, row.lease_id, row.priority, row.ready_at) == (made.id, None, 2, message.due_at)
    content = models.Content.objects.get()
    assert bytes(content.data) == f"Message-ID: {made.message_id}\r\n".encode() + composed().data
    assert content.size == len(content.data)


def test_nothing_handed_over_costs_nothing():
    with statements() as seen:
        assert queue.enqueue([]) == []

    assert seen == []


def test_an_own_message_id_is_kept_and_the_content_is_left_alone():
    (made,) = queue.enqueue([a_handover(composed=composed(message_id="<own@example.org>"))])

    assert made.message_id == models.Message.objects.get().message_id == "<own@example.org>"
    assert bytes(models.Content.objects.get().data) == composed().data


def test_a_message_id_carries_the_row_and_the_from_domain():
    (made,) = queue.enqueue([a_handover()])

    assert made.message_id.endswith("@example.org>")
    assert queue.rows_of(made.message_id) == [made.id]
    assert queue.rows_of("<somebody@else.example>") == []


@pytest.mark.parametrize(
    ("from_header", "mail_from", "domain"),
    [
        (None, "ana@bounce.example", "bounce.example"),
        ("=?utf-8?q?=C3=84nne?=\r\n <ana@Example.net>", "", "example.net"),
        (None, "", "mailconf.invalid"),
    ],
)
def test_without_a_from_domain_the_message_id_takes_the_next_best(from_header, mail_from, domain):
    (made,) = queue.enqueue([a_handover(composed=composed(from_header=from_header, mail_from=mail_from))])

    assert made.message_id.endswith(f"@{domain}>")


@pytest.mark.parametrize("number", [1, 2, 2**32, 2**63 - 1])
def test_a_message_id_is_another_each_time_and_gives_its_number_back_under_the_secret_key(settings, number):
    first, second = (queue.make_message_id(number, "example.org") for _ in range(2))

    assert first != second
    assert queue.rows_of(first) == queue.rows_of(second) == [number]
    settings.SECRET_KEY, former = "another", settings.SECRET_KEY
    assert number not in queue.rows_of(first)
    settings.SECRET_KEY_FALLBACKS = [former]
    assert number in queue.rows_of(first)


def test_a_message_id_of_ours_with_another_number_in_it_gives_none_that_no_row_can_have():
    _local, rest = queue.make_message_id(1, "example.org").split(".", 1)

    found = [queue.rows_of(f"<{number:x}.{rest}") for number in (0, 2**63, 2**64 - 1)]

    assert all(0 <= number < 2**63 for numbers in found for number in numbers)
    assert [] in found


def test_a_scheduled_message_is_due_later():
    send_at = timezone.now() + timedelta(hours=2)

    (message_id,) = enqueued(send_at=send_at, priority=1)

    assert entry(message_id).ready_at == models.Message.objects.get().due_at == send_at
    assert entry(message_id).priority == 1


@pytest.mark.parametrize(("count", "first", "later"), [(1, 6, 1), (2, 7, 5), (500, 7, 5), (2_000, 7, 5)])
def test_one_message_costs_one_statement_and_any_number_five(count, first, later):
    with logged() as seen:
        enqueued(count)

    assert len(seen) == first  # the first of its route makes the pool and looks again
    with logged() as seen:
        enqueued(count)
    assert len(seen) == later
    assert models.QueueEntry.objects.count() == 2 * count


@pytest.mark.django_db(transaction=True)
def test_djangos_query_log_sees_the_statements(django_assert_num_queries):
    enqueued()

    with django_assert_num_queries(5 + 2) as log:  # BEGIN and COMMIT
        enqueued(500)

    assert "nextval" in log.captured_queries[1]["sql"]


@pytest.mark.django_db(transaction=True)
def test_a_message_alone_needs_no_transaction_around_its_statement(django_assert_num_queries):
    enqueued()

    with django_assert_num_queries(1):
        (message_id,) = enqueued()

    assert models.Content.objects.filter(message_id=message_id).exists()
    assert entry(message_id).pool_id


@pytest.mark.parametrize("route", [{}, {"pinned": True}, {"site": True}, {"from_header": "a@LISTED.example"}])
def test_a_message_alone_takes_the_same_way_as_among_others(route):
    profile = a_row_of_profile(sender_domains=["Listed.example"])
    site = Site.objects.create(domain="shop.example", name="shop") if route.get("site") else None
    made = a_handover(
        composed=composed(from_header=route.get("from_header", "b@other.example")),
        profile_id=profile.pk if route.get("pinned") else None,
        site_id=site and site.pk,
    )
    together = [answer.id for answer in queue.enqueue([made, made])]

    (alone,) = queue.enqueue([made])

    assert {entry(message_id).pool_id for message_id in (*together, alone.id)} == {entry(alone.id).pool_id}
    assert models.Pool.objects.count() == 1


@pytest.mark.parametrize("count", [1, 2])
def test_what_the_database_refuses_is_djangos_exception_and_leaves_nothing(count):
    queue.pools_for([queue.Route(None, "example.org", None)])

    with pytest.raises(IntegrityError, match="message_expiry_in_range"):
        enqueued(count, expires_at=timezone.now() + timedelta(days=365 * 7_000))

    assert not models.Message.objects.exists()
    assert len(enqueued(count)) == count


@pytest.mark.parametrize("count", [1, 2])
def test_a_number_that_does_not_fit_is_refused_and_never_cut(count):
    with pytest.raises(ValueError, match="70000 is not a valid MessagePriority"):
        enqueued(count, priority=70_000)

    assert not models.Message.objects.exists()


def test_many_messages_are_copied_and_look_as_one_alone():
    awkward = composed(
        'tab\tquote"\\ {braces}\r\n',
        rcpt_to=('"odd, \\"one\\""@example.com', "b{}@example.com"),
        subject="Zeile\tmit \\N",
        from_header=None,
    )
    one = queue.enqueue([a_handover(composed=awkward, tag="a,b")])[0].id

    many = queue.enqueue([a_handover(composed=awkward, tag="a,b")] * 1_000)

    assert len({made.id for made in many}) == models.QueueEntry.objects.count() - 1 == 1_000
    skipped = {"id", "message_id", "created_at", "due_at"}
    first, last = (
        {key: value for key, value in row.items() if key not in skipped}
        for row in models.Message.objects.filter(pk__in=[one, many[-1].id]).order_by("id").values()
    )
    assert first == last
    assert last["rcpt_to"] == list(awkward.rcpt_to)
    content = models.Content.objects.get(pk=many[-1].id)
    assert bytes(content.data).endswith(awkward.data)
    assert (content.cuts, content.blob_ids) == ([], [])


def test_messages_vanish_with_the_callers_transaction():
    with transaction.atomic():
        enqueued()
        transaction.set_rollback(True)

    assert not models.Message.objects.exists()
    assert not models.QueueEntry.objects.exists()


# Routes


def pool_of(message_id):
    pool = models.Pool.objects.get(pk=entry(message_id).pool_id)
    return pool.site_id, pool.sender_domain, pool.profile_id


def test_mail_of_no_site_shares_one_pool():
    first, second = enqueued(2)

    assert pool_of(first) == pool_of(second) == (None, None, None)


def test_a_site_has_a_pool_of_its_own():
    site = Site.objects.create(domain="shop.example")

    (message_id,) = enqueued(site_id=site.pk)

    assert pool_of(message_id) == (site.pk, None, None)
    assert models.Message.objects.get().site_id == site.pk


def test_a_from_domain_counts_once_some_profile_lists_it():
    (before,) = enqueued()
    a_row_of_profile(sender_domains=["example.org"])
    (after,) = enqueued()

    assert pool_of(before) == (None, None, None)
    assert pool_of(after) == (None, "example.org", None)


@pytest.mark.parametrize("listed", ["example.org", "Example.ORG"])
@pytest.mark.parametrize("sender", ["ana@example.org", "Ana <ana@EXAMPLE.org>"])
def test_a_from_domain_counts_in_whatever_case(listed, sender):
    a_row_of_profile(sender_domains=["other.example", listed])

    (message_id,) = enqueued(composed=composed(from_header=sender))

    assert pool_of(message_id) == (None, "example.org", None)


def test_a_pinned_message_has_its_profiles_pool_whatever_its_domain():
    profile = a_row_of_profile(sender_domains=["example.org"])

    (message_id,) = enqueued(profile_id=profile.pk)

    assert pool_of(message_id) == (None, None, profile.pk)
    assert models.Message.objects.get().pinned_profile_id == profile.pk


@pytest.mark.django_db(transaction=True)
def test_callers_who_need_the_same_new_pool_share_it():
    in_threads(*[enqueued] * 4)

    assert models.Pool.objects.count() == 1
    assert models.QueueEntry.objects.count() == 4


# Blobs


def with_attachment(part=b"JVBERi0=\r\n" * 9000):
    return a_handover(composed=composed(cuts=(20,), blobs=(part,)))


def test_an_attachment_is_stored_once_for_all_who_carry_it():
    one, two = queue.enqueue([with_attachment(), with_attachment()])
    (three,) = queue.enqueue([with_attachment()])

    blob = models.Blob.objects.get()
    assert blob.size == 90_000
    contents = models.Content.objects.filter(pk__in=[one.id, two.id, three.id])
    assert [content.blob_ids for content in contents] == [[blob.pk]] * 3
    assert queue.load_blobs([blob.pk]) == {blob.pk: b"JVBERi0=\r\n" * 9000}
    assert contents[0].size == len(contents[0].data) + blob.size


def test_cuts_move_behind_the_message_id_that_stands_first():
    (made,) = queue.enqueue([with_attachment()])

    assert models.Content.objects.get().cuts == [20 + len(f"Message-ID: {made.message_id}\r\n")]


def test_an_attachment_used_again_is_kept_from_the_purge():
    queue.enqueue([with_attachment()])
    models.Blob.objects.update(last_used_on="2020-01-01")

    queue.enqueue([with_attachment()])

    assert models.Blob.objects.get().last_used_on >= timezone.now().date() - timedelta(days=1)


def test_no_blobs_are_read_without_asking():
    with statements() as seen:
        assert queue.load_blobs([]) == {}

    assert seen == []


@pytest.mark.django_db(transaction=True)
def test_an_attachment_from_several_callers_at_once_is_stored_once():
    in_threads(*[lambda: queue.enqueue([with_attachment()])] * 4)

    blob = models.Blob.objects.get()
    assert [content.blob_ids for content in models.Content.objects.all()] == [[blob.pk]] * 4


# Idempotency


def keyed(body="Hello.\r\n", key="order-1"):
    return a_handover(body, idempotency_key=key)


def test_a_request_repeated_gives_the_stored_message():
    (first,) = queue.enqueue([keyed()])
    again, other = queue.enqueue([keyed(), keyed(key="order-2")])

    assert first.created
    assert again == queue.Enqueued(first.id, first.message_id, created=False)
    assert other.created
    assert models.Message.objects.count() == 2


def test_a_key_twice_in_one_call_makes_one_message():
    first, second, plain = queue.enqueue([keyed(), keyed(), a_handover()])

    assert (first.created, second.created, plain.created) == (True, False, True)
    assert first.id == second.id
    assert models.Message.objects.count() == 2


def test_a_key_with_other_content_is_a_conflict_and_leaves_no_row():
    (first,) = queue.enqueue([keyed()])

    with pytest.raises(
        queue.IdempotencyConflict, match=f"'order-1' was already used for message {first.id}"
    ) as told:
        queue.enqueue([a_handover(), keyed("Something else.\r\n")])

    assert (told.value.key, told.value.message_id) == ("order-1", first.id)
    assert models.Message.objects.count() == 1
    with pytest.raises(queue.IdempotencyConflict):
        queue.enqueue([keyed(key="new"), keyed("Something else.\r\n", key="new")])
    assert models.Message.objects.count() == 1


def test_a_key_is_free_again_after_a_rollback():
    with transaction.atomic():
        queue.enqueue([keyed()])
        transaction.set_rollback(True)

    assert queue.enqueue([keyed("Something else.\r\n")])[0].created


def test_an_expired_key_may_be_used_for_something_else():
    (first,) = queue.enqueue([keyed()])
    models.IdempotencyKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    (second,) = queue.enqueue([keyed("Something else.\r\n")])

    assert second.created
    key = models.IdempotencyKey.objects.get()
    assert key.message_id == second.id != first.id
    assert key.expires_at > timezone.now() + timedelta(days=6)


def test_a_key_costs_one_statement_more():
    enqueued()

    with logged() as seen:
        queue.enqueue([keyed(key=f"order-{number}") for number in range(500)])

    assert len(seen) == 5 + 1


@pytest.mark.django_db(transaction=True)
def test_one_key_from_many_callers_at_once_makes_one_message():
    answers = in_threads(*[lambda: queue.enqueue([keyed()])[0]] * 6)

    assert len({answer.id for answer in answers}) == 1
    assert [answer.created for answer in answers].count(True) == 1
    assert models.Message.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("commits", [True, False])
def test_a_second_caller_waits_for_the_first_ones_end(commits):
    transaction.set_autocommit(False)
    (first,) = queue.enqueue([keyed()])
    with on_another_connection(lambda: queue.enqueue([keyed()])[0]) as second:
        try:
            wait_until(waits_for_a_lock)
        finally:
            transaction.commit() if commits else transaction.rollback()
            transaction.set_autocommit(True)
        answer = second.result(60)

    assert answer.created is not commits
    assert (answer.id == first.id) is commits
    assert models.Message.objects.count() == 1


# Moments


def test_a_moment_that_has_passed_means_now():
    before = timezone.now()
    (answer,) = queue.enqueue([a_handover(send_at=before - timedelta(days=2000))])
    assert models.QueueEntry.objects.get(pk=answer.id).ready_at >= before - timedelta(seconds=5)


@pytest.mark.parametrize("moment", ["0001-01-01 00:00:00+14 BC", "10000-01-01", "infinity", "-infinity"])
def test_the_database_refuses_a_moment_that_no_reader_can_hold(moment):
    (answer,) = queue.enqueue([a_handover()])
    with pytest.raises(IntegrityError, match="entry_ready_in_range"), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE delivery_queueentry SET ready_at = %s WHERE message_id = %s", [moment, answer.id]
        )
