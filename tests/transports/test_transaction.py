import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.clients import a_content, an_envelope
from transports.base import Envelope, Phase, Reply
from transports.smtp.transaction import GROUP_BYTES, check, groups, judge, read_dot

OK, GO, NO, LATER, LOST = Reply(250), Reply(354), Reply(550), Reply(450), Reply(503)
BYE = Reply(421)


@pytest.mark.parametrize(
    ("replies", "recipients", "phase", "code", "by_recipient", "may_send", "is_desync"),
    [
        ([], 1, None, None, [None], False, False),
        ([OK], 1, None, None, [None], False, False),
        ([OK, OK], 1, None, None, [250], False, False),
        ([OK, OK, GO], 1, None, None, [250], True, False),
        ([OK, OK, NO, GO], 2, None, None, [250, 550], True, False),
        ([OK, NO, LATER, OK, GO], 3, None, None, [550, 450, 250], True, False),
        # MAIL refused: the rest is its echo
        ([NO], 1, Phase.MAIL, 550, [None], False, False),
        ([NO, LOST, LOST], 1, Phase.MAIL, 550, [None], False, False),
        ([LATER, LOST, LOST], 1, Phase.MAIL, 450, [None], False, False),
        ([BYE], 1, Phase.MAIL, 421, [None], False, False),
        # ... unless the server is in a transaction of its own
        ([LOST, OK, GO], 1, Phase.MAIL, 503, [None], False, True),
        ([NO, OK, GO], 1, Phase.MAIL, 550, [None], False, True),
        ([NO, LOST, GO], 1, Phase.MAIL, 550, [None], False, True),
        ([NO, OK, LOST], 1, Phase.MAIL, 550, [None], False, True),
        # everybody refused
        ([OK, NO], 1, Phase.RCPT, 550, [550], False, False),
        ([OK, NO, LATER, LOST], 2, Phase.RCPT, 550, [550, 450], False, False),
        ([OK, NO, Reply(554)], 1, Phase.RCPT, 550, [550], False, False),
        ([OK, NO, GO], 1, Phase.RCPT, 550, [550], False, True),
        ([OK, LOST], 1, Phase.RCPT, 503, [503], False, True),
        # 421 among the recipients
        ([OK, BYE], 1, Phase.RCPT, 421, [421], False, False),
        ([OK, OK, BYE], 3, Phase.RCPT, 421, [250, 421, None], False, False),
        # DATA refused
        ([OK, OK, LATER], 1, Phase.DATA, 450, [250], False, False),
        ([OK, OK, NO, NO], 2, Phase.DATA, 550, [250, 550], False, False),
        ([OK, OK, LOST], 1, Phase.DATA, 503, [250], False, True),
        ([OK, OK, BYE], 1, Phase.DATA, 421, [250], False, False),
        # one recipient met a server that does not follow: send, then no more on this connection
        ([OK, OK, LOST, GO], 2, None, None, [250, 503], True, True),
    ],
)
def test_replies_come_to_a_verdict(replies, recipients, phase, code, by_recipient, may_send, is_desync):
    verdict = judge(replies, recipients)
    assert verdict.phase is phase
    assert (verdict.reply.code if verdict.reply else None) == code
    assert [reply.code if reply else None for reply in verdict.rcpt_replies] == by_recipient
    assert (verdict.may_send, verdict.is_desync) == (may_send, is_desync)


@pytest.mark.parametrize(
    ("replies", "dot"),
    [
        ([], None),
        ([OK], OK),
        ([NO], NO),
        # an envelope travelled with it: RSET, MAIL, RCPT, DATA
        ([OK, OK, OK, OK, GO], OK),
        ([NO, OK, OK, OK, GO], NO),
        ([OK, OK, NO, LOST, LOST], OK),
        ([OK, OK, OK, NO, Reply(554)], OK),
        ([OK, OK, OK, NO, GO], OK),
        ([OK, OK], OK),
        ([OK, BYE], OK),
        ([OK, OK, BYE], OK),
        # a reply too many came before the dot's own: RSET's is that of the refused dot
        ([OK, NO, OK, OK, NO], None),
        ([OK, LOST], None),
        ([OK, LATER, OK, OK, OK], None),
        # two too many: MAIL's is
        ([OK, OK, NO, OK, LOST], None),
    ],
)
def test_the_reply_to_the_dot_counts_when_those_behind_it_fit(replies, dot):
    assert read_dot(replies) is dot


@pytest.mark.parametrize(
    ("replies", "dot"),
    [
        ([], None),
        ([OK], OK),
        ([OK, OK], OK),
        ([OK, OK, OK, OK], OK),
        # the last one may be DATA's, and then the dot has none
        ([OK, OK, NO], None),
        ([OK, OK, OK, NO], None),
        ([NO, OK, OK, NO], NO),  # RSET's is no refusal
    ],
)
def test_when_a_server_falls_silent_its_last_refusal_may_be_datas(replies, dot):
    assert read_dot(replies, is_silent=True) is dot


codes = st.sampled_from([250, 251, 252, 354, 421, 450, 452, 500, 503, 550, 552, 554]).map(Reply)


@given(st.integers(1, 5).flatmap(lambda n: st.tuples(st.just(n), st.lists(codes, max_size=n + 2))))
def test_content_is_sent_only_after_mail_somebody_and_data_said_yes(case):
    recipients, replies = case
    verdict = judge(replies, recipients)
    assert len(verdict.rcpt_replies) == recipients
    if verdict.may_send:
        assert replies[0].is_success
        assert any(reply.is_success for reply in replies[1 : recipients + 1])
        assert replies[recipients + 1].code == 354


def written(envelope, capabilities, *, pipelined=True, reset=False, content=None):
    made = groups(envelope, content or a_content(), capabilities, pipelined=pipelined, reset=reset)
    return [(group.data, group.phases) for group in made]


def test_a_pipelined_group_is_one_write_and_ends_with_data():
    assert written(an_envelope("a@x.example", "b@x.example"), {}) == [
        (
            b"MAIL FROM:<shop@example.org>\r\nRCPT TO:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n",
            (Phase.MAIL, Phase.RCPT, Phase.RCPT, Phase.DATA),
        )
    ]


def test_without_pipelining_every_command_stands_alone():
    made = written(an_envelope("a@x.example"), {}, pipelined=False, reset=True)
    assert [data.split(b" ")[0].strip() for data, _ in made] == [b"RSET", b"MAIL", b"RCPT", b"DATA"]


def test_a_reset_leads_the_group():
    [(data, phases)] = written(an_envelope(), {}, reset=True)
    assert data.startswith(b"RSET\r\nMAIL FROM:")
    assert len(phases) == 4


def test_a_large_group_is_split_at_its_recipients():
    envelope = an_envelope(*(f"recipient-{n:03}@a-rather-long-domain.example.org" for n in range(100)))
    made = written(envelope, {})
    assert len(made) == 2
    assert all(len(data) <= GROUP_BYTES and data.endswith(b"\r\n") for data, _ in made)
    assert b"".join(data for data, _ in made).count(b"RCPT TO:") == 100
    assert made[-1][1][-1] is Phase.DATA


@pytest.mark.parametrize(
    ("capabilities", "mail_from", "line"),
    [
        ({}, "", b"MAIL FROM:<>\r\n"),
        ({"SIZE": ""}, "a@x.example", b"MAIL FROM:<a@x.example> SIZE=11\r\n"),
        ({"SIZE": "5000"}, "a@x.example", b"MAIL FROM:<a@x.example> SIZE=11\r\n"),
        ({"SMTPUTF8": ""}, "a@x.example", b"MAIL FROM:<a@x.example>\r\n"),
        ({"SMTPUTF8": ""}, "ä@x.example", "MAIL FROM:<ä@x.example> SMTPUTF8\r\n".encode()),
    ],
)
def test_mail_carries_the_options_the_server_offers_and_the_message_needs(capabilities, mail_from, line):
    [(data, _)] = written(an_envelope(mail_from=mail_from), capabilities, content=a_content(b"a: b\r\n\r\nc"))
    assert data.startswith(line)


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.org",
        "postmaster",
        '"a b"@example.org',
        '"a>b"@example.org',
        r'"a\"b"@example.org',
        "a@[192.0.2.1]",
    ],
)
def test_an_address_of_the_grammar_is_sent(address):
    assert check(an_envelope(address), a_content(), {}) is None


@pytest.mark.parametrize(
    "address",
    [
        "a@x\r\nRCPT TO:<evil@x.example>",
        "a@x.example> AUTH=<b@c",
        "a@x.example SIZE=1",
        "a@x.example, b@x.example",
        "Ann <a@x.example>",
        "alice@example.org)bob@evil.example",
        '"a\r\n"@x.example',
        "a@x\x00",
        "",
        "@x",
        "a@",
        "a\udc80@x.example",
        "a@x\x85.example",
        '"a\u2028b"@x.example',
    ],
)
def test_an_address_that_would_break_out_of_its_brackets_is_not(address):
    refusal = check(an_envelope(address), a_content(), {})
    assert refusal is not None
    assert refusal.phase is Phase.RCPT


def test_a_message_larger_than_the_server_takes_is_not_begun():
    content = a_content(b"x" * 500 + b"\r\n" + b"x" * 497)  # and a line end that is added
    assert "1001 bytes, and the server takes at most 1000" in str(
        check(an_envelope(), content, {"SIZE": "1000"})
    )
    for size in ("", "0", "1001", "9" * 20):
        assert check(an_envelope(), content, {"SIZE": size}) is None


def test_a_non_ascii_address_needs_smtputf8():
    assert check(an_envelope("jörg@x.example"), a_content(), {}) is not None
    assert check(an_envelope("jörg@x.example"), a_content(), {"SMTPUTF8": ""}) is None


def test_a_message_for_nobody_is_not_begun():
    assert check(Envelope("a@x.example", ()), a_content(), {}) is not None
