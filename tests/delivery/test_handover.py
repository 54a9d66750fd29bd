"""Handing over: names are resolved, options checked, one transaction, one ring after the commit."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.sites.models import Site
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone

from delivery import handover, models
from delivery.handover import CannotCompose, CannotHandOver, IdempotencyConflict, Outgoing, send, send_many
from tests.delivery.mail import an_eml
from tests.delivery.queueing import a_row_of_profile

pytestmark = pytest.mark.django_db


def a_message(**changes):
    valid = {"subject": "Report", "body": "Hello.", "from_email": "ann@example.org", "to": ["bo@example.com"]}
    return EmailMessage(**valid | changes)


def stored():
    return models.Message.objects.count(), models.QueueEntry.objects.count(), models.Content.objects.count()


def test_a_message_is_stored_with_every_option():
    site = Site.objects.create(domain="shop.example", name="Shop")
    profile = a_row_of_profile("EU relay")
    later = timezone.now() + timedelta(hours=2)
    answer = send(
        a_message(),
        mail_from="bounce@example.org",
        rcpt_to=["cy@example.net", "dee@example.net"],
        priority="high",
        send_at=later,
        expires_at=later + timedelta(hours=1),
        site="Shop.example",
        profile="EU relay",
        tag="invoice",
        sensitive=True,
        idempotency_key="invoice-1",
    )
    row = models.Message.objects.get(pk=answer.id)
    assert (answer.created, answer.rcpt_to) == (True, ("cy@example.net", "dee@example.net"))
    assert (row.message_id, row.mail_from) == (answer.message_id, "bounce@example.org")
    assert tuple(row.rcpt_to) == answer.rcpt_to
    assert (row.priority, row.tag, row.sensitive) == (1, "invoice", True)
    assert (row.site_id, row.pinned_profile_id) == (site.pk, profile.pk)
    assert (row.due_at, row.expires_at) == (later, later + timedelta(hours=1))
    assert models.QueueEntry.objects.get(pk=answer.id).ready_at == later


def test_raw_bytes_are_stored_too():
    answer = send(an_eml())
    row = models.Message.objects.get(pk=answer.id)
    assert (row.subject, row.from_header, row.mail_from) == ("Report", "ann@example.org", "ann@example.org")
    data = bytes(models.Content.objects.get(pk=answer.id).data)
    assert data.startswith(f"Message-ID: {answer.message_id}\r\n".encode())
    assert data.endswith(b"\r\n\r\nHello.\r\n")


BAD = [
    ("profile", {"profile": "Nowhere"}, "no profile named 'Nowhere'"),
    ("profile_nul", {"profile": "a\0b"}, "no profile named"),
    ("profile_surrogate", {"profile": "\udc80"}, "no profile named"),
    ("site", {"site": "nowhere.example"}, "no site named"),
    ("priority", {"priority": "urgent"}, "none of high, normal and low"),
    ("naive", {"send_at": datetime(2030, 1, 1)}, "no time zone"),  # noqa: DTZ001
    ("year 0", {"send_at": datetime.fromisoformat("0001-01-01T00:00:00+14:00")}, "send_at is before 2000"),
    (
        "year 10000",
        {"expires_at": datetime.fromisoformat("9999-12-31T23:59:59-12:00")},
        "expires_at is before 2000 or more than",
    ),
    ("expired", {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
    ("tag", {"tag": "x" * 101}, "tag"),
    ("tag_nul", {"tag": "a\0b"}, "tag"),
    ("tag_surrogate", {"tag": "\udc80"}, "tag"),
    ("key_empty", {"idempotency_key": " "}, "key is empty"),
    ("key_long", {"idempotency_key": "x" * 201}, "idempotency key"),
    ("key_line", {"idempotency_key": "a\nb"}, "idempotency key"),
    ("recipients", {"rcpt_to": []}, "no recipients"),
    ("recipient", {"rcpt_to": ["Bo <bo@example.com>"]}, "recipient"),
    ("sender", {"mail_from": "a@x.example SIZE=1"}, "sender"),
]


@pytest.mark.parametrize(("options", "words"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
def test_a_wrong_option_gets_a_sentence_and_no_row(options, words):
    for message in (a_message(), an_eml()):
        with pytest.raises(ValueError, match=words) as caught:
            send(message, **options)
        assert str(caught.value).isprintable()
    assert stored() == (0, 0, 0)


WRONG_TYPES = [
    ("message", "text", "message must be an EmailMessage or bytes, not str."),
    ("message", None, "message must be an EmailMessage or bytes, not NoneType."),
    ("mail_from", 5, "mail_from must be an address as text, or None, not int."),
    ("mail_from", b"ann@example.org", "mail_from must be an address as text, or None, not bytes."),
    ("rcpt_to", 5, "rcpt_to must be a list of addresses as text, or None, not int."),
    ("rcpt_to", b"bo@example.com", "rcpt_to must be a list of addresses as text; int is none."),
    ("rcpt_to", ["bo@example.com", None], "rcpt_to must be a list of addresses as text; NoneType is none."),
    ("priority", 1, "priority must be high, normal or low, as text, not int."),
    ("priority", [], "priority must be high, normal or low, as text, not list."),
    ("priority", None, "priority must be high, normal or low, as text, not NoneType."),
    ("send_at", "2026-01-01", "send_at must be a datetime or None, not str."),
    ("send_at", date(2030, 1, 1), "send_at must be a datetime or None, not date."),
    ("expires_at", 1_900_000_000, "expires_at must be a datetime or None, not int."),
    ("site", 1, "site must be a domain as text, or None, not int."),
    ("profile", 3, "profile must be a name as text, or None, not int."),
    ("profile", ["EU relay"], "profile must be a name as text, or None, not list."),
    ("tag", None, "tag must be text, not NoneType."),
    ("tag", 7, "tag must be text, not int."),
    ("sensitive", "no", "sensitive must be True or False, not str."),
    ("sensitive", None, "sensitive must be True or False, not NoneType."),
    ("idempotency_key", 5, "idempotency_key must be text or None, not int."),
    ("idempotency_key", ("invoice", 5), "idempotency_key must be text or None, not tuple."),
]


@pytest.mark.parametrize(("option", "value", "sentence"), WRONG_TYPES)
def test_an_option_of_the_wrong_type_gets_a_sentence_that_names_it(option, value, sentence):
    told = []
    messages = [a_message()] if option == "message" else [a_message(), an_eml()]
    for message in messages:
        options = {"message": message} | {option: value}
        with pytest.raises(CannotHandOver) as caught:
            send(**options)
        assert str(caught.value) == sentence
        assert send_many([Outgoing(**options)], refused=told.append) == []
    assert {(type(error), str(error)) for error in told} == {(CannotHandOver, sentence)}
    assert stored() == (0, 0, 0)


def test_what_is_no_outgoing_gets_a_sentence():
    with pytest.raises(CannotHandOver, match=r"Each message must be an Outgoing, not EmailMessage\."):
        send_many([a_message()])


def test_recipients_may_be_any_iterable_of_texts():
    for rcpt_to in (("bo@example.com",), iter(["bo@example.com"]), {"bo@example.com": 1}.keys()):
        assert send(a_message(), rcpt_to=rcpt_to).rcpt_to == ("bo@example.com",)


def test_one_bad_message_of_many_stores_none():
    with pytest.raises(CannotCompose):
        send_many([Outgoing(message=a_message()), Outgoing(message=a_message(to=[]))])
    assert stored() == (0, 0, 0)


def test_refused_messages_can_be_told_and_left_out():
    told = []
    messages = [a_message(), a_message(to=["nobody"]), a_message(to=["cy@example.net"])]
    answers = send_many([Outgoing(message=message) for message in messages], refused=told.append)
    assert [answer.rcpt_to for answer in answers] == [("bo@example.com",), ("cy@example.net",)]
    assert [type(error) for error in told] == [CannotCompose]
    assert stored() == (2, 2, 2)


def test_a_key_used_again_with_the_same_message_gives_the_first():
    first = send(a_message(), idempotency_key="k")
    again = send(a_message(), idempotency_key="k")
    assert (again.id, again.message_id, again.created) == (first.id, first.message_id, False)
    assert stored() == (1, 1, 1)


def test_a14_a_key_used_again_with_another_message_is_a_conflict_and_no_row():
    send(a_message(), idempotency_key="k")
    for other in (a_message(body="Other."), a_message(subject="Other"), a_message(to=["cy@example.net"])):
        with pytest.raises(IdempotencyConflict), transaction.atomic():
            send(other, idempotency_key="k")
    assert stored() == (1, 1, 1)


def test_a_conflict_among_many_can_be_told_and_the_others_go():
    send(a_message(), idempotency_key="k")
    told = []
    answers = send_many(
        [
            Outgoing(message=a_message(to=["cy@example.net"])),
            Outgoing(message=a_message(body="Other."), idempotency_key="k"),
        ],
        refused=told.append,
    )
    assert [answer.rcpt_to for answer in answers] == [("cy@example.net",)]
    assert [type(error) for error in told] == [IdempotencyConflict]


def test_the_bell_rings_after_the_commit_and_only_then(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks:
        send_many([Outgoing(message=a_message()) for _ in range(3)])
    assert callbacks == [handover.tasks.ring]
    with django_capture_on_commit_callbacks() as callbacks:
        assert send_many([]) == []
    assert callbacks == []


def test_v11_a_rolled_back_transaction_leaves_nothing():
    with transaction.atomic():
        assert send(a_message()).created
        transaction.set_rollback(True)
    assert stored() == (0, 0, 0)


def test_statements_do_not_grow_with_the_number_of_messages(django_assert_max_num_queries):
    a_row_of_profile("EU relay")
    outgoing = [Outgoing(message=a_message(), profile="EU relay") for _ in range(50)]
    send_many(outgoing[:1])
    with django_assert_max_num_queries(8):
        send_many(outgoing)


def test_errors_of_options_are_value_errors():
    assert issubclass(CannotHandOver, ValueError)
    assert issubclass(CannotCompose, ValueError)
