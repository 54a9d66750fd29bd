"""The engine obeys the sending policy: what is off waits, what is logged or redirected reaches nobody."""

import json
import threading

import pytest
from django.core.mail import EmailMessage
from django.utils import timezone

from delivery import dispatcher
from delivery.dispatcher.claims import claiming, logging_only
from delivery.handover import send
from delivery.models import Attempt, Message, QueueEntry, SmallState
from delivery.queue import SmallState as State
from smtp_settings import email_log
from smtp_settings.models import Event, Whereabouts
from smtp_settings.policy import Effective, Simulation, policies
from tests.builders import a_profile
from tests.delivery.engine import attempts_of, drained, draining, due_again, queued, state_of, until
from tests.delivery.policies import policy, site_policy
from tests.delivery.works import a_work
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

QA = "qa@example.com"


def profile_for(server, **fields):
    return a_profile(host=server.host, port=server.port, **fields)


# Off


def test_with_emails_off_nothing_is_sent_and_nothing_is_lost():
    with smtp_server() as server:
        profile_for(server)
        policy(emails_enabled=False)
        ids = queued(5)
        drained()
        assert (server.sessions, QueueEntry.objects.count()) == (0, 5)
        policy()
        drained()
        server.wait_for(5)
    assert {state_of(i) for i in ids} == {SmallState.SENT}
    assert Attempt.objects.count() == 0


def test_one_site_may_be_off_while_the_others_send():
    with smtp_server() as server:
        profile_for(server)
        site_policy("shop.example.com", emails_enabled=False)
        (waits,), (leaves,) = queued(site="shop.example.com"), queued()
        drained()
    assert (state_of(waits), state_of(leaves)) == (SmallState.QUEUED, SmallState.SENT)


def test_a_site_may_send_while_all_else_is_off():
    with smtp_server() as server:
        profile_for(server)
        policy(emails_enabled=False)
        site_policy("shop.example.com", emails_enabled=True)
        (leaves,), (waits,) = queued(site="shop.example.com"), queued()
        drained()
    assert (state_of(waits), state_of(leaves)) == (SmallState.QUEUED, SmallState.SENT)


def test_a_worker_that_lingers_hears_of_the_switch_before_it_claims():
    with smtp_server() as server:
        profile_for(server)
        site_policy("shop.example.com", emails_enabled=True)
        stop = threading.Event()
        with draining(until_empty=False, linger=600, stop=stop):
            (first,) = queued()
            until(lambda: state_of(first) == SmallState.SENT, timeout=60)
            policy(emails_enabled=False)
            (waits,), (leaves,) = queued(), queued(site="shop.example.com")
            until(lambda: state_of(leaves) == SmallState.SENT, timeout=60)
            assert state_of(waits) == SmallState.QUEUED
            policy()
            until(lambda: state_of(waits) == SmallState.SENT, timeout=60)
            stop.set()


def test_messages_in_hand_go_back_when_mail_is_switched_off():
    with smtp_server() as server:
        profile_for(server, send_offset=30)  # each waits for its own moment
        stop = threading.Event()
        with draining(until_empty=False, linger=600, stop=stop):
            queued(3)
            until(lambda: QueueEntry.objects.filter(lease_id__isnull=False).exists(), timeout=60)
            policy(emails_enabled=False)
            until(lambda: not QueueEntry.objects.filter(lease_id__isnull=False).exists(), timeout=60)
            stop.set()
    assert Message.objects.exclude(state=SmallState.SENT).count() == QueueEntry.objects.count()


# Log only


def test_log_only_sends_nothing_and_tells_of_every_recipient():
    with smtp_server() as server:
        profile_for(server)
        policy(debug_mode="log")
        (message_id,) = queued(to=("a@example.com", "b@example.com"))
        drained()
        assert server.sessions == 0
    message = Message.objects.get(pk=message_id)
    assert (message.state, message.attempts, message.profile_id) == (SmallState.SUPPRESSED, 0, None)
    events = Event.objects.filter(kind="message.suppressed", message_id=message_id)
    assert sorted(event.data["name"] for event in events) == ["a@example.com", "b@example.com"]
    assert {event.level for event in events} == {"info"}


def test_log_only_needs_no_server():
    policy(debug_mode="log")
    ids = queued(250)
    drained()
    assert {state_of(i) for i in ids} == {SmallState.SUPPRESSED}
    assert Event.objects.filter(kind="message.suppressed").count() == 250


def test_a_drain_until_empty_that_looks_while_it_records_what_is_logged_leaves_nothing(monkeypatch):
    monkeypatch.setattr(claiming, "LOOK_SECONDS", 0.0)  # as where a claim takes longer
    policy(debug_mode="log")
    ids = queued(250)
    drained()
    assert {state_of(i) for i in ids} == {SmallState.SUPPRESSED}


def test_log_only_of_one_site_leaves_the_others_alone():
    with smtp_server() as server:
        profile_for(server)
        site_policy("shop.example.com", debug_mode="log")
        (logged,), (sent,) = queued(site="shop.example.com"), queued()
        drained()
    assert (state_of(logged), state_of(sent)) == (SmallState.SUPPRESSED, SmallState.SENT)


@pytest.mark.parametrize(
    ("kind", "dice", "state", "outcome"),
    [
        ("temporary", 49.9, None, "retry"),
        ("temporary", 50.0, State.SUPPRESSED, None),
        ("permanent", 0.0, State.FAILED, "failed"),
        ("uncertain", 10.0, None, "uncertain"),
    ],
)
def test_the_dice_choose_and_the_real_rules_decide_what_a_failure_brings(kind, dice, state, outcome):
    work = a_work(rcpt_to=["a@example.com", "b@example.com"])
    result = logging_only.result_of(work, Effective(simulation=Simulation(50, kind)), lease=7, dice=dice)
    assert (result.finished and result.finished.state) == state
    assert (result.tried and result.tried.outcome) == outcome
    assert result.tried is None or result.tried.profile_id is None


def test_a_simulated_temporary_failure_is_tried_again_and_then_suppressed():
    policy(debug_mode="log", simulated_failures=100)
    (message_id,) = queued()
    drained()
    (attempt,) = attempts_of(message_id)
    assert (attempt.outcome, attempt.code, attempt.profile_id) == ("retry", 451, None)
    (event,) = Event.objects.filter(kind="message.simulated_failure")
    assert (event.level, event.data["name"]) == ("error", "bo@example.com")
    policy(debug_mode="log")
    due_again(message_id)
    drained()
    assert state_of(message_id) == SmallState.SUPPRESSED


def test_a_simulated_permanent_failure_fails():
    policy(debug_mode="log", simulated_failures=100, simulated_kind="permanent")
    (message_id,) = queued()
    drained()
    assert state_of(message_id) == SmallState.FAILED
    assert Message.objects.get(pk=message_id).code == 554


# Redirect


def redirected(*, to=("a@example.com", "b@test.example"), **fields):
    with smtp_server() as server:
        profile_for(server, debug_recipients=["copy@example.com"])
        policy(redirect_to=QA, **fields)
        (message_id,) = queued(to=to)
        drained()
        return Message.objects.get(pk=message_id), server.messages


def test_a_redirected_message_goes_to_one_address_and_names_the_real_recipients():
    message, received = redirected()
    (mail,) = received
    assert mail.rcpt_to == (QA,)
    assert b"X-Mailconf-Original-To: a@example.com,\r\n b@test.example\r\n" in mail.content
    assert b"\r\nTo: a@example.com, b@test.example\r\n" in mail.content
    assert message.state == SmallState.SENT
    assert message.rcpt_to == ["a@example.com", "b@test.example"]
    assert {one: kept["redirected_to"] for one, kept in message.verdicts.items()} == {
        "a@example.com": QA,
        "b@test.example": QA,
    }


def test_recipients_of_spared_domains_get_their_own_copy_which_names_nobody_else():
    message, received = redirected(redirect_except=["test.example"])
    assert [mail.rcpt_to for mail in received] == [("b@test.example",), (QA,)]
    assert b"X-Mailconf-Original-To" not in received[0].content
    assert b"X-Mailconf-Original-To: a@example.com\r\n" in received[1].content
    assert message.state == SmallState.SENT
    assert {one: kept.get("redirected_to") for one, kept in message.verdicts.items()} == {
        "a@example.com": QA,
        "b@test.example": None,
    }


def test_without_a_redirect_debug_recipients_ride_and_no_header_is_added():
    with smtp_server() as server:
        profile_for(server, debug_recipients=["copy@example.com"])
        queued()
        drained()
        (mail,) = server.messages
    assert mail.rcpt_to == ("bo@example.com", "copy@example.com")
    assert b"X-Mailconf" not in mail.content


def test_what_waits_already_is_redirected_too():
    with smtp_server(answers={"RCPT": "451 4.2.1 Later"}) as server:
        profile_for(server)
        (message_id,) = queued()
        drained()
        policy(redirect_to=QA)
        server.answers.clear()
        due_again(message_id)
        drained()
        (mail,) = server.messages
    assert mail.rcpt_to == (QA,)


def test_a_redirect_that_is_refused_fails_every_recipient():
    with smtp_server(answers={"RCPT": "550 5.1.1 No such user"}) as server:
        profile_for(server)
        policy(redirect_to=QA)
        (message_id,) = queued(to=("a@example.com", "b@example.com"))
        drained()
    message = Message.objects.get(pk=message_id)
    assert message.state == SmallState.FAILED
    assert {kept["state"] for kept in message.verdicts.values()} == {"failed"}


# A copy


def as_a_copy():
    """Let the database believe that it was confirmed somewhere else."""
    policies()
    place = Whereabouts.objects.get()
    Whereabouts.objects.create(
        digest="0" * 64, facts=place.facts | {"address": "original"}, confirmed_at=place.confirmed_at
    )
    place.delete()


def test_a_copy_of_the_database_sends_nothing_until_somebody_confirms_it():
    with smtp_server() as server:
        profile_for(server)
        ids = queued(3)
        as_a_copy()
        drained()
        assert (server.sessions, QueueEntry.objects.count()) == (0, 3)
        Whereabouts.objects.filter(confirmed_at=None).update(confirmed_at=timezone.now())
        drained()
    assert {state_of(i) for i in ids} == {SmallState.SENT}


# Batch size and the log


def test_the_batch_size_of_the_policy_is_what_is_claimed_at_once(monkeypatch):
    asked = []
    claim = dispatcher.claims.claiming.queue.claim
    monkeypatch.setattr(
        dispatcher.claims.claiming.queue,
        "claim",
        lambda lease, lanes, seats: asked.append(len(seats)) or claim(lease, lanes, seats),
    )
    policy(batch_size=3, debug_mode="log")
    queued(7)
    drained()
    assert set(asked) == {3}


@pytest.fixture
def log(settings, tmp_path):
    settings.MAILCONF_EMAIL_LOG = str(tmp_path / "mail.log")
    return tmp_path / "mail.log"


def lines(log):
    return [json.loads(line) for line in log.read_text("ascii").splitlines()]


def test_the_email_log_tells_what_became_of_each_message(log):
    with smtp_server(answers={"RCPT": lambda to: "451 4.2.1 Later" if "later" in to else None}) as server:
        profile = profile_for(server)
        (sent,), (later,) = queued(to=("a@example.com",)), queued(to=("later@example.com",))
        drained()
    found = {line["message"]: line for line in lines(log)}
    assert (found[sent]["event"], found[later]["event"]) == ("sent", "deferred")
    assert found[sent]["recipients"] == ["a@example.com"]
    assert (found[sent]["sender"], found[sent]["subject"]) == ("shop@example.com", "Report 0")
    assert (found[sent]["profile"], found[sent]["charset"]) == (profile.name, "utf-8")
    assert found[later]["reply"].startswith("451 4.2.1 Later")


def test_the_email_log_tells_of_suppressed_and_redirected_mail_and_can_be_switched_off(log):
    with smtp_server() as server:
        profile_for(server)
        policy(debug_mode="log")
        queued()
        drained()
        policy(redirect_to=QA)
        queued()
        drained()
        policy(email_log=False)
        queued()
        drained()
    assert [(line["event"], line.get("redirected_to")) for line in lines(log)] == [
        ("suppressed", None),
        ("sent", QA),
    ]


def test_a_messages_own_headers_are_in_the_email_log_and_a_sensitive_ones_are_not(log):
    policy(debug_mode="log")
    for sensitive in (False, True):
        mail = EmailMessage(
            "Grüße", "Body", "a@example.com", ["b@example.com"], headers={"X-Order": "17", "List-Id": "<n>"}
        )
        send(mail, sensitive=sensitive)
    drained()
    told, untold = lines(log)
    assert (told["subject"], told["headers"]) == ("Grüße", {"X-Order": "17", "List-Id": "<n>"})
    assert not {"subject", "headers"} & untold.keys()
    assert email_log.files() == [log]
