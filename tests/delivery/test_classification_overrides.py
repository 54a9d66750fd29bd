"""A profile's rules about replies, from the judgement to the rows."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from delivery.classification import OVERRIDE, Action, Sign, judge, judge_error, rule_on_reply
from delivery.models import Failure, ProfileState, SmallState
from delivery.queue import AttemptResult, Breaker, Paused
from smtp_settings import wire
from smtp_settings.entries.judges import reply_rules
from smtp_settings.entries.overrides import Overrides, read_line
from tests.builders import a_profile, a_user
from tests.delivery.engine import attempts_of, drained, due_again, entry_of, queued, state_of
from tests.servers import smtp_server
from transports.base import Outcome, Phase, Reply
from transports.errors import ConnectionLost, ProtocolError, ReplyRefused

P = Phase
OK = Reply(250, "ok")


def rules(*lines):
    return Overrides(tuple(map(read_line, lines)))


# rule, stage, code -> action, sign, counted, goes back for free three times
MEANINGS = [
    ("* * -> retry", P.DOT, 550, Action.RETRY, Sign.NONE, True, False),
    ("* * -> fail", P.RCPT, 450, Action.FAIL, Sign.NONE, True, False),
    ("* * -> fail", P.MAIL, 421, Action.FAIL, Sign.NONE, True, False),
    ("* * -> another_server", P.DOT, 451, Action.ELSEWHERE, Sign.NONE, True, False),
    ("* * -> too_many_connections", P.BANNER, 554, Action.RELEASE, Sign.LOWER_LIMIT, False, False),
    ("* * -> too_many_connections", P.AUTH, 454, Action.RELEASE, Sign.LOWER_LIMIT, False, False),
    ("* * -> too_many_connections", P.RCPT, 450, Action.RELEASE, Sign.LOWER_LIMIT, False, False),
    ("* * -> too_many_connections", P.DOT, 450, Action.RETRY, Sign.LOWER_LIMIT, True, False),
    ("* * -> server_trouble", P.AUTH, 535, Action.RELEASE, Sign.BREAKER, False, False),
    ("* * -> server_trouble", P.MAIL, 550, Action.RELEASE, Sign.BREAKER, False, True),
    ("* * -> server_trouble", P.DOT, 550, Action.RELEASE, Sign.BREAKER, False, True),
    ("* * -> pause", P.EHLO, 421, Action.RELEASE, Sign.PAUSE, False, False),
    ("* * -> pause", P.DOT, 550, Action.RELEASE, Sign.PAUSE, False, False),
]


@pytest.mark.parametrize(("line", "phase", "code", "action", "sign", "counted", "drop"), MEANINGS)
def test_a_rule_decides_before_the_table(line, phase, code, action, sign, counted, drop):
    found = rule_on_reply(phase, Reply(code), overrides=rules(line))
    assert (found.action, found.sign, found.is_counted, found.is_drop) == (action, sign, counted, drop)
    assert found.cause == OVERRIDE


def test_what_says_something_of_a_message_leaves_the_opening_to_the_table():
    error = ReplyRefused("Refused.", phase=P.AUTH, reply=Reply(535))
    assert judge_error(error, overrides=rules("* * -> fail")).sign is Sign.PAUSE
    assert judge_error(error, overrides=rules("* * -> fail", "* 535 -> server_trouble")).sign is Sign.BREAKER


ANY_REFUSAL = rules("* * -> fail")


def test_no_rule_speaks_of_an_acceptance_a_loss_or_what_nobody_answered():
    def judged(outcome):
        return judge(outcome, recipients=1, is_fresh=False, overrides=ANY_REFUSAL).action

    assert judged(Outcome(P.DOT, OK, rcpt_replies=(OK,))) is Action.SENT
    assert judged(Outcome(P.MAIL, error=ConnectionLost("Lost.", phase=P.MAIL))) is Action.RELEASE
    garbage = ProtocolError("Garbage.", phase=P.DOT)
    assert judged(Outcome(P.DOT, error=garbage, rcpt_replies=(OK,), uncertain=True)) is Action.UNCERTAIN
    assert judged(Outcome(P.DOT, Reply(354), rcpt_replies=(OK,))) is Action.UNCERTAIN


def test_a_recipient_who_has_the_message_keeps_it_whatever_a_rule_says_of_another():
    outcome = Outcome(P.DOT, OK, rcpt_replies=(OK, Reply(452, "too many", "4.5.3")))
    found = judge(outcome, recipients=2, is_fresh=False, overrides=rules("rcpt 452 -> retry 5m"))
    assert [verdict.ruling.action for verdict in found.recipients] == [Action.SENT, Action.RETRY]
    assert (found.action, found.cause, found.wait) == (Action.RETRY, OVERRIDE, timedelta(minutes=5))


def test_the_wait_of_one_recipient_is_not_the_servers():
    """Else a greylisted recipient and a lost connection would keep all mail from the server for a day."""
    lost = ConnectionLost("Lost.", phase=P.DOT)
    replies = (OK, Reply(450, "greylisted"))
    outcome = Outcome(P.DOT, error=lost, rcpt_replies=replies, uncertain=True)
    found = judge(outcome, recipients=2, is_fresh=False, overrides=rules("rcpt 450 -> retry 24h"))
    assert (found.action, found.sign, found.rest) == (Action.UNCERTAIN, Sign.BREAKER, None)
    assert found.wait == timedelta(hours=24)


def test_the_wait_of_a_crowded_server_is_its_own_and_after_the_content_the_messages_too():
    crowded = rules("* 450 -> too_many_connections 5m")
    five = timedelta(minutes=5)
    early = judge(Outcome(P.MAIL, Reply(450)), recipients=1, is_fresh=False, overrides=crowded)
    assert (early.rest, early.wait) == (five, None)
    late = judge(
        Outcome(P.DOT, Reply(450), rcpt_replies=(OK,)), recipients=1, is_fresh=False, overrides=crowded
    )
    assert (late.rest, late.wait) == (five, five)


@pytest.mark.django_db
def test_a_profile_with_nonsense_as_rules_sends_as_if_it_had_none():

    a_profile(classification_overrides={"not": "a list"})
    [way] = wire.ways_out()
    assert way.overrides == Overrides()


def profile_for(server, *lines, **fields):

    rows = reply_rules("\n".join(lines))
    return a_profile(host=server.host, port=server.port, classification_overrides=rows, **fields)


@pytest.mark.django_db(transaction=True)
def test_a_refusal_that_a_rule_calls_final_fails_the_message_and_the_attempt_says_why():
    with smtp_server(answers={"RCPT": "450 4.2.1 Mailbox gone for ever"}) as server:
        profile_for(server, 'rcpt 450 "gone for ever" -> fail')
        [message] = queued()
        drained()
    assert (state_of(message), Failure.objects.get(pk=message).cause) == (SmallState.FAILED, OVERRIDE)
    [attempt] = attempts_of(message)
    assert (attempt.cause, attempt.phase, attempt.code) == (OVERRIDE, "rcpt", 450)


@pytest.mark.django_db(transaction=True)
def test_the_page_of_a_message_says_that_a_rule_decided(client):
    client.force_login(a_user("superuser"))
    with smtp_server(answers={"RCPT": "450 4.2.1 Mailbox gone for ever"}) as server:
        profile_for(server, "rcpt 450 -> fail")
        [message] = queued()
        drained()
    page = client.get(reverse("admin:delivery_message_change", args=[message])).content.decode()
    assert "A rule of the profile about replies says that this one is final:" in page
    assert "(judged by a rule of the profile)" in page


@pytest.mark.django_db(transaction=True)
def test_the_page_of_a_message_tells_a_rules_wait_from_the_servers(client):
    client.force_login(a_user("superuser"))
    with smtp_server(answers={"RCPT": "450 4.2.1 Daily quota reached"}) as server:
        profile_for(server, "rcpt 450 -> retry 30m")
        [message] = queued()
        drained()
    page = client.get(reverse("admin:delivery_message_change", args=[message])).content.decode()
    assert "A rule of the profile says to wait:" in page
    assert page.count("<code>450 4.2.1 Daily quota reached</code>") == 1


@pytest.mark.django_db(transaction=True)
def test_an_attempt_the_table_judged_has_the_tables_cause():
    with smtp_server(answers={"RCPT": "550 5.1.1 Nobody"}) as server:
        profile_for(server, "rcpt 551 -> retry")
        [message] = queued()
        drained()
    assert [attempt.cause for attempt in attempts_of(message)] == ["recipient"]


@pytest.mark.django_db(transaction=True)
def test_a_retry_waits_as_long_as_the_rule_says_and_longer_than_the_cap():
    with smtp_server(answers={"DOT": "554 5.7.1 Over quota today"}) as server:
        profile_for(server, 'dot 554 "quota" -> retry 6h', retry_delay=60, retry_cap=600)
        [message] = queued()
        drained()
    wait = entry_of(message).ready_at - timezone.now()
    assert timedelta(hours=5, minutes=50) < wait <= timedelta(hours=6)
    assert [(a.outcome, a.cause) for a in attempts_of(message)] == [(AttemptResult.RETRY, OVERRIDE)]


@pytest.mark.django_db(transaction=True)
def test_retries_that_run_out_are_not_blamed_on_the_rule():
    with smtp_server(answers={"DOT": "554 5.7.1 Over quota today"}) as server:
        profile_for(server, "dot 554 -> retry", max_retries=0)
        [message] = queued()
        drained()
    assert Failure.objects.get(pk=message).cause == "retries"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("meaning", ["server_trouble", "too_many_connections"])
def test_a_server_is_left_alone_as_long_as_the_rule_says(meaning):
    with smtp_server(answers={"MAIL": "451 4.3.0 Come back later"}) as server:
        profile = profile_for(server, f"mail 451 -> {meaning} 10m")
        [message] = queued()
        drained()
        assert server.sessions == 1
    state = ProfileState.objects.get(profile_id=profile.pk)
    assert state.breaker == Breaker.OPEN
    assert state.open_until - timezone.now() > timedelta(minutes=9)
    assert (entry_of(message).attempts, state_of(message)) == (0, SmallState.QUEUED)


@pytest.mark.django_db(transaction=True)
def test_a_rule_pauses_a_profile_and_counts_nothing():
    with smtp_server(answers={"BANNER": "554 5.7.1 Your account is suspended"}) as server:
        profile = profile_for(server, '* 5xx "suspended" -> pause')
        [message] = queued()
        drained()
    state = ProfileState.objects.get(profile_id=profile.pk)
    assert (state.paused, entry_of(message).attempts) == (Paused.FAULT, 0)


@pytest.mark.django_db(transaction=True)
def test_one_message_that_alone_meets_trouble_is_not_tried_for_ever():
    with smtp_server(answers={"RCPT": lambda to: "450 4.3.0 No" if "bad" in to else None}) as server:
        profile_for(server, "rcpt 450 -> server_trouble")
        [bad], good = queued(to=["bad@example.com"]), queued(8)
        for _ in range(8):
            drained()
            ProfileState.objects.update(breaker=Breaker.CLOSED, open_until=None)
    assert {state_of(message) for message in good} == {SmallState.SENT}
    assert (entry_of(bad).drops, entry_of(bad).attempts) == (4, 1)
    assert entry_of(bad).ready_at > timezone.now()


@pytest.mark.django_db(transaction=True)
def test_a_sign_in_garbled_twice_in_a_row_pauses_and_once_does_not():
    with smtp_server(answers={"AUTH": "250 Welcome"}, auth=("shop", "s3cret")) as server:
        profile = a_profile(host=server.host, port=server.port, password="s3cret", max_connections=1)
        [message] = queued()
        drained()
        state = ProfileState.objects.get(profile_id=profile.pk)
        assert (state.breaker, state.paused) == (Breaker.OPEN, Paused.NO)
        ProfileState.objects.update(open_until=timezone.now() - timedelta(seconds=1))
        due_again(message)
        drained()
    state = ProfileState.objects.get(profile_id=profile.pk)
    assert (state.paused, entry_of(message).attempts) == (Paused.FAULT, 0)
