"""Django's way in: as EMAIL_BACKEND, and as a mailer of Django 6.1 (V1, V23, V24)."""

import logging

import pytest
from django.contrib.sites.models import Site
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.db import transaction

from delivery import models
from delivery.email_backend import EmailBackend
from delivery.handover import CannotCompose, CannotHandOver
from tests.builders import a_profile
from tests.delivery.engine import drained
from tests.delivery.queueing import a_row_of_profile
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db

BACKEND = "delivery.email_backend.EmailBackend"
has_mailers = hasattr(mail, "mailers")


def a_message(**changes):
    valid = {"subject": "Report", "body": "Hello.", "from_email": "ann@example.org", "to": ["bo@example.com"]}
    return EmailMessage(**valid | changes)


def stored():
    return list(models.Message.objects.order_by("pk"))


def arrived_after(hand_over):
    """What a server has received when the queue is empty again."""
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        assert hand_over() == 1
        assert server.messages == []
        drained()
    return [message.content for message in server.messages]


@pytest.mark.usefixtures("through_our_backend")
def test_v01_send_mail_queues_a_message():
    assert (
        mail.send_mail("Grüße", "Hallo", "ann@example.org", ["bo@example.com"], html_message="<b>Hallo</b>")
        == 1
    )
    (row,) = stored()
    assert (row.subject, row.from_header, list(row.rcpt_to)) == (
        "Grüße",
        "ann@example.org",
        ["bo@example.com"],
    )
    content = bytes(models.Content.objects.get(pk=row.pk).data)
    assert b"multipart/alternative" in content
    assert b"<b>Hallo</b>" in content


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("through_our_backend")
def test_v01_what_send_mail_hands_over_arrives():
    (data,) = arrived_after(
        lambda: mail.send_mail("Report", "Hello there.", "ann@example.org", ["bo@example.com"])
    )
    assert b"Subject: Report\r\n" in data
    assert b"Hello there." in data


@pytest.mark.usefixtures("through_our_backend")
def test_v23_mail_admins_with_braces_in_a_traceback(settings):
    settings.ADMINS = ["admin@example.org"] if has_mailers else [("Admin", "admin@example.org")]
    settings.SERVER_EMAIL = "server@example.org"
    mail.mail_admins("{{{ broken", "{{ 7|add:1 }} {% load %} {{{")
    (row,) = stored()
    assert "{{{ broken" in row.subject
    assert b"{{ 7|add:1 }} {% load %} {{{" in bytes(models.Content.objects.get(pk=row.pk).data)


@pytest.mark.usefixtures("through_our_backend")
def test_send_mass_mail_queues_all_of_it():
    count = mail.send_mass_mail(
        [("Report", "Hello.", "ann@example.org", [f"r{i}@example.com"]) for i in range(5)]
    )
    assert count == len(stored()) == 5


@pytest.mark.usefixtures("through_our_backend")
def test_a_message_that_sends_itself_is_queued_and_one_without_recipients_is_not():
    assert EmailMultiAlternatives("Report", "Hello.", "ann@example.org", ["bo@example.com"]).send() == 1
    assert a_message(to=[]).send() == 0
    assert len(stored()) == 1


def test_messages_are_bulk_inserts_and_counted(django_assert_max_num_queries):
    backend = EmailBackend()
    backend.send_messages([a_message()])
    with django_assert_max_num_queries(8):
        assert backend.send_messages([a_message(to=[f"r{i}@example.com"]) for i in range(100)]) == 100
    assert backend.send_messages([]) == 0
    assert len(stored()) == 101


def test_messages_belong_to_the_callers_transaction():
    with transaction.atomic():
        assert EmailBackend().send_messages([a_message()]) == 1
        transaction.set_rollback(True)
    assert stored() == []


def test_a_message_that_cannot_be_sent_raises_and_stores_nothing_of_the_call():
    with pytest.raises(CannotCompose, match="subject"):
        EmailBackend().send_messages([a_message(), a_message(subject="a\nBcc: evil@example.net")])
    with pytest.raises(CannotCompose, match="no recipients"):
        EmailBackend().send_messages([a_message(to=[])])
    assert stored() == []


def test_silently_a_message_that_cannot_be_sent_is_logged_and_left_out(caplog):
    with caplog.at_level(logging.WARNING, logger="delivery.email_backend"):
        count = EmailBackend(fail_silently=True).send_messages(
            [a_message(), a_message(to=["nobody"]), a_message()]
        )
    assert count == len(stored()) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "A message was not handed over: A recipient: 'nobody' is not of the form name@domain."
    ]


def test_the_mailers_options_hold_for_its_messages_and_a_message_overrides_them():
    site = Site.objects.create(domain="shop.example", name="Shop")
    relay, other = a_row_of_profile("EU relay"), a_row_of_profile("Other")
    backend = EmailBackend(
        priority="low", site="shop.example", profile="EU relay", tag="news", sensitive=True
    )
    own = a_message()
    own.mailconf = {"priority": "high", "profile": "Other", "tag": "", "idempotency_key": "k"}
    backend.send_messages([a_message(), own])
    by_mailer, by_message = stored()
    assert (by_mailer.priority, by_mailer.site_id, by_mailer.pinned_profile_id) == (3, site.pk, relay.pk)
    assert (by_mailer.tag, by_mailer.sensitive) == ("news", True)
    assert (by_message.priority, by_message.pinned_profile_id, by_message.tag) == (1, other.pk, "")
    assert b"mailconf" not in bytes(models.Content.objects.get(pk=by_message.pk).data).split(b"Message-ID")[0]
    assert models.IdempotencyKey.objects.get().message_id == by_message.pk


def test_v28_a_pinned_profile_that_does_not_exist_is_refused():
    with pytest.raises(CannotHandOver, match="no profile named 'Nowhere'"):
        EmailBackend(profile="Nowhere").send_messages([a_message()])


def test_unknown_options_of_a_message_are_refused():
    message = a_message()
    message.mailconf = {"prority": "high"}
    with pytest.raises(CannotHandOver, match="prority"):
        EmailBackend().send_messages([message])


@pytest.mark.parametrize("options", [{"host": "mail.example"}, {"prority": "high"}, {"username": "ann"}])
def test_v01_unknown_options_of_a_mailer_are_refused(options):
    error = getattr(mail, "InvalidMailer", ImproperlyConfigured)
    with pytest.raises(error, match=next(iter(options))):
        EmailBackend(alias="news", **options)
    with pytest.raises(ImproperlyConfigured):
        EmailBackend(**options)


def test_it_is_used_as_a_context_manager_like_any_backend():
    with EmailBackend() as connection:
        assert connection.send_messages([a_message()]) == 1


# Each Django has one of the two ways; the other way's tests are none of its own.
if has_mailers:

    def test_v01_mailers_of_django_6_give_it(settings):
        settings.MAILERS = {
            "default": {"BACKEND": BACKEND},
            "news": {"BACKEND": BACKEND, "OPTIONS": {"priority": "low", "tag": "news"}},
            "wrong": {"BACKEND": BACKEND, "OPTIONS": {"host": "mail.example"}},
        }
        assert mail.mailers["news"].alias == "news"
        assert a_message().send(using="news") == 1
        assert [(row.priority, row.tag) for row in stored()] == [(3, "news")]
        with pytest.raises(mail.InvalidMailer, match=r"wrong.*host"):
            a_message().send(using="wrong")

    @pytest.mark.django_db(transaction=True)
    def test_v01_what_a_mailer_hands_over_arrives(settings):
        settings.MAILERS = {"default": {"BACKEND": BACKEND}, "news": {"BACKEND": BACKEND}}
        (data,) = arrived_after(lambda: mail.mailers["news"].send_messages([a_message()]))
        assert b"Subject: Report\r\n" in data
        assert b"Hello." in data

else:

    def test_get_connection_of_django_5_gives_it(settings):
        settings.EMAIL_BACKEND = BACKEND
        connection = mail.get_connection(fail_silently=True)
        assert isinstance(connection, EmailBackend)
        assert connection.fail_silently
        assert a_message(connection=connection).send() == 1
        with pytest.raises(ImproperlyConfigured, match="username"):
            mail.send_mail(
                "a", "b", "ann@example.org", ["bo@example.com"], auth_user="ann", auth_password="secret"
            )
