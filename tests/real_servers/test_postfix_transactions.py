"""What Postfix refuses within a transaction, and that the next message on the session is none the worse."""

import pytest

from tests.real_servers.mail import a_mail, carry, expected
from tests.real_servers.postfix import (
    AT_THE_END,
    RECIPIENT_LIMIT,
    RECIPIENTS,
    REFUSED_HEADER,
    SENDERS,
    SIZE_LIMIT,
    SMALL_LIMIT,
)
from tests.wire.clients import Recorder, a_transport
from transports.base import Direction, Phase
from transports.errors import NotSendable

(BANNED,) = SENDERS
(REFUSED_AT_DOT,) = AT_THE_END
MODES = ["auto", "grouped", "sequential"]


async def carried(postfix, *mails, service="relay", observer=None, **settings):
    """The outcomes of these messages on one session, which must be usable afterwards."""
    session = await a_transport(postfix.ports[service], **settings).open(observer)
    outcomes = await carry(session, mails)
    assert session.is_usable
    await session.close()
    return outcomes


def codes(outcome):
    """The codes of the replies to RCPT."""
    return [reply and reply.code for reply in outcome.rcpt_replies]


@pytest.mark.parametrize("mode", MODES)
async def test_a_partial_refusal_is_told_by_recipient_and_the_others_get_the_mail(postfix, mode):
    refused = [address for address in RECIPIENTS if address != "left@example.com"]
    mail, after = a_mail("ann@example.com", *refused, "bo@example.com"), a_mail()
    first, second = await carried(postfix, mail, after, pipelining=mode)
    assert first.accepted
    wanted = [int(RECIPIENTS.get(address, "250")[:3]) for address in mail.envelope.rcpt_to]
    assert codes(first) == wanted
    assert second.accepted
    delivered = expected(mail, rcpt_to=("ann@example.com", "bo@example.com"))
    assert postfix.passed_on() == delivered + expected(after)


@pytest.mark.parametrize("mode", MODES)
async def test_when_all_are_refused_no_content_goes(postfix, mode):
    mail, after = a_mail("unknown@example.com", "later@example.com"), a_mail()
    first, second = await carried(postfix, mail, after, pipelining=mode)
    assert (first.phase, codes(first), first.uncertain) == (Phase.RCPT, [550, 450], False)
    assert second.accepted
    assert postfix.passed_on() == expected(after)


@pytest.mark.parametrize("mode", MODES)
async def test_too_many_recipients_are_told_and_the_rest_get_the_mail(postfix, mode):
    everybody = [f"reader{n}@example.com" for n in range(RECIPIENT_LIMIT + 2)]
    mail = a_mail(*everybody)
    (outcome,) = await carried(postfix, mail, pipelining=mode)
    assert outcome.accepted
    assert codes(outcome) == [250] * RECIPIENT_LIMIT + [452] * 2
    assert {reply.enhanced for reply in outcome.rcpt_replies[RECIPIENT_LIMIT:]} == {"4.5.3"}
    assert postfix.passed_on() == expected(mail, rcpt_to=everybody[:RECIPIENT_LIMIT])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("service", "phase"), [("strict", Phase.MAIL), ("relay", Phase.RCPT)])
async def test_a_refused_sender_is_refused_at_mail_or_by_default_at_rcpt(postfix, service, phase, mode):
    mail, after = a_mail(mail_from=BANNED), a_mail()
    first, second = await carried(postfix, mail, after, service=service, pipelining=mode)
    assert (first.phase, first.reply.code, first.reply.enhanced) == (phase, 550, "5.7.1")
    assert second.accepted
    assert postfix.passed_on() == expected(after)


@pytest.mark.parametrize("mode", MODES)
async def test_421_to_a_recipient_ends_the_session_and_nothing_is_uncertain(postfix, mode):
    mail = a_mail("ann@example.com", "left@example.com", "bo@example.com")
    session = await a_transport(postfix.ports["relay"], pipelining=mode).open()
    (outcome,) = await carry(session, [mail])
    assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (Phase.RCPT, 421, False)
    assert codes(outcome) == [250, 421, None]
    assert not session.is_usable
    assert not postfix.passed_on()


@pytest.mark.parametrize("mode", MODES)
async def test_a_message_refused_at_its_end_does_not_lend_its_sender_to_the_next(postfix, mode):
    # Postfix leaves the transaction open: without RSET the next would go out under the refused one's sender.
    refused, after, last = a_mail(mail_from=REFUSED_AT_DOT), a_mail(), a_mail()
    outcomes = await carried(postfix, refused, after, last, pipelining=mode)
    assert (outcomes[0].phase, outcomes[0].reply.code, outcomes[0].uncertain) == (Phase.DOT, 554, False)
    assert [outcome.accepted for outcome in outcomes] == [False, True, True]
    assert postfix.passed_on() == expected(after, last)


@pytest.mark.parametrize("mode", MODES)
async def test_a_message_refused_for_its_header_is_not_sent(postfix, mode):
    refused, after = a_mail(fields=REFUSED_HEADER + b"\r\n"), a_mail()
    first, second = await carried(postfix, refused, after, pipelining=mode)
    assert (first.phase, first.reply.code, first.reply.enhanced) == (Phase.DOT, 550, "5.7.1")
    assert second.accepted
    assert postfix.passed_on() == expected(after)


async def test_a_message_over_size_is_refused_before_a_word_is_said(postfix):
    heard, large, small = Recorder(), a_mail(body=b"x" * 76 * SMALL_LIMIT + b"\r\n"), a_mail(lines=5)
    first, second = await carried(postfix, large, small, service="small", observer=heard)
    assert (first.phase, first.reply, type(first.error)) == (Phase.MAIL, None, NotSendable)
    assert second.accepted
    assert sum(line.startswith("MAIL") for line in heard.said(Direction.CLIENT)) == 1
    assert postfix.passed_on() == expected(small)


async def test_a_limit_that_was_not_announced_is_met_at_the_dot(postfix):
    large, small = a_mail(body=b"line\r\n" * SMALL_LIMIT), a_mail(lines=5)
    session = await a_transport(postfix.ports["small, unsaid"]).open()
    assert "SIZE" not in session.capabilities
    first, second = await carry(session, [large, small])
    await session.close()
    assert (first.phase, first.reply.code, first.reply.enhanced) == (Phase.DOT, 552, "5.3.4")
    assert second.accepted
    assert postfix.passed_on() == expected(small)


async def test_addresses_of_other_alphabets_go_out_as_they_are(postfix):
    mail, after = a_mail("οδυσσεύς@example.com", "ann@example.com", mail_from="jürgen@example.org"), a_mail()
    outcomes = await carried(postfix, mail, after)
    assert all(outcome.accepted for outcome in outcomes)
    assert postfix.passed_on() == expected(mail, after)


async def test_addresses_of_other_alphabets_are_not_said_to_a_server_that_cannot_read_them(postfix):
    mail, after = a_mail("οδυσσεύς@example.com"), a_mail()
    first, second = await carried(postfix, mail, after, service="ascii")
    assert (first.phase, type(first.error)) == (Phase.MAIL, NotSendable)
    assert second.accepted
    assert postfix.passed_on() == expected(after)


@pytest.mark.parametrize(("service", "security"), [("relay", "none"), ("elsewhere", "starttls")])
async def test_a_message_of_ten_megabytes_arrives_as_it_is(postfix, service, security):
    body = b"".join(b".%d %s\r\n" % (n, b"x" * n) for n in range(990)) * 20
    large, after = a_mail(body=body), a_mail()
    assert SIZE_LIMIT > large.content.size_bytes > 10_000_000 * 0.98
    outcomes = await carried(postfix, large, after, service=service, security=security, verify=False)
    assert all(outcome.accepted for outcome in outcomes)
    assert postfix.passed_on() == expected(large, after)


@pytest.mark.parametrize(
    "body", [b"", b".\r\n", b"..\r\n", b".\r\n.\r\n.", b"no line end", b"\r\n\r\n.\r\n\r\n", b".hidden"]
)
async def test_dots_and_ends_arrive_as_they_are(postfix, body):
    mail, after = a_mail(body=body), a_mail()
    outcomes = await carried(postfix, mail, after)
    assert all(outcome.accepted for outcome in outcomes)
    whole = mail.content.segments[0]
    arrived_as = mail if whole.endswith(b"\r\n") else a_copy(mail, whole + b"\r\n")
    assert postfix.passed_on() == expected(arrived_as, after)


def a_copy(mail, content):
    """The same message with other content."""
    return mail._replace(content=type(mail.content)((content,)))
