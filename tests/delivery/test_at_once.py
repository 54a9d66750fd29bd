"""With the queue switched off a message is sent while its caller waits, recorded, and not retried (N23)."""

import asyncio
import smtplib
import threading
from datetime import timedelta

import pytest
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from delivery import at_once, queue, stats
from delivery.email_backend import EmailBackend
from delivery.handover import MessageState, NotSent, Outgoing, send, send_many, status_of
from delivery.models import Message, QueueEntry, SmallState, Worker
from delivery.signals import message_not_sent
from smtp_settings.models import Event
from tests.builders import a_profile
from tests.delivery.engine import attempts_of, drained, due_again, queued, state_of
from tests.delivery.policies import policy, site_policy
from tests.delivery.queueing import in_threads
from tests.ports import free_port
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server():
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_retries=3)
        policy(queue_enabled=False)
        yield server


def a_message(**options):
    message = EmailMessage("Report", "Hello.", "ann@example.org", ["bo@example.com"])
    message.mailconf = options
    return message


def only():
    return Message.objects.get()


def test_it_has_arrived_when_the_call_returns_and_is_recorded(server):
    assert EmailBackend().send_messages([a_message()]) == 1
    assert (len(server.messages), only().state) == (1, SmallState.SENT)
    assert not QueueEntry.objects.exists()


def test_many_of_one_call_go_in_one_session_of_the_callers(server):
    queued(30)
    assert len(server.messages) == 30


def test_the_callers_session_is_no_worker_and_hides_none(server):
    EmailBackend().send_messages([a_message()])
    assert Worker.objects.get().at_once
    assert (stats.workers(), stats.last_heartbeat_at(), queue.heard_of_workers()[0]) == ([], None, None)

    lease = queue.register_worker()
    long_ago = timezone.now() - timedelta(hours=1)
    Worker.objects.bulk_create(
        Worker(pid=1, host="web", at_once=True, state=Worker.State.DEAD, heartbeat_at=long_ago)
        for _number in range(120)
    )
    heard_at = Worker.objects.get(pk=lease).heartbeat_at
    assert [worker.id for worker in stats.workers()] == [lease]
    assert stats.last_heartbeat_at() == queue.heard_of_workers()[0] == heard_at


@pytest.mark.parametrize("verb", ["RCPT", "DOT"])
@pytest.mark.parametrize("answer", ["550 5.1.1 No such user", "451 4.3.0 Come again later"])
def test_a_refusal_is_raised_and_not_retried(server, verb, answer):
    server.answers[verb] = answer
    with pytest.raises(NotSent, match=answer[10:]) as caught:
        send(a_message())
    assert isinstance(caught.value, smtplib.SMTPException)
    assert (only().state, len(attempts_of(only().pk))) == (SmallState.FAILED, 1)
    assert list(caught.value.sentences) == [only().pk]
    server.answers.clear()
    drained()
    assert server.messages == []


def test_a_server_that_is_down_is_told_of_and_nothing_is_left_in_the_queue():
    policy(queue_enabled=False)
    a_profile(port=free_port())
    with pytest.raises(NotSent, match="was not sent"):
        send(a_message())
    assert only().state == SmallState.FAILED
    assert not QueueEntry.objects.exists()


def test_without_any_server_it_fails_at_once():
    policy(queue_enabled=False)
    with pytest.raises(NotSent, match="no mail server could be used"):
        send(a_message())
    assert status_of([only().pk])[only().pk].cause == at_once.NOT_RETRIED


def test_the_next_server_is_asked_when_one_is_down(server):
    a_profile(name="First", host=server.host, port=free_port(), is_default=True)
    send(a_message())
    assert (len(server.messages), only().state) == (1, SmallState.SENT)


def test_fail_silently_says_it_in_the_log_only(server, caplog):
    server.answers["MAIL"] = "550 5.7.1 No"
    assert EmailBackend(fail_silently=True).send_messages([a_message()]) == 0
    assert "was not sent" in caplog.text
    assert only().state == SmallState.FAILED


def test_in_a_transaction_it_leaves_after_the_commit(server):
    with transaction.atomic():
        send(a_message())
        assert server.sessions == 0
    assert len(server.messages) == 1


def test_what_is_rolled_back_was_never_sent(server):
    with transaction.atomic():
        send(a_message())
        transaction.set_rollback(True)
    assert (server.sessions, Message.objects.count()) == (0, 0)


def test_the_commit_raises_what_was_not_sent_and_stays_done(server):
    server.answers["MAIL"] = "550 5.7.1 No"
    with pytest.raises(NotSent), transaction.atomic():
        send(a_message())
    assert only().state == SmallState.FAILED
    assert connection.get_autocommit()


def test_the_limit_cuts_off_what_is_on_the_wire(server, monkeypatch):
    monkeypatch.setattr(at_once, "LIMIT_SECONDS", 5.0)
    goes_on = threading.Event()

    async def at_dot(_content):
        await asyncio.to_thread(goes_on.wait, 60)

    server.at_dot = at_dot
    try:
        with pytest.raises(NotSent, match="may have arrived"):
            send(a_message())
    finally:
        goes_on.set()
    assert only().state == SmallState.HELD


def test_two_threads_send_each_its_own(server):
    errors = []

    def work():
        try:
            send(a_message())
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, len(server.messages)) == ([], 2)


def test_it_sends_where_an_event_loop_runs(server, monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

    async def view():
        try:
            send(a_message())
        finally:
            connection.close()  # the loop's own

    asyncio.run(view())
    assert len(server.messages) == 1


def test_only_mail_of_the_call_is_touched(server):
    policy()
    (waits,) = queued()
    policy(queue_enabled=False)
    send(a_message())
    assert (len(server.messages), state_of(waits)) == (1, SmallState.QUEUED)


def test_a_site_says_for_itself(server):
    policy()
    site_policy("shop.example.com", queue_enabled=False)
    queued(site="shop.example.com")
    assert len(server.messages) == 1
    queued()
    assert len(server.messages) == 1
    assert QueueEntry.objects.count() == 1


def test_a_later_moment_is_the_workers_matter(server):
    send(a_message(), send_at=timezone.now() + timedelta(hours=1))
    assert (server.sessions, QueueEntry.objects.count()) == (0, 1)


def test_with_emails_off_it_waits_without_an_error(server):
    policy(queue_enabled=False, emails_enabled=False)
    made = send(a_message())
    assert status_of([made.id])[made.id].state is MessageState.QUEUED
    policy()
    drained()
    assert len(server.messages) == 1


def test_log_only_records_it_and_raises_nothing(server):
    policy(queue_enabled=False, debug_mode="log")
    send(a_message())
    assert (server.sessions, only().state) == (0, SmallState.SUPPRESSED)
    assert Event.objects.filter(kind="message.suppressed").count() == 1


def test_a_simulated_failure_is_raised_as_a_real_one(server):
    policy(queue_enabled=False, debug_mode="log", simulated_failures=100, simulated_kind="temporary")
    with pytest.raises(NotSent, match="Simulated failure"):
        send(a_message())
    assert only().state == SmallState.FAILED


def test_a_redirect_holds(server):
    policy(queue_enabled=False, redirect_to="qa@example.com")
    send(a_message())
    assert server.messages[0].rcpt_to == ("qa@example.com",)


def test_another_place_sends_nothing_and_it_waits(server, settings):
    send(a_message())
    settings.MAILCONF_ENVIRONMENT = "Copy"
    made = send(a_message())
    assert len(server.messages) == 1
    assert status_of([made.id])[made.id].state is MessageState.QUEUED


def test_applications_are_told_by_the_signal_too(server):
    told = []

    def listen(message_id, state, **_):
        told.append((message_id, state))

    server.answers["MAIL"] = "550 5.7.1 No"
    message_not_sent.connect(listen)
    try:
        with pytest.raises(NotSent):
            send(a_message())
    finally:
        message_not_sent.disconnect(listen)
    assert told == [(only().pk, "failed")]


def test_a_key_that_is_known_sends_nothing_again(server):
    for _ in range(2):
        send(a_message(), idempotency_key="invoice-1")
    assert len(server.messages) == 1


def test_workers_leave_it_alone_for_a_while_and_send_it_when_the_caller_died(server, monkeypatch):
    monkeypatch.setattr(at_once, "send_now", lambda _ids: None)
    made = send(a_message())
    drained()
    assert server.sessions == 0
    due_again(made.id)
    drained()
    assert len(server.messages) == 1


@pytest.mark.parametrize("is_known", [False, True], ids=["a new route", "a route of the same call"])
def test_a_message_moved_between_the_look_and_the_claim_leaves_by_its_new_profile_only(
    server, monkeypatch, is_known
):
    claim_these, moved = queue.claim_these, []

    def moved_before(*args, **options):
        if not moved:
            mine = Message.objects.filter(pinned_profile_id=None).latest("id").pk
            in_threads(lambda: moved.extend(queue.move([mine], to=other.pk)))
        return claim_these(*args, **options)

    with smtp_server() as elsewhere:
        other = a_profile(name="Other", host=elsewhere.host, port=elsewhere.port, priority="low")
        monkeypatch.setattr(queue, "claim_these", moved_before)
        pinned = [Outgoing(message=a_message(), profile="Other")] if is_known else []
        send_many([*pinned, Outgoing(message=a_message()), Outgoing(message=a_message())])
        assert (len(moved), len(server.messages), len(elsewhere.messages)) == (1, 1, 1 + len(pinned))
    assert set(Message.objects.values_list("state", flat=True)) == {SmallState.SENT}


def test_what_another_package_left_goes_by_the_queue(server):
    send_many([Outgoing(message=a_message())], caller_waits=False)
    assert (server.sessions, QueueEntry.objects.count()) == (0, 1)
    drained()
    assert len(server.messages) == 1


def test_the_command_says_what_became_of_it(server, tmp_path, capsys):
    file = tmp_path / "mail.eml"
    file.write_bytes(b"From: ann@example.org\r\nTo: bo@example.com\r\n\r\nHello.\r\n")
    call_command("enqueue", str(file))
    assert '"state": "sent"' in capsys.readouterr().out
    server.answers["RCPT"] = "550 5.7.1 No"
    with pytest.raises(CommandError):
        call_command("enqueue", str(file))
    assert "was not sent" in capsys.readouterr().out


def test_none_of_a_call_with_nothing_is_sent(server):
    assert send_many([]) == []
