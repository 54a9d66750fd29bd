"""Many messages in one session with Postfix: each arrives once, as it was, whatever happens on the way."""

import asyncio
import re
from collections import Counter

import pytest

from tests.real_servers.ending import keeps_its_word
from tests.real_servers.mail import a_mail, carry, expected, some_mails
from tests.real_servers.postfix import AT_THE_END, PASSWORD, RECIPIENTS, REFUSED_HEADER, SENDERS, USER
from tests.wire.clients import a_transport
from transports.base import Phase
from transports.errors import TransportError

MESSAGES = 300
(REFUSED_AT_DOT,) = AT_THE_END
(BANNED,) = SENDERS

#: Port and setting of each way to speak.
WAYS = {
    "sequential because PIPELINING is not offered": ("unpipelined", "none", "auto"),
    "sequential": ("relay", "none", "sequential"),
    "grouped": ("relay", "none", "grouped"),
    "streamed": ("relay", "none", "auto"),
    "streamed, signed in over STARTTLS": ("submission", "starttls", "auto"),
    "streamed, signed in over TLS": ("submissions", "tls", "auto"),
}


def a_way(postfix, way):
    """The transport for a way to speak."""
    service, security, pipelining = WAYS[way]
    sign_in = {"password": PASSWORD, "username": USER} if "signed in" in way else {}
    return a_transport(postfix.ports[service], security=security, pipelining=pipelining, **sign_in)


def said(postfix):
    """How often each command was said in the session that ended last, as Postfix counted."""
    counts = re.findall(r"disconnect from \S+ (.*)", postfix.log())[-1]
    return {verb: int(count.split("/")[-1]) for verb, count in re.findall(r"(\w+)=([\d/]+)", counts)}


@pytest.mark.parametrize("way", WAYS)
async def test_hundreds_of_messages_arrive_once_and_as_they_are(postfix, way):
    mails = some_mails(MESSAGES)
    session = await a_way(postfix, way).open()
    outcomes = await carry(session, mails)
    assert session.streams == ("streamed" in way)
    await session.close()
    assert [outcome.accepted for outcome in outcomes] == [True] * MESSAGES
    assert postfix.passed_on() == expected(*mails)
    counted = said(postfix)
    assert (counted["mail"], counted["data"], counted["quit"]) == (MESSAGES, MESSAGES, 1)
    # ten clean ones, and the eleventh's dot is the first with company
    assert counted.get("rset", 0) == (MESSAGES - 11 if "streamed" in way else 0)


def is_refused(mail):
    """Whether nobody gets it."""
    envelope, content = mail
    return (
        envelope.mail_from in (REFUSED_AT_DOT, BANNED)
        or set(envelope.rcpt_to) <= set(RECIPIENTS)
        or REFUSED_HEADER in content.segments[0].split(b"\r\n\r\n")[0]
    )


TROUBLE = {
    "at the dot, its transaction left open": (lambda: a_mail(mail_from=REFUSED_AT_DOT), Phase.DOT, 554),
    "at the dot for its header": (lambda: a_mail(fields=REFUSED_HEADER + b"\r\n"), Phase.DOT, 550),
    "for its sender, at RCPT": (lambda: a_mail(mail_from=BANNED), Phase.RCPT, 550),
    "for all its recipients": (lambda: a_mail("later@example.com", "unknown@example.com"), Phase.RCPT, 450),
}


@pytest.mark.parametrize("service", ["relay", "strict"])
@pytest.mark.parametrize("trouble", TROUBLE)
async def test_one_refused_in_the_middle_of_a_stream_leaves_the_others_alone(postfix, trouble, service):
    refused, phase, code = TROUBLE[trouble]
    # alone, twice in a row, and last
    mails = [*some_mails(15), refused(), *some_mails(3), refused(), refused(), *some_mails(3), refused()]
    session = await a_transport(postfix.ports[service]).open()
    outcomes = await carry(session, mails)
    assert session.streams
    await session.close()
    if service == "strict" and "sender" in trouble:
        phase = Phase.MAIL
    for mail, outcome in zip(mails, outcomes, strict=True):
        assert outcome.accepted != is_refused(mail)
        if is_refused(mail):
            assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (phase, code, False)
    assert postfix.passed_on() == expected(*(mail for mail in mails if not is_refused(mail)))


async def test_partial_refusals_in_a_stream_are_told_for_the_right_message(postfix):
    partial = ["ann@example.com", "unknown@example.com", "bo@example.com", "later@example.com"]
    mails = [a_mail(*partial) if n % 3 else a_mail() for n in range(40)]
    session = await a_transport(postfix.ports["relay"]).open()
    outcomes = await carry(session, mails)
    assert session.streams
    await session.close()
    wanted = Counter()
    for mail, outcome in zip(mails, outcomes, strict=True):
        assert outcome.accepted
        is_partial = len(mail.envelope.rcpt_to) == len(partial)
        assert [reply.code for reply in outcome.rcpt_replies] == (
            [250, 550, 250, 450] if is_partial else [250]
        )
        wanted += expected(mail, rcpt_to=partial[::2]) if is_partial else expected(mail)
    assert postfix.passed_on() == wanted


async def test_421_in_a_stream_spoils_no_verdict_before_it(postfix):
    mails = [*some_mails(20), a_mail("left@example.com"), *some_mails(5)]
    session = await a_transport(postfix.ports["relay"]).open()
    outcomes = await carry(session, mails)
    assert not session.is_usable
    assert [outcome.accepted for outcome in outcomes] == [True] * 20
    # it is the server's farewell: what was announced with the last dot is answered by it
    assert not any(outcome.uncertain for outcome in outcomes)
    assert postfix.passed_on() == expected(*mails[:20])


async def test_large_and_small_messages_mix_in_a_stream(postfix):
    mails = [
        mail
        for n in range(12)
        for mail in (
            a_mail(),
            a_mail(body=b".large\r\n" * 40_000),
            a_mail(*[f"r{m}@example.com" for m in range(4)]),
        )
    ]
    session = await a_transport(postfix.ports["relay"]).open()
    outcomes = await carry(session, mails)
    assert session.streams
    await session.close()
    assert all(outcome.accepted for outcome in outcomes)
    assert postfix.passed_on() == expected(*mails)


@pytest.mark.parametrize("way", ["sequential", "grouped", "streamed", "streamed, signed in over STARTTLS"])
async def test_a_server_ended_in_the_middle_takes_what_it_said_it_took(postfix, way):
    mails = some_mails(MESSAGES)
    assert await keeps_its_word(postfix, a_way(postfix, way), mails) < MESSAGES


class Share:
    """A sender's part of many messages, carried by session after session while the server comes and goes."""

    def __init__(self, transport, mails) -> None:
        self.transport = transport
        self.waiting = list(mails)
        self.accepted = 0
        self.uncertain = Counter()

    async def carry(self):
        while self.waiting:
            try:
                session = await self.transport.open()
            except TransportError:
                await asyncio.sleep(0.05)  # it is being restarted
                continue
            batch, rest = self.waiting[:100], self.waiting[100:]
            outcomes = await carry(session, batch)
            await session.close()
            self.note(batch, outcomes)
            gone = {id(mail) for mail, outcome in zip(batch, outcomes, strict=False) if outcome.accepted}
            self.waiting = [mail for mail in batch if id(mail) not in gone] + rest

    def note(self, batch, outcomes):
        for mail, outcome in zip(batch, outcomes, strict=False):
            self.accepted += outcome.accepted
            self.uncertain += expected(mail) if outcome.uncertain else Counter()


@pytest.mark.long
async def test_ten_thousand_messages_by_eight_sessions_survive_three_restarts(postfix):
    mails, restarts = some_mails(10_000), 3
    transport = a_way(postfix, "streamed, signed in over STARTTLS")
    shares = [Share(transport, mails[n::8]) for n in range(8)]

    async def restart_now_and_then():
        for n in range(1, restarts + 1):
            while sum(share.accepted for share in shares) < n * len(mails) // (restarts + 1):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.to_thread(postfix.stop)
            await asyncio.to_thread(postfix.start)

    await asyncio.gather(restart_now_and_then(), *(share.carry() for share in shares))
    assert sum(share.accepted for share in shares) == len(mails)
    uncertain = sum((share.uncertain for share in shares), Counter())
    taken = await asyncio.to_thread(postfix.passed_on, timeout=300)
    assert not expected(*mails) - taken
    assert not taken - expected(*mails) - uncertain
    assert uncertain.total() <= len(shares) * restarts
