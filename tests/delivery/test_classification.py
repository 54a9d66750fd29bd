"""The tables of classification: one case per rule, and what holds for every reply there can be."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.classification import (
    REPLIES,
    SIGN_IN_GARBLED,
    Action,
    Sign,
    judge,
    judge_error,
    rule_on_reply,
)
from transports.base import Outcome, Phase, Reply
from transports.errors import (
    AddressNotAllowed,
    AuthNotEncrypted,
    AuthNotOffered,
    CertificateRefused,
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    CredentialsNotUsable,
    NameLookupFailed,
    NameNotFound,
    NotSendable,
    ProtocolError,
    ReplyRefused,
    ReplyTimeout,
    TLSFailed,
    TLSNotOffered,
)

OK = Reply(250, "ok")
P = Phase


def reply(words):
    code, _, rest = words.partition(" ")
    first, _, text = rest.partition(" ")
    is_enhanced = first.count(".") == 2 and first.replace(".", "").isdigit()
    return Reply(int(code), text if is_enhanced else rest, first if is_enhanced else None)


# phase, reply, after an accepted recipient -> action, sign, counted, cap
REPLY_CASES = [
    (P.BANNER, "554 no service", False, Action.RELEASE, Sign.BREAKER, False, None),
    (P.BANNER, "421 too many connections from you", False, Action.RELEASE, Sign.LOWER_LIMIT, False, None),
    (P.BANNER, "250 hello", False, Action.RELEASE, Sign.BREAKER, False, None),
    (P.EHLO, "550 go away", False, Action.RELEASE, Sign.BREAKER, False, None),
    (P.TLS, "454 not now", False, Action.RELEASE, Sign.BREAKER, False, None),
    (P.AUTH, "535 5.7.8 wrong", False, Action.RELEASE, Sign.PAUSE, False, None),
    (P.AUTH, "534 5.7.9 mechanism too weak", False, Action.RELEASE, Sign.PAUSE, False, None),
    (P.AUTH, "538 encrypt", False, Action.RELEASE, Sign.PAUSE, False, None),
    (P.AUTH, "530 5.7.0 sign in", False, Action.RELEASE, Sign.PAUSE, False, None),
    (P.AUTH, "504 no", False, Action.RELEASE, Sign.PAUSE, False, None),
    (P.AUTH, "454 4.7.0 later", False, Action.RELEASE, Sign.BREAKER, False, None),
    (P.AUTH, "421 bye", False, Action.RELEASE, Sign.BREAKER, False, None),
    (P.AUTH, "250 not 235", False, Action.RELEASE, Sign.BREAKER, False, None),
    (P.BANNER, "530 too many connections", False, Action.RELEASE, Sign.LOWER_LIMIT, False, None),
    (P.BANNER, "530 sign in", False, Action.RELEASE, Sign.PAUSE, False, None),
    (P.AUTH, "432 password transition", False, Action.RELEASE, Sign.LOWER_LIMIT, False, None),
    (P.MAIL, "530 5.7.0 sign in first", False, Action.RELEASE, Sign.PAUSE, False, None),
    (P.RCPT, "530 5.7.1 sign in first", False, Action.RELEASE, Sign.PAUSE, False, None),
    (P.DOT, "530 5.7.0 sign in first", False, Action.RELEASE, Sign.PAUSE, False, None),
    (P.MAIL, "421 4.7.0 slow down", False, Action.RELEASE, Sign.LOWER_LIMIT, False, None),
    (P.DATA, "421 bye", False, Action.RELEASE, Sign.LOWER_LIMIT, False, None),
    (P.MAIL, "451 4.3.0 later", False, Action.RETRY, Sign.NONE, True, None),
    (P.MAIL, "550 5.7.1 not your address", False, Action.ELSEWHERE, Sign.REFUSES_US, True, None),
    (P.MAIL, "553 5.7.1 sender rejected", False, Action.ELSEWHERE, Sign.REFUSES_US, True, None),
    (P.MAIL, "535 5.7.8 sign in", False, Action.ELSEWHERE, Sign.REFUSES_US, True, None),
    (P.MAIL, "552 too large", False, Action.ELSEWHERE, Sign.NONE, True, None),
    (P.MAIL, "554 5.3.4 too large", False, Action.ELSEWHERE, Sign.NONE, True, None),
    (P.MAIL, "553 5.1.7 bad sender address", False, Action.FAIL, Sign.NONE, True, None),
    (P.MAIL, "503 5.5.1 out of order", False, Action.RETRY, Sign.DESYNC, True, 3),
    (P.MAIL, "354 what", False, Action.RETRY, Sign.DESYNC, True, 3),
    (P.MAIL, "421 4.5.3 closing", False, Action.RELEASE, Sign.LOWER_LIMIT, False, None),
    (P.MAIL, "530 5.3.4 sign in first", False, Action.RELEASE, Sign.PAUSE, False, None),
    (P.RCPT, "250 the last word", False, Action.RETRY, Sign.DESYNC, True, 3),
    (P.RCPT, "550 5.1.1 no such user", False, Action.FAIL, Sign.NONE, True, None),
    (P.RCPT, "550 5.2.2 full", False, Action.FAIL, Sign.NONE, True, None),
    (P.RCPT, "552 full", False, Action.FAIL, Sign.NONE, True, None),
    (P.RCPT, "552 too many", True, Action.RELEASE, Sign.NONE, False, None),
    (P.RCPT, "552 5.2.2 full", True, Action.FAIL, Sign.NONE, True, None),
    (P.RCPT, "452 4.5.3 too many", True, Action.RELEASE, Sign.NONE, False, None),
    (P.RCPT, "451 4.5.3 too many", True, Action.RELEASE, Sign.NONE, False, None),
    (P.RCPT, "452 too many", True, Action.RELEASE, Sign.NONE, False, None),
    (P.RCPT, "452 too many", False, Action.RETRY, Sign.NONE, True, None),
    (P.RCPT, "452 4.2.2 full for now", True, Action.RETRY, Sign.NONE, True, None),
    (P.RCPT, "421 4.5.3 closing", True, Action.RELEASE, Sign.LOWER_LIMIT, False, None),
    (P.RCPT, "452 4.2.2 full for now", False, Action.RETRY, Sign.NONE, True, None),
    (P.RCPT, "450 4.7.1 greylisted", True, Action.RETRY, Sign.NONE, True, None),
    (P.RCPT, "421 4.7.0 slow down", True, Action.RELEASE, Sign.LOWER_LIMIT, False, None),
    (P.RCPT, "554 5.7.1 relay access denied", False, Action.ELSEWHERE, Sign.REFUSES_US, True, None),
    (P.RCPT, "550 5.7.1 client blocked", True, Action.ELSEWHERE, Sign.REFUSES_US, True, None),
    (P.RCPT, "503 mail first", False, Action.RETRY, Sign.DESYNC, True, 3),
    (P.DATA, "451 later", False, Action.RETRY, Sign.NONE, True, None),
    (P.DATA, "554 no", False, Action.FAIL, Sign.NONE, True, None),
    (P.DATA, "250 ok", False, Action.RETRY, Sign.DESYNC, True, 3),
    (P.BODY, "451 stop", False, Action.RETRY, Sign.NONE, True, None),
    (P.BODY, "554 5.6.0 stop", False, Action.FAIL, Sign.NONE, True, None),
    (P.BODY, "250 ok", False, Action.RETRY, Sign.DESYNC, True, 3),
    (P.DOT, "250 2.0.0 queued", False, Action.SENT, Sign.SUCCESS, True, None),
    (P.DOT, "421 4.3.2 closing", False, Action.RETRY, Sign.LOWER_LIMIT, True, None),
    (P.DOT, "452 4.3.1 no space", False, Action.RETRY, Sign.NONE, True, None),
    (P.DOT, "554 5.6.0 content", False, Action.FAIL, Sign.NONE, True, None),
    (P.DOT, "550 5.7.1 spam", False, Action.FAIL, Sign.REFUSES_US, True, None),
    (P.DOT, "503 5.5.1 what", False, Action.RETRY, Sign.DESYNC, True, 3),
    (P.DOT, "500 5.6.0 content", False, Action.FAIL, Sign.NONE, True, None),
    (P.DOT, "500 5.7.1 policy", False, Action.FAIL, Sign.NONE, True, None),
    (P.DOT, "552 5.3.4 too large", False, Action.ELSEWHERE, Sign.NONE, True, None),
    (P.DOT, "552 exceeded storage allocation", False, Action.ELSEWHERE, Sign.NONE, True, None),
    (P.DOT, "554 5.2.3 message size exceeds limit", False, Action.ELSEWHERE, Sign.NONE, True, None),
    (P.DOT, "552 5.2.2 mailbox full", False, Action.FAIL, Sign.NONE, True, None),
    (P.DOT, "552 5.7.0 security issue", False, Action.FAIL, Sign.REFUSES_US, True, None),
    (P.BODY, "421 closing", False, Action.RETRY, Sign.LOWER_LIMIT, True, None),
    (P.BODY, "503 what", False, Action.RETRY, Sign.DESYNC, True, 3),
    (P.DOT, "354 what", False, Action.UNCERTAIN, Sign.DESYNC, True, None),
    (P.DOT, "150 what", False, Action.UNCERTAIN, Sign.DESYNC, True, None),
    (P.DOT, "600 what", False, Action.UNCERTAIN, Sign.DESYNC, True, None),
    (P.RSET, "500 what", False, Action.RELEASE, Sign.NONE, False, None),
    (P.QUIT, "530 sign in first", False, Action.RELEASE, Sign.NONE, False, None),
]


@pytest.mark.parametrize(("phase", "words", "after", "action", "sign", "counted", "cap"), REPLY_CASES)
def test_a_reply_is_judged_by_its_phase_and_code(phase, words, after, action, sign, counted, cap):
    ruling = rule_on_reply(phase, reply(words), any_accepted=after)
    assert (ruling.action, ruling.sign, ruling.is_counted, ruling.cap) == (action, sign, counted, cap)


# error, phase -> action, sign, counted, drop (on a connection that had sent before)
ERROR_CASES = [
    (NameNotFound, P.DNS, Action.RELEASE, Sign.BREAKER, False, False),
    (NameLookupFailed, P.DNS, Action.RELEASE, Sign.BREAKER, False, False),
    (ConnectionRefused, P.CONNECT, Action.RELEASE, Sign.BREAKER, False, False),
    (ConnectTimeout, P.CONNECT, Action.RELEASE, Sign.BREAKER, False, False),
    (AddressNotAllowed, P.CONNECT, Action.RELEASE, Sign.PAUSE, False, False),
    (ReplyTimeout, P.BANNER, Action.RELEASE, Sign.BREAKER, False, False),
    (ProtocolError, P.BANNER, Action.RELEASE, Sign.BREAKER, False, False),
    (TLSNotOffered, P.TLS, Action.RELEASE, Sign.BREAKER, False, False),
    (TLSFailed, P.TLS, Action.RELEASE, Sign.BREAKER, False, False),
    (AuthNotOffered, P.AUTH, Action.RELEASE, Sign.PAUSE, False, False),
    (AuthNotEncrypted, P.AUTH, Action.RELEASE, Sign.PAUSE, False, False),
    (CredentialsNotUsable, P.AUTH, Action.RELEASE, Sign.PAUSE, False, False),
    (ConnectionLost, P.AUTH, Action.RELEASE, Sign.BREAKER, False, False),
    (ConnectionLost, P.MAIL, Action.RELEASE, Sign.NONE, False, True),
    (ReplyTimeout, P.RCPT, Action.RELEASE, Sign.NONE, False, True),
    (ConnectionLost, P.BODY, Action.RELEASE, Sign.NONE, False, True),
    (ProtocolError, P.DATA, Action.RETRY, Sign.DESYNC, True, False),
    (NotSendable, P.MAIL, Action.FAIL, Sign.NONE, True, False),
    (ConnectionLost, P.DOT, Action.UNCERTAIN, Sign.BREAKER, True, False),
    (ReplyTimeout, P.DOT, Action.UNCERTAIN, Sign.BREAKER, True, False),
    (ProtocolError, P.DOT, Action.UNCERTAIN, Sign.DESYNC, True, False),
    (ConnectionLost, P.QUIT, Action.RELEASE, Sign.NONE, False, False),
    (ReplyTimeout, P.RSET, Action.RELEASE, Sign.NONE, False, False),
]


@pytest.mark.parametrize(("kind", "phase", "action", "sign", "counted", "drop"), ERROR_CASES)
def test_an_error_is_judged_by_its_class_and_phase(kind, phase, action, sign, counted, drop):
    outcome = Outcome(phase, error=kind("A sentence.", phase=phase))
    found = judge(outcome, recipients=1, is_fresh=False)
    assert (found.action, found.sign, found.is_counted, found.is_drop) == (action, sign, counted, drop)


@pytest.mark.parametrize(
    ("error", "sign"), [(None, Sign.BREAKER), (ReplyTimeout, Sign.BREAKER), (ProtocolError, Sign.DESYNC)]
)
def test_garbage_after_the_dot_is_uncertain_and_says_so_of_the_server(error, sign):
    outcome = Outcome(
        P.DOT, error=error and error("A sentence.", phase=P.MAIL), rcpt_replies=(OK,), uncertain=True
    )
    found = judge(outcome, recipients=1, is_fresh=False)
    assert (found.action, found.sign, found.cause) == (Action.UNCERTAIN, sign, "uncertain")


@pytest.mark.parametrize(
    "error", [ProtocolError("?", phase=P.AUTH), ReplyRefused("?", phase=P.AUTH, reply=OK)]
)
def test_a_garbled_sign_in_is_known_by_its_cause(error):
    assert judge_error(error).cause == SIGN_IN_GARBLED


def test_a_refused_certificate_pauses():
    error = CertificateRefused("Expired.", phase=P.TLS, reason="expired")
    assert judge_error(error).sign is Sign.PAUSE


def test_a_refused_sign_in_is_judged_by_its_reply():
    found = judge_error(ReplyRefused("No.", phase=P.AUTH, reply=reply("535 5.7.8 wrong")))
    assert (found.action, found.sign, found.is_counted) == (Action.RELEASE, Sign.PAUSE, False)


def test_a_loss_on_a_fresh_connection_speaks_against_the_server():
    outcome = Outcome(P.MAIL, error=ConnectionLost("Gone.", phase=P.MAIL))
    assert judge(outcome, recipients=1, is_fresh=True).sign is Sign.BREAKER


@given(st.sampled_from(list(Phase)), st.integers(0, 999), st.booleans())
def test_every_reply_in_every_phase_has_a_ruling(phase, code, after):
    assert rule_on_reply(phase, Reply(code), any_accepted=after)


@given(
    st.sampled_from([P.DNS, P.CONNECT, P.BANNER, P.TLS, P.EHLO, P.AUTH]),
    st.integers(0, 999),
)
def test_before_a_message_is_begun_nothing_is_counted_and_nothing_fails(phase, code):
    ruling = rule_on_reply(phase, Reply(code))
    assert (ruling.action, ruling.is_counted) == (Action.RELEASE, False)


@given(st.integers(0, 999).filter(lambda code: not 200 <= code <= 299), st.sampled_from([None, "5.7.1"]))
def test_only_a_2xx_to_the_dot_means_sent(code, enhanced):
    assert rule_on_reply(P.DOT, Reply(code, "", enhanced)).action is not Action.SENT


def test_no_two_rows_are_equally_specific_about_one_reply():
    """Else the order of the table would decide in silence. Rows with the same ruling may tie."""
    enhanced = [None, "4.2.2", "4.5.3", "5.2.2", "5.3.4", "5.5.3", "5.6.1", "5.7.1"]
    for phase, code, detail, after, crowded in product(
        Phase, range(100, 660), enhanced, [False, True], [False, True]
    ):
        rows = [
            row for row in REPLIES if row.matches(phase, code, detail, is_crowded=crowded, any_accepted=after)
        ]
        best = max(row.specificity for row in rows)
        same = {row.ruling for row in rows if row.specificity == best}
        assert len(same) == 1, (phase, code, detail, after, crowded)


def outcome_of(*replies, phase=P.DOT, dot="250 2.0.0 queued", **kwargs):
    return Outcome(
        phase, reply(dot) if dot else None, rcpt_replies=tuple(r and reply(r) for r in replies), **kwargs
    )


def actions(outcome, recipients):
    found = judge(outcome, recipients=recipients, is_fresh=True)
    return found.action, [verdict.ruling.action for verdict in found.recipients]


@pytest.mark.parametrize(
    ("outcome", "recipients", "message", "each"),
    [
        (outcome_of("250 ok", "250 ok"), 2, Action.SENT, "sent sent"),
        (outcome_of("251 forwarded", "252 will try"), 2, Action.SENT, "sent sent"),
        (outcome_of("250 ok", "550 5.1.1 none"), 2, Action.FAIL, "sent fail"),
        (outcome_of("250 ok", "450 4.2.1 busy"), 2, Action.RETRY, "sent retry"),
        (outcome_of("250 ok", "452 4.5.3 too many"), 2, Action.RELEASE, "sent release"),
        (outcome_of("550 5.1.1 none", "450 busy", "250 ok"), 3, Action.RETRY, "fail retry sent"),
        (outcome_of("250 ok", "550 5.1.1 debug copy"), 1, Action.SENT, "sent"),
        (outcome_of("550 5.1.1 none", "250 debug copy"), 1, Action.FAIL, "fail"),
        (outcome_of("250 ok", "250 ok", dot="451 later"), 2, Action.RETRY, "retry retry"),
        (outcome_of("250 ok", "550 5.1.1 none", dot="554 no"), 2, Action.FAIL, "fail fail"),
        (
            outcome_of("250 ok", "550 5.1.1 none", dot="", uncertain=True),
            2,
            Action.UNCERTAIN,
            "uncertain fail",
        ),
        (outcome_of("250 ok", "421 bye", phase=P.RCPT, dot="421 bye"), 2, Action.RELEASE, "release release"),
        (
            outcome_of("550 5.1.1 a", "550 5.1.1 b", phase=P.RCPT, dot="550 5.1.1 b"),
            2,
            Action.FAIL,
            "fail fail",
        ),
        (outcome_of("250 ok", None), 2, Action.RELEASE, "sent release"),
    ],
)
def test_each_recipient_has_its_own_verdict(outcome, recipients, message, each):
    assert actions(outcome, recipients) == (message, [Action(word) for word in each.split()])


def test_one_refused_recipient_says_nothing_against_a_server_that_took_the_message():
    found = judge(outcome_of("250 ok", "550 5.7.1 blocked"), recipients=2, is_fresh=True)
    assert found.sign is Sign.SUCCESS


def test_the_reply_on_record_is_the_one_that_decided():
    found = judge(outcome_of("250 ok", "550 5.1.1 no such user"), recipients=2, is_fresh=True)
    assert (found.reply, found.cause) == (reply("550 5.1.1 no such user"), "recipient")
