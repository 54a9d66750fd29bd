"""Sessions with smtp-sink, a real server told to fail: nothing unsaid is believed, nothing hangs."""

import time

import pytest

from tests.real_servers.mail import a_mail, carry, some_mails
from tests.real_servers.smtp_sink import smtp_sink
from tests.wire.clients import a_transport, short
from transports.base import Phase
from transports.errors import ConnectionLost, ProtocolError, ReplyRefused, ReplyTimeout

BEFORE = {"CONNECT": Phase.BANNER, "EHLO": Phase.EHLO}
WITHIN = {"MAIL": Phase.MAIL, "RCPT": Phase.RCPT, "DATA": Phase.DATA, ".": Phase.DOT}
MODES = ["grouped", "sequential"]


async def carried(sink, *mails, **settings):
    """The outcomes of these messages on one session, as far as it went, and the session."""
    session = await a_transport(sink.port, **settings).open()
    outcomes = await carry(session, mails)
    await session.close()
    return outcomes, session


@pytest.mark.parametrize("command", BEFORE)
async def test_a_hang_up_before_the_session_is_a_lost_connection(command):
    with smtp_sink("-q", command) as sink:
        with pytest.raises(ConnectionLost) as caught:
            await a_transport(sink.port).open()
        assert caught.value.phase is BEFORE[command]


@pytest.mark.parametrize(
    ("option", "command", "code"),
    [
        ("-Q", "CONNECT", 421),
        ("-Q", "EHLO", 421),
        ("-r", "CONNECT", 450),
        ("-r", "EHLO", 450),
        ("-f", "CONNECT", 500),
    ],
)
async def test_a_refusal_before_the_session_is_told_with_its_code(option, command, code):
    with smtp_sink(option, command) as sink:
        with pytest.raises(ReplyRefused) as caught:
            await a_transport(sink.port).open()
        assert (caught.value.phase, caught.value.reply.code) == (BEFORE[command], code)


@pytest.mark.parametrize("options", [("-f", "EHLO"), ("-e",), ("-P",), ("-p",), ("-E",), ("-8",), ()])
async def test_servers_of_every_age_take_mail(options):
    with smtp_sink(*options) as sink:
        outcomes, _ = await carried(sink, *some_mails(30))
        assert [outcome.accepted for outcome in outcomes] == [True] * 30
        sink.wait_for(30)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("command", WITHIN)
async def test_a_hang_up_is_uncertain_after_the_dot_and_only_there(command, mode):
    with smtp_sink("-q", command) as sink:
        (outcome,), session = await carried(sink, a_mail("a@example.com", "b@example.com"), pipelining=mode)
    assert (outcome.phase, outcome.reply, type(outcome.error)) == (WITHIN[command], None, ConnectionLost)
    assert outcome.uncertain == (command == ".")
    assert not session.is_usable


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("command", WITHIN)
async def test_421_is_a_refusal_and_the_end_of_the_session(command, mode):
    with smtp_sink("-Q", command) as sink:
        (outcome,), session = await carried(sink, a_mail("a@example.com", "b@example.com"), pipelining=mode)
    assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (WITHIN[command], 421, False)
    assert not session.is_usable


@pytest.mark.parametrize(("option", "told", "code"), [("-r", "-b", "451"), ("-f", "-B", "554")])
@pytest.mark.parametrize("command", WITHIN)
async def test_a_refused_command_leaves_the_session_for_the_next_message(command, option, told, code):
    with smtp_sink(option, command, told, f"{code} {code[0]}.3.0 Not today") as sink:
        outcomes, _ = await carried(sink, *some_mails(3))
    assert [outcome.phase for outcome in outcomes] == [WITHIN[command]] * 3
    assert {str(outcome.reply) for outcome in outcomes} == {f"{code} {code[0]}.3.0 Not today"}
    assert not any(outcome.uncertain for outcome in outcomes)


@pytest.mark.parametrize("command", WITHIN)
async def test_a_server_that_says_it_does_not_know_the_command_is_left(command):
    with smtp_sink("-f", command) as sink:  # 500 5.3.0 Error: command failed
        (outcome,), session = await carried(sink, *some_mails(3))
    assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (WITHIN[command], 500, False)
    assert not session.is_usable


async def test_a_hang_up_at_the_rset_behind_a_refused_dot_costs_the_next_message_nothing():
    with smtp_sink("-r", ".", "-q", "RSET") as sink:
        (refused, following), session = await carried(sink, *some_mails(3))
    assert (refused.phase, refused.reply.code) == (Phase.DOT, 450)
    assert (following.phase, type(following.error), following.uncertain) == (
        Phase.MAIL,
        ConnectionLost,
        False,
    )
    assert not session.is_usable


@pytest.mark.parametrize("option", ["-q", "-Q"])
async def test_the_end_behind_a_streamed_dot_spoils_no_verdict(option):
    # The eleventh dot is the first that travels with RSET, MAIL, RCPT and DATA of the next message.
    with smtp_sink(option, "RSET") as sink:
        outcomes, session = await carried(sink, *some_mails(20))
        assert [outcome.accepted for outcome in outcomes] == [True] * 11
        sink.wait_for(11)
    assert not session.is_usable


async def test_hundreds_of_streamed_messages_are_taken_once():
    with smtp_sink() as sink:
        outcomes, _ = await carried(sink, *some_mails(300))
        assert [outcome.accepted for outcome in outcomes] == [True] * 300
        sink.wait_for(300)


@pytest.mark.parametrize("mode", MODES)
async def test_550_on_the_heels_of_354_is_no_acceptance(mode):
    # In the same packet it is one reply too many; a moment later it answers the content.
    with smtp_sink("-A", "0") as sink:
        outcomes, _ = await carried(sink, *some_mails(2), pipelining=mode)
        sink.wait_for(0)
    assert not any(outcome.accepted or outcome.uncertain for outcome in outcomes)
    first = outcomes[0]
    assert (first.phase, type(first.error)) == (Phase.DATA, ProtocolError) or first.reply.code == 550


async def test_a_refusal_while_the_server_no_longer_reads_ends_the_upload():
    large = a_mail(body=b"line after line after line\r\n" * 400_000)
    with smtp_sink("-A", "1") as sink:
        (outcome,), session = await carried(sink, large, a_mail())
        sink.wait_for(0)
    assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (Phase.BODY, 550, False)
    assert not session.is_usable


async def test_a_server_that_reads_late_and_little_gets_all_of_it():
    large = a_mail(body=b"line after line\r\n" * 30_000)
    with smtp_sink("-H", "1", "-T", "4096") as sink:
        (outcome,), _ = await carried(sink, large)
        assert outcome.accepted
        sink.wait_for(1)


@pytest.mark.parametrize("command", WITHIN)
async def test_a_server_slower_than_the_limit_is_left_and_only_after_the_dot_it_is_uncertain(command):
    phase = WITHIN[command]
    with smtp_sink("-W", f"{command}:60") as sink:
        began = time.monotonic()
        limits = short(phase, seconds=0.3)
        (outcome,), session = await carried(sink, *some_mails(2), timeouts=limits, pipelining="sequential")
        assert time.monotonic() - began < 50
    assert (outcome.phase, type(outcome.error)) == (phase, ReplyTimeout)
    assert outcome.uncertain == (command == ".")
    assert not session.is_usable


@pytest.mark.parametrize("command", WITHIN)
async def test_a_slow_server_within_the_limit_takes_the_mail(command):
    with smtp_sink("-W", f"{command}:1") as sink:
        (outcome,), _ = await carried(sink, a_mail(), pipelining="sequential")
        assert outcome.accepted
        sink.wait_for(1)


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
async def test_a_server_that_puts_off_one_reply_of_a_group_is_out_of_step_and_gets_no_dot(command):
    # It goes on with the next commands meanwhile: its replies come in another order, against RFC 2920.
    with smtp_sink("-W", f"{command}:1") as sink:
        (outcome,), session = await carried(sink, *some_mails(2))
        assert (type(outcome.error), outcome.accepted, outcome.uncertain) == (ProtocolError, False, False)
    assert not session.is_usable


async def test_a_server_that_ends_with_the_dot_unanswered_leaves_it_uncertain():
    with smtp_sink("-M", "1") as sink:
        outcomes, session = await carried(sink, *some_mails(3))
        assert [outcome.uncertain for outcome in outcomes] == [True]
        sink.wait_for(1)
    assert not session.is_usable
