"""What every transport promises (transports.base), tried on each of them."""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.servers import smtp_server
from tests.wire.clients import Recorder, a_content, a_transport, an_envelope
from transports.base import Phase, Reply, Transport
from transports.errors import CouldNotConnect, TransportError
from transports.memory import MemoryTransport

NO = "550 5.1.1 No such user"


@dataclass
class Way:
    """A transport, and how to look behind it."""

    transport: Transport
    behind: Any

    @property
    def messages(self):
        return self.behind.messages


@contextmanager
def by_smtp(**options):
    with smtp_server(
        answers={
            "MAIL": lambda argument: NO if "<evil@" in argument else None,
            "RCPT": lambda argument: NO if "<nobody@" in argument else None,
            "DOT": lambda content: "554 5.6.0 No" if "refuse me" in content else None,
        },
        **options,
    ) as server:
        yield Way(a_transport(server.port, security=server.security), server)


@contextmanager
def in_memory():
    no = Reply(550, "No such user", "5.1.1")
    transport = MemoryTransport(refuse={"evil@example.org": no, "nobody@example.org": no})
    yield Way(transport, transport)


WAYS = {
    "smtp": by_smtp,
    "smtp without pipelining": lambda: by_smtp(pipelining=False),
    "smtp over STARTTLS": lambda: by_smtp(security="starttls"),
    "smtp over TLS": lambda: by_smtp(security="tls"),
    "memory": in_memory,
}


@pytest.fixture(params=WAYS)
def way(request):
    with WAYS[request.param]() as opened:
        yield opened


async def test_a_message_arrives_with_its_envelope_and_every_byte(way):
    content = a_content(b"Subject: x\r\n\r\n.dot\r\n", b"..\r\n.\r\nend\r\n")
    session = await way.transport.open()
    outcome = await session.deliver(an_envelope("ann@example.org", "bob@example.org"), content)
    await session.close()
    assert outcome.accepted
    assert not outcome.uncertain
    [message] = way.messages
    assert message.mail_from == "shop@example.org"
    assert message.rcpt_to == ("ann@example.org", "bob@example.org")
    assert message.content == b"".join(content.segments)


async def test_each_recipient_has_its_own_verdict(way):
    session = await way.transport.open()
    recipients = ("ann@example.org", "nobody@example.org", "bob@example.org")
    outcome = await session.deliver(an_envelope(*recipients), a_content())
    await session.close()
    assert outcome.accepted
    assert [reply.code for reply in outcome.rcpt_replies] == [250, 550, 250]
    assert outcome.rcpt_replies[1].enhanced == "5.1.1"
    assert way.messages[0].rcpt_to == ("ann@example.org", "bob@example.org")


async def test_a_refused_sender_ends_it_at_mail_and_the_session_goes_on(way):
    session = await way.transport.open()
    refused = await session.deliver(an_envelope(mail_from="evil@example.org"), a_content())
    assert (refused.phase, refused.reply.code, refused.accepted) == (Phase.MAIL, 550, False)
    assert refused.rcpt_replies == (None,)
    assert session.is_usable
    assert (await session.deliver(an_envelope(), a_content())).accepted
    await session.close()
    assert len(way.messages) == 1


async def test_all_recipients_refused_ends_it_at_rcpt_and_nothing_is_sent(way):
    session = await way.transport.open()
    refused = await session.deliver(an_envelope("nobody@example.org"), a_content())
    assert (refused.phase, refused.reply.code) == (Phase.RCPT, 550)
    assert (await session.deliver(an_envelope(), a_content())).accepted
    await session.close()
    assert [message.rcpt_to for message in way.messages] == [("ann@example.org",)]


async def test_many_messages_go_through_one_session(way):
    session = await way.transport.open()
    for n in range(5):
        assert (await session.deliver(an_envelope(), a_content(b"n: %d\r\n" % n))).accepted
    await session.close()
    assert [message.content for message in way.messages] == [b"n: %d\r\n" % n for n in range(5)]
    assert way.behind.sessions == 1


async def test_before_the_dot_the_caller_is_asked_once(way):
    asked = []
    session = await way.transport.open()
    await session.deliver(an_envelope(), a_content(), before_dot=lambda: asked.append(len(way.messages)))
    await session.deliver(
        an_envelope("nobody@example.org"), a_content(), before_dot=lambda: asked.append("no")
    )
    await session.close()
    assert asked == [0]


async def test_a_caller_that_objects_before_the_dot_stops_the_message(way):
    def object_to_it():
        raise RuntimeError("the lease has run out")

    session = await way.transport.open()
    with pytest.raises(RuntimeError, match="lease"):
        await session.deliver(an_envelope(), a_content(), before_dot=object_to_it)
    assert not session.is_usable
    assert way.messages == []


async def test_a_closed_session_is_of_no_use_and_says_so(way):
    session = await way.transport.open()
    await session.close()
    await session.close()
    assert not session.is_usable
    outcome = await session.deliver(an_envelope(), a_content())
    assert (outcome.phase, outcome.accepted, outcome.uncertain) == (Phase.MAIL, False, False)
    assert isinstance(outcome.error, TransportError)


async def test_an_aborted_session_is_of_no_use(way):
    session = await way.transport.open()
    session.abort()
    assert not session.is_usable


async def test_an_observer_hears_at_least_that_it_connected(way):
    recorder = Recorder()
    session = await way.transport.open(recorder)
    await session.close()
    assert "connect done" in recorder.verdicts()


async def test_a_transport_that_cannot_reach_raises_a_transport_error():
    refused = CouldNotConnect("Nothing there.", phase=Phase.CONNECT)
    for transport in (MemoryTransport(open_error=refused), a_transport(1024)):
        with pytest.raises(CouldNotConnect):
            await transport.open()


async def test_refused_content_is_not_kept():
    with by_smtp() as way:
        for transport in (way.transport, MemoryTransport(dot_reply=Reply(554, "No", "5.6.0"))):
            session = await transport.open()
            outcome = await session.deliver(an_envelope(), a_content(b"refuse me\r\n"))
            assert (outcome.phase, outcome.reply.code, outcome.accepted) == (Phase.DOT, 554, False)
            assert session.is_usable
            await session.close()
        assert way.messages == transport.messages == []


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.BODY, Phase.DOT])
async def test_the_memory_transport_can_lose_the_connection(phase):
    transport = MemoryTransport(lose=phase)
    session = await transport.open()
    outcome = await session.deliver(an_envelope(), a_content())
    assert outcome.phase is phase
    assert outcome.uncertain is (phase is Phase.DOT)
    assert transport.messages == []
    assert not session.is_usable
