"""What every transport promises (transports.base), tried on each of them."""

import base64
from contextlib import contextmanager

import pytest

from tests.servers import smtp_server
from tests.transports.ways import ACCESS_KEY_ID, KEY, Way, by_mailgun, by_pickup, by_sendmail, by_ses
from tests.wire.clients import Recorder, a_content, a_transport, an_envelope
from transports.base import Phase, Reply
from transports.errors import CouldNotConnect, TransportError
from transports.memory import MemoryTransport

NO = "550 5.1.1 No such user"


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
        yield Way(a_transport(server.port, security=server.security), server, lose=lambda: lose(server))


def lose(server):
    server.answers["DOT"] = lambda content: ""


@contextmanager
def in_memory():
    no = Reply(550, "No such user", "5.1.1")
    transport = MemoryTransport(refuse={"evil@example.org": no, "nobody@example.org": no})
    yield Way(transport, transport, lose=lambda: setattr(transport, "lose", Phase.DOT))


WAYS = {
    "smtp": by_smtp,
    "smtp without pipelining": lambda: by_smtp(pipelining=False),
    "smtp over STARTTLS": lambda: by_smtp(security="starttls"),
    "smtp over TLS": lambda: by_smtp(security="tls"),
    "memory": in_memory,
    "sendmail": by_sendmail,
    "pickup": by_pickup,
    "mailgun": by_mailgun,
    "ses": by_ses,
}


@pytest.fixture(params=WAYS)
def way(request):
    with WAYS[request.param]() as opened:
        yield opened


#: The ways that take or refuse a message as a whole; of these a directory refuses nobody, and a rename is
#: done or not done.
AS_A_WHOLE = ("sendmail", "pickup", "mailgun", "ses")
REFUSING = ("sendmail", "mailgun", "ses")


@pytest.fixture(params=[name for name in WAYS if name not in AS_A_WHOLE])
def telling(request):
    """A way that answers for each recipient."""
    with WAYS[request.param]() as opened:
        yield opened


@pytest.fixture(params=REFUSING)
def whole(request):
    """A way that takes or refuses a message as a whole."""
    with WAYS[request.param]() as opened:
        yield opened


@pytest.fixture(params=[name for name in WAYS if name != "pickup"])
def losing(request):
    """A way whose answer may get lost."""
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
    assert message.mail_from == "shop@example.org" or not way.carries_sender
    assert message.rcpt_to == ("ann@example.org", "bob@example.org")
    assert message.content == way.as_sent(content)


async def test_each_recipient_has_its_own_verdict(telling):
    session = await telling.transport.open()
    recipients = ("ann@example.org", "nobody@example.org", "bob@example.org")
    outcome = await session.deliver(an_envelope(*recipients), a_content())
    await session.close()
    assert outcome.accepted
    assert [reply.code for reply in outcome.rcpt_replies] == [250, 550, 250]
    assert outcome.rcpt_replies[1].enhanced == "5.1.1"
    assert telling.messages[0].rcpt_to == ("ann@example.org", "bob@example.org")


async def test_a_refused_sender_ends_it_at_mail_and_the_session_goes_on(telling):
    session = await telling.transport.open()
    refused = await session.deliver(an_envelope(mail_from="evil@example.org"), a_content())
    assert (refused.phase, refused.reply.code, refused.accepted) == (Phase.MAIL, 550, False)
    assert refused.rcpt_replies == (None,)
    assert session.is_usable
    assert (await session.deliver(an_envelope(), a_content())).accepted
    await session.close()
    assert len(telling.messages) == 1


async def test_all_recipients_refused_ends_it_at_rcpt_and_nothing_is_sent(telling):
    session = await telling.transport.open()
    refused = await session.deliver(an_envelope("nobody@example.org"), a_content())
    assert (refused.phase, refused.reply.code) == (Phase.RCPT, 550)
    assert (await session.deliver(an_envelope(), a_content())).accepted
    await session.close()
    assert [message.rcpt_to for message in telling.messages] == [("ann@example.org",)]


async def test_a_refused_recipient_refuses_the_whole_message_and_the_session_goes_on(whole):
    session = await whole.transport.open()
    mixed = an_envelope("ann@example.org", "nobody@example.org")
    refused = await session.deliver(mixed, a_content(), after_dot=lambda *_: pytest.fail("not accepted"))
    assert refused.reply is not None
    assert (refused.accepted, refused.uncertain, refused.rcpt_replies) == (False, False, (None, None))
    assert refused.phase in (Phase.LOCAL, Phase.API)
    assert refused.transcript
    assert session.is_usable
    assert (await session.deliver(an_envelope(), a_content())).accepted
    await session.close()
    assert [message.rcpt_to for message in whole.messages] == [("ann@example.org",)]


async def test_a_message_lost_after_the_hand_over_is_uncertain(losing):
    losing.lose()
    session = await losing.transport.open()
    outcome = await session.deliver(an_envelope(), a_content())
    assert (outcome.phase, outcome.reply) == (Phase.DOT, None)
    assert outcome.uncertain
    assert isinstance(outcome.error, TransportError)
    assert not session.is_usable
    await session.close()


async def test_after_the_dot_the_caller_hears_the_reply_and_each_recipients(way):
    heard = []
    session = await way.transport.open()
    two = an_envelope("ann@example.org", "bob@example.org")
    outcome = await session.deliver(two, a_content(), after_dot=lambda *said: heard.append(said))
    await session.close()
    [(reply, replies)] = heard
    assert reply == outcome.reply
    assert reply.is_success
    assert tuple(replies) == outcome.rcpt_replies
    assert all(one.is_success for one in replies)


async def test_no_secret_is_in_a_repr_a_step_or_a_transcript(way):
    recorder = Recorder()
    session = await way.transport.open(recorder)
    outcome = await session.deliver(an_envelope(), a_content())
    refused = await session.deliver(an_envelope("nobody@example.org"), a_content())
    await session.close()
    shown = repr((way.transport, vars(way.transport), session, outcome, refused)) + recorder.everything()
    assert KEY not in shown
    assert base64.b64encode(f"api:{KEY}".encode()).decode() not in shown
    assert ACCESS_KEY_ID not in recorder.everything()


async def test_many_messages_go_through_one_session(way):
    session = await way.transport.open()
    for n in range(5):
        assert (await session.deliver(an_envelope(), a_content(b"n: %d\r\n" % n))).accepted
    await session.close()
    assert [message.content for message in way.messages] == [b"n: %d" % n + way.line_end for n in range(5)]
    assert way.behind.sessions == 1


async def test_before_the_dot_the_caller_is_asked_once(telling):
    asked = []
    session = await telling.transport.open()
    await session.deliver(an_envelope(), a_content(), before_dot=lambda: asked.append(len(telling.messages)))
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
    assert {"connect done", "find done"} & set(recorder.verdicts())


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
