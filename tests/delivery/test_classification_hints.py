"""The wait a server asks for, in the words servers use."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.classification import Action, hint_in, judge
from smtp_settings.entries.overrides import NO_OVERRIDES
from tests.delivery.test_classification import outcome_of
from transports.base import Reply

S = timedelta(seconds=1)
M = timedelta(minutes=1)
H = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("Greylisted, please try again in 5 minutes", 5 * M),
        ("try again in 300 seconds", 300 * S),
        ("Retry after 2 hours", 2 * H),
        ("greylisted for 60s", 60 * S),
        ("Greylisting in action, please come back in 00:04:59", 299 * S),  # milter-greylist
        ("Greylisting in action, please come back in 01:00:00", H),
        ("please come back in 4:59", 299 * S),
        ("Recipient address rejected: Greylisted for 300 seconds (see http://isg.ee.ethz.ch/)", 300 * S),
        ("Greylisted for 5 minutes (12)", 5 * M),  # sqlgrey
        ("Greylisted (250 seconds remaining)", 250 * S),
        ("Graylisted: please retry in 900 secs", 900 * S),
        ("grey-listed, back in 10mins", 10 * M),
        ("Rate limit exceeded; wait 60 seconds", 60 * S),
        ("Please wait at least 5 min. before retrying", 5 * M),
        ("Too many mails, you are blocked for 15 min.", 15 * M),
        ("Too many logins; account locked for 1 hr", H),
        ("throttled for 90 s", 90 * S),
        ("Message deferred for 2 days", 48 * H),
        ("Try again in 4 minutes and 30 seconds", 270 * S),
        ("try again in 1h30m", 90 * M),
        ("try again after 1 hour, 5 minutes", 65 * M),
        ("try again in 3 minute(s)", 3 * M),
        ("Retry in one minute", M),
        ("please try again in an hour", H),
        ("please wait half an hour", 30 * M),
        ("You may try again\nin 5 MINUTES.", 5 * M),
        ("In 5 minutes you may try again", 5 * M),
        ("retry-after: 120", 120 * S),
        ("Throttled.\nRetry-After: 120\nId: 77", 120 * S),
        ("delivery not before 20 minutes from now", 20 * M),
    ],
)
def test_a_wait_is_found_in_the_words_servers_use(text, wait):
    assert hint_in(Reply(451, text, "4.7.1")) == wait


def test_of_a_5xx_only_the_header_of_http_is_a_wait():
    assert hint_in(Reply(503, "Overloaded (Retry-After: 60)")) == 60 * S
    assert hint_in(Reply(550, "Blocked for 15 minutes, try again in 15 minutes")) is None


@pytest.mark.parametrize(
    "text",
    [
        "mailbox busy",
        "Try again later",
        "Please try again later (max 100 messages/hour)",
        "Try again later, you sent 90 in the last 60 minutes",
        "try again, rate limit is 10 m",
        "Come back within 4 hours",
        "Retry after 5 attempts",
        "wait 500 ms",
        "Try again at 5pm",
        "deferred: 10.0.0.3 is listed, see https://example.com/3s",
        "[TSS04] Messages from 192.0.2.5 temporarily deferred due to user complaints - 4.16.55.1",
        "try again, session 77d1a5",
        "too many messages an hour, try again later",
        "again: 421 4.7.0 [TS01]",
        "",
    ],
)
def test_other_numbers_are_no_wait(text):
    assert hint_in(Reply(451, text, "4.7.1")) is None


@pytest.mark.parametrize("code", [250, 354, 550])
def test_only_a_temporary_refusal_names_a_wait(code):
    assert hint_in(Reply(code, "try again in 5 minutes")) is None


@given(st.text())
def test_no_reply_upsets_it(text):
    wait = hint_in(Reply(451, f"try again in {text}"))
    assert wait is None or wait >= 0 * S


def test_the_longest_wait_of_several_recipients_counts():
    outcome = outcome_of("451 4.7.1 try again in 60 s", "451 4.7.1 try again in 5 minutes")
    found = judge(outcome, recipients=2, is_fresh=False, overrides=NO_OVERRIDES)
    assert (found.action, found.hint) == (Action.RETRY, 5 * M)
